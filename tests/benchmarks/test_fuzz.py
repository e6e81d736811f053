"""The fuzzer tells failures from refusals, and outlives an input that kills its reader."""

import pathlib

import pytest

from acsnet_jax.types import InputError
from benchmarks import fuzz, hard_inputs


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ("/in/a.dcm: truncated: copy it again", ""),
        ("/in/a.dcm: truncated\ncopy it again", "no single printable line"),
        ("/in/a.dcm: series quixote lge", "quotes a free text"),
        ("truncated: copy it again", "names no file"),
    ],
)
def test_refusals_are_judged(message, wrong):
    assert hard_inputs.wrong_message(message, pathlib.Path("/in")) == wrong


@pytest.mark.parametrize(
    ("error", "kind"),
    [(InputError("/in/a: bad"), "refused"), (MemoryError(), "traceback"), (None, "read")],
)
def test_outcomes(monkeypatch, error, kind):
    def read(folder):
        if error is not None:
            raise error
        return []

    monkeypatch.setitem(hard_inputs.KINDS, "made up", hard_inputs.Kind(print, read))
    found = hard_inputs.outcome("made up", pathlib.Path("/in"))
    assert found.kind == kind and found.failed == (kind == "traceback")


def test_inputs_are_read_in_turn_by_one_process(tmp_path):
    sound = hard_inputs.write_sound(tmp_path / "sound", ["nifti", "store"])
    trials = list(fuzz.run(sound, range(6), 3, tmp_path / "work"))
    assert [trial.kind for trial in trials] == ["nifti", "store"] * 3
    assert not any(trial.failed for trial in trials)
    again = list(fuzz.run(sound, [4], 3, tmp_path / "work"))
    assert (again[0].outcome, again[0].said) == (trials[4].outcome, trials[4].said)


def test_several_processes_read_what_one_does(tmp_path):
    sound = hard_inputs.write_sound(tmp_path / "sound", ["nifti", "store"])

    def read(part):
        return fuzz.run(sound, part, 3, tmp_path / "work")

    alone, together = sorted(read(range(5))), sorted(fuzz.side_by_side(read, range(5), 2))
    assert [trial[:4] for trial in together] == [trial[:4] for trial in alone]
