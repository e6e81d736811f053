import json

import pytest

from acsnet_jax.clinical import features
from acsnet_jax.report import write_features
from acsnet_jax.report.files import replacing, write_text


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


def test_features_are_json(make_segmentation, tmp_path):
    found = features(make_segmentation())
    write_features(found, tmp_path / "new" / "features.json")
    assert json.loads((tmp_path / "new" / "features.json").read_text()) == found._asdict()


def test_nan_is_never_written(make_segmentation, tmp_path):
    found = features(make_segmentation())._replace(lv_volume_ml=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        write_features(found, tmp_path / "features.json")
    assert not list(tmp_path.iterdir())
