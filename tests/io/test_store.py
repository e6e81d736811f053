import dataclasses
import json

import nibabel
import numpy as np
import pytest
from nifti_files import load_nifti

from acsnet_jax.io import read_cohort, read_scan, read_scans, write_mask, write_scan
from acsnet_jax.types import (
    ConversionRecord,
    InputError,
    NiftiGrid,
    PhantomRecord,
    Provenance,
    Scan,
    Window,
)


def make_scan(**changes):
    rng = np.random.default_rng(3)
    affine = np.eye(4) + rng.normal(0, 0.1, (4, 4))
    affine[3] = [0, 0, 0, 1]
    labels = rng.integers(0, 5, (4, 9, 7)).astype(np.uint8)
    labels[0] = 0
    scan = Scan(
        id="scan-01",
        image=rng.normal(100, 40, (4, 9, 7)).astype(np.float32),
        spacing_mm=(1.4 / 3, 1.1),
        positions_mm=np.array([0.1, 8.3, 17.0, 25.123456789012345]),
        affine=affine,
        oriented=True,
        modality="lge",
        labels=labels,
        labelled=np.array([False, True, True, True]),
        has_enhancement=True,
        file_order=np.array([3, 2, 1, 0]),
        file_affine=affine * (1 / 3) + np.diag([0, 0, 0, 2 / 3]),
        window=Window(0.1 + 0.2, 1 / 3, "sigmoid"),
        signal_zero=2048.0,
        problems=("slice distances are uneven", "another"),
        endocardium_only=(0, 2),
        nominal_spacing=True,
        nifti_grid=NiftiGrid((1.0, 1.25) * 4, 0.1, 0.2, 0.3, -1.0, 2.0, 1 / 3, 1, 2, 10),
        provenance=Provenance(
            format="test",
            modality_basis="as given",
            slice_order_basis="labelled areas",
            series_number=7,
            phases=2,
            trigger_ms=(1.5, None),
            frame=12,
            rescale=((1.0, 0.0), (0.1, -1.0)),
            inverted=True,
            cine_to_lge=ConversionRecord("other", 3, True),
            phantom=PhantomRecord(1, 2, (0.1, 0.2), ("LAD",)),
        ),
    )
    return scan.replace(**changes)


def assert_same(a, b):
    for field in dataclasses.fields(Scan):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, field.name
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        else:
            assert x == y, field.name


def test_a_plain_scan_comes_back_with_its_defaults(tmp_path):
    fields = {field.name: field.default for field in dataclasses.fields(Scan)}
    bare = make_scan(**{name: v for name, v in fields.items() if v is not dataclasses.MISSING})
    assert_same(bare, read_scan(write_scan(bare, tmp_path)))


def test_a_store_of_windowed_intensities_is_refused(tmp_path):
    folder = write_scan(make_scan(), tmp_path)
    values = json.loads((folder / "scan.json").read_text())
    (folder / "scan.json").write_text(json.dumps({**values, "format": "acsnet-scan-1"}))
    with pytest.raises(InputError, match=r"windowed.*prepare the cohort again"):
        read_scan(folder)


@pytest.mark.parametrize("oriented", [True, False])
@pytest.mark.parametrize("labelled", [True, False])
def test_round_trip_is_exact(tmp_path, oriented, labelled):
    scan = make_scan(oriented=oriented)
    if not labelled:
        scan = scan.replace(labels=None, labelled=np.zeros(4, bool))
    folder = write_scan(scan, tmp_path)
    assert folder == tmp_path / "scan-01"
    assert_same(scan, read_scan(folder))
    names = {"image.nii.gz", "scan.json"} | ({"label.nii.gz"} if labelled else set())
    assert {p.name for p in folder.iterdir()} == names
    assert [p.name for p in tmp_path.iterdir()] == ["scan-01"]


def test_extreme_intensities_survive(tmp_path):
    image = np.array([[[1e-30, -1e30], [np.pi, 0]]] * 4, np.float32)
    labels = np.zeros((4, 2, 2), np.uint8)
    scan = make_scan(image=image, labels=labels)
    np.testing.assert_array_equal(read_scan(write_scan(scan, tmp_path)).image, image)


def test_viewers_find_the_geometry(tmp_path):
    scan = make_scan()
    folder = write_scan(scan, tmp_path)
    for name in ("image.nii.gz", "label.nii.gz"):
        image = load_nifti(folder / name)
        assert image.affine is not None
        np.testing.assert_allclose(image.affine, scan.affine, rtol=1e-6)
        assert image.header["sform_code"] == image.header["qform_code"] == 1
        assert image.header.get_xyzt_units()[0] == "mm"
        assert image.shape == (7, 9, 4)


def test_rewriting_replaces_the_whole_folder(tmp_path):
    write_scan(make_scan(), tmp_path)
    folder = write_scan(make_scan(labels=None, labelled=np.zeros(4, bool)), tmp_path)
    assert read_scan(folder).labels is None and not (folder / "label.nii.gz").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["scan-01"]


def test_failure_leaves_what_was_there(tmp_path, monkeypatch):
    scan = make_scan()
    write_scan(scan, tmp_path)
    with pytest.raises(InputError, match="NaN or infinity"):
        write_scan(scan.replace(signal_zero=np.nan), tmp_path)
    with pytest.raises(InputError, match="folder name"):
        write_scan(scan.replace(id="../escape"), tmp_path)
    save = nibabel.save

    def full_disk(image, path):
        if "label" in str(path):
            raise OSError("no space left")
        save(image, path)

    monkeypatch.setattr(nibabel, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_scan(scan.replace(image=scan.image + 1), tmp_path)
    assert_same(scan, read_scan(tmp_path / "scan-01"))
    assert [p.name for p in tmp_path.iterdir()] == ["scan-01"]


def test_stored_scan_still_writes_on_the_users_grid(tmp_path):
    scan = read_scan(write_scan(make_scan(), tmp_path))
    mask = np.arange(4 * 9 * 7).reshape(4, 9, 7) % 5
    written = load_nifti(write_mask(tmp_path / "m.nii.gz", mask, scan))
    np.testing.assert_array_equal(written.get_fdata(), mask[::-1].transpose(2, 1, 0))
    assert written.affine is not None
    np.testing.assert_allclose(written.affine, scan.file_affine, rtol=1e-6)


def test_store_as_cohort(tmp_path):
    for name in ("b", "a"):
        write_scan(make_scan(id=name), tmp_path)
    (tmp_path / ".b.99.new").mkdir()
    (tmp_path / ".b.99.new" / "scan.json").write_text("{")
    assert [scan.id for scan in read_cohort(tmp_path, "store")] == ["a", "b"]
    assert [scan.id for scan in read_scans(tmp_path)] == ["a", "b"]
    assert [scan.id for scan in read_scans(tmp_path / "a")] == ["a"]
    assert read_scans(tmp_path / "a", modality="cine")[0].modality == "cine"
    with pytest.raises(InputError, match=r"scan\.json"):
        read_cohort(tmp_path / "a", "store")


@pytest.mark.parametrize("oriented", [True, False])
def test_an_unknown_order_can_be_told_later(tmp_path, oriented):
    told = dataclasses.replace(make_scan().provenance, slice_order_basis="unknown, file order kept")
    unknown = "slice order is unknown, file order kept as apex first: set slice_order"
    order = np.arange(4)
    scan = make_scan(provenance=told, problems=(unknown,), file_order=order, oriented=oriented)
    write_scan(scan, tmp_path)
    (kept,) = read_scans(tmp_path)
    np.testing.assert_array_equal(kept.image, scan.image)
    (same,) = read_scans(tmp_path, slice_order="apex_first")
    np.testing.assert_array_equal(same.image, scan.image)
    (other,) = read_cohort(tmp_path, "store", slice_order="base_first")
    assert not same.problems and not other.problems and kept.problems == (unknown,)
    assert scan.labels is not None and other.labels is not None
    for ours, theirs in zip(
        (other.image, other.labels, other.labelled, other.file_order),
        (scan.image, scan.labels, scan.labelled, order),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs[::-1])
    assert other.endocardium_only == (1, 3)
    np.testing.assert_allclose(np.diff(other.positions_mm), np.diff(scan.positions_mm)[::-1])
    last = [5.0, 6.0, 3.0, 1.0]  # column, row, slice
    np.testing.assert_allclose(other.affine @ [5.0, 6.0, 0.0, 1.0], scan.affine @ last)
    write_mask(tmp_path / "m.nii.gz", other.labels, other)
    write_mask(tmp_path / "n.nii.gz", scan.labels, scan)
    one, two = (load_nifti(tmp_path / f"{name}.nii.gz").get_fdata() for name in "mn")
    np.testing.assert_array_equal(one, two)


def test_an_order_that_geometry_told_stays(tmp_path):
    write_scan(make_scan(), tmp_path)
    (scan,) = read_scans(tmp_path, slice_order="base_first")
    np.testing.assert_array_equal(scan.image, make_scan().image)


def test_intensities_that_single_precision_cannot_hold(tmp_path):
    folder = write_scan(make_scan(), tmp_path)
    image = load_nifti(folder / "image.nii.gz")
    array = image.get_fdata()
    array[1, 2, 3] = 1e300
    nibabel.save(
        nibabel.Nifti1Image(array, image.affine, dtype=np.float64), folder / "image.nii.gz"
    )
    with pytest.raises(InputError, match=r"slice 4 of 4 .* infinite"):
        read_scan(folder)


def test_damaged_store(tmp_path):
    folder = write_scan(make_scan(), tmp_path)
    text = (folder / "scan.json").read_text()
    for keep in range(0, len(text) - 2, 97):
        (folder / "scan.json").write_text(text[:keep])
        with pytest.raises(InputError, match=r"scan\.json"):
            read_scan(folder)
    values = json.loads(text)
    for key in values:
        (folder / "scan.json").write_text(json.dumps({k: v for k, v in values.items() if k != key}))
        with pytest.raises(InputError, match=r"scan\.json"):
            read_scan(folder)
    for key, value in (
        ("window", {"centre": 1}),
        ("provenance", {}),
        ("problems", 3),
        ("affine", ""),
    ):
        (folder / "scan.json").write_text(json.dumps({**values, key: value}))
        with pytest.raises(InputError, match="damaged values"):
            read_scan(folder)
    (folder / "scan.json").write_text(json.dumps({**values, "positions_mm": [0, 1]}))
    with pytest.raises(InputError, match=r"scan\.json: (damaged values|positions_mm is damaged)"):
        read_scan(folder)
    (folder / "scan.json").write_text(text)
    (folder / "label.nii.gz").unlink()
    with pytest.raises(InputError, match=r"label\.nii\.gz"):
        read_scan(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spacing_mm", [1.5]),
        ("spacing_mm", [0, 1.5]),
        ("positions_mm", [0, 1, 1, 2]),
        ("file_order", [0, 1, 2, 2]),
        ("labelled", [True]),
        ("affine", [[1, 0], [0, 1]]),
        ("file_affine", [[0] * 4] * 4),
        ("file_affine", np.diag([1e308, 1e308, 8, 1]).tolist()),
        ("modality", "ct"),
        ("oriented", 2.5),
        ("id", "../elsewhere"),
        ("problems", [None]),
        ("endocardium_only", [9]),
        ("signal_zero", [1]),
        ("window", {"centre": "a", "width": 3, "function": "linear"}),
        ("window", {"centre": 1, "width": 3, "function": "other"}),
        ("window", {"centre": 10**400, "width": 3, "function": "linear"}),
        ("nifti_grid", {"pixdim": [1]}),
        ("provenance", []),
    ],
)
def test_values_that_cannot_be(tmp_path, key, value):
    folder = write_scan(make_scan(), tmp_path)
    values = json.loads((folder / "scan.json").read_text())
    (folder / "scan.json").write_text(json.dumps({**values, key: value}))
    with pytest.raises(InputError, match=r"scan\.json: .*damaged") as caught:
        read_scan(folder)
    assert "\n" not in str(caught.value)
