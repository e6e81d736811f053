import nibabel
import numpy as np
import pytest
from label_folders import affine, heart, save

from acsnet_jax.io import read_emidec, write_scan
from acsnet_jax.io.label_sets import (
    LabelMap,
    labels_on,
    parse_label_map,
    patient_files,
    references,
)
from acsnet_jax.types import InputError

OURS = LabelMap()


def only(root, **options):
    """The reference of a folder with a single patient."""
    (load,) = references(root, options.pop("fmt", "labels"), OURS, **options).values()
    return load()


def test_patients_go_by_the_name_of_the_file_or_of_its_folder(tmp_path):
    for name in ("a.nii.gz", "b_gt.nii", "c/segmentation.nii.gz", "d/e_segmentation.nii.gz"):
        save(tmp_path / name, heart())
    assert list(patient_files(tmp_path)) == ["a", "b", "c", "e"]
    assert list(patient_files(tmp_path / "c")) == ["c"]
    save(tmp_path / "x" / "a.nii.gz", heart())
    with pytest.raises(InputError, match=r"a\.nii\.gz.*same patient a.*--config\.pattern_b"):
        patient_files(tmp_path, key="pattern_b")
    assert list(patient_files(tmp_path, pattern="x/*")) == ["a"]


def test_label_maps():
    found = parse_label_map("1:blood_pool, 500:myocardium,7:enhancement,other:background", key="k")
    assert found == LabelMap({1: 1, 500: 2, 7: 3}, 0)
    assert found.told == {0, 1, 2, 3}
    assert parse_label_map("", key="k") == OURS and OURS.told is None
    for text, word in (
        ("1:lung", "'1:lung'"),
        ("x:myocardium", "'x:myocardium'"),
        ("2", "'2'"),
        ("1:myocardium,1:enhancement", "named twice"),
        ("other:background", "no value but other"),
    ):
        with pytest.raises(InputError, match=rf"config\.k.*{word}"):
            parse_label_map(text, key="k")


def test_values_are_mapped_and_others_are_background(tmp_path):
    values = np.array([0, 7, 500, 21], np.int16)[heart(scar=3)]
    values[0, 0, 0] = 99
    reference = only(save(tmp_path / "ref" / "p.nii.gz", heart(scar=3)).parent)
    path = save(tmp_path / "a" / "p.nii.gz", values)
    label_map = parse_label_map("7:blood_pool,500:myocardium,21:enhancement", key="labels_a")
    with pytest.raises(InputError, match=r"label value 99 in slice 1 of 4.*--config\.labels_a"):
        labels_on(path, reference, label_map, key="labels_a")
    found = labels_on(path, reference, label_map._replace(others=0), key="labels_a")
    np.testing.assert_array_equal(found, heart(scar=3)[reference.scan.file_order])


def test_slices_come_in_the_order_of_the_reference(tmp_path):
    """The file has the base first; both sides are turned alike."""
    labels = heart(scar=4)[::-1]
    reference = only(
        save(tmp_path / "ref" / "p.nii.gz", labels, grid=affine(oriented=False)).parent
    )
    assert reference.scan.file_order.tolist() == [3, 2, 1, 0]
    found = labels_on(
        save(tmp_path / "p.nii", labels, grid=affine(oriented=False)), reference, OURS, key="k"
    )
    np.testing.assert_array_equal(found, reference.scan.labels)
    np.testing.assert_array_equal(found, labels[::-1])


def write_emidec(root, labels):
    grid = np.diag([-1.0, -1, 1, 1])
    for kind, values in (("Images", labels.astype(np.int16) * 100 + 2048), ("Contours", labels)):
        path = root / "Case_P001" / kind / "Case_P001.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(values.astype(np.int16).transpose(2, 1, 0), grid)
        image.header["pixdim"][1:4] = (2.0, 1.5, 8.0)
        nibabel.save(image, path)


@pytest.mark.parametrize("flipped", [False, True])
def test_cohorts_are_references_too(tmp_path, flipped):
    labels = heart(scar=4)[:: -1 if flipped else 1]
    write_emidec(tmp_path / "e", labels)
    write_scan(read_emidec(tmp_path / "e" / "Case_P001"), tmp_path / "s")
    path = save(tmp_path / "a" / "Case_P001.nii.gz", labels, grid=affine(oriented=False))
    for root in (tmp_path / "e", tmp_path / "s"):
        reference = only(root, fmt="auto")
        assert reference.scan.has_enhancement and reference.scan.provenance.pathology == "infarct"
        found = labels_on(path, reference, OURS, key="k")
        np.testing.assert_array_equal(found, reference.scan.labels)
        with pytest.raises(InputError, match="labels of its own"):
            references(root, "auto", LabelMap({1: 1}))
    pattern = "Case_*/Contours/*.nii.gz"
    assert list(references(tmp_path / "e", "labels", OURS, pattern=pattern)) == ["Case_P001"]


def changed(**columns):
    grid = affine()
    for column, factor in columns.items():
        grid[:3, int(column[1])] *= factor
    return grid


@pytest.mark.parametrize(
    ("labels", "grid", "words"),
    [
        (heart(slices=3), affine(), r"3 slices \(axis 3\).*has 4"),
        (heart()[:, :20], affine(), r"20 rows \(axis 2\).*has 24"),
        (heart()[..., :28], affine(), r"28 columns \(axis 1\).*has 30"),
        (heart(), changed(_2=1.25), r"slices \(axis 3\) are 10 mm apart.* 8 mm"),
        (heart(), changed(_0=0.5), r"columns \(axis 1\) are 1 mm apart.* 2 mm"),
        (heart(), changed(_1=-1), r"axis 2 runs another way"),
        (heart(), affine() + np.eye(4, k=3) * 30, r"voxels 30\.0 mm away"),
    ],
)
def test_another_grid_is_one_line_with_file_and_axis(tmp_path, labels, grid, words):
    reference = only(save(tmp_path / "ref" / "p.nii.gz", heart()).parent)
    path = save(tmp_path / "a" / "p.nii.gz", labels, grid=grid)
    with pytest.raises(InputError, match=words) as error:
        labels_on(path, reference, OURS, key="k")
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert str(tmp_path / "ref" / "p.nii.gz") in str(error.value)


def test_a_placeholder_of_an_affine_is_not_held_against_a_file(tmp_path):
    reference = only(save(tmp_path / "ref" / "p.nii.gz", heart()).parent)
    path = save(tmp_path / "p.nii.gz", heart(), grid=affine(oriented=False))
    np.testing.assert_array_equal(labels_on(path, reference, OURS, key="k"), reference.scan.labels)
