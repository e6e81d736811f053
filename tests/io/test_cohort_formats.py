"""EMIDEC and ACDC layouts, the cohort table, and all real scans at hand."""

import logging

import nibabel
import numpy as np
import pytest
from nifti_files import load_nifti

from acsnet_jax.io import (
    discover,
    iter_cohort,
    read_acdc,
    read_cohort,
    read_emidec,
    read_scan,
    read_scans,
    write_mask,
)
from acsnet_jax.io.prepare import describe, format_table, prepare
from acsnet_jax.types import InputError


def save(path, array, *, zooms, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, np.diag([-1.0, -1, 1, 1]) if affine is None else affine)
    image.header["pixdim"][1:4] = zooms
    nibabel.save(image, path)


def cone(slices, values=(1, 2), *, base_first=False):
    """(column, row, slice) labels: a cavity within a wall that grows from apex to base."""
    labels = np.zeros((14, 16, slices), np.uint8)
    for k in range(slices):
        z = slices - 1 - k if base_first else k
        labels[2 : 6 + k, 2 : 6 + k, z] = values[1]
        labels[3 : 5 + k, 3 : 5 + k, z] = values[0]
    return labels


def write_emidec(root, name="Case_P001", slices=5, enhancement=True):
    labels = cone(slices)
    if enhancement:
        labels[2, 3, 1:3] = 3
    image = (100 + np.arange(slices) + np.zeros((14, 16, 1))).astype(np.int16)
    save(root / name / "Images" / f"{name}.nii.gz", image, zooms=(1.4, 1.5, 10))
    save(root / name / "Contours" / f"{name}.nii.gz", labels, zooms=(1.4, 1.5, 10))


def write_acdc(root, name="patient001", slices=5, frames=(1, 12), labelled=(1, 12)):
    for frame in frames:
        image = (frame * 100 + np.arange(slices) + np.zeros((14, 16, 1))).astype(np.int16)
        path = root / name / f"{name}_frame{frame:02d}.nii.gz"
        save(path, image, zooms=(1.4, 1.5, 10), affine=np.diag([1.4, 1.5, 10, 1]))
        if frame in labelled:
            labels = cone(slices, (3, 2), base_first=True)
            labels[12, 12] = 1
            labels[..., 0] = 0
            save(path.with_name(path.name.replace(".nii", "_gt.nii")), labels, zooms=(1.4, 1.5, 10))


def test_emidec(tmp_path):
    write_emidec(tmp_path)
    write_emidec(tmp_path, "Case_N002", enhancement=False)
    healthy, infarct = read_cohort(tmp_path, "emidec")
    assert (healthy.id, infarct.id) == ("Case_N002", "Case_P001")
    assert healthy.has_enhancement and infarct.has_enhancement and not infarct.oriented
    assert healthy.labels is not None and healthy.labels.max() == 2
    assert infarct.labels is not None and infarct.labels[1, 3, 2] == 3
    assert infarct.spacing_mm == pytest.approx((1.5, 1.4))
    np.testing.assert_allclose(infarct.positions_mm, [0, 10, 20, 30, 40])
    np.testing.assert_array_equal(infarct.image[:, 0, 0], 100 + np.arange(5))
    assert not infarct.problems
    assert infarct.signal_zero == 2048.0 and infarct.window is None
    assert infarct.provenance.format == "emidec"
    assert (healthy.provenance.pathology, infarct.provenance.pathology) == ("normal", "infarct")


def test_emidec_without_labels_is_apex_first(tmp_path):
    write_emidec(tmp_path)
    (tmp_path / "Case_P001" / "Contours" / "Case_P001.nii.gz").unlink()
    scan = read_emidec(tmp_path / "Case_P001")
    assert scan.labels is None and scan.file_order[0] == 0 and not scan.has_enhancement


def test_acdc(tmp_path):
    write_acdc(tmp_path)
    scan = read_acdc(tmp_path / "patient001")
    assert scan.modality == "cine" and not scan.has_enhancement and not scan.oriented
    assert scan.labels is not None and set(np.unique(scan.labels)) == {0, 1, 2}
    # The owner's base first becomes apex first; his first slice here is not outlined.
    np.testing.assert_array_equal(scan.image[:, 0, 0], 100 + np.arange(5)[::-1])
    np.testing.assert_array_equal(scan.labelled, [True, True, True, True, False])
    np.testing.assert_array_equal(scan.file_order, [4, 3, 2, 1, 0])
    assert not scan.nominal_spacing
    written = load_nifti(write_mask(tmp_path / "m.nii.gz", scan.labels, scan))
    owner = load_nifti(tmp_path / "patient001" / "patient001_frame01_gt.nii.gz")
    expected = np.array([0, 0, 2, 1])[owner.get_fdata().astype(int)]
    np.testing.assert_array_equal(written.get_fdata(), expected)


def test_acdc_end_diastole(tmp_path):
    write_acdc(tmp_path / "training", frames=(1, 4, 12), labelled=(4, 12))
    folder = tmp_path / "training" / "patient001"
    assert read_acdc(folder).provenance.frame == 4
    assert read_acdc(folder).provenance.pathology == ""
    (folder / "Info.cfg").write_text("ED: 12\nES: 4\nGroup: DCM\n")
    assert read_acdc(folder).provenance.frame == 12
    assert read_acdc(folder).provenance.pathology == "dilated cardiomyopathy"
    (folder / "Info.cfg").write_text("ED: 12\nGroup: NEW\n")
    assert read_acdc(folder).provenance.pathology == ""
    assert [name for name, _ in iter_cohort(tmp_path, "acdc")] == ["patient001"]
    (folder / "Info.cfg").write_text("ED: 3\n")
    with pytest.raises(InputError, match="ED frame 3"):
        read_acdc(folder)
    (folder / "Info.cfg").write_text("nothing")
    with pytest.raises(InputError, match="ED: NUMBER"):
        read_acdc(folder)


def test_prediction_on_a_cohort_root(tmp_path):
    write_emidec(tmp_path / "e")
    write_acdc(tmp_path / "a")
    assert [name for name, _ in discover(tmp_path / "e")] == ["Case_P001"]
    assert [name for name, _ in discover(tmp_path / "e" / "Case_P001")] == ["Case_P001"]
    for path in (tmp_path / "a", tmp_path / "a" / "patient001"):
        (scan,) = read_scans(path)
        assert scan.modality == "cine" and scan.file_order[0] == 4


def test_wrong_roots(tmp_path):
    for fmt in ("emidec", "acdc", "dicom", "store"):
        with pytest.raises(InputError, match=str(tmp_path.name)):
            read_cohort(tmp_path, fmt)
    with pytest.raises(InputError, match="expected one"):
        (tmp_path / "Case_P1" / "Images").mkdir(parents=True)
        read_cohort(tmp_path, "emidec")


def test_prepare_reports_bad_scans_and_keeps_the_others(tmp_path):
    for k in range(3):
        write_emidec(tmp_path / "in", f"Case_P00{k}", enhancement=k > 0)
    bad = tmp_path / "in" / "Case_P001" / "Images" / "Case_P001.nii.gz"
    bad.write_bytes(bad.read_bytes()[:50])
    rows = prepare(tmp_path / "in", "emidec", tmp_path / "out")
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert [row.enhanced for row in rows] == [0, None, 2]
    text = format_table(rows)
    assert "patients            2 of 3" in text and "Case_P001: LEFT OUT" in text
    assert "with enhancement    2 slices in 1 of 2 patients" in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["Case_P000", "Case_P002"]
    assert format_table(prepare(tmp_path / "in", "emidec", tmp_path / "out")) == text
    stored = read_cohort(tmp_path / "out", "store")
    assert format_table(describe(stored)).count("Case_P00") == 2
    with pytest.raises(InputError, match="truncated"):
        read_cohort(tmp_path / "in", "emidec")


def test_prepare_names_what_an_earlier_run_left(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    for k in range(2):
        write_emidec(tmp_path / "in", f"Case_P00{k}")
    prepare(tmp_path / "in", "emidec", tmp_path / "out")
    assert not caplog.records
    (tmp_path / "in" / "Case_P001" / "Images" / "Case_P001.nii.gz").write_bytes(b"")
    prepare(tmp_path / "in", "emidec", tmp_path / "out")
    (record,) = caplog.records
    assert "not of this run" in record.getMessage() and "Case_P001;" in record.getMessage()
    assert (tmp_path / "out" / "Case_P001" / "scan.json").exists()


def test_prepare_with_nothing_good(tmp_path):
    write_emidec(tmp_path / "in")
    bad = tmp_path / "in" / "Case_P001" / "Images" / "Case_P001.nii.gz"
    bad.write_bytes(b"")
    with pytest.raises(InputError, match="none of 1 scans"):
        prepare(tmp_path / "in", "emidec", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _grows_from_the_first_slice(scan):
    area = (scan.labels > 0).sum(axis=(1, 2))
    index = np.flatnonzero(area)
    return np.polyfit(index, area[index], 1)[0] > 0


@pytest.mark.parametrize(
    ("fmt", "counts"),
    [("emidec", (75, 543, 543)), ("acdc", (100, 951, 935)), ("sunnybrook", (5, 48, 37))],
)
def test_real_cohorts(data_root, tmp_path, fmt, counts):
    scans, slices, labelled = counts
    cohort = read_cohort(data_root / fmt, fmt)
    assert len(cohort) == scans
    assert sum(len(scan.image) for scan in cohort) == slices
    assert sum(int(scan.labelled.sum()) for scan in cohort) == labelled
    for scan in cohort:
        assert _grows_from_the_first_slice(scan), scan.id
        assert (np.diff(scan.positions_mm) > 0).all()
        np.testing.assert_allclose(
            np.linalg.norm(scan.affine[:3, :3], axis=0),
            [scan.spacing_mm[1], scan.spacing_mm[0], np.diff(scan.positions_mm).mean()],
            rtol=1e-3,
        )
    rows = prepare(data_root / fmt, fmt, tmp_path) if fmt == "sunnybrook" else []
    for row, scan in zip(rows, cohort, strict=bool(rows)):
        np.testing.assert_array_equal(read_scan(tmp_path / row.id).image, scan.image)
