import json

import pytest

from acsnet_jax.files import replacing, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "text.txt"
    write_text("old", path)

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["text.txt"]
    assert path.read_text() == "old"


def test_json_is_read_back_and_folders_are_made(tmp_path):
    values = {"volume_ml": 1.5, "names": ["a", "b"], "nothing": None}
    write_json(values, tmp_path / "new" / "values.json")
    assert json.loads((tmp_path / "new" / "values.json").read_text()) == values


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"volume_ml": float("nan")}, tmp_path / "values.json")
    assert not list(tmp_path.iterdir())
