"""A cohort that does not fit into the memory that it is given."""

import tracemalloc

import jax
import numpy as np
import pytest
import tiny

from acsnet_jax.io.store import write_scan
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training import loop
from acsnet_jax.training.cohort import CohortOptions
from acsnet_jax.training.settings import settings_of
from acsnet_jax.training.spill import Spill

TINY_GB = 1e-6


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def test_arrays_stay_in_memory_while_there_is_room(tmp_path):
    spill = Spill(tmp_path, 2000 / 2**30)
    array = np.arange(1000, dtype=np.uint8).reshape(10, 100)
    kept = [spill.array(array) for _ in range(3)]
    assert [is_mapped(one) for one in kept] == [False, False, True]
    for one in kept:
        np.testing.assert_array_equal(one, array)
    assert list(tmp_path.iterdir()) == []  # its file has no name


def test_samples_in_files_are_those_in_memory(tmp_path):
    scans = [tiny.make_scan(number, slices=2 + number % 3) for number in range(20)]
    settings = settings_of(tiny.make_config("myo"))
    expected = loop.training_samples(settings, scans)
    found = loop.training_samples(settings, scans, spill=Spill(tmp_path, TINY_GB))
    assert is_mapped(found.images) and is_mapped(found.targets)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    enough = loop.training_samples(settings, scans, spill=Spill(tmp_path, None))
    assert not is_mapped(enough.images)


@pytest.fixture
def stored(tmp_path):
    """A cohort of twelve patients in a folder."""
    for number in range(12):
        write_scan(tiny.make_scan(number, slices=8), tmp_path / "store")
    return CohortOptions(format="store", root=str(tmp_path / "store"), cine_format=None)


def test_a_cohort_is_read_without_being_in_memory(stored, tmp_path):
    held = {}
    for name, memory_gb in (("memory", None), ("files", TINY_GB)):
        options = CohortOptions(**{**vars(stored), "memory_gb": memory_gb})
        cohorts.load(options, tmp_path / f"{name} before")  # what is kept of any first time
        tracemalloc.start()
        cohort = cohorts.load(options, tmp_path / name)
        held[name], _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert is_mapped(cohort.train[0].image) == (name == "files")
    pixels = 12 * 8 * 20 * 20 * 5
    assert held["memory"] - held["files"] > 0.9 * pixels


@pytest.mark.usefixtures("standard_promotion")
def test_training_from_files_is_training_from_memory(stored, tmp_path):
    states = []
    for name, memory_gb in (("memory", None), ("files", TINY_GB)):
        data = {**vars(stored), "memory_gb": memory_gb}
        config = tiny.make_config(**{f"data.{key}": value for key, value in data.items()})
        states.append(loop.train_and_evaluate(config, tmp_path / name))
    jax.tree.map(np.testing.assert_array_equal, *(state._asdict() for state in states))
