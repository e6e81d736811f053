"""Masks of any origin, end to end: files in, tables and corrected files out."""

import csv
import dataclasses
import json
import logging
import shutil

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from nifti_files import load_nifti
from rings import THRESHOLDS, make_corrector

from acsnet_jax import anatomy, clinical
from acsnet_jax import bundle as bundles
from acsnet_jax.bundle import manifest
from acsnet_jax.correction import labels, native
from acsnet_jax.correction.labels import LabelFileOptions, correct_labels
from acsnet_jax.correction.results import Results
from acsnet_jax.evaluation.label_files import check_labels
from acsnet_jax.io.masks import label_files, mask_of, read_labels
from acsnet_jax.jobs.check import check
from acsnet_jax.jobs.correct import correct, correct_files, max_change_of
from acsnet_jax.prior import SHIPPED, SHIPPED_NAME
from acsnet_jax.types import InputError, Route
from configs import check as check_config
from configs import correct as correct_config

# Labels of the files: 1 blood pool, 2 myocardium, 3 scar, 4 right ventricle.
LABELS, SCAR = (2, 3), (3,)
SHAPE, PIXELS, DISTANCE = (90, 80), (1.4, 1.6), 8.0
KINDS = ("valid", "islands", "holed", "empty", "valid", "wide gap")
BAD = ("islands", "holed", "wide gap")
ANATOMY = anatomy.Anatomy._fields


def run(files, corrector, options, folder):
    return correct_files(files, corrector, options, Results.of(folder, options, corrector))


def draw(kind, outer):
    """A slice of labels; the ring lies off the middle."""
    rows, columns = np.indices(SHAPE)
    y, x = (rows - 42) * PIXELS[0], (columns - 44) * PIXELS[1]
    radius, angle = np.hypot(y, x), np.degrees(np.arctan2(y, x)) % 360
    values = np.zeros(SHAPE, np.uint8)
    values[(np.abs(y) < 25) & (x < 0) & (x > -60)] = 4
    if kind == "empty":
        return values
    values[radius <= outer] = 2
    values[(radius <= outer) & (angle > 300)] = 3
    values[radius <= outer - 10] = 1
    if kind == "islands":
        values[(np.abs(x) < 5) & (values != 1)] = 0
    if kind == "holed":
        values[np.hypot(y - outer + 5, x) < 2] = 0
    if kind == "wide gap":
        values[(angle < 200) & (radius > outer - 10) & (values != 4)] = 0
    return values


def affine():
    """Oblique, (column, row, slice) of 1.6 x 1.4 x 8 mm."""
    turned, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    result = np.eye(4)
    result[:3, :3] = turned * (PIXELS[1], PIXELS[0], DISTANCE)
    result[:3, 3] = [-40, 25, 70]
    return result


STACK = np.stack([draw(kind, 24.0 + index) for index, kind in enumerate(KINDS)])


def save(path, stack, *, order=(0, 1, 2), dtype: npt.DTypeLike = np.int16):
    """A file whose axes are (column, row, slice), reordered."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = stack.transpose(2, 1, 0).transpose(order).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(array, affine()[:, [*order, 3]]), path)
    return path


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def check_files(root, workdir, **changes):
    config = check_config.get_config()
    config.input = str(root)
    config.labels = "2,3"
    config.thresholds.update(THRESHOLDS._asdict())
    config.update(changes)
    return check(config, workdir)


@pytest.fixture(scope="module")
def corrector():
    return make_corrector()


@pytest.fixture(scope="module")
def corrected(tmp_path_factory, corrector):
    """One stack in two axis orders, and one that needs nothing."""
    root = tmp_path_factory.mktemp("correct")
    save(root / "in" / "a.nii.gz", STACK)
    save(root / "in" / "sub" / "turned.nii", STACK, order=(2, 0, 1), dtype=np.float32)
    save(root / "in" / "good.nii.gz", STACK[[0, 4]])
    settings = LabelFileOptions(labels=LABELS, scar_labels=SCAR)
    files = label_files(root / "in")
    return root, settings, run(files, corrector, settings, root / "out")


def test_check_counts_slices_by_criterion(tmp_path, capsys):
    save(tmp_path / "in" / "a.nii.gz", STACK)
    save(tmp_path / "in" / "sub" / "good.nii.gz", STACK[[0, 3, 4]])
    checked = check_files(tmp_path / "in", tmp_path / "out")
    assert [one.name for one in checked] == ["a", "sub/good"]
    assert checked[0].valid.tolist() == [kind == "valid" for kind in KINDS]
    printed = capsys.readouterr().out
    assert "9 slices in 2 files: 2 empty, 7 with a mask, of which 4 valid (57.1%)" in printed
    assert "1 of 2 files have an invalid slice" in printed

    counts = {row["criterion"]: row for row in rows_of(tmp_path / "out" / "criteria.csv")}
    assert list(counts) == [criterion.name for criterion in anatomy.CRITERIA]
    for name, slices in (("objects", 1), ("extra holes", 1), ("wide gap", 1), ("thin wall", 0)):
        row = counts[name]
        assert (row["slices"], row["files"]) == (str(slices), str(slices))
        assert np.isclose(float(row["share"]), slices / 7)
        line = next(line for line in printed.splitlines() if line.startswith(name))
        assert f"{100 * slices / 7:.1f}%" in line
    assert counts["wide gap"]["demand"] == "gap_deg <= 100"

    slices = rows_of(tmp_path / "out" / "slices.csv")
    assert [row["slice_index"] for row in slices] == [*"012345", *"012"]
    assert [row["file"] for row in slices] == ["a"] * 6 + ["sub/good"] * 3
    by_kind = dict(zip(KINDS[:4] + KINDS[5:], [*slices[:4], slices[5]], strict=True))
    assert by_kind["islands"]["failed"].split("; ")[0] == "objects"
    assert by_kind["valid"]["failed"] == "" and by_kind["valid"]["valid"] == "True"
    assert by_kind["empty"]["empty"] == "True" and by_kind["empty"]["failed"] == ""
    assert list(slices[0])[5:] == list(ANATOMY)
    assert by_kind["valid"]["gap_deg"] == "" and by_kind["wide gap"]["circularity_epi"] == ""
    area = float(by_kind["valid"]["area_mm2"])
    assert np.isclose(area, np.isin(STACK[0], LABELS).sum() * 1.4 * 1.6, rtol=1e-5)
    assert (tmp_path / "out" / "violations.png").stat().st_size > 10_000


def test_check_without_violations_leaves_no_old_picture(tmp_path):
    save(tmp_path / "good.nii", STACK[[0, 4]])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "violations.png").write_text("old")
    check_files(tmp_path / "good.nii", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["criteria.csv", "slices.csv"]


def test_all_labels_above_0_are_one_mask(tmp_path):
    save(tmp_path / "m.nii", np.isin(STACK, LABELS).astype(np.uint8))
    (one,) = check_files(tmp_path / "m.nii", tmp_path / "out", labels="")
    assert one.valid.tolist() == [kind == "valid" for kind in KINDS]


def test_thresholds_of_experts_and_of_a_bundle(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    path = save(tmp_path / "in" / "good.nii", STACK[[0, 4]])
    with caplog.at_level(logging.INFO):
        (one,) = check_files(path, tmp_path / "out", experts=str(path.parent), coverage=1.0)
    assert one.valid.all()
    assert "fitted to 2 slices" in caplog.text
    demands = [row["demand"] for row in rows_of(tmp_path / "out" / "criteria.csv")]
    thickest = max(one.measures.wall_max_mm)
    assert f"wall_max_mm <= {thickest * (1 + 1e-5):.4g}" in demands

    shutil.copytree(SHIPPED, tmp_path / "bundle")
    record = bundles.provenance(SHIPPED)
    record["thresholds"] = {**THRESHOLDS._asdict(), "wall_min_mm": 40.0}
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps(record))
    manifest.write(tmp_path / "bundle")
    (one,) = check_files(path, tmp_path / "out", bundle=str(tmp_path / "bundle"))
    assert one.invalid.all()
    with pytest.raises(InputError, match="both set"):
        check_files(path, tmp_path / "out", bundle="x", experts="y")


def test_without_a_bundle_masks_are_held_against_the_shipped_prior(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    path = save(tmp_path / "in" / "good.nii", STACK[[0, 4]])
    config = check_config.get_config()
    config.input, config.labels = str(path), "2,3"
    with caplog.at_level(logging.INFO):
        (one,) = check(config, tmp_path / "out")
        config.thresholds.wall_max_mm = 9.0
        (other,) = check(config, tmp_path / "other")
    assert one.valid.all() and other.invalid.all()
    told = [line for line in caplog.messages if line.startswith("thresholds:")]
    assert told == [f"thresholds: no bundle given: {SHIPPED_NAME}", "thresholds: config.thresholds"]
    bounds = bundles.provenance(SHIPPED)["thresholds"]
    demands = [row["demand"] for row in rows_of(tmp_path / "out" / "criteria.csv")]
    assert f"wall_max_mm <= {bounds['wall_max_mm']:.4g}" in demands


def test_one_bad_file_does_not_stop_the_check(tmp_path, capsys):
    save(tmp_path / "in" / "good.nii", STACK[[0, 4]])
    (tmp_path / "in" / "bad.nii").write_text("no NIfTI")
    with pytest.raises(InputError, match=r"1 of 2 files could not be checked.*: bad"):
        check_files(tmp_path / "in", tmp_path / "out")
    assert "2 slices in 1 files" in capsys.readouterr().out
    with pytest.raises(InputError, match="labels 7 not found"):
        check_files(tmp_path / "in", tmp_path / "out", labels="7")
    with pytest.raises(InputError, match=r"config\.input is not set"):
        check_files("", tmp_path / "out")


@pytest.mark.parametrize("name", ["a", "sub/turned", "good"])
def test_corrected_files_lie_on_their_own_grid_and_are_valid(corrected, name):
    root, _, _ = corrected
    (path,) = (p for n, p in label_files(root / "in").items() if n == name)
    brought, written = load_nifti(path), load_nifti(root / "out" / f"{name}.nii.gz")
    assert written.get_data_dtype() == np.uint8 and written.shape == brought.shape
    np.testing.assert_array_equal(written.affine, brought.affine)
    for field in ("pixdim", "sform_code", "qform_code", "srow_x", "quatern_b", "qoffset_z"):
        np.testing.assert_array_equal(written.header[field], brought.header[field])
    before, after = (read_labels(p) for p in (path, root / "out" / f"{name}.nii.gz"))
    found = check_labels(after, LABELS, THRESHOLDS, name=name)
    assert (found.valid | found.empty).all()
    was_valid = check_labels(before, LABELS, THRESHOLDS, name=name)
    same = was_valid.valid | was_valid.empty
    np.testing.assert_array_equal(after.values[same], before.values[same])
    assert (after.values != before.values)[~same].any(axis=(1, 2)).all()
    np.testing.assert_array_equal(found.empty, was_valid.empty)


def test_labels_keep_their_meaning(corrected):
    root, _, _ = corrected
    values = read_labels(root / "out" / "a.nii.gz").values
    before, after = mask_of(STACK, LABELS), mask_of(values, LABELS)
    np.testing.assert_array_equal(values[before & after], STACK[before & after])
    assert (values[after & ~before] == LABELS[0]).all()
    assert (values[before & ~after] == 0).all()
    outside = ~before & ~after
    np.testing.assert_array_equal(values[outside], STACK[outside])


def test_added_myocardium_overwrites_other_labels():
    values = np.array([[[0, 4, 2, 3, 1]]], np.uint8)
    before = np.array([[[False, False, True, True, False]]])
    after = np.array([[[True, True, False, True, False]]])
    relabelled = labels.relabelled(values, before, after, LABELS)
    np.testing.assert_array_equal(relabelled, [[[2, 2, 0, 3, 1]]])


def test_what_the_wall_leaves_to_the_cavity_is_blood():
    """A ring one pixel thinner on both sides; one pixel of its cavity has no label."""
    rows, columns = np.indices((40, 40))
    radius = np.hypot(rows - 20, columns - 20)
    before, after = (radius < 16) & (radius >= 8), (radius < 15) & (radius >= 9)
    values = np.where(before, 2, np.where(radius < 8, 1, 0)).astype(np.uint8)
    values[20, 20] = 0
    found = labels.relabelled(values[None], before[None], after[None], LABELS)[0]
    assert (found[(radius < 9) & (radius >= 8)] == 1).all() and found[20, 20] == 0
    assert (found[(radius < 16) & (radius >= 15)] == 0).all()
    assert (found[after] == 2).all()


def test_the_order_of_the_axes_changes_nothing(corrected):
    root, _, _ = corrected
    one, other = (read_labels(root / "out" / f"{name}.nii.gz") for name in ("a", "sub/turned"))
    assert (one.axis, other.axis) == (3, 1)
    np.testing.assert_array_equal(one.values, other.values)


def test_certificates_tell_what_was_done(corrected):
    root, _, summaries = corrected
    record = json.loads((root / "out" / "a.json").read_text())
    certificates = record["certificates"]
    assert [one["slice_index"] for one in certificates] == list(range(len(KINDS)))
    assert {one["scan_id"] for one in certificates} == {"a"}
    values = read_labels(root / "out" / "a.nii.gz").values
    moved = mask_of(STACK, LABELS) ^ mask_of(values, LABELS)
    scar = clinical.areas_mm2(moved & (STACK == 3), PIXELS) * DISTANCE
    assert scar.any()
    for kind, one, pixels, volume in zip(
        KINDS, certificates, moved.sum(axis=(1, 2)), scar, strict=True
    ):
        assert one["empty"] == (kind == "empty")
        assert one["valid_before"] == (kind == "valid")
        assert bool(one["failed_before"]) == (kind in BAD)
        assert one["valid_after"] == one["kept"] == (kind != "empty")
        assert one["pixels_changed"] == pixels
        assert np.isclose(one["scar_moved_mm3"], volume, rtol=1e-5)
    summary = next(one for one in summaries if one.file == "a")
    assert summary[1:8] == (6, 1, 2, 3, 0, 0, 5)
    assert np.isclose(summary.scar_moved_mm3, scar.sum(), rtol=1e-5)
    table = rows_of(root / "out" / "corrections.csv")
    assert [row["file"] for row in table] == ["a", "good", "sub/turned"]
    assert table[1]["changed"] == "0" and table[1]["valid_before"] == "2"


def test_a_second_run_passes_over_what_is_finished(corrected, corrector):
    root, settings, summaries = corrected
    files = label_files(root / "in")
    (root / "out" / "good.json").unlink()  # as if stopped in between
    before = {p: p.stat().st_mtime_ns for p in (root / "out").rglob("*.nii.gz")}
    assert run(files, corrector, settings, root / "out") == summaries
    after = {p: p.stat().st_mtime_ns for p in (root / "out").rglob("*.nii.gz")}
    assert {p.name for p in before if before[p] != after[p]} == {"good.nii.gz"}
    codes = corrector.population.codes
    drawn_anew = corrector.population._replace(codes=codes[::-1])
    for system, asked in (
        (corrector, LabelFileOptions(labels=(2,))),
        (dataclasses.replace(corrector, population=drawn_anew), settings),
    ):
        with pytest.raises(InputError, match="3 of 3 files could not be corrected"):
            run(files, system, asked, root / "out")
    assert {p: p.stat().st_mtime_ns for p in (root / "out").rglob("*.nii.gz")} == after


def test_a_file_that_has_changed_is_corrected_again(tmp_path, corrector):
    settings, path = LabelFileOptions(labels=LABELS), tmp_path / "in" / "m.nii.gz"
    for outer in (24.0, 28.0):
        save(path, np.stack([draw("valid", outer)] * 3))
        run(label_files(tmp_path / "in"), corrector, settings, tmp_path / "out")
        np.testing.assert_array_equal(
            read_labels(tmp_path / "out" / "m.nii.gz").values, read_labels(path).values
        )


@pytest.mark.parametrize("order", ["apex_first", "base_first"])
def test_slices_above_the_base_are_emptied_if_asked(tmp_path, corrector, order):
    areas = np.stack([draw("valid", outer) for outer in (22.0, 25.0, 28.0, 14.0)])
    stack = areas if order == "apex_first" else areas[::-1]
    save(tmp_path / "in" / "m.nii.gz", stack)
    settings = LabelFileOptions(labels=LABELS, trim=True, slice_order=order)
    files = label_files(tmp_path / "in")
    (summary,) = run(files, corrector, settings, tmp_path / "out")
    assert (summary.left_out, summary.valid_after) == (1, 3)
    values = read_labels(tmp_path / "out" / "m.nii.gz").values
    out = 3 if order == "apex_first" else 0
    assert not mask_of(values, LABELS)[out].any()
    np.testing.assert_array_equal(values[out] == 1, stack[out] == 1)
    np.testing.assert_array_equal(np.delete(values, out, 0), np.delete(stack, out, 0))
    certificates = json.loads((tmp_path / "out" / "m.json").read_text())["certificates"]
    assert [one["kept"] for one in certificates] == [k != out for k in range(4)]


def test_the_volume_checks_are_as_strict_as_the_experts_of_the_bundle(tmp_path):
    folder = tmp_path / "prior"
    shutil.copytree(SHIPPED, folder)
    told = json.loads((folder / "bundle.json").read_text())
    told["inference"]["max_change"] = 0.25
    (folder / "bundle.json").write_text(json.dumps(told))
    manifest.write(folder)
    config = correct_config.get_config()
    config.bundle, config.trim = str(folder), True
    assert max_change_of(config) == 0.25
    config.max_change = 0.4
    assert max_change_of(config) == 0.4


def test_one_bad_file_does_not_stop_the_corrections(tmp_path, corrector, monkeypatch, caplog):
    asked = {}

    def load_corrector(folder, *, correction):
        asked.update(folder=folder, correction=correction)
        return corrector

    monkeypatch.setattr(bundles, "load_corrector", load_corrector)
    save(tmp_path / "in" / "good.nii.gz", STACK[[0, 4]])
    (tmp_path / "in" / "bad.nii").write_text("no NIfTI")
    config = correct_config.get_config()
    config.bundle = "stage3"
    config.input = str(tmp_path / "in")
    config.labels = "2,3"
    with pytest.raises(InputError, match=r"1 of 2 files could not be corrected.*: bad"):
        correct(config, tmp_path / "out")
    assert asked == {"folder": "stage3", "correction": {"scope": "invalid"}}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "corrections.csv",
        "good.json",
        "good.nii.gz",
    ]
    for place in (tmp_path / "in", tmp_path / "in" / "out"):
        with pytest.raises(InputError, match="would mix"):
            correct(config, place)
    config.input = str(tmp_path / "in" / "good.nii.gz")
    with pytest.raises(InputError, match="would mix"):
        correct(config, tmp_path / "in")
    config.trim = True
    with pytest.raises(InputError, match=r"slice_order.*apex_first, base_first"):
        correct(config, tmp_path / "out")
    config.trim, config.bundle = False, ""
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    with caplog.at_level(logging.INFO):
        correct(config, tmp_path / "shipped")
    assert asked["folder"] == SHIPPED
    assert f"no bundle given: {SHIPPED_NAME}" in caplog.text


def test_a_stand_in_is_certified_as_what_it_is(tmp_path, corrector, monkeypatch):
    nothing_fits(monkeypatch)
    stack = read_labels(save(tmp_path / "a.nii.gz", STACK))
    found = correct_labels(stack, uncleaned(corrector), LabelFileOptions(labels=LABELS), name="a")
    for kind, one in zip(KINDS, found.certificates, strict=True):
        assert (one.route is Route.STAND_IN) == (kind in BAD)
        assert (one.alpha == 1.0) == (one.neighbour is not None) == (kind in BAD)
        assert one.valid_after or one.empty
    members = [one.neighbour for one in _bad(found) if one.neighbour is not None]
    codes = np.asarray(corrector.population.codes)[members]
    areas = np.pi * (codes[:, 0] ** 2 - codes[:, 1] ** 2)
    written = clinical.areas_mm2(mask_of(found.values, LABELS), PIXELS)
    np.testing.assert_allclose(written[np.isin(KINDS, BAD)], areas, rtol=0.05)


def uncleaned(corrector):
    """Without the pose that drops islands and extra holes, which would save one of the slices."""
    return dataclasses.replace(
        corrector, options=dataclasses.replace(corrector.options, cleaned_pose=False)
    )


def nothing_fits(monkeypatch):
    """What comes back from the working grid fails delta there."""

    def fail(masks, grid, corrector):
        return native.on_native(masks, grid), np.zeros(len(masks), bool)

    monkeypatch.setattr(native, "render_native", fail)


def test_a_lost_slice_is_told_and_costs_no_other(tmp_path, corrector, monkeypatch, caplog):
    nothing_fits(monkeypatch)
    monkeypatch.setattr(native, "_stand_in", lambda mask, grid, corrector: None)
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    save(tmp_path / "in" / "a.nii.gz", STACK)
    settings = LabelFileOptions(labels=LABELS)
    files = label_files(tmp_path / "in")
    system = uncleaned(corrector)
    with caplog.at_level(logging.INFO):
        (summary,) = run(files, system, settings, tmp_path / "out")
    assert (summary.lost, summary.left_out, summary.valid_after) == (3, 0, 2)
    assert summary.changed == summary.volume_changed_mm3 == 0
    assert "lost slices 2, 3, 6 (from 1)" in caplog.text
    assert "0 corrected, 0 left out, 3 lost, 2 valid after" in caplog.text
    values = read_labels(tmp_path / "out" / "a.nii.gz").values
    lost = np.isin(KINDS, BAD)
    assert not mask_of(values, LABELS)[lost].any()
    np.testing.assert_array_equal(values[~lost], STACK[~lost])
    certificates = json.loads((tmp_path / "out" / "a.json").read_text())["certificates"]
    assert [one["route"] == "lost" for one in certificates] == lost.tolist()
    assert run(files, system, settings, tmp_path / "out") == [summary]


def _bad(found):
    return [one for kind, one in zip(KINDS, found.certificates, strict=True) if kind in BAD]


def test_specks_far_apart_become_a_valid_ring(tmp_path, corrector):
    stack = np.zeros((2, 90, 130), np.uint8)
    stack[0, 40:43, 5:7] = stack[0, 40:42, 120:122] = 2  # 184 mm; the encoder sees 96 mm
    stack[1, 50, 60] = 2
    save(tmp_path / "m.nii", stack)
    settings = LabelFileOptions(labels=(2,))
    (summary,) = run(label_files(tmp_path), corrector, settings, tmp_path / "out")
    assert (summary.valid_before, summary.valid_after) == (0, 2)
