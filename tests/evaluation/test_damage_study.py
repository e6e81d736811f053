"""The study of damage on rings, with the analytic networks of the cascade's tests."""

import csv
import dataclasses
import json
import math

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
import test_pipeline
from test_pipeline import SIZE, SPACING, make_scan

from acsnet_jax import report
from acsnet_jax.anatomy.cleanup import clean_components
from acsnet_jax.correction import correct_stack
from acsnet_jax.evaluation import damage_study
from acsnet_jax.evaluation.damage import KINDS, STRENGTHS
from acsnet_jax.evaluation.damage_study import METHODS, Slices, compare, predict_slices
from acsnet_jax.jobs import damage as jobs
from acsnet_jax.report import damage as damage_report
from acsnet_jax.synthesis.phantom import make_cohort
from acsnet_jax.training import augment
from acsnet_jax.types import InputError, Label
from configs import damage as damage_config

bundle = test_pipeline.bundle
PATIENTS, EACH = 3, 4
CUT = 2  # the slice on which the prediction is in two parts
EMPTY = 5  # the slice on which nothing was predicted


def rings():
    """Experts' rings; predictions are a pixel off, one is cut, one is empty."""
    offset = np.arange(SIZE) - SIZE // 2
    expert, predicted = [], []
    for index in range(PATIENTS * EACH):
        outer = 22.0 + 1.5 * (index % EACH)
        for stack, shift in ((expert, 0), (predicted, 1)):
            radius = SPACING * np.hypot(offset[:, None] - shift, offset[None, :])
            stack.append((radius <= outer) & (radius > outer - 9.0))
    predicted[CUT][:, SIZE // 2 - 2 : SIZE // 2 + 2] = False
    predicted[EMPTY][:] = False
    return Slices(
        tuple(f"p{index // EACH}" for index in range(len(expert))),
        np.stack(expert).astype(np.float32),
        np.stack(predicted),
        np.stack(expert),
        np.full(len(expert), 8.0),
        (SPACING, SPACING),
    )


@pytest.fixture(scope="module")
def slices():
    return rings()


@pytest.fixture(scope="module")
def compared(bundle, slices):
    return compare(slices, bundle.corrector, seed=1)


def find(scores, kind, strength, method):
    (score,) = (s for s in scores if (s.kind, s.strength, s.method) == (kind, strength, method))
    return score


def test_a_scan_in_which_nothing_is_found_counts(bundle):
    scan = make_scan()
    dark = scan.replace(id="dark", image=np.full_like(scan.image, 50.0))
    both = predict_slices([scan, dark], bundle)
    assert both.scan_ids == ("ring",) * 5 + ("dark",) * 5
    assert both.predicted[:5].any(axis=(1, 2)).all() and not both.predicted[5:].any()
    assert both.expert.any(axis=(1, 2)).all()


def test_slices_that_stage_1_missed_count(bundle):
    """It finds something in a corner: the window is that of the heart all the same."""
    scan = make_scan()

    def astray(images):
        return jnp.roll(bundle.localise(images), images.shape[-1] // 2, axis=(-2, -1))

    lost = predict_slices([scan], dataclasses.replace(bundle, localise=astray))
    found = predict_slices([scan], bundle)
    assert lost.scan_ids == found.scan_ids
    assert lost.expert.sum() == found.expert.sum()


def test_every_condition_is_scored_by_every_method(compared, slices):
    study, examples = compared
    conditions = [("clean", 0), *((kind, strength) for kind in KINDS for strength in STRENGTHS)]
    assert [(s.kind, s.strength, s.method) for s in study.scores] == [
        (*condition, method) for condition in conditions for method in METHODS
    ]
    assert [(s.kind, s.method) for s in study.means] == [
        (kind, method) for kind in ("clean", *KINDS) for method in METHODS
    ]
    assert [example.kind for example in examples] == list(KINDS)
    assert (study.patients, study.slices) == (PATIENTS, PATIENTS * EACH)
    for score in (*study.scores, *study.means):
        times = len(STRENGTHS) if score.strength is None and score.kind != "clean" else 1
        assert score.masks == times * (study.slices - 1)
        assert score.dice.n == score.dice.counted == times * study.slices
        assert score.hausdorff_mm.counted == times * study.slices
        assert score.volume_error.n == times * PATIENTS


def test_ours_satisfies_delta_always_and_nothing_does_not(compared):
    study, _ = compared
    for score in study.scores:
        if score.method in ("latent", "invalid", "all"):
            # but for the slice on which nothing was predicted
            assert score.violations == pytest.approx(1 / study.slices)
            assert score.lost == 0
    for kind in ("holes", "islands"):
        assert find(study.means, kind, None, "none").violations == 1.0  # the empty one too
    for kind in ("cuts", "dents", "blobs"):
        assert find(study.means, kind, None, "none").violations > 0.1


def test_nothing_leaves_every_mask_untouched(compared, slices):
    study, _ = compared
    clean = find(study.scores, "clean", 0, "none")
    assert clean.untouched == 1.0
    assert clean.violations == pytest.approx(2 / 12)  # one is cut, one is empty
    assert (clean.slices, clean.masks, clean.lost) == (12, 11, 0)
    overlap = 2 * (slices.predicted & slices.expert).sum((1, 2))
    dice = overlap / (slices.predicted.sum((1, 2)) + slices.expert.sum((1, 2)))
    assert clean.dice.mean == pytest.approx(dice.mean(), rel=1e-6)
    assert clean.dice.low == pytest.approx(dice[EACH : 2 * EACH].mean(), rel=1e-6)


def test_an_empty_mask_costs_the_diagonal_and_its_volume(compared, slices):
    study, _ = compared
    clean = find(study.scores, "clean", 0, "none")
    # one of four slices has the diagonal, the others are one pixel off
    assert clean.hausdorff_mm.high == pytest.approx(
        (math.hypot(SIZE * SPACING, SIZE * SPACING) + 3 * SPACING) / 4
    )
    areas = slices.expert[EACH : 2 * EACH].sum((1, 2))
    assert clean.volume_error.high == pytest.approx(areas[EMPTY - EACH] / areas.sum())
    assert clean.volume_error.low == 0.0


def test_components_undo_holes_and_islands_and_no_dents(compared):
    study, _ = compared
    before = find(study.scores, "clean", 0, "components").dice.mean
    for strength in STRENGTHS:
        for kind in ("holes", "islands"):
            after = find(study.scores, kind, strength, "components").dice.mean
            assert after == pytest.approx(before, abs=0.01)
    assert find(study.means, "dents", None, "components").violations > 0.2


def test_ours_mends_what_components_cannot(compared):
    study, _ = compared
    gains = {(gain.kind, gain.over): gain.dice.mean for gain in study.gains}
    assert gains["cuts", "components"] > 0
    for gain in study.gains:
        mine = find(study.means, gain.kind, None, "invalid").dice.mean
        other = find(study.means, gain.kind, None, gain.over).dice.mean
        assert gain.dice.mean == pytest.approx(mine - other, abs=1e-9)


def test_the_latent_part_alone_does_not_try_the_cleaned_mask(bundle, slices):
    """Islands lead the encoder astray; without the cleaned pose that is seen."""
    corrector = bundle.corrector
    masks = slices.predicted[:1].copy()
    masks[0, 2:9, 2:9] = True
    alone, whole = (
        np.asarray(
            correct_stack(
                masks,
                dataclasses.replace(
                    corrector,
                    options=dataclasses.replace(corrector.options, cleaned_pose=cleaned),
                ),
                slices.spacing_mm,
            ).mask
        )
        for cleaned in (False, True)
    )
    changed = [np.count_nonzero(mask ^ masks) for mask in (alone, whole)]
    assert changed[0] >= changed[1] > 0


def test_who_returns_nothing_looks_bad(bundle, slices):
    mended = {"none": slices.predicted, "invalid": np.zeros_like(slices.predicted)}
    outcomes = damage_study._judge("clean", 0, mended, slices, bundle.corrector)
    given, nothing = (damage_study._score([one], 0, slices.scan_ids) for one in outcomes)
    assert (given.lost, given.masks, given.slices) == (0, 11, 12)
    assert (nothing.lost, nothing.masks, nothing.violations) == (11, 11, 1.0)
    assert nothing.dice.mean == 0.0 and nothing.volume_error.mean == 1.0


def test_what_is_said_of_training_damage_is_so():
    assert math.degrees(augment._SECTOR_RAD) == pytest.approx(150.0)
    assert (augment._DISCS, augment._DISC_RADIUS) == (4, (0.05, 0.3))
    for number in ("150 degrees", "4 discs", "5 to 30%"):
        assert number in damage_report._TRAINING


def test_valid_predictions_come_back_bit_for_bit(compared):
    study, _ = compared
    kept = study.already_valid
    assert kept.slices == kept.unchanged == PATIENTS * EACH - 2
    assert kept.before == kept.invalid
    assert kept.cost.mean == pytest.approx(kept.all.mean - kept.before.mean, abs=1e-9)


def test_everything_is_written(compared, tmp_path):
    study, examples = compared
    report.write_damage(study, examples, tmp_path)
    record = json.loads((tmp_path / "damage.json").read_text())
    assert record["slices"] == study.slices
    assert record["scores"][5]["dice"]["mean"] == study.scores[5].dice.mean
    with (tmp_path / "damage.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(study.scores) + len(study.means)
    assert {row["strength"] for row in rows} == {"mean", *"012345"}
    text = (tmp_path / "damage.md").read_text()
    assert "| arcs 5 | ours, all | 12 |" in text
    assert "1 of 12 slices were predicted empty" in text
    assert "| 0 of 11 |" in text and "150 degrees" in text
    assert report.damage_summary(study) in text
    for name in ("damage.png", "examples.png"):
        pixels = matplotlib.image.imread(tmp_path / name)
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.01


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(InputError, match="nothing to draw"):
        report.damage_curves([], tmp_path / "nothing.png")
    with pytest.raises(InputError, match="nothing to draw"):
        report.damage_examples([], tmp_path / "nothing.png", spacing_mm=(1.0, 1.0))


def test_cleaning_keeps_the_largest_component_and_its_cavity():
    ring = np.zeros((20, 20), bool)
    ring[2:14, 2:14] = True
    ring[5:11, 5:11] = False
    damaged = ring.copy()
    damaged[3, 3] = False  # a hole
    damaged[16:18, 16:18] = True  # an island
    damaged[7:9, 7:9] = True  # an island in the cavity
    np.testing.assert_array_equal(clean_components(damaged), ring)
    np.testing.assert_array_equal(clean_components(ring), ring)
    assert not clean_components(np.zeros((4, 4), bool)).any()


def test_slices_come_from_labelled_slices_with_myocardium(bundle):
    scan = make_scan(cut=2)
    assert scan.labels is not None
    labels = scan.labels.copy()
    labels[1] = Label.BACKGROUND
    labelled = scan.labelled.copy()
    labelled[4] = False
    found = predict_slices([scan.replace(labels=labels, labelled=labelled)] * 2, bundle)
    assert found.scan_ids == ("ring",) * 6
    assert found.predicted.shape == found.expert.shape == found.images.shape == (6, SIZE, SIZE)
    assert found.spacing_mm == (SPACING, SPACING)
    np.testing.assert_array_equal(found.extents_mm, 8.0)
    both = found.predicted & found.expert
    assert 2 * both.sum() > 0.95 * (found.predicted.sum() + found.expert.sum())


def test_what_cannot_be_compared_is_refused(bundle):
    scan = make_scan()
    bare = scan.replace(labels=np.zeros_like(scan.labels))
    with pytest.raises(InputError, match="no held-out slice has expert myocardium"):
        predict_slices([bare], bundle)
    loose = dataclasses.replace(bundle, spec=dataclasses.replace(bundle.spec, myo_spacing_mm=None))
    with pytest.raises(InputError, match="needs one for all"):
        predict_slices([scan], loose)


def test_the_job_takes_the_held_out_scans_and_writes(compared, bundle, tmp_path, monkeypatch):
    config = damage_config.get_config()
    config.data.patients = 4
    config.data.image_size = 64
    config.correction = {"alphas": 8}
    config.split = str(tmp_path / "run")
    (tmp_path / "run").mkdir()
    scans = make_cohort(4, 0, modality="lge", size=64)
    ids = [scan.id for scan in scans]
    split = {"seed": 0, "train": ids[:3], "test": ids[3:]}
    (tmp_path / "run" / "split.json").write_text(json.dumps(split))
    asked = {}

    def load(folder, **options):
        asked.update(options)
        return bundle

    def predict(scans, system):
        asked["scans"] = [scan.id for scan in scans]
        assert system is bundle
        return rings()

    monkeypatch.setattr(jobs.bundles, "load", load)
    monkeypatch.setattr(jobs.bundles, "provenance", lambda folder: {"training": {"seen": []}})
    monkeypatch.setattr(jobs, "predict_slices", predict)
    monkeypatch.setattr(jobs, "compare", lambda slices, corrector, seed: compared)
    jobs.study_damage(config, tmp_path / "out")
    assert asked == {"inference": {}, "correction": {"alphas": 8}, "scans": ids[3:]}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "split.json",
        *(f"damage.{kind}" for kind in ("md", "csv", "json", "png")),
        "examples.png",
    }
