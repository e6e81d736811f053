import os

import numpy as np
import pytest
from skimage.draw import polygon2mask
from synthetic_dicom import write_slice

from acsnet_jax.io import read_cohort, read_scans, read_sunnybrook
from acsnet_jax.io.sunnybrook import rasterise
from acsnet_jax.types import InputError

ED, ES = 700.0, 290.0


def circle(radius, x=30.0, y=20.0):
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def write_contour(root, number, kind, points, patient="SC-HF-I-01"):
    folder = root / "SCD_ManualContours" / patient / "contours-manual" / "IRCCI-expert"
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(f"{x:.2f} {y:.2f}" for x, y in points)
    (folder / f"IM-0001-{number:04d}-{kind}contour-manual.txt").write_text(lines)


def write_patient(root, *, outer=True, slices=4, interval=780):
    """Slice k, base to apex: end-systole in file 2k + 1, end-diastole in file 2k + 2."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "scd_patientdata.csv").write_text("PatientID,OriginalID\nSCD01,SC-HF-I-1\nSCD9,SC-9\n")
    for k in range(slices):
        for number, trigger, radius in ((2 * k + 1, ES, 6 - k), (2 * k + 2, ED, 9 - k)):
            write_slice(
                root / "SCD_IMAGES_01" / "SCD01" / "CINESAX_300",
                f"IM-0001-{number:04d}.dcm",
                k,
                pixels=np.full((50, 60), number),
                TriggerTime=trigger,
                NominalInterval=interval,
            )
            write_contour(root, number, "i", circle(radius))
            if outer and trigger == ED:
                write_contour(root, number, "o", circle(radius + 3))
    return root


def test_end_diastole_with_labels(tmp_path):
    scan = read_sunnybrook(write_patient(tmp_path), "SC-HF-I-1")
    assert scan.id == "SC-HF-I-1" and scan.modality == "cine" and not scan.has_enhancement
    # Even file numbers are end-diastole; the apex is the last slice written.
    np.testing.assert_allclose(scan.image[:, 0, 0], [8, 6, 4, 2])
    assert scan.labelled.all() and scan.labels is not None
    for k in range(4):
        radius = 9 - (3 - k)
        np.testing.assert_allclose((scan.labels[k] == 1).sum(), np.pi * radius**2, rtol=0.05)
        np.testing.assert_allclose((scan.labels[k] > 0).sum(), np.pi * (radius + 3) ** 2, rtol=0.05)
        # Contours count from 1: the centre (30, 20) is column 29, row 19.
        rows, columns = np.nonzero(scan.labels[k])
        np.testing.assert_allclose([columns.mean(), rows.mean()], [29, 19], atol=0.1)


def test_inner_contours_only(tmp_path):
    scan = read_sunnybrook(write_patient(tmp_path, outer=False), "SC-HF-I-1")
    np.testing.assert_allclose(scan.image[:, 0, 0], [8, 6, 4, 2])
    assert not scan.labelled.any() and scan.endocardium_only == (0, 1, 2, 3)
    assert scan.labels is not None and (scan.labels == 1).any(axis=(1, 2)).all()


def test_prediction_takes_the_same_phase(tmp_path):
    root = write_patient(tmp_path)
    labelled = read_sunnybrook(root, "SC-HF-I-1")
    for path in (root, root / "SCD_IMAGES_01", root / "SCD_IMAGES_01" / "SCD01"):
        (scan,) = read_scans(path)
        np.testing.assert_array_equal(scan.image, labelled.image)
        assert scan.labels is None and scan.id.startswith("scan-")


def test_cohort(tmp_path):
    assert [s.id for s in read_cohort(write_patient(tmp_path), "sunnybrook")] == ["SC-HF-I-1"]


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"scd_patientdata\.csv"):
        read_cohort(tmp_path, "sunnybrook")
    root = write_patient(tmp_path)
    with pytest.raises(InputError, match="no patient SC-9"):
        read_sunnybrook(root, "SC-9")
    write_contour(root, 2, "i", [(1, 2), (3, 4)])
    with pytest.raises(InputError, match="three 'x y' points"):
        read_sunnybrook(root, "SC-HF-I-1")
    (root / "scd_patientdata.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="columns"):
        read_sunnybrook(root, "SC-HF-I-1")


def test_rasterise_counts_pixels_at_least_half_inside():
    # x from 1.5 to 4.6: columns 2 and 3 whole, 4 for 1.0, and 5 for 0.1; 1 not at all.
    square = np.array([[1.5, 0.5], [4.6, 0.5], [4.6, 3.4], [1.5, 3.4]])
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(rasterise(square, 6, 8), expected)


def test_rasterise_agrees_with_a_fine_grid():
    points = circle(7.3, x=12.4, y=11.7)
    fine = polygon2mask((40 * 25, 40 * 25), ((points + 0.5) * 25 - 0.5)[:, ::-1])
    coverage = fine.reshape(40, 25, 40, 25).mean(axis=(1, 3))
    clear = np.abs(coverage - 0.5) > 0.1
    np.testing.assert_array_equal(rasterise(points, 40, 40)[clear], (coverage >= 0.5)[clear])


def test_rasterise_clips_at_the_edge():
    mask = rasterise(circle(5.0, x=0.0, y=0.0), 20, 20)
    # A quarter disc, and the half pixels left of and above the first centres.
    np.testing.assert_allclose(mask.sum(), np.pi * 25 / 4 + 5 + 0.25, rtol=0.1)
    assert not rasterise(circle(2.0, x=-30.0, y=5.0), 20, 20).any()


def test_contour_files_that_are_none(tmp_path):
    root = write_patient(tmp_path)
    path = next(root.rglob("*0002-o*.txt"))
    os.truncate(path, 2**31)
    with pytest.raises(InputError, match=r"0002-o.*txt: larger than 16 MiB"):
        read_sunnybrook(root, "SC-HF-I-1")
    path.write_text("1 2\n" * 20_000)
    with pytest.raises(InputError, match=r"0002-o.*txt: more than 10000 points"):
        read_sunnybrook(root, "SC-HF-I-1")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"0002-o.*txt: no such file"):
        read_sunnybrook(root, "SC-HF-I-1")
