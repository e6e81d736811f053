"""Damaged files end in a scan of finite arrays or in an `InputError`, soon, in no traceback."""

import numpy as np
import pytest
from mutations import check, damage, write_bases

COUNT = 40
"""A kind of file; thousands were read by hand, see `mutations`."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return write_bases(tmp_path_factory.mktemp("bases"))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", range(7))
def test_damaged_files(bases, tmp_path, kind):
    name = list(bases)[kind]
    for index in range(COUNT):
        damage(bases[name], tmp_path / "damaged", np.random.default_rng([kind, index]))
        assert not check(tmp_path / "damaged"), (name, index)


def test_undamaged_files_are_read(bases):
    for path in bases.values():
        assert not check(path)
