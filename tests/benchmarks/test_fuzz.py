"""The fuzzer tells failures from refusals, and outlives an input that kills its reader."""

import gzip
import io
import pathlib
import struct
import time

import numpy as np
import pytest
from nibabel import nifti1

from acsnet_jax.types import InputError
from benchmarks import fuzz, hard_inputs
from benchmarks.mutations import damaged_gzip


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


def test_a_header_that_is_cut_can_still_become_a_bomb():
    """The seed once ended the whole run."""
    image = nifti1.Nifti1Image(np.zeros((4, 4, 2), np.int16), np.eye(4))
    damaged = damaged_gzip(gzip.compress(image.to_bytes()), np.random.default_rng(4899))
    with gzip.open(io.BytesIO(damaged)) as file:
        assert struct.unpack("<4h", file.read(48)[40:])[:3] == (3, 4000, 4000)


def test_a_mistake_of_one_process_ends_all():
    def read(part):
        for number in part:
            time.sleep(0.01)
            if number == 4:
                raise ValueError("a mistake")
            yield fuzz.Trial(number, "nifti", "read", "", 0.1, 2.0)

    found = []
    with pytest.raises(ValueError, match="a mistake"):
        for trial in fuzz.side_by_side(read, range(4000), 2):
            found.append(trial)
    assert {0, 1, 2} <= {trial.number for trial in found} and len(found) < 100
