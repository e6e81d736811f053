"""The fuzzer tells failures from refusals, and outlives an input that kills its reader."""

import json
import pathlib
import types

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


@pytest.fixture
def given(monkeypatch):
    """Flags of the command, parsed or not."""
    for name, value in (("_SEED", 3), ("_KINDS", ["nifti"])):
        monkeypatch.setattr(fuzz, name, types.SimpleNamespace(value=value))


def test_several_processes_read_what_one_does(tmp_path):
    sound = hard_inputs.write_sound(tmp_path / "sound", ["nifti", "store"])

    def read(part):
        return fuzz.run(sound, part, 3, tmp_path / "work")

    alone, together = sorted(read(range(5))), sorted(fuzz.side_by_side(read, range(5), 2))
    assert [trial[:4] for trial in together] == [trial[:4] for trial in alone]


def test_a_stopped_run_goes_on_from_its_whole_lines(tmp_path, given, monkeypatch):
    path = tmp_path / "run.trials.jsonl"
    assert fuzz.earlier_trials(path) == []
    trial = fuzz.Trial(7, "nifti", "refused", "no", 0.1, 2.0)
    with path.open("a") as file:
        file.write(json.dumps([*trial]) + "\n[8, ")
    assert fuzz.earlier_trials(path) == [trial]
    assert "[8" not in path.read_text()
    monkeypatch.setattr(fuzz, "_SEED", types.SimpleNamespace(value=4))
    with pytest.raises(InputError, match=r"run\.trials\.jsonl: of another seed"):
        fuzz.earlier_trials(path)
