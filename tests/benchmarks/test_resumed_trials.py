"""What a long run keeps is there when it goes on."""

import pytest

from acsnet_jax.types import InputError
from benchmarks.record import Kept


def test_a_stopped_run_goes_on_from_its_whole_lines(tmp_path):
    path = tmp_path / "run.trials.jsonl"
    kept = Kept(path, {"seed": 3})
    assert kept.rows == []
    kept.add((7, "refused", 0.1))
    with path.open("a") as file:
        file.write("[8, ")
    again = Kept(path, {"seed": 3})
    assert again.rows == [[7, "refused", 0.1]]
    again.add((8, "read", 0.2))
    assert Kept(path, {"seed": 3}).rows == [[7, "refused", 0.1], [8, "read", 0.2]]
    with pytest.raises(InputError, match=r"run\.trials\.jsonl: of other options"):
        Kept(path, {"seed": 4})
    again.remove()
    assert not path.exists()
