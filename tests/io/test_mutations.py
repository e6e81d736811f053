"""Damaged input ends in a sound result or in an `InputError` of one line; see `benchmarks.fuzz`."""

import numpy as np
import pytest

from benchmarks.hard_inputs import KINDS, outcome, write_sound
from benchmarks.mutations import damage

COUNT = 60
"""Of a kind; `benchmarks.fuzz` reads thousands, within limits of time and memory."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_sound(tmp_path_factory.mktemp("sound"), list(KINDS))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_input(sound, tmp_path, kind):
    number = list(KINDS).index(kind)
    for index in range(COUNT):
        damage(sound[kind], tmp_path / "damaged", np.random.default_rng([number, index]))
        found = outcome(kind, tmp_path / "damaged")
        assert not found.failed, (index, found)


@pytest.mark.parametrize("kind", KINDS)
def test_sound_input_is_read(sound, kind):
    assert outcome(kind, sound[kind]) == ("read", "")
