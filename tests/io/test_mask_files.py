import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from nifti_files import load_nifti

from acsnet_jax.io.masks import (
    check_labels_occur,
    label_files,
    mask_of,
    parse_labels,
    read_labels,
    write_labels,
)
from acsnet_jax.types import InputError

SPACING = (1.25, 1.5, 8.0)


def oblique(spacing=SPACING):
    """Axes turned out of the scanner's by a fixed rotation, of the given spacing."""
    turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turned * spacing
    affine[:3, 3] = [10, -20, 30]
    return affine


def values(shape=(10, 12, 5), dtype: npt.DTypeLike = np.int16):
    return np.random.default_rng(1).integers(0, 5, shape).astype(dtype)


def save(path, array, affine=None, *, kind=nibabel.Nifti1Image, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(array, oblique() if affine is None else affine)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_slices_are_found_and_written_back_whatever_axis_they_lie_across(tmp_path, axis, kind):
    order = np.roll([0, 1, 2], axis)  # the third axis goes to its place
    affine = oblique()[:, [*order, 3]]
    array = values().transpose(order)
    path = save(tmp_path / "in.nii.gz", array, affine, kind=kind, descrip=b"Jane Doe")
    stack = read_labels(path)
    assert stack.axis == axis and stack.oriented
    assert stack.values.shape[0] == 5
    np.testing.assert_allclose(sorted(stack.spacing_mm), (1.25, 1.5), rtol=1e-6)
    np.testing.assert_allclose(stack.distance_mm, 8.0, rtol=1e-6)
    # voxel (column, row, slice) of the stack and of the file lie at one place in the patient
    index = np.array([3, 2, 4])
    place = stack.affine @ [*index, 1]
    (there,) = np.argwhere(
        np.abs(np.linalg.norm(_centres(array.shape, affine) - place[:3], axis=-1)) < 1e-3
    )
    assert array[tuple(there)] == stack.values[tuple(index[::-1])]

    out = write_labels(tmp_path / "out" / "m.nii.gz", stack.values, stack)
    written, brought = kind.from_filename(out), kind.from_filename(path)
    np.testing.assert_array_equal(np.asarray(written.dataobj), array)
    np.testing.assert_array_equal(written.affine, brought.affine)
    assert written.get_data_dtype() == np.uint8
    assert type(nibabel.load(out)) is kind
    differ = {k for k in brought.header if not np.array_equal(written.header[k], brought.header[k])}
    assert differ <= {"datatype", "bitpix", "scl_slope", "scl_inter", "descrip"}
    assert b"Jane" not in bytes(written.header["descrip"])


def _centres(shape, affine):
    index = np.stack(np.indices(shape), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        ((1.0, 1.0, 1.0), 3),  # nothing tells: the third
        ((1.0, 1.4, 1.2), 3),  # not clearly
        ((1.4, 6.0, 1.4), 2),
        ((1.0, 1.0, 10.0), 3),
    ],
)
def test_the_axis_across_the_slices(tmp_path, spacing, axis):
    path = save(tmp_path / "m.nii", values(), oblique(spacing))
    assert read_labels(path).axis == axis
    assert read_labels(path, axis=1).axis == 1
    assert read_labels(path, axis=1).values.shape == (10, 5, 12)
    with pytest.raises(InputError, match="axis is 4"):
        read_labels(path, axis=4)


def test_a_placeholder_affine_leaves_pixdim_and_no_orientation(tmp_path):
    path = save(tmp_path / "m.nii", values(), np.diag([-1.0, -1.0, 1.0, 1.0]))
    image = load_nifti(path)
    image.header["pixdim"][1:4] = SPACING
    image.set_sform(image.affine, code=2)
    nibabel.save(image, path)
    stack = read_labels(path)
    assert stack.spacing_mm == (1.5, 1.25) and not stack.oriented
    assert stack.distance_mm == 8.0


def test_labels_in_floats_and_beyond_a_byte(tmp_path):
    array = values(dtype=np.float32)
    stack = read_labels(save(tmp_path / "m.nii", array + np.float32(1e-5)))
    assert stack.values.dtype.kind == "i"
    np.testing.assert_array_equal(stack.values, array.transpose(2, 1, 0))
    large = 205 * (stack.values > 0) + 600 * (stack.values > 3)
    out = write_labels(tmp_path / "l.nii", large, stack)
    assert load_nifti(out).get_data_dtype() == np.uint16
    np.testing.assert_array_equal(read_labels(out).values, large)
    for bad in (large - 1, large * 1000):
        with pytest.raises(InputError, match=r"m\.nii: label .* renumber"):
            write_labels(tmp_path / "bad.nii", bad, stack)
    with pytest.raises(InputError, match="bring them back"):
        write_labels(tmp_path / "bad.nii", large[:2], stack)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.nii", "m.nii"]


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e12])
def test_what_is_no_label_is_named(tmp_path, value):
    array = values(dtype=np.float64)
    array[4, 5, 3] = value
    with pytest.raises(InputError, match=r"m\.nii\.gz: value .* in slice 4 of 5 is no label"):
        read_labels(save(tmp_path / "m.nii.gz", array))


def test_an_image_is_not_taken_for_labels(tmp_path):
    image = np.random.default_rng(2).integers(0, 900, (20, 20, 3)).astype(np.int16)
    with pytest.raises(InputError, match=r"i\.nii: .* different values.*an image, not labels"):
        read_labels(save(tmp_path / "i.nii", image))


@pytest.mark.parametrize("shape", [(10, 12), (10, 12, 5, 2), (10, 12, 5, 1)])
def test_arrays_without_three_axes(tmp_path, shape):
    with pytest.raises(InputError, match=r"three axes.*one 3-D volume a file"):
        read_labels(save(tmp_path / "m.nii", values(shape)))


def test_files_that_cannot_be_read(tmp_path):
    path = save(tmp_path / "m.nii.gz", values())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"m\.nii\.gz: cannot read"):
        read_labels(path)
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "none.nii")
    complex_values = values().astype(np.complex64)
    with pytest.raises(InputError, match="one label a voxel"):
        read_labels(save(tmp_path / "c.nii", complex_values))


def test_files_of_a_folder(tmp_path):
    inner = save(tmp_path / "s1" / "heart.nii.gz", values())
    other = save(tmp_path / "s2" / "heart.nii", values())
    top = save(tmp_path / "a.b.nii.gz", values())
    save(tmp_path / ".cache" / "x.nii", values())
    save(tmp_path / ".y.nii", values())
    (tmp_path / "dataset.json").write_text("{}")
    assert label_files(tmp_path) == {"a.b": top, "s1/heart": inner, "s2/heart": other}
    assert label_files(tmp_path, pattern="*/*.nii") == {"s2/heart": other}
    assert label_files(top) == {"a.b": top}
    with pytest.raises(InputError, match="no NIfTI file matches"):
        label_files(tmp_path, pattern="*.mha")
    with pytest.raises(InputError, match="relative"):
        label_files(tmp_path, pattern="/x/*")
    with pytest.raises(InputError, match="no such folder"):
        label_files(tmp_path / "dataset.json")
    save(tmp_path / "s1" / "heart.nii", values())
    with pytest.raises(InputError, match="same name"):
        label_files(tmp_path)


@pytest.mark.parametrize(
    ("text", "labels"),
    [("2,3", (2, 3)), ("", ()), ((2, 3), (2, 3)), ("(3, 2)", (3, 2)), ("4", (4,)), ("2 2", (2,))],
)
def test_labels_are_parsed(text, labels):
    assert parse_labels(text) == labels


@pytest.mark.parametrize("text", ["a", "2.5", "0,1", "-1"])
def test_labels_that_are_none(text):
    with pytest.raises(InputError, match="labels"):
        parse_labels(text)


def test_masks_of_labels():
    array = np.array([[[0, 1, 2, 3]]])
    np.testing.assert_array_equal(mask_of(array, (1, 3)), [[[False, True, False, True]]])
    np.testing.assert_array_equal(mask_of(array, ()), [[[False, True, True, True]]])


def test_labels_must_occur_somewhere(tmp_path):
    bad = tmp_path / "bad.nii"
    bad.write_text("no NIfTI")
    one = save(tmp_path / "one.nii", np.full((4, 4, 2), 7, np.uint8))
    two = save(tmp_path / "two.nii", np.full((4, 4, 2), 9, np.uint8))
    check_labels_occur([bad, one, two], (9, 11))
    check_labels_occur([bad], (9,))  # reading it will tell
    with pytest.raises(InputError, match=r"one\.nii and 1 more: labels 2, 3 not found, only 7, 9"):
        check_labels_occur([bad, one, two], (2, 3))
    empty = save(tmp_path / "empty.nii", np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(InputError, match=r"empty\.nii: any label above 0 not found"):
        check_labels_occur([empty], ())
