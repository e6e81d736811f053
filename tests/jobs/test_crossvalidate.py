"""A cross-validation of the whole house, with networks of a few filters, on a few phantoms."""

import collections
import dataclasses
import json
import shutil

import numpy as np
import pytest

from acsnet_jax import bundle as bundles
from acsnet_jax import pipeline
from acsnet_jax.evaluation import nested
from acsnet_jax.jobs import crossvalidate as job
from acsnet_jax.jobs.crossvalidate import crossvalidate
from acsnet_jax.models import Ensemble
from acsnet_jax.preprocess.stages import lv_working
from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.training import folds as training_folds
from acsnet_jax.types import InputError
from benchmarks import bad_studies
from configs import crossvalidate as crossvalidate_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("standard_promotion")]


def tiny():
    config = crossvalidate_config.get_config("quickstart")
    config.folds = 3
    config.data.patients = 3
    config.data.cine_patients = 1
    config.data.image_size = 80
    config.spec.context = 1
    config.spec.lv_size = 48
    config.spec.lv_spacing_mm = 5.0
    config.spec.myo_spacing_mm = 1.5  # the prior's
    config.spec.mask_size = config.spec.myo_size = 96
    config.inference.turns = 1
    config.inference.shapes = 4
    config.correction.alphas = 8
    config.correction.refine = 2
    config.networks.lv.pretraining.epochs = 2
    for task, epochs in (("lv", 12), ("myo", 2)):
        config.networks[task].model.filters = (4, 8)
        config.networks[task].model.bridge = 8
        config.networks[task].optimisation.epochs = epochs
        config.networks[task].optimisation.checkpoint_every = epochs
    config.rule.thresholds = (0.4, 0.5)
    config.lock()
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory, standard_promotion):
    """A finished run, and whom each training saw."""
    folder = tmp_path_factory.mktemp("crossvalidate")
    seen = collections.defaultdict(dict)
    real = training_folds.train_network

    def train_network(config, task, workdir, cohort, **given):
        seen[workdir.parent.name][task] = {scan.id: scan.modality for scan in cohort.train}
        return real(config, task, workdir, cohort, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_folds, "train_network", train_network)
        crossvalidate(tiny(), folder)
    return folder, seen


def test_no_network_saw_the_folds_that_it_leaves_out(finished):
    folder, seen = finished
    folds = json.loads((folder / "folds.json").read_text())
    patients = {name for fold in folds for name in fold}
    assert len(patients) == 3 and len(seen) == 6
    for name, tasks in seen.items():
        left_out = {x for number in name.split("_")[1:] for x in folds[int(number) - 1]}
        lge = {x for x, modality in tasks["lv"].items() if modality == "lge"}
        assert lge == patients - left_out
        # without pretraining, stage 2 has cine mixed in
        assert {"lge", "cine"} == set(tasks["myo"].values())


def test_every_patient_is_judged_once_by_networks_that_never_saw_it(finished):
    folder, _ = finished
    folds = json.loads((folder / "folds.json").read_text())
    for number, fold in enumerate(folds, start=1):
        kept = folder / "held_out" / f"fold{number}"
        assert sorted(path.stem for path in kept.glob("*.npz")) == fold
        scores = json.loads((kept / "rule.json").read_text())
        best = max(score["agreement"] for score in scores)
        alike = [score for score in scores if score["agreement"] >= best - 0.02]
        assert abs(scores[0]["bias"]) == min(abs(score["bias"]) for score in alike)
    certificates = json.loads((folder / "report" / "certificates.json").read_text())
    assert {one["scan_id"] for one in certificates} <= {x for fold in folds for x in fold}


def test_a_rule_is_fitted_to_inner_predictions_of_all_other_folds(finished):
    folder, _ = finished
    inner = {path.name: {x.stem for x in path.iterdir()} for path in (folder / "inner").iterdir()}
    folds = json.loads((folder / "folds.json").read_text())
    for name, patients in inner.items():
        left_out = [int(number) - 1 for number in name.split("_")[1:]]
        assert patients == {patient for fold in left_out for patient in folds[fold]}


def test_the_bundle_that_comes_out_is_an_ensemble_with_a_fitted_rule(finished):
    folder, _ = finished
    bundle = bundles.load(folder / "bundle")
    first, second = bundle.localise, bundle.delineate
    assert isinstance(first, Ensemble) and isinstance(second, Ensemble)
    assert len(first.members) == len(second.members) == 3
    score = bundles.provenance(folder / "bundle")["training"]["scar_rules"][0]
    assert bundle.inference.scar_threshold == score["scar_threshold"]
    assert bundle.spec.context == 1
    scan = make_scan(9, 0, size=80)
    apart = [
        pipeline.lv_probability(lv_working(scan, bundle.spec), one)
        for one in (
            bundle,
            *(dataclasses.replace(bundle, localise=x) for x in first.members),
        )
    ]
    np.testing.assert_allclose(apart[0], np.mean(apart[1:], axis=0), atol=1e-5)


def test_a_stage_3_of_another_grid_is_refused(tmp_path):
    config = tiny()
    config.spec.mask_size = 64
    with pytest.raises(InputError, match="masks of 96 pixels"):
        crossvalidate(config, tmp_path)


def test_a_stage_3_that_has_seen_the_patients_is_refused(finished, tmp_path):
    folder, _ = finished
    config = tiny()
    config.corrector = str(folder / "bundle")
    with pytest.raises(InputError, match=r"config\.corrector: .* was trained on 3 of the 3"):
        crossvalidate(config, tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_folds_can_be_corrected_in_the_same_folder(tmp_path):
    config = tiny()
    config.folds = 4
    with pytest.raises(InputError, match=r"3 labelled patients for 4 folds; lower"):
        crossvalidate(config, tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_cine_scans_among_the_patients_train_too(tmp_path, monkeypatch):
    scans = [
        make_scan(0, index, modality=kind) for index, kind in enumerate(("lge", "cine", "cine"))
    ]
    monkeypatch.setattr(job, "read_labelled", lambda *_: (scans[:2], scans[2:]))
    inputs = job.read_inputs(tiny(), tmp_path)
    assert [scan.id for scan in inputs.scans] == [scans[0].id]
    assert {scan.id for scan in inputs.cine} == {scan.id for scan in scans[1:]}


def test_a_report_ends_it(finished):
    folder, _ = finished
    summary = json.loads((folder / "report" / "summary.json").read_text())
    assert np.isfinite([x["value"] for x in summary.values() if x["value"] is not None]).all()
    assert (folder / "report" / "report.html").is_file()


def test_bad_studies_are_judged_by_networks_that_never_saw_the_patients(finished, monkeypatch):
    folder, _ = finished
    kinds = dict(list(bad_studies.KINDS.items())[:3])
    monkeypatch.setattr(bad_studies, "KINDS", kinds)
    rows = bad_studies.study(bad_studies.networks_of(folder), [], 3)
    assert [row["kind"] for row in rows] == list(kinds)
    for row in rows:
        assert row["patients"] == 3 == sum(row[name] for name in bad_studies.VERDICTS)
        assert 0 <= row["wall_dice"] <= 1
        assert 0 <= row["infarct_dice"] <= 1
        assert (row["wall_dice_accepted"] is None) == (row["accepted"] == 0)


def test_a_finished_run_trains_and_predicts_nothing_again(finished, monkeypatch):
    folder, _ = finished
    report = folder / "report"
    before = (report / "summary.json").read_text()
    shutil.rmtree(report)

    def never(*given, **options):
        raise AssertionError("is there already")

    for name in ("train_network", "segment_or_nothing", "fit_scar_rule", "pretrain"):
        monkeypatch.setattr(training_folds, name, never)
    monkeypatch.setattr(nested, "segment_or_nothing", never)
    crossvalidate(tiny(), folder)
    assert (report / "summary.json").read_text() == before


def test_folds_of_other_patients_are_refused(finished, tmp_path):
    folder, _ = finished
    shutil.copy(folder / "folds.json", tmp_path / "folds.json")
    config = tiny()
    config.data.seed = 5
    with pytest.raises(InputError, match="folds of other patients"):
        crossvalidate(config, tmp_path)
