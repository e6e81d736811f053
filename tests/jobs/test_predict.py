"""What `predict` writes, with callables that read the answer off the picture."""

import json
import logging
import shutil

import numpy as np
import pytest
from nibabel import loadsave, nifti1
from test_pipeline import bundle, make_scan

from acsnet_jax import app
from acsnet_jax import bundle as bundles
from acsnet_jax.io import discover, read_scans
from acsnet_jax.jobs import predict as job
from acsnet_jax.jobs.predict import predict
from acsnet_jax.types import InputError
from configs import predict as predict_config

__all__ = ["bundle"]  # the cascade's fixture

pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture
def config(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "load", lambda *_, **__: bundle)
    scan = make_scan()
    image = nifti1.Nifti1Image(scan.image.transpose(2, 1, 0), scan.affine)
    loadsave.save(image, tmp_path / "ring.nii.gz")
    config = predict_config.get_config()
    config.bundle, config.input = str(tmp_path / "rings"), str(tmp_path / "ring.nii.gz")
    (tmp_path / "rings").mkdir()
    config.modality = "lge"
    return config


def written(config, folder):
    predict(config, folder)
    (one,) = (path for path in folder.iterdir() if path.is_dir())
    return one


def test_segments_need_an_orientation_or_insertions(config, tmp_path):
    folder = written(config, tmp_path / "out")
    names = {"segmentation.nii.gz", "features.json", "slices.csv", "segments.csv"}
    names |= {
        "report.html",
        "scar_rules.csv",
        "certificates.json",
        "gate.json",
        "overlay.png",
        "bullseye.png",
        "ring.png",
    }
    assert {path.name for path in folder.iterdir()} == {*names, "scar_rules.png"}
    features = json.loads((folder / "features.json").read_text())
    assert features["wall_mean_mm"] == pytest.approx(9, abs=0.5)
    assert "give the insertions" in features["segments"][0]["not_available"]["mass_g"]
    config.rv_insertions_deg = (240, 120)
    given = json.loads((written(config, tmp_path / "given") / "features.json").read_text())
    assert given["segments"][0]["mass_g"] > 0
    assert given["rv_insertions"]["basis"] == "given"


def test_insertions_are_given_on_the_command_line(config, tmp_path):
    said, _ = app.read_options(["--config.rv_insertions_deg=240,120"], "predict")
    assert said.rv_insertions_deg == (240, 120)
    for wrong, error in (((240, 230), "could not be segmented"), ((240,), "such as 240,120")):
        config.rv_insertions_deg = wrong
        with pytest.raises(InputError, match=error):
            predict(config, tmp_path / "out")


def test_a_scan_whose_pixels_have_changed_is_segmented_again(config, tmp_path):
    folder = written(config, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    predict(config, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    first = json.loads((folder / "features.json").read_text())
    shifted = np.roll(make_scan().image, 3, axis=2)
    image = nifti1.Nifti1Image(shifted.transpose(2, 1, 0), make_scan().affine)
    loadsave.save(image, tmp_path / "ring.nii.gz")
    predict(config, tmp_path / "out")
    second = json.loads((folder / "features.json").read_text())
    assert first["image_sha256"] != second["image_sha256"]
    assert (folder / "segmentation.nii.gz").stat().st_mtime_ns > before[folder / "features.json"]


FILES = ("segmentation.nii.gz", "features.json", "slices.csv", "certificates.json", "gate.json")


@pytest.fixture
def several(config, tmp_path):
    """Four scans, and one that cannot be read, between them."""
    folder = tmp_path / "several"
    folder.mkdir()
    for name in ("a", "b", "d", "e"):
        shutil.copy(tmp_path / "ring.nii.gz", folder / f"{name}.nii.gz")
    (folder / "c.nii.gz").write_bytes(b"no image")
    config.input = str(folder)
    return config


def test_what_is_read_and_written_beside_is_the_same(several, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    told = {}
    monkeypatch.setattr(job, "spare_processes", lambda: 2)
    for overlap in (True, False):
        several.overlap = overlap
        caplog.clear()
        with caplog.at_level(logging.INFO), pytest.raises(InputError, match=r"1 of 5 .*: c$"):
            predict(several, tmp_path / str(overlap))
        said = [r.getMessage() for r in caplog.records if r.name.startswith("acsnet_jax")]
        told[overlap] = [one.replace(str(tmp_path / str(overlap)), "OUT") for one in said]
    assert told[True] == told[False]
    assert [one[0] for one in told[True][:5]] == ["a", "b", "c", "d", "e"]
    for name in ("a", "b", "d", "e"):
        for file in FILES:
            one, other = (tmp_path / str(overlap) / name / file for overlap in (True, False))
            assert one.read_bytes() == other.read_bytes(), f"{name}/{file}"


def test_a_scan_twice_is_written_once(several, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "discover", lambda *_, **__: [*discover(several.input)[:2]] * 2)
    predict(several, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"a", "b"}


def test_two_scans_whose_names_make_one_folder_are_told(config, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    folder = tmp_path / "alike"
    folder.mkdir()
    shutil.copy(tmp_path / "ring.nii.gz", folder / "pat 1.nii.gz")
    shifted = np.roll(make_scan().image, 3, axis=2).transpose(2, 1, 0)
    loadsave.save(nifti1.Nifti1Image(shifted, make_scan().affine), folder / "pat(1).nii.gz")
    config.input = str(folder)
    for _ in range(2):  # what the first run wrote is not replaced by the second
        with pytest.raises(InputError, match=r"1 of 2 scans could not be segmented"):
            predict(config, tmp_path / "out")
        assert "its folder, pat-1, is that of pat 1: rename one of them" in caplog.text
        known = json.loads((tmp_path / "out" / "pat-1" / "features.json").read_text())
        assert known["image_sha256"] == read_scans(folder / "pat 1.nii.gz")[0].digest
