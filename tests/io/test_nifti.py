import gzip
import itertools
import struct
import time
import tracemalloc

import nibabel
import numpy as np
import pytest
from nifti_files import load_nifti

from acsnet_jax.io import (
    iter_cohort,
    read_cohort,
    read_nifti,
    read_scans,
    write_mask,
    write_segmentation,
)
from acsnet_jax.io.nifti import open_nifti
from acsnet_jax.types import InputError, Label

# RAS: step from base to apex, and two axes in the plane; 1.25 x 1.5 x 8 mm.
APEX = np.array([-1.0, 1.0, -1.0]) / np.sqrt(3.0)
ROW = np.array([1.0, 1.0, 0.0]) / np.sqrt(2.0)


def oblique(step):
    affine = np.eye(4)
    affine[:3, 0] = ROW * 1.25
    affine[:3, 1] = np.cross(APEX, ROW) * 1.5
    affine[:3, 2] = APEX * step
    affine[:3, 3] = [10, -20, 30]
    return affine


def save(path, array, affine, *, code=1, zooms=None):
    """``array`` is (column, row, slice)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    if zooms is not None:
        image.header["pixdim"][1 : 1 + len(zooms)] = zooms
    nibabel.save(image, path)
    return path


def stack(slices=5):
    """Slice k is filled with k, but for one corner."""
    array = np.zeros((10, 12, slices), np.int16) + np.arange(slices, dtype=np.int16)
    array[1, 2] += 100
    return array


def cone(slices=5):
    """Labels whose area grows with the slice index."""
    labels = np.zeros((10, 12, slices), np.uint8)
    for k in range(slices):
        labels[2 : 4 + k, 2 : 4 + k, k] = 2
        labels[3, 3, k] = 1
    return labels


@pytest.mark.parametrize("step", [8.0, -8.0])
def test_orientation_decides_which_end_is_the_apex(tmp_path, step):
    scan = read_nifti(save(tmp_path / "a.nii.gz", stack(), oblique(step)))
    first = 4 if step > 0 else 0
    assert scan.image.shape == (5, 12, 10) and scan.image[0, 0, 0] == first
    assert scan.image[0, 2, 1] == first + 100
    assert scan.spacing_mm == (1.5, 1.25) and scan.oriented and scan.id == "a"
    np.testing.assert_allclose(np.diff(scan.positions_mm), 8)
    for k in range(5):
        np.testing.assert_allclose(
            scan.affine @ [1, 2, k, 1], oblique(step) @ [1, 2, scan.file_order[k], 1], atol=1e-5
        )


@pytest.mark.parametrize("flip", [False, True])
def test_areas_decide_without_orientation(tmp_path, flip):
    image, label = stack(), cone()
    if flip:
        image, label = image[..., ::-1], label[..., ::-1]
    affine = np.diag([-1.25, -1.5, 8.0, 1.0])
    scan = read_nifti(
        save(tmp_path / "i.nii", image, affine), save(tmp_path / "l.nii", label, affine)
    )
    assert not scan.oriented and scan.positions_mm[0] == 0
    assert scan.labels is not None and scan.labelled.all()
    np.testing.assert_array_equal(scan.image[:, 0, 0], np.arange(5))
    assert (np.diff((scan.labels > 0).sum((1, 2))) > 0).all()
    assert (scan.file_order == (np.arange(5)[::-1] if flip else np.arange(5))).all()


def test_unknown_order_is_a_problem_and_can_be_told(tmp_path):
    path = save(tmp_path / "i.nii", stack(), np.diag([1.25, 1.5, 8.0, 1.0]))
    assert any("slice order" in p for p in read_nifti(path).problems)
    scan = read_nifti(path, slice_order="base_first")
    assert scan.image[0, 0, 0] == 4 and not scan.problems


@pytest.mark.parametrize("step", [8.0, -8.0])
def test_mask_lies_on_the_users_grid(tmp_path, step):
    path = save(tmp_path / "i.nii.gz", stack(), oblique(step))
    scan = read_nifti(path)
    # A mask that repeats the image must repeat the file, voxel by voxel.
    out = write_mask(tmp_path / "out" / "m.nii.gz", scan.image.astype(np.uint8), scan)
    written, brought = load_nifti(out), load_nifti(path)
    np.testing.assert_array_equal(written.get_fdata(), brought.get_fdata())
    np.testing.assert_array_equal(written.affine, brought.affine)
    assert written.get_data_dtype() == np.uint8
    for field in ("pixdim", "sform_code", "qform_code", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(written.header[field], brought.header[field])
    assert [p.name for p in out.parent.iterdir()] == ["m.nii.gz"]


def test_mask_overlays_a_file_whose_affine_is_a_placeholder(tmp_path):
    path = save(tmp_path / "i.nii", stack(), np.diag([-1.0, -1, 1, 1]), zooms=(1.25, 1.5, 8))
    scan = read_nifti(path, slice_order="base_first")
    assert scan.spacing_mm == (1.5, 1.25)
    np.testing.assert_allclose(np.diff(scan.positions_mm), 8)
    np.testing.assert_allclose(np.linalg.norm(scan.affine[:3, :3], axis=0), [1.25, 1.5, 8])
    written = load_nifti(write_mask(tmp_path / "m.nii", scan.image.astype(np.uint8), scan))
    brought = load_nifti(path)
    np.testing.assert_array_equal(written.affine, brought.affine)
    np.testing.assert_array_equal(written.get_fdata(), brought.get_fdata())
    assert written.header.get_zooms() == brought.header.get_zooms()


def test_mask_refuses_what_does_not_fit(tmp_path):
    scan = read_nifti(save(tmp_path / "i.nii", stack(), oblique(8.0)))
    with pytest.raises(InputError, match="scan i is"):
        write_mask(tmp_path / "m.nii", scan.image[:3], scan)
    with pytest.raises(InputError, match="whole numbers"):
        write_mask(tmp_path / "m.nii", scan.image + 0.5, scan)
    with pytest.raises(InputError, match=r"\.nii\.gz"):
        write_mask(tmp_path / "m.png", scan.image, scan)
    with pytest.raises(InputError, match="no tissue"):
        write_segmentation(tmp_path / "m.nii", np.full(scan.image.shape, 9, np.uint8), scan)
    assert [p.name for p in tmp_path.iterdir()] == ["i.nii"]


def test_first_frame_of_four_dimensions(tmp_path):
    array = np.stack([stack(), stack() + 50], axis=-1)
    scan = read_nifti(save(tmp_path / "i.nii", array, oblique(8.0)))
    assert scan.image.shape == (5, 12, 10) and scan.image.max() < 120


def test_scaled_values(tmp_path):
    image = nibabel.Nifti1Image(stack(), oblique(8.0))
    image.header.set_slope_inter(2.0, -3.0)
    nibabel.save(image, tmp_path / "i.nii")
    expected = load_nifti(tmp_path / "i.nii").get_fdata()
    assert np.isclose(read_nifti(tmp_path / "i.nii").image.max(), expected.max())


def test_microns_are_converted(tmp_path):
    affine = oblique(8.0)
    affine[:3] *= 1000
    image = nibabel.Nifti1Image(stack(), affine)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "i.nii")
    scan = read_nifti(tmp_path / "i.nii")
    np.testing.assert_allclose(scan.spacing_mm, (1.5, 1.25), rtol=1e-6)
    np.testing.assert_allclose(np.diff(scan.positions_mm), 8, rtol=1e-6)


def test_label_map_and_enhancement(tmp_path):
    image = save(tmp_path / "i.nii", stack(), oblique(8.0))
    labels = cone() * 100
    labels[4, 4, 4] = 50
    label = save(tmp_path / "l.nii", labels, oblique(8.0))
    with pytest.raises(InputError, match=r"label value 50 in slice 5 of 5.*label_map"):
        read_nifti(image, label)
    scan = read_nifti(image, label, label_map={100: 1, 200: 2, 50: 3})
    assert scan.labels is not None and scan.labels.max() == 3 and scan.has_enhancement
    plain = read_nifti(image, save(tmp_path / "p.nii", cone(), oblique(8.0)))
    assert not plain.has_enhancement


def test_labelled_slice_by_slice(tmp_path):
    labels = cone()
    labels[..., 0] = 0
    labels[..., 1] = np.where(labels[..., 1] == 1, 1, 0)
    scan = read_nifti(
        save(tmp_path / "i.nii", stack(), oblique(-8.0)),
        save(tmp_path / "l.nii", labels, oblique(-8.0)),
    )
    np.testing.assert_array_equal(scan.labelled, [False, False, True, True, True])
    assert scan.endocardium_only == (1,)


def test_shape_mismatch(tmp_path):
    image = save(tmp_path / "i.nii", stack(), oblique(8.0))
    label = save(tmp_path / "l.nii", cone(4), oblique(8.0))
    with pytest.raises(InputError, match=r"l\.nii.*10 x 12 x 4.*i\.nii.*10 x 12 x 5"):
        read_nifti(image, label)


def test_grid_mismatch(tmp_path):
    image = save(tmp_path / "i.nii", stack(), oblique(8.0))
    label = save(tmp_path / "l.nii", cone(), oblique(-8.0))
    with pytest.raises(InputError, match="affine contradicts"):
        read_nifti(image, label)


def turned(degrees):
    """About the first voxel, in plane."""
    affine = oblique(8.0)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axes = affine[:3, :2] / (1.25, 1.5)
    affine[:3, :2] = axes @ turn * (1.25, 1.5)
    return affine


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (oblique(8.0), turned(20), "affine contradicts"),
        (oblique(8.0), oblique(8.5), "voxels are 1.25 x 1.5 x 8.5 mm, .* 1.25 x 1.5 x 8 "),
        (np.diag([-1.25, -1.5, 8, 1]), np.diag([1.25, 1.5, 8, 1]), "affine contradicts"),
        (np.diag([-1.25, -1.5, 8, 1]), np.diag([-1.0, -1.0, 4, 1]), "voxels are 1 x 1 x 4 mm"),
        (oblique(8.0), np.diag([1.25, 1.5, 4, 1]), "voxels are"),
    ],
)
def test_labels_that_lie_elsewhere(tmp_path, image, label, message):
    image = save(tmp_path / "i.nii", stack(), image)
    with pytest.raises(InputError, match=rf"l\.nii: .*{message}"):
        read_nifti(image, save(tmp_path / "l.nii", cone(), label))


@pytest.mark.parametrize(
    ("label", "code"),
    [
        (turned(0.5), 1),
        (np.diag([1.25, 1.5, 8, 1]), 1),
        (np.diag([-1.25, 1.5, 8, 1]), 0),
        (np.eye(4), 0),
    ],
)
def test_labels_whose_header_says_less_or_nearly_the_same(tmp_path, label, code):
    image = save(tmp_path / "i.nii", stack(), oblique(8.0))
    scan = read_nifti(image, save(tmp_path / "l.nii", cone(), label, code=code))
    assert scan.labelled.all()


def test_labels_that_went_through_a_scaling(tmp_path):
    """nibabel scales what has an integer header and float values."""
    labels = cone().astype(np.float32)
    labels[5, 5, 4] = Label.ENHANCEMENT
    image = nibabel.Nifti1Image(labels, oblique(8.0))
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "l.nii")
    raw, _ = open_nifti(tmp_path / "l.nii")
    assert not np.isin(raw, [0, 1, 2, 3]).all()
    scan = read_nifti(save(tmp_path / "i.nii", stack(), oblique(8.0)), tmp_path / "l.nii")
    np.testing.assert_array_equal(scan.labels, labels.transpose(2, 1, 0)[scan.file_order])


@pytest.mark.parametrize("value", [2.5, np.nan, -1.0, 7.0])
def test_unknown_label(tmp_path, value):
    labels = cone().astype(np.float32)
    labels[5, 5, 3] = value
    image = save(tmp_path / "i.nii", stack(), oblique(8.0))
    with pytest.raises(InputError, match=r"unknown label value .* slice 4"):
        read_nifti(image, save(tmp_path / "l.nii", labels, oblique(8.0)))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_spacing_not_positive(tmp_path, value, axis):
    zooms = [1.25, 1.5, 8.0]
    zooms[axis] = value
    path = save(tmp_path / "i.nii", stack(), oblique(8.0), zooms=zooms)
    with pytest.raises(InputError, match="spacing"):
        read_nifti(path)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_spacing_of_no_scanner(tmp_path, factor):
    """Metres or micrometres that count as mm: without a unit, nothing else tells."""
    path = tmp_path / "i.nii"
    image = nibabel.Nifti1Image(stack(), np.diag([*(factor * np.array([1.25, 1.5, 8.0])), 1.0]))
    nibabel.save(image, path)
    with pytest.raises(InputError, match=r"i\.nii: pixel spacing is .* metres or micrometres\?"):
        read_nifti(path)
    image.header.set_xyzt_units("meter" if factor < 1 else "micron")
    nibabel.save(image, path)
    assert read_nifti(path).spacing_mm == pytest.approx((1.5, 1.25))


@pytest.mark.parametrize(("made", "named"), [("i.nii", "i.nii.gz"), ("i.nii.gz", "i.nii")])
def test_a_name_that_lies_about_compression(tmp_path, made, named):
    save(tmp_path / made, stack(), oblique(8.0)).rename(tmp_path / named)
    with pytest.raises(InputError, match=f"{named}: the file is .*compressed: name it {made[1:]}$"):
        read_nifti(tmp_path / named)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_intensities_not_finite(tmp_path, value):
    array = stack().astype(np.float64)
    array[0, 0, 2] = value
    with pytest.raises(InputError, match="slice 3 of 5"):
        read_nifti(save(tmp_path / "i.nii", array, oblique(8.0)))


AXES = [
    [*zip(order, signs, strict=True)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
"""All 48 orders of the axes of a file: which one, and whether it is mirrored."""


@pytest.mark.parametrize(
    "axes", AXES, ids=lambda axes: "".join("-+"[s > 0] + "crs"[a] for a, s in axes)
)
def test_every_order_of_the_axes_is_read_and_written_back_or_refused(tmp_path, axes):
    array = np.random.default_rng(0).permutation(600).reshape(10, 12, 5).astype(np.int16)
    turned = nibabel.orientations.apply_orientation(array, axes)
    affine = oblique(8.0) @ nibabel.orientations.inv_ornt_aff(axes, array.shape)
    path = save(tmp_path / "i.nii", turned, affine)
    if axes[2][0] != 2:
        with pytest.raises(InputError, match=r"i\.nii: slices seem to lie along axis .*come last"):
            read_nifti(path)
        return
    scan = read_nifti(path)
    assert scan.spacing_mm == ((1.5, 1.25) if axes[0][0] == 0 else (1.25, 1.5))
    slices, rows, columns = (x.ravel() for x in np.indices(scan.image.shape))
    patient = scan.affine @ np.stack([columns, rows, slices, np.ones_like(rows)])
    voxel = np.rint(np.linalg.inv(oblique(8.0)) @ patient).astype(int)[:3]
    np.testing.assert_array_equal(scan.image.ravel(), array[*voxel])
    assert (np.diff(scan.affine[:3, 2] @ APEX * np.arange(5)) < 0).all()  # the apex comes first

    write_mask(tmp_path / "mask.nii", scan.image > 300, scan)
    mask = load_nifti(tmp_path / "mask.nii")
    np.testing.assert_array_equal(np.asarray(mask.dataobj) > 0, turned > 300)
    assert mask.affine is not None
    np.testing.assert_allclose(mask.affine, affine, atol=1e-4)


@pytest.mark.parametrize("name", ["i.nii", "i.nii.gz"])
def test_truncated(tmp_path, name):
    path = save(tmp_path / name, stack(), oblique(8.0))
    content = path.read_bytes()
    for keep in range(0, len(content) - 9, 7):
        path.write_bytes(content[:keep])
        with pytest.raises(InputError, match=r"i\.nii"):
            read_nifti(path)


def test_missing_or_not_nifti(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_nifti(tmp_path / "none.nii.gz")
    (tmp_path / "a.nii.gz").write_text("hello")
    with pytest.raises(InputError, match="cannot read"):
        read_nifti(tmp_path / "a.nii.gz")


def test_slices_along_another_axis(tmp_path):
    affine = np.diag([8.0, 1.5, 1.25, 1.0])
    with pytest.raises(InputError, match=r"axis 1 .*slices come last"):
        read_nifti(save(tmp_path / "i.nii", stack().transpose(2, 1, 0), affine))


@pytest.mark.parametrize("layout", ["folders", "suffixes", "plain"])
def test_cohort_layouts(tmp_path, layout):
    image = {"folders": "images/{}.nii.gz", "suffixes": "{}_image.nii.gz", "plain": "{}.nii.gz"}
    label = {"folders": "labels/{}.nii.gz", "suffixes": "{}_label.nii.gz", "plain": None}
    for name in ("p1", "p2"):
        save(tmp_path / image[layout].format(name), stack(), oblique(8.0))
        if label[layout]:
            save(tmp_path / label[layout].format(name), cone(), oblique(8.0))
    scans = read_cohort(tmp_path, "nifti")
    assert [scan.id for scan in scans] == ["p1", "p2"]
    assert all((scan.labels is not None) == (layout != "plain") for scan in scans)
    found = read_scans(tmp_path)
    assert [scan.id for scan in found] == ["p1", "p2"]
    assert all(scan.labels is None for scan in found)
    cine = read_cohort(tmp_path, "nifti", modality="cine", slice_order="base_first")
    assert {scan.modality for scan in cine} == {"cine"}


def test_patients_without_scar_have_their_enhancement_told_by_the_others(tmp_path):
    """A file of the values 0 to 2 alone is of a patient without scar, if any has scar."""
    scarred = cone()
    scarred[scarred == Label.MYOCARDIUM] = Label.ENHANCEMENT
    for name, label in (("healthy", cone()), ("scarred", scarred), ("unlabelled", None)):
        save(tmp_path / "images" / f"{name}.nii.gz", stack(), oblique(8.0))
        if label is not None:
            save(tmp_path / "labels" / f"{name}.nii.gz", label, oblique(8.0))
    told = {scan.id: scan.has_enhancement for scan in read_cohort(tmp_path, "nifti")}
    assert told == {"healthy": True, "scarred": True, "unlabelled": False}
    (tmp_path / "labels" / "scarred.nii.gz").write_text("damaged")
    loaders = dict(iter_cohort(tmp_path, "nifti"))
    assert not loaders["healthy"]().has_enhancement
    with pytest.raises(InputError, match=r"scarred\.nii\.gz: cannot read"):
        loaders["scarred"]()


def test_unknown_options(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_cohort(tmp_path / "none", "nifti")
    with pytest.raises(InputError, match="no NIfTI"):
        read_cohort(tmp_path, "nifti")
    with pytest.raises(InputError, match="no such"):
        read_scans(tmp_path / "none")
    with pytest.raises(InputError, match="no DICOM or NIfTI"):
        read_scans(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("p_image", "p_label", "p_seg"), r"p_seg\.nii: p_label\.nii is of the same name p"),
        (("p", "p_image"), r"p_image\.nii: p\.nii is of the same name p"),
        (("images/a", "images/a.gz"), r"a\.nii\.gz: a\.nii is of the same name a"),
    ],
)
def test_two_files_of_one_name(tmp_path, names, message):
    for name in names:
        stem, compressed = name.removesuffix(".gz"), name.endswith(".gz")
        array = cone() if stem.endswith(("_label", "_seg")) else stack()
        path = tmp_path / (f"{stem}.nii.gz" if compressed else f"{stem}.nii")
        save(path, array, oblique(8.0))
    with pytest.raises(InputError, match=message):
        read_cohort(tmp_path, "nifti")


def test_label_without_image(tmp_path):
    save(tmp_path / "images" / "p1.nii.gz", stack(), oblique(8.0))
    save(tmp_path / "labels" / "p2.nii.gz", cone(), oblique(8.0))
    with pytest.raises(InputError, match=r"p2\.nii\.gz: a label without an image"):
        read_cohort(tmp_path, "nifti")
    assert len(read_scans(tmp_path)) == 1


@pytest.mark.parametrize("name", ["i.nii", "i.nii.gz"])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((10, 12, 32767), "claims"),
        ((512, 512, 32767), "32767.*more than"),
        ((32767, 32767, 5), "more than"),
        ((10, 12, -5), r"i\.nii"),
        ((0, 12, 5), r"i\.nii"),
    ],
)
def test_a_header_that_claims_too_much_is_refused_at_once(tmp_path, name, shape, message):
    path = save(tmp_path / "i.nii", stack(), oblique(8.0))
    content = bytearray(path.read_bytes())
    struct.pack_into("<3h", content, 42, *shape)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(InputError, match=message) as caught:
        read_nifti(path)
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 1 and peak < 20e6 and "\n" not in str(caught.value)


@pytest.mark.parametrize("scaled", [True, False])
def test_what_scaling_would_take_is_counted_before_it_is_taken(tmp_path, scaled):
    slices = np.zeros((48, 1024, 1024), np.uint8)
    path = save(tmp_path / "i.nii.gz", slices, oblique(8.0))
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2f", content, 112, 2.0 if scaled else 1.0, 0.0)
    path.write_bytes(gzip.compress(content, 1))
    if scaled:
        with pytest.raises(InputError, match=r"i\.nii\.gz: reading its voxels takes 816 MiB"):
            open_nifti(path)
    else:
        assert open_nifti(path)[0].nbytes == slices.size


def test_what_is_inflated_is_counted_twice(tmp_path):
    path = save(tmp_path / "i.nii.gz", np.zeros((1, 1, 1)), oblique(8.0))
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<3h", content, 42, 4000, 4000, 4)
    path.write_bytes(gzip.compress(content[:352]) + bytes(500_000))
    with pytest.raises(InputError, match=r"i\.nii\.gz: reading its voxels takes 976 MiB"):
        open_nifti(path)


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
def test_values_that_are_no_grey_values(tmp_path, kind):
    path = save(tmp_path / "i.nii", stack().astype(kind), oblique(8.0))
    with pytest.raises(InputError, match=r"i\.nii: colour, complex or 128-bit values"):
        read_nifti(path)


def test_a_compressed_file_that_ends_early_is_truncated(tmp_path):
    path = save(tmp_path / "i.nii", stack(), oblique(8.0))
    content = bytearray(path.read_bytes())
    struct.pack_into("<h", content, 46, 300)  # of 5 slices; the file might hold as many
    (tmp_path / "j.nii.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match="truncated"):
        read_nifti(tmp_path / "j.nii.gz")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_affine_not_finite(tmp_path, value):
    path = save(tmp_path / "i.nii", stack(), oblique(8.0))
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 292, value)  # srow_x[3]
    path.write_bytes(content)
    with pytest.raises(InputError, match="affine holds NaN or infinity"):
        read_nifti(path)


@pytest.mark.parametrize("name", ["i.nii", "i.nii.gz"])
@pytest.mark.parametrize("size", [7, -16, 2**30])
def test_extensions_of_any_size_are_passed_over(tmp_path, name, size):
    content = save(tmp_path / "a.nii", stack(), oblique(8.0)).read_bytes()
    changed = bytearray(content[:348] + b"\x01\0\0\0" + struct.pack("<ii", size, 2) + b"\xff" * 8)
    struct.pack_into("<f", changed, 108, 368.0)
    changed += content[352:]
    (tmp_path / name).write_bytes(gzip.compress(changed) if name.endswith("gz") else changed)
    expected = read_nifti(tmp_path / "a.nii").image
    np.testing.assert_array_equal(read_nifti(tmp_path / name).image, expected)


@pytest.mark.parametrize("offset", [-352.0, 1e9, np.nan])
def test_voxels_that_begin_nowhere(tmp_path, offset):
    path = save(tmp_path / "i.nii", stack(), oblique(8.0))
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 108, offset)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"i\.nii: .*(voxels begin|cannot read)"):
        read_nifti(path)


def test_of_many_frames_one_is_read(tmp_path):
    array = np.zeros((10, 12, 5, 300), np.int16)
    array[..., 0], array[..., 7] = stack(), 99
    path = save(tmp_path / "i.nii.gz", array, oblique(8.0))
    tracemalloc.start()
    image = read_nifti(path).image
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert image.max() == stack().max() and peak < 300_000


def test_a_second_edition_header_is_read(tmp_path):
    nibabel.save(nibabel.Nifti2Image(stack(), oblique(8.0)), tmp_path / "b.nii.gz")
    expected = read_nifti(save(tmp_path / "a.nii", stack(), oblique(8.0)))
    found = read_nifti(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-5)
