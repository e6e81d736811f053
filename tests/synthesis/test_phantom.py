import numpy as np
import pydicom
import pytest
from objects import EIGHT, FOUR, label_objects
from pydicom.uid import MRImageStorage
from scipy import ndimage

from acsnet_jax.io.dicom import read_dicom
from acsnet_jax.synthesis.phantom import make_cohort, make_scan, write_dicom
from acsnet_jax.types import InputError, Label


@pytest.fixture(scope="module")
def lge():
    return make_cohort(14, 2, size=112, spacing_mm=(1.6, 1.6))


@pytest.fixture(scope="module")
def cine():
    return make_cohort(4, 2, modality="cine", size=112)


def count_holes(mask):
    return label_objects(np.pad(~mask, 1, constant_values=True), FOUR)[1] - 1


def gap_deg(mask, spacing_mm):
    """The design's definition, in plain numpy."""
    rows, columns = np.nonzero(mask)
    down = (rows - rows.mean()) * spacing_mm[0]
    right = (columns - columns.mean()) * spacing_mm[1]
    bins = (np.rad2deg(np.arctan2(down, right)) % 360 // 5).astype(int) % 72
    empty = np.bincount(bins, minlength=72) == 0
    runs, length = [0], 0
    for value in np.r_[empty, empty]:
        length = length + 1 if value else 0
        runs.append(length)
    return 5 * min(max(runs), 72)


def outlined_masks(scans):
    for scan in scans:
        for k in np.flatnonzero(scan.labelled):
            yield scan, k, scan.labels[k] >= Label.MYOCARDIUM


def test_cohort_is_reproducible_and_named_by_seed():
    first, again = make_cohort(2, 7, size=80), make_cohort(2, 7, size=80)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert [scan.id for scan in first] == ["phantom-lge-0007-000", "phantom-lge-0007-001"]


def test_two_seeds_share_no_patient():
    """Not even crosswise: patient 1 of seed 0 is not patient 0 of seed 1."""
    scans = [
        make_scan(seed, patient, modality=modality, size=80, spacing_mm=(2.0, 2.0))
        for seed in (0, 1)
        for patient in (0, 1)
        for modality in ("lge", "cine")
    ]
    assert len({scan.id for scan in scans}) == len(scans)
    assert len({scan.image.mean() for scan in scans}) == len(scans)
    drawn = [scan.labels for scan in scans if scan.labels is not None]
    assert len({labels.tobytes() for labels in drawn}) == len(scans)
    assert len({scan.affine.tobytes() for scan in scans}) == len(scans)


def test_closed_masks_are_rings_and_open_ones_are_c_shaped(lge, cine):
    opened = 0
    for scan, k, mask in outlined_masks(lge + cine):
        assert label_objects(mask, EIGHT)[1] == 1, (scan.id, k)
        if count_holes(mask) == 0:
            opened += 1
            assert (
                k == np.flatnonzero(scan.labelled)[-1]
                or count_holes(scan.labels[k + 1] >= Label.MYOCARDIUM) == 0
            ), "open slices lie at the base"
            assert 20 <= gap_deg(mask, scan.spacing_mm) <= 90
            row, column = np.rint(np.argwhere(mask).mean(axis=0)).astype(int)
            assert not mask[row, column]
        else:
            assert count_holes(mask) == 1
            cavity = ndimage.binary_fill_holes(mask) & ~mask
            np.testing.assert_array_equal(cavity, scan.labels[k] == Label.BLOOD_POOL)
    assert opened >= 5


def test_every_outline_is_one_piece_inside_the_picture(lge, cine):
    for scan, k, _ in outlined_masks(lge + cine):
        lv = scan.labels[k] > 0
        assert label_objects(lv, EIGHT)[1] == 1
        assert not lv[[0, -1]].any()
        assert not lv[:, [0, -1]].any()


def test_slices_without_outline_lie_beyond_apex_and_base(lge):
    beyond = 0
    for scan in lge:
        assert not scan.labels[~scan.labelled].any()
        outlined = np.flatnonzero(scan.labelled)
        assert np.all(np.diff(outlined) == 1)
        assert 5 <= len(outlined) <= 14
        beyond += len(scan.labelled) - len(outlined)
        areas = (scan.labels > 0).sum(axis=(1, 2))
        assert areas[outlined[0]] < areas[outlined[len(outlined) // 2]]
    assert beyond >= len(lge) // 2


def test_the_size_of_the_left_ventricle_is_that_of_adults(lge):
    for scan in lge:
        distance_mm = float(np.diff(scan.positions_mm)[0])
        voxel_ml = scan.spacing_mm[0] * scan.spacing_mm[1] * distance_mm / 1000
        assert 40 < voxel_ml * (scan.labels == Label.BLOOD_POOL).sum() < 250
        assert 50 < voxel_ml * (scan.labels >= Label.MYOCARDIUM).sum() < 260


def test_labels_and_territories(lge, cine):
    scarred = [scan for scan in lge if scan.provenance.phantom.scar_territories]
    assert 0 < len(scarred) < len(lge)
    for scan in lge:
        assert scan.has_enhancement
        enhanced = bool((scan.labels >= Label.ENHANCEMENT).any())
        assert enhanced == bool(scan.provenance.phantom.scar_territories)
    assert any((scan.labels == Label.NO_REFLOW).any() for scan in scarred)
    for scan in cine:
        assert not scan.has_enhancement
        assert set(np.unique(scan.labels)) == {0, 1, 2}
        assert not scan.provenance.phantom.scar_territories


def test_lge_contrast(lge):
    """Nulled wall below blood; scar near blood; no-reflow dark again."""
    for scan in lge:
        wall, blood, scar, dark_core = (
            np.median(scan.image[scan.labels == label])
            if (scan.labels == label).sum() > 40
            else None
            for label in (
                Label.MYOCARDIUM,
                Label.BLOOD_POOL,
                Label.ENHANCEMENT,
                Label.NO_REFLOW,
            )
        )
        assert wall is not None and blood is not None
        assert wall < 0.7 * blood
        if scar is not None:
            assert 1.2 * wall < scar < 1.6 * blood
        if dark_core is not None:
            assert dark_core < scar


def test_cine_contrast(cine):
    for scan in cine:
        wall = np.median(scan.image[scan.labels == Label.MYOCARDIUM])
        assert wall < 0.5 * np.median(scan.image[scan.labels == Label.BLOOD_POOL])


def test_intensities_are_magnitudes(lge, cine):
    for scan in lge + cine:
        assert scan.image.dtype == np.float32
        assert np.isfinite(scan.image).all()
        assert scan.image.min() >= 0


def test_right_ventricle_inserts_on_the_left_of_the_picture(lge):
    """Angles run from right over down: the anterior insertion lies above, the inferior below."""
    for scan in lge:
        anterior, inferior = scan.provenance.phantom.rv_insertions_deg
        assert 200 < anterior < 330
        assert 70 < inferior < 190
        assert 70 < (anterior - inferior) % 360 < 190


def test_pose_is_the_radiological_short_axis(lge):
    for scan in lge:
        steps = scan.affine[:3, :3]
        lengths = np.linalg.norm(steps, axis=0)
        np.testing.assert_allclose(lengths[:2], (scan.spacing_mm[1], scan.spacing_mm[0]))
        np.testing.assert_allclose(lengths[2], np.diff(scan.positions_mm))
        right, down, normal = (steps / lengths).T
        np.testing.assert_allclose(np.cross(right, down), normal, atol=1e-12)
        # RAS+: right of the picture is left and back, down is feet, the base is right, back and up.
        assert right[0] < 0 and right[1] < 0
        assert down[2] < -0.6
        assert normal[0] > 0 and normal[1] < 0 and normal[2] > 0
        assert scan.oriented
        origins = scan.affine[:3, 3] + np.arange(len(scan.image))[:, None] * steps[:, 2]
        np.testing.assert_allclose(origins @ normal, scan.positions_mm)


def test_geometry_can_be_asked_for():
    scan = make_scan(0, 0, size=(90, 100), spacing_mm=(2.0, 1.5), slice_distance_mm=12.0)
    assert scan.image.shape[1:] == (90, 100)
    assert scan.spacing_mm == (2.0, 1.5)
    np.testing.assert_allclose(np.diff(scan.positions_mm), 12)
    assert scan.labels is not None
    assert scan.labels.shape == scan.image.shape


def test_geometry_varies_by_default():
    scans = make_cohort(8, 1, size=96)
    spacings = {scan.spacing_mm for scan in scans}
    assert len(spacings) == 8
    assert all(1.3 <= row <= 1.9 and row == column for row, column in spacings)
    assert len({len(scan.image) for scan in scans}) > 1
    assert {float(np.round(np.diff(scan.positions_mm)[0])) for scan in scans} <= {8.0, 9.0, 10.0}


def test_a_picture_too_small_for_the_heart_is_refused():
    with pytest.raises(InputError, match="too small for a heart"):
        make_scan(0, 0, size=32, spacing_mm=(1.5, 1.5))


def test_dicom_files_hold_the_scan(tmp_path, lge):
    scan = lge[0]
    files = write_dicom(scan, tmp_path / "study")
    assert [file.parent for file in files] == [tmp_path / "study"] * len(scan.image)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "study"]
    step = np.ptp(scan.image) / 65535
    for k, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        assert dataset.SOPClassUID == MRImageStorage
        assert str(dataset.PatientName) == "PHANTOM"
        stored = dataset.pixel_array.astype(np.float64)
        assert dataset.pixel_array.dtype == np.uint16
        image = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        np.testing.assert_allclose(image, scan.image[k], atol=0.6 * step)
        np.testing.assert_allclose([float(v) for v in dataset.PixelSpacing], scan.spacing_mm)
        position = scan.affine @ [0, 0, k, 1]
        np.testing.assert_allclose(
            [float(v) for v in dataset.ImagePositionPatient],
            position[:3] * [-1, -1, 1],
            atol=1e-6,
        )
        np.testing.assert_allclose(
            float(dataset.SpacingBetweenSlices), np.diff(scan.positions_mm)[0]
        )


def test_dicom_refuses_a_full_folder_and_unknown_orientation(tmp_path, lge):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_dicom(lge[0], tmp_path)
    with pytest.raises(InputError, match="no patient orientation"):
        write_dicom(lge[0].replace(oriented=False), tmp_path / "new")


@pytest.mark.parametrize("modality", ["lge", "cine"])
def test_dicom_comes_back_through_the_reader(tmp_path, modality):
    scan = make_scan(4, 1, modality=modality, size=80, spacing_mm=(2.1, 1.9))
    write_dicom(scan, tmp_path / "study")
    read = read_dicom(tmp_path / "study")
    np.testing.assert_allclose(read.image, scan.image, atol=np.ptp(scan.image) / 65535)
    np.testing.assert_allclose(read.affine, scan.affine, atol=1e-3)
    np.testing.assert_allclose(read.positions_mm, scan.positions_mm, atol=1e-3)
    np.testing.assert_allclose(read.spacing_mm, scan.spacing_mm)
    assert read.oriented
    assert read.modality == modality
