"""The whole house with networks of a few filters, on a few phantoms."""

import dataclasses
import json
import logging
import pathlib
import shutil

import numpy as np
import pydicom
import pytest
from nifti_files import load_nifti

from acsnet_jax import bundle as bundles
from acsnet_jax.evaluation import load_held_out, trained_on
from acsnet_jax.jobs.evaluate import evaluate
from acsnet_jax.jobs.fit_latent import fit_latent
from acsnet_jax.jobs.predict import predict
from acsnet_jax.jobs.prepare import prepare
from acsnet_jax.jobs.reproduce import reproduce
from acsnet_jax.models import Ensemble
from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.synthesis.phantom.dicom import write_dicom
from acsnet_jax.training import CohortOptions
from acsnet_jax.types import InputError
from benchmarks import inference
from configs import evaluate as evaluate_config
from configs import fit_latent as fit_latent_config
from configs import predict as predict_config
from configs import prepare as prepare_config
from configs import quickstart


def tiny():
    config = quickstart.get_config()
    config.folds = 0
    config.data.patients = 5
    config.data.cine_patients = 3
    config.data.image_size = 80
    config.spec.lv_size = 48
    config.spec.lv_spacing_mm = 5.0
    for task, epochs in (("lv", 12), ("myo", 4), ("autoencoder", 120)):
        config.networks[task].optimisation.epochs = epochs
        config.networks[task].optimisation.picture_every = epochs
        config.networks[task].optimisation.checkpoint_every = epochs
    config.networks.lv.model.filters = (4, 8)
    config.networks.lv.model.bridge = 8
    config.networks.myo.model.filters = (4, 8)
    config.networks.myo.model.bridge = 8
    config.networks.autoencoder.model.filters = (8, 16, 16, 16)
    config.latent.components = 2
    config.latent.population = 300
    config.latent.batch = 128
    config.correction.alphas = 16
    config.inference.shapes = 4
    config.lock()
    return config


pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture(scope="module")
def study(tmp_path_factory, standard_promotion):
    folder = tmp_path_factory.mktemp("study")
    reproduce(tiny(), folder)
    return folder


@pytest.fixture(scope="module")
def predicted(study, tmp_path_factory):
    root = tmp_path_factory.mktemp("predict")
    scan = make_scan(7, 0, size=80)
    write_dicom(scan, root / "dicom")
    config = predict_config.get_config()
    config.bundle = str(study / "bundle")
    config.input = str(root / "dicom")
    predict(config, root / "out")
    return scan, config, root


def test_a_study_leaves_everything_where_the_readme_says(study):
    for name in (
        "split.json",
        "config.json",
        *(f"{task}/metrics.jsonl" for task in ("lv", "myo", "autoencoder")),
        *(f"bundle/{name}" for name in ("bundle.json", "lv.npz", "latent.npz")),
        *(f"report/table{number}.{kind}" for number in (1, 2) for kind in ("csv", "md")),
        *(f"report/presence.{kind}" for kind in ("csv", "md")),
        *(f"report/figures/figure{number}.png" for number in (2, 3, 4)),
        *(f"report/{name}" for name in ("slices.csv", "certificates.json", "summary.json")),
        *(f"report/gate.{kind}" for kind in ("csv", "md")),
        "report/report.html",
    ):
        assert (study / name).stat().st_size > 0, name
    assert not list(study.rglob("*.tmp"))


def test_every_output_slice_is_valid(study):
    summary = json.loads((study / "report" / "summary.json").read_text())
    assert summary["Output slices that satisfy delta"]["value"] == 100.0
    assert "expert slices lost" in summary["Output slices that satisfy delta"]["note"]
    assert next(iter(summary)).startswith("Infarct")
    certificates = json.loads((study / "report" / "certificates.json").read_text())
    assert all(one["valid_after"] for one in certificates if not one["empty"])


def test_a_bundle_knows_whom_it_was_trained_on(study, tmp_path):
    data = CohortOptions(**tiny().data)
    everyone = load_held_out(dataclasses.replace(data, test_fraction=1.0), tmp_path).test
    told = bundles.provenance(study / "bundle")
    division = json.loads((study / "split.json").read_text())
    assert trained_on(everyone, told) == division["train"]
    assert len(told["training"]["seen"]) == len(division["train"]) + data.cine_patients


def test_a_second_run_says_that_nothing_is_left(study, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.is_file()}
    with caplog.at_level(logging.INFO):
        reproduce(tiny(), study)
    assert "nothing left to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.is_file()} == before


def test_a_study_of_another_config_is_refused(study):
    config = tiny()
    config.latent.population = 400
    with pytest.raises(InputError, match=r"latent\.population"):
        reproduce(config, study)


@pytest.mark.slow
def test_the_steps_one_by_one_give_the_same_system(study, tmp_path):
    config = fit_latent_config.get_config()
    config.runs = str(study)
    config.latent.update(tiny().latent)
    config.inference.update(tiny().inference)
    config.correction.update(tiny().correction)
    fit_latent(config, tmp_path / "bundle")
    ours, theirs = (np.load(root / "bundle" / "latent.npz") for root in (tmp_path, study))
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name])

    config = evaluate_config.get_config()
    config.bundle = str(tmp_path / "bundle")
    config.split = str(study)
    for name, value in tiny().data.items():
        config.data[name] = value
    evaluate(config, tmp_path / "report")
    table = "report/table1.csv"
    assert (tmp_path / table).read_text() == (study / table).read_text()


@pytest.mark.slow
def test_with_folds_a_study_is_an_ensemble_with_a_rule_fitted_to_unseen_patients(study, tmp_path):
    for name in ("autoencoder", "split.json"):  # it need not be trained again
        (shutil.copytree if name == "autoencoder" else shutil.copy)(study / name, tmp_path / name)
    config = tiny()
    config.folds = 2
    config.rule.thresholds = (0.4, 0.55)
    reproduce(config, tmp_path)
    folds = json.loads((tmp_path / "folds.json").read_text())
    held_out = set(json.loads((tmp_path / "split.json").read_text())["test"])
    assert sorted(map(len, folds)) == [2, 2] and not held_out & {x for fold in folds for x in fold}
    for number, fold in enumerate(folds, start=1):
        inner = tmp_path / "inner" / f"without_{number}"
        assert sorted(path.stem for path in inner.iterdir()) == fold
    bundle = bundles.load(tmp_path / "bundle")
    assert isinstance(bundle.delineate, Ensemble) and len(bundle.delineate.members) == 2
    told = bundles.provenance(tmp_path / "bundle")["training"]
    assert bundle.inference.scar_threshold == told["scar_rules"][0]["scar_threshold"]
    assert told["scar_rules"][0]["scar_threshold"] in (0.4, 0.55) and told["scans"]["lge"] == 4
    assert len(told["seen"]) == 4 + config.data.cine_patients
    assert (tmp_path / "report" / "figures" / "training.png").stat().st_size > 0


@pytest.mark.slow
def test_figure_5_names_the_latent_space_of_stage_3_alone(study, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    shutil.copytree(study / "autoencoder", tmp_path / "autoencoder")
    shutil.copy(study / "split.json", tmp_path / "split.json")
    samples = tmp_path / "autoencoder" / "samples.json"
    kept = json.loads(samples.read_text())
    samples.write_text(json.dumps({**kept, "seen": [*kept["seen"], "of another cohort"]}))
    config = fit_latent_config.get_config()
    config.runs = str(tmp_path)
    config.select = True
    config.selection.update({"dimensions": (4, 16), "components": 2, "folds": 3})
    config.latent.update(tiny().latent)
    with caplog.at_level(logging.INFO):
        fit_latent(config, tmp_path / "bundle")
    record = json.loads((tmp_path / "selection" / "selection.json").read_text())
    chosen = record["chosen"]
    assert f"chosen: d = {chosen['dimension']}, p = {chosen['components']}" in caplog.text
    assert [(one["dimension"], one["components"]) for one in record["scores"]] == [
        (4, 1),
        (4, 2),
        (16, 1),
        (16, 2),
    ]
    assert (tmp_path / "selection" / "figure5.png").stat().st_size > 0
    corrector = bundles.load_corrector(tmp_path / "bundle")
    assert corrector.mixture.means.shape == (chosen["components"], chosen["dimension"])
    assert not (tmp_path / "bundle.draws").exists()
    told = bundles.provenance(tmp_path / "bundle")["training"]
    assert told["seen"] == sorted([*kept["seen"], "of another cohort"])


def test_prediction_is_written_on_the_files_own_grid(predicted):
    scan, _, root = predicted
    (folder,) = (root / "out").glob("scan-*")
    image = load_nifti(folder / "segmentation.nii.gz")
    assert image.shape == scan.image.transpose(2, 1, 0).shape
    assert image.affine is not None
    np.testing.assert_allclose(image.affine, scan.file_affine, atol=1e-2)
    assert set(np.unique(np.asarray(image.dataobj))) <= {0, 1, 2, 3, 4}
    features = json.loads((folder / "features.json").read_text())
    assert features["lv_volume_ml"] > 0
    gate = json.loads((folder / "gate.json").read_text())
    assert gate["verdict"] in ("accepted", "look at it", "rejected")
    assert bool(gate["reasons"]) == (gate["verdict"] != "accepted")
    assert 0 < gate["signs"]["wall_confidence"] <= 1
    assert len(features["slice_features"]) == len(scan.image)
    assert len((folder / "slices.csv").read_text().splitlines()) == 1 + len(scan.image)
    assert len((folder / "segments.csv").read_text().splitlines()) == 1 + 17
    assert len(json.loads((folder / "certificates.json").read_text())) == len(scan.image)
    assert (folder / "overlay.png").stat().st_size > 10_000


def test_dicom_gets_dicom_beside_the_other_files(predicted):
    _, _, root = predicted
    (folder,) = (root / "out").glob("scan-*")
    tissue = np.asarray(load_nifti(folder / "segmentation.nii.gz").dataobj).transpose(2, 1, 0)
    seg = pydicom.dcmread(folder / "segmentation.dcm")
    labels = {item.SegmentNumber: item.SegmentLabel for item in seg.SegmentSequence}
    values = {"LV myocardium": (2, 3, 4), "LV blood pool": (1,), "Scar": (3, 4)}
    values |= {"Gray zone": (3,), "Core scar": (4,)}
    files = sorted((root / "dicom").iterdir())  # in the order of the NIfTI file's slices
    order = [pydicom.dcmread(path).SOPInstanceUID for path in files]
    masks = {name: np.zeros(tissue.shape, bool) for name in values}
    groups = seg.PerFrameFunctionalGroupsSequence
    for group, frame in zip(groups, seg.pixel_array, strict=True):
        name = labels[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        masks[name][order.index(source.ReferencedSOPInstanceUID)] = frame
    for name, wanted in values.items():
        np.testing.assert_array_equal(masks[name], np.isin(tissue, wanted), err_msg=name)
    measured = pydicom.dcmread(folder / "measurements.dcm")
    assert measured.Modality == "SR" and measured.StudyInstanceUID == seg.StudyInstanceUID


def test_the_report_tells_the_bundle_and_no_folder(predicted):
    _, config, root = predicted
    (folder,) = (root / "out").glob("scan-*")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert folder.name in text and "SHA-256 " in text and "slice_order" in text
    assert str(root) not in text and config.bundle not in text and "PHANTOM" not in text


def test_a_second_prediction_passes_over_what_is_there(predicted):
    _, config, root = predicted
    before = {path: path.stat().st_mtime_ns for path in (root / "out").glob("*/*")}
    predict(config, root / "out")
    assert {path: path.stat().st_mtime_ns for path in (root / "out").glob("*/*")} == before


def test_the_benchmark_tells_the_seconds_of_each_step(predicted):
    scan, config, root = predicted
    told = inference.one_process(pathlib.Path(config.bundle), root / "dicom")
    (one,) = told["studies"]
    assert told["load"] > 0 and one["slices"] == len(scan.image) and one["mib"] > 100
    assert min(one[step] for step in ("read", "segment", "assess", "write")) > 0


def test_one_bad_scan_does_not_stop_the_others(predicted, tmp_path):
    scan, config, _ = predicted
    write_dicom(scan, tmp_path / "in" / "good")
    write_dicom(make_scan(7, 1, size=80), tmp_path / "in" / "bad")
    victim = sorted((tmp_path / "in" / "bad").iterdir())[2]
    victim.write_bytes(victim.read_bytes()[:2000])
    config = config.copy_and_resolve_references()
    config.input = str(tmp_path / "in")
    config.dicom = False
    with pytest.raises(InputError, match=r"1 of 2 scans could not be segmented.*bad"):
        predict(config, tmp_path / "out")
    (folder,) = (tmp_path / "out").glob("scan-*")
    assert (folder / "report.html").is_file() and not list(folder.glob("*.dcm"))
    config.dicom = True
    with pytest.raises(InputError, match=r"results of others \(dicom differ\)"):
        predict(config, tmp_path / "out")


def test_a_prepared_cohort_is_read_back(tmp_path, capsys):
    config = prepare_config.get_config()
    config.data.patients = 2
    config.data.image_size = 64
    prepare(config, tmp_path / "store")
    assert "patients" in capsys.readouterr().out
    config.data.format = "store"
    config.data.root = str(tmp_path / "store")
    prepare(config, tmp_path / "again")
    one, two = (sorted((tmp_path / name).rglob("*.nii.gz")) for name in ("store", "again"))
    assert [path.name for path in one] == [path.name for path in two]
    assert len(one) == 4


def test_inputs_that_are_not_given_are_named(tmp_path):
    config = predict_config.get_config()
    with pytest.raises(InputError, match=r"config\.bundle is not set"):
        predict(config, tmp_path)
