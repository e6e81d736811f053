import logging
import shutil
import struct
import tracemalloc
import zlib

import numpy as np
import pydicom.config
import pytest
from pydicom import dcmread
from pydicom.pixels.processing import apply_voi_lut
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)
from synthetic_dicom import (
    APEX,
    COLUMN,
    NAME,
    NUMBER,
    ROW,
    SERIES,
    base_dataset,
    item,
    write_enhanced,
    write_slice,
    write_stack,
)

from acsnet_jax.io import discover, read_cohort, read_dicom, read_scans
from acsnet_jax.io.dicom import parse
from acsnet_jax.preprocess.intensity import apply_window
from acsnet_jax.types import InputError, Window
from benchmarks.mutations import bomb


def test_sorts_apex_first_whatever_the_file_names(tmp_path):
    scan = read_dicom(write_stack(tmp_path / "a"))
    # Slice k was written k slice distances from the base, so the apex, k = 4, comes first.
    np.testing.assert_allclose(scan.image[:, 0, 0], [400, 300, 200, 100, 0])
    np.testing.assert_allclose(np.diff(scan.positions_mm), 8.0, rtol=1e-5)
    assert scan.image.dtype == np.float32 and scan.spacing_mm == (1.5, 1.25)
    assert scan.oriented and scan.modality == "lge" and not scan.labelled.any()


@pytest.mark.parametrize("handed", [1, -1])
def test_affine_maps_voxels_to_ras(tmp_path, handed):
    orientation = [round(x, 6) for x in (*ROW, *(handed * COLUMN))]
    scan = read_dicom(write_stack(tmp_path / "a", ImageOrientationPatient=orientation))
    np.testing.assert_allclose(scan.image[:, 0, 0], [400, 300, 200, 100, 0])
    for k in range(5):
        x, y = 3, 2
        # DICOM PS3.3 C.7.6.2.1.1, with the base at k = 4 of the scan; then LPS to RAS.
        lps = APEX * 8 * (4 - k) + ROW * 1.25 * x + handed * COLUMN * 1.5 * y
        np.testing.assert_allclose((scan.affine @ [x, y, k, 1])[:3], lps * [-1, -1, 1], atol=1e-4)
        file_k = scan.file_order[k]
        np.testing.assert_allclose(
            (scan.file_affine @ [x, y, file_k, 1])[:3], lps * [-1, -1, 1], atol=1e-4
        )
    axis = np.cross(scan.file_affine[:3, 0], scan.file_affine[:3, 1])
    assert axis @ scan.file_affine[:3, 2] > 0


def test_slice_order_overrides_geometry_and_says_so(tmp_path):
    folder = write_stack(tmp_path / "a")
    first = read_dicom(folder, slice_order="apex_first")
    last = read_dicom(folder, slice_order="base_first")
    assert first.problems == ("slice_order, as given, contradicts how the patient lies",)
    assert not last.problems and not read_dicom(folder).problems
    np.testing.assert_array_equal(first.image, last.image[::-1])
    assert (np.diff(first.positions_mm) > 0).all() and (np.diff(last.positions_mm) > 0).all()


RESCALED = {"RescaleSlope": 2, "RescaleIntercept": -50}


def test_intensities_are_rescaled_and_the_window_is_a_field(tmp_path):
    window = {"WindowCenter": [300, 20], "WindowWidth": [400, 10]}
    scan = read_dicom(write_stack(tmp_path / "a", **RESCALED, **window))
    np.testing.assert_array_equal(scan.image[0], 2.0 * (np.arange(120).reshape(12, 10) + 400) - 50)
    assert scan.window == Window(300.0, 400.0)
    assert scan.provenance.rescale == ((2.0, -50.0),)
    assert read_dicom(write_stack(tmp_path / "b")).window is None


@pytest.mark.parametrize("name", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("signed", [0, 1])
def test_windowed_intensities_are_those_of_pydicom(tmp_path, name, signed):
    values = {"WindowCenter": 300, "WindowWidth": 400, "PixelRepresentation": signed, **RESCALED}
    if name:
        values["VOILUTFunction"] = name
    folder = write_stack(tmp_path / "a", **values)
    scan = read_dicom(folder)
    assert scan.window is not None and scan.window.function == (name or "linear").lower()
    shown = apply_window(scan.image, scan.window)
    top = 400.0 if name in ("LINEAR_EXACT", "SIGMOID") else 399.0
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        expected = apply_voi_lut(dataset.pixel_array * 2.0 - 50, dataset)
        # pydicom's range is that of the stored values, rescaled, 2 * (0 .. 4095) - 50; ours is top.
        lowest = 2.0 * (-2048 if signed else 0) - 50
        expected = (expected - lowest) / (2 * 4095) * top
        assert any(np.allclose(expected, image, atol=1e-3) for image in shown)
    if name != "SIGMOID":
        assert shown.min() == 0 and shown.max() == top


def test_windows_that_differ_share_one(tmp_path):
    for k in range(4):
        write_slice(tmp_path, f"{k}.dcm", k, WindowCenter=200 + 50 * k, WindowWidth=400)
    assert read_dicom(tmp_path).window == Window(275.0, 550.0)
    write_slice(tmp_path, "3.dcm", 3)
    scan = read_dicom(tmp_path)
    assert scan.window == Window(250.0, 500.0)
    assert scan.problems == ("1 slices tell no usable window",)


@pytest.mark.parametrize("window", [(300, 1), (300, 0), (300, -5), ("", 400), ("1e300", "1e300")])
def test_a_window_that_shows_nothing_is_none(tmp_path, window):
    scan = read_dicom(write_stack(tmp_path, WindowCenter=window[0], WindowWidth=window[1]))
    assert scan.window is None


def test_an_unknown_voi_function_is_linear_and_a_problem(tmp_path):
    scan = read_dicom(
        write_stack(tmp_path, WindowCenter=300, WindowWidth=400, VOILUTFunction="ALONSO")
    )
    assert scan.window == Window(300.0, 400.0)
    assert any("VOILUTFunction" in p for p in scan.problems) and "ALONSO" not in str(scan.problems)


def test_other_objects_localizers_and_long_axis_are_left_out(tmp_path):
    folder = write_stack(tmp_path / "study" / "deep" / "sax")
    (tmp_path / "study" / "notes.txt").write_text("no DICOM")
    (tmp_path / "study" / "empty").write_bytes(b"")
    (tmp_path / "study" / "._IM00.dcm").write_bytes(b"Mac")
    for k in range(3):
        write_slice(
            tmp_path / "study",
            f"loc{k}.dcm",
            k,
            SeriesInstanceUID="1.2.3.1",
            ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
        # An axial stack is a stack, but not along the heart.
        write_slice(
            tmp_path / "study",
            f"axial{k}.dcm",
            0,
            SeriesInstanceUID="1.2.3.2",
            SeriesNumber=2,
            SeriesDescription="HASTE axial",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 8 * k],
        )
    write_slice(
        tmp_path / "study",
        "4ch.dcm",
        0,
        SeriesInstanceUID="1.2.3.3",
        ImageOrientationPatient=[round(x, 6) for x in (*ROW, *APEX)],
    )
    report = base_dataset("sr.dcm", sop_class=BasicTextSRStorage)
    del report.Rows, report.Columns
    report.Modality = "SR"
    report.save_as(tmp_path / "study" / "sr.dcm", enforce_file_format=True)
    scan = read_dicom(tmp_path / "study")
    assert len(scan.image) == 5
    np.testing.assert_array_equal(scan.image, read_dicom(folder).image)


@pytest.mark.parametrize("implicit", [False, True])
def test_files_without_preamble_are_read(tmp_path, implicit):
    folder = write_stack(tmp_path / "a")
    image = read_dicom(folder).image
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        bare = pydicom.Dataset()
        bare.update(ds)
        bare.save_as(path, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read_dicom(folder).image, image)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_files_are_read(tmp_path, syntax):
    pixels = np.random.default_rng(0).integers(0, 4096, (64, 48))
    folder = write_stack(tmp_path / "a", pixels=pixels)
    image = read_dicom(folder).image
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        ds.compress(syntax)
        ds.save_as(path)
    np.testing.assert_array_equal(read_dicom(folder).image, image)


def test_multi_frame(tmp_path):
    scan = read_dicom(write_enhanced(tmp_path / "a" / "enhanced.dcm", slope=3.0))
    np.testing.assert_allclose(scan.image[:, 0, 0], [90, 60, 30, 0])
    assert scan.spacing_mm == (1.5, 1.25)
    np.testing.assert_allclose(np.diff(scan.positions_mm), 8.0, rtol=1e-5)


def test_private_sequences_do_not_overrule_the_standard_ones(tmp_path):
    path = write_enhanced(tmp_path / "enhanced.dcm", slope=3.0)
    expected = read_dicom(path)
    ds = dcmread(path)
    for group in ds.PerFrameFunctionalGroupsSequence:
        block = group.private_block(0x2005, "SOME VENDOR", create=True)
        other = item(
            ImagePositionPatient=[1.0, 2.0, 3.0], RescaleSlope=7, RescaleIntercept=5, TriggerTime=0
        )
        block.add_new(0x0F, "SQ", [other])
    ds.save_as(path, enforce_file_format=True)
    found = read_dicom(path)
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.affine, expected.affine)


def test_frames_without_functional_groups_are_no_frames(tmp_path):
    path = write_enhanced(tmp_path / "enhanced.dcm", slices=6)
    ds = dcmread(path)
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:4]
    ds.save_as(path, enforce_file_format=True)
    with pytest.raises(InputError, match=r"NumberOfFrames is 6, and 4 have functional groups"):
        read_dicom(path)


def test_a_stack_across_no_heart_is_a_problem(tmp_path):
    for k in range(4):
        write_slice(
            tmp_path,
            f"{k}.dcm",
            0,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 8 * k],
        )
    assert any("short axis" in problem for problem in read_dicom(tmp_path).problems)


def test_multi_frame_cine_gives_end_diastole(tmp_path):
    scan = read_dicom(write_enhanced(tmp_path / "enhanced.dcm", phases=3))
    # Phases are written latest first: the third frame of a slice has trigger time 0.
    np.testing.assert_allclose(scan.image[:, 0, 0], [110, 80, 50, 20])
    assert scan.modality == "cine" and scan.provenance.phases == 3


def _write_cine(folder, triggers, **attributes):
    for k in range(4):
        for t, trigger in enumerate(triggers):
            pixels = np.full((12, 10), 100 * k + trigger)
            write_slice(folder, f"{k}-{t}.dcm", k, pixels=pixels, TriggerTime=trigger, **attributes)
    return folder


def test_cine_takes_the_smallest_trigger_time(tmp_path):
    folder = _write_cine(tmp_path, [500, 20, 300], SeriesDescription="unnamed")
    scan = read_dicom(folder)
    np.testing.assert_allclose(scan.image[:, 0, 0], [320, 220, 120, 20])
    assert scan.modality == "cine"
    late = read_dicom(folder, trigger_ms=310)
    np.testing.assert_allclose(late.image[:, 0, 0], [600, 500, 400, 300])


def test_cine_without_early_phases_takes_the_one_before_the_next_beat(tmp_path):
    scan = read_dicom(_write_cine(tmp_path, [286, 886], NominalInterval=923))
    assert scan.provenance.trigger_ms == (886.0,) * 4


@pytest.mark.parametrize(
    ("attributes", "modality"),
    [
        ({"SeriesDescription": "PSIR_SAX"}, "lge"),
        ({"SeriesDescription": "sax de"}, "lge"),
        ({"SeriesDescription": "cine trufi"}, "cine"),
        ({"SeriesDescription": "sax", "InversionTime": 280}, "lge"),
        ({"SeriesDescription": "sax", "CardiacNumberOfImages": 25}, "cine"),
    ],
)
def test_modality_guess(tmp_path, attributes, modality):
    folder = write_stack(tmp_path / "a", **attributes)
    assert read_dicom(folder).modality == modality
    other = "cine" if modality == "lge" else "lge"
    assert read_dicom(folder, modality=other).modality == other


def test_modality_default_is_a_problem(tmp_path):
    scan = read_dicom(write_stack(tmp_path / "a", SeriesDescription="sax"))
    assert scan.modality == "lge"
    assert any("modality unknown" in p for p in scan.problems)


def test_no_name_anywhere(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with pydicom.config.disable_value_validation():
        # Invalid values are quoted in pydicom's warnings.
        folder = write_stack(
            tmp_path / "a", PatientBirthDate="18000101X", ReferringPhysicianName=NAME
        )
    scan = read_dicom(folder)
    assert scan.id.startswith("scan-") and len(scan.id) == 21
    (folder / "IM00.dcm").write_bytes((folder / "IM01.dcm").read_bytes())
    with pytest.raises(InputError) as caught:
        read_dicom(folder)
    said = repr(scan.provenance) + repr(scan.problems) + scan.id + caplog.text + str(caught.value)
    said += "".join(capfd.readouterr())
    for secret in (NAME, "Quixote", NUMBER, "18000101"):
        assert secret not in said


def test_id_depends_on_uids_alone(tmp_path):
    a = read_dicom(write_stack(tmp_path / "a"))
    b = read_dicom(write_stack(tmp_path / "b", PatientName="Other"))
    c = read_dicom(write_stack(tmp_path / "c", SeriesInstanceUID="1.2.3"))
    assert a.id == b.id != c.id


def test_two_short_axis_stacks(tmp_path):
    write_stack(tmp_path / "a")
    write_stack(
        tmp_path / "b", SeriesInstanceUID="1.9", SeriesNumber=300, SeriesDescription="cine SAX"
    )
    with pytest.raises(InputError, match=r"series 7 and series 300: .*series="):
        read_dicom(tmp_path)
    assert read_dicom(tmp_path, series=300).modality == "cine"
    assert read_dicom(tmp_path, series="1.2.826.0.1.2").modality == "lge"
    with pytest.raises(InputError, match="no series 8"):
        read_dicom(tmp_path, series=8)


def test_two_stacks_of_one_number_are_counted(tmp_path):
    write_stack(tmp_path / "a")
    write_stack(tmp_path / "b", 7, SeriesInstanceUID="1.9")
    write_stack(tmp_path / "c", 4, SeriesInstanceUID="1.8", SeriesNumber=None)
    found = r"3 short-axis stacks, series 7:1 and series 7:2 and series none: choose one with"
    with pytest.raises(InputError, match=found):
        read_dicom(tmp_path)
    with pytest.raises(InputError, match=r"2 series have the number 7: .*series=7:1 or 7:2"):
        read_dicom(tmp_path, series=7)
    with pytest.raises(InputError, match="no series 8: the folder holds 7:1, 7:2, none"):
        read_dicom(tmp_path, series=8)
    for name, slices in (("7:1", 5), ("7:2", 7), ("none", 4), ("1.8", 4), (SERIES, 5)):
        assert len(read_dicom(tmp_path, series=name).image) == slices


def test_a_series_a_slice_is_one_stack(tmp_path):
    for k in range(5):
        write_slice(tmp_path, f"{k}.dcm", k, SeriesInstanceUID=f"1.5.{k}", SeriesNumber=k)
    np.testing.assert_allclose(read_dicom(tmp_path).image[:, 0, 0], [400, 300, 200, 100, 0])


def _bad(folder, message):
    with pytest.raises(InputError, match=message) as caught:
        read_dicom(folder)
    assert "\n" not in str(caught.value)


def test_empty_folder(tmp_path):
    _bad(tmp_path, "no DICOM file")
    _bad(tmp_path / "none", "no such")


def test_missing_slice(tmp_path):
    for k in (0, 1, 2, 4, 5):
        write_slice(tmp_path, f"{k}.dcm", k)
    _bad(tmp_path, r"missing slice: 1 between [24]\.dcm and [24]\.dcm")


@pytest.mark.parametrize("positions", [(0, 1, 3), (0, 2, 3), (0, 1, 2, 5)])
def test_missing_slice_of_few(tmp_path, positions):
    for k in positions:
        write_slice(tmp_path, f"{k}.dcm", k)
    _bad(tmp_path, "missing slice")


def test_uneven_gap_is_a_problem_not_an_error(tmp_path):
    for k in (0, 1, 2.3, 3.3, 4.3):
        write_slice(tmp_path, f"{k}.dcm", k)
    scan = read_dicom(tmp_path)
    assert any("uneven" in p for p in scan.problems)
    np.testing.assert_allclose(sorted(np.diff(scan.positions_mm)), [8, 8, 8, 10.4], rtol=1e-4)


def test_duplicated_slice(tmp_path):
    write_stack(tmp_path)
    shutil.copy(tmp_path / "IM00.dcm", tmp_path / "copy.dcm")
    _bad(tmp_path, r"duplicated slice: .*(copy|IM00)\.dcm and .*(copy|IM00)\.dcm")


def test_duplicated_phase(tmp_path):
    _write_cine(tmp_path, [20, 300])
    shutil.copy(tmp_path / "0-0.dcm", tmp_path / "copy.dcm")
    _bad(tmp_path, "duplicated slice.*trigger time 20 ms")


def test_missing_position(tmp_path):
    write_stack(tmp_path)
    write_slice(tmp_path, "lost.dcm", 5, drop=["ImagePositionPatient"])
    _bad(tmp_path, r"lost\.dcm: ImagePositionPatient is missing")


def test_missing_position_everywhere(tmp_path):
    write_stack(tmp_path, drop=["ImagePositionPatient"])
    _bad(tmp_path, r"\.dcm: ImagePositionPatient is missing")


@pytest.mark.parametrize("keep", [0, 60, 200, 700, -1, -120])
def test_truncated_file(tmp_path, keep):
    write_stack(tmp_path)
    path = tmp_path / "IM02.dcm"
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    _bad(tmp_path, r"IM02\.dcm")


def test_every_truncation_is_caught(tmp_path):
    write_stack(tmp_path, 4)
    path = tmp_path / "IM03.dcm"
    content = path.read_bytes()
    for keep in range(0, len(content), 23):
        path.write_bytes(content[:keep])
        with pytest.raises(InputError):
            read_dicom(tmp_path)


@pytest.mark.parametrize("spacing", [[0, 1.5], [1.5, 0], [-1, 1]])
def test_spacing_not_positive(tmp_path, spacing):
    write_stack(tmp_path)
    write_slice(tmp_path, "IM00.dcm", 0, PixelSpacing=spacing)
    _bad(tmp_path, r"IM00\.dcm: pixel spacing")


def test_spacing_of_no_scanner(tmp_path):
    write_stack(tmp_path, PixelSpacing=[0.0015, 0.0015])
    _bad(tmp_path, r"pixel spacing is 0\.0015 x 0\.0015 mm, metres or micrometres\?")


def test_spacing_missing(tmp_path):
    write_stack(tmp_path, drop=["PixelSpacing"])
    _bad(tmp_path, "PixelSpacing is missing")


def test_spacing_differs(tmp_path):
    write_stack(tmp_path)
    write_slice(tmp_path, "IM00.dcm", 0, PixelSpacing=[2, 2])
    _bad(tmp_path, "PixelSpacing differs")


def test_sizes_differ(tmp_path):
    write_stack(tmp_path)
    write_slice(tmp_path, "IM00.dcm", 0, pixels=np.zeros((20, 10)))
    _bad(tmp_path, "20 x 10")


@pytest.mark.parametrize("orientation", [[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]])
def test_impossible_orientation(tmp_path, orientation):
    write_stack(tmp_path, ImageOrientationPatient=orientation)
    _bad(tmp_path, "ImageOrientationPatient")


def test_single_slice_is_no_stack(tmp_path):
    write_slice(tmp_path, "a.dcm", 0)
    _bad(tmp_path, "no short-axis stack")
    assert len(read_dicom(tmp_path, series=7).image) == 1


@pytest.mark.parametrize("name", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_monochrome1_is_inverted_with_its_window(tmp_path, name):
    window = {"WindowCenter": 300, "WindowWidth": 250, "VOILUTFunction": name}
    plain = read_dicom(write_stack(tmp_path / "a", **window))
    inverted = write_stack(tmp_path / "b", PhotometricInterpretation="MONOCHROME1", **window)
    scan = read_dicom(inverted)
    np.testing.assert_allclose(scan.image, plain.image.max() + plain.image.min() - plain.image)
    assert scan.provenance.inverted and not plain.provenance.inverted
    shown, expected = (apply_window(one.image, one.window) for one in (scan, plain))
    top = 249 if name == "LINEAR" else 250
    np.testing.assert_allclose(shown, top - expected, atol=1e-3)


def test_drift_in_plane_is_a_problem(tmp_path):
    for k in range(4):
        shift = (APEX * 8 * k + ROW * 3 * (k == 2)).tolist()
        write_slice(tmp_path, f"{k}.dcm", k, ImagePositionPatient=[round(x, 5) for x in shift])
    assert any("shifted" in p for p in read_dicom(tmp_path).problems)


def test_folder_of_dicom_folders(tmp_path):
    write_stack(tmp_path / "p1", StudyInstanceUID="1.1.1")
    write_stack(tmp_path / "p2" / "series", StudyInstanceUID="1.1.2")
    assert [name for name, _ in discover(tmp_path)] == ["p1", "p2"]
    assert len({scan.id for scan in read_scans(tmp_path)}) == 2
    assert len(read_cohort(tmp_path, "dicom")) == 2


def test_a_directory_of_a_medium_belongs_to_no_study(tmp_path):
    write_stack(tmp_path / "p1", StudyInstanceUID="1.1.1")
    write_stack(tmp_path / "p2", 2, StudyInstanceUID="1.1.2")
    directory = base_dataset("DICOMDIR", sop_class=MediaStorageDirectoryStorage)
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert [name for name, _ in discover(tmp_path)] == ["p1", "p2"]


def test_study_with_a_folder_a_series_is_one_scan(tmp_path):
    write_stack(tmp_path / "s1")
    write_slice(tmp_path / "s2", "4ch.dcm", 0, SeriesInstanceUID="1.7")
    assert len(read_scans(tmp_path)) == 1


def test_slice_acquired_twice_makes_no_cine(tmp_path):
    write_stack(tmp_path, TriggerTime=700)
    write_slice(tmp_path, "again.dcm", 2, TriggerTime=710, pixels=np.full((12, 10), 999))
    scan = read_dicom(tmp_path)
    assert scan.modality == "lge" and scan.image.max() < 999
    assert any("acquired twice" in p for p in scan.problems)


def test_empty_attributes_count_as_absent(tmp_path):
    plain = read_dicom(write_stack(tmp_path / "a")).image
    empty = {
        "RescaleSlope": None,
        "RescaleIntercept": None,
        "WindowCenter": None,
        "WindowWidth": None,
        "TriggerTime": None,
        "InversionTime": None,
    }
    np.testing.assert_array_equal(read_dicom(write_stack(tmp_path / "b", **empty)).image, plain)


def test_slope_of_zero(tmp_path):
    _bad(write_stack(tmp_path, RescaleSlope=0, RescaleIntercept=1), "RescaleSlope is 0")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PatientID", "B"), ("PhotometricInterpretation", "MONOCHROME1")],
)
def test_slices_that_do_not_belong_together(tmp_path, keyword, value):
    write_stack(tmp_path, **{"PatientID": "A"})
    write_slice(tmp_path, "IM02.dcm", 4, **{"PatientID": "A", keyword: value})
    _bad(tmp_path, rf"IM02\.dcm: {keyword} is another than in IM00\.dcm of the same stack")
    write_slice(tmp_path, "IM02.dcm", 4, drop=["PatientID"])
    assert len(read_dicom(tmp_path).image) == 5  # a slice that tells no patient stays


def test_invalid_values_raise_no_warning_that_quotes_them(tmp_path):
    with pydicom.config.disable_value_validation():
        for name in ("p1", "p2"):
            write_stack(tmp_path / name, StudyInstanceUID=f"1.02.{name}")
    assert len(read_scans(tmp_path)) == 2


def _damage_value(path, keyword, value):
    """Puts bytes in place of an element's value, whatever the standard says of them."""
    dataset = pydicom.dcmread(path)
    element = dataset[keyword]
    tag = struct.pack("<HH", element.tag.group, element.tag.element)
    content = path.read_bytes()
    at = content.index(tag + element.VR.encode(), 132)
    (length,) = struct.unpack_from("<H", content, at + 6)
    new = content[: at + 6] + struct.pack("<H", len(value)) + value + content[at + 8 + length :]
    path.write_bytes(new)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("NumberOfFrames", b"2\\3", "NumberOfFrames needs one finite number"),
        ("NumberOfFrames", b"99999999", "claims 99999999 frames"),
        ("NumberOfFrames", b"-1", "NumberOfFrames needs a whole number"),
        ("Rows", b"\x0c", "Rows cannot be read"),
        ("Columns", b"\x0a\0\0", "Columns cannot be read"),
        ("Columns", b"", "Rows or Columns is missing"),
        ("Columns", b"\0\0", "Rows or Columns is missing"),
        ("Rows", b"\xff\xff", "claims 65535 x 10"),
        ("Rows", b"\x0c\0\x0c\0", "Rows needs one finite number"),
        ("SamplesPerPixel", b"\x01", "SamplesPerPixel cannot be read"),
        ("SeriesNumber", b"one", None),
        ("PixelSpacing", b"1e30\\1e30", "pixel spacing"),
        ("ImagePositionPatient", b"1e300\\0\\0 ", "kilometres away"),
        ("RescaleSlope", b"1e400 ", "RescaleSlope needs one finite number"),
        ("RescaleSlope", b"", "RescaleSlope and RescaleIntercept stand either here or in IM00"),
        ("RescaleSlope", b"1e308 ", "infinite intensities"),
        ("WindowCenter", b"nan ", None),
        ("BitsAllocated", b"\x10", "cannot decode the pixels"),
    ],
)
def test_values_that_break_the_standard(tmp_path, keyword, value, message):
    attributes = {
        "NumberOfFrames": 1,
        "RescaleSlope": 2,
        "RescaleIntercept": -50,
        "WindowCenter": 300,
        "WindowWidth": 400,
    }
    write_stack(tmp_path, **attributes)
    _damage_value(tmp_path / "IM02.dcm", keyword, value)
    if message is None:
        assert np.isfinite(read_dicom(tmp_path).image).all()
    else:
        _bad(tmp_path, message)


@pytest.mark.parametrize("keyword", ["Columns", "Rows"])
def test_file_without_a_size(tmp_path, keyword):
    write_stack(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "IM02.dcm")
    del dataset[keyword]
    dataset.save_as(tmp_path / "IM02.dcm")
    _bad(tmp_path, r"IM02\.dcm: (truncated|Rows or Columns is missing)")


@pytest.mark.parametrize("keyword", ["Columns", "PixelSpacing", "TriggerTime"])
def test_unknown_vr(tmp_path, keyword):
    write_stack(tmp_path, TriggerTime=20)
    path = tmp_path / "IM02.dcm"
    element = pydicom.dcmread(path)[keyword]
    tag = struct.pack("<HH", element.tag.group, element.tag.element)
    path.write_bytes(path.read_bytes().replace(tag + element.VR.encode(), tag + b"ZZ"))
    _bad(tmp_path, rf"IM02\.dcm: {keyword} cannot be read")


def test_functional_groups_that_are_no_sequence(tmp_path):
    write_stack(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "IM02.dcm")
    dataset.add_new("PerFrameFunctionalGroupsSequence", "LO", "text")
    dataset.save_as(tmp_path / "IM02.dcm")
    _bad(tmp_path, "PerFrameFunctionalGroupsSequence cannot be read")


def test_attributes_that_nobody_asks_for_may_be_broken(tmp_path):
    write_stack(tmp_path, StudyDate="20000101", HeartRate=60)
    _damage_value(tmp_path / "IM02.dcm", "StudyDate", b"yesterday!")
    _damage_value(tmp_path / "IM02.dcm", "HeartRate", b"calm")
    assert len(read_dicom(tmp_path).image) == 5


def test_messages_quote_no_free_text(tmp_path):
    for k, name in enumerate("ab"):
        write_stack(
            tmp_path / name,
            SeriesInstanceUID=f"1.9.{k}",
            SeriesNumber=k,
            SeriesDescription=f"sax {NAME} lge",
            ProtocolName=NAME,
        )
    for series in (None, 8):
        with pytest.raises(InputError) as caught:
            read_dicom(tmp_path, series=series)
        assert "Quixote" not in str(caught.value)
    with pydicom.config.disable_value_validation():
        write_stack(tmp_path / "a", SeriesInstanceUID=NAME, SeriesNumber=1)
    with pytest.raises(InputError) as caught:
        read_dicom(tmp_path)
    assert "Quixote" not in str(caught.value)


def _deflate(path):
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    return path.read_bytes()


def test_deflated_files_are_read(tmp_path):
    plain = read_dicom(write_stack(tmp_path / "a"))
    for path in write_stack(tmp_path / "b").iterdir():
        _deflate(path)
    np.testing.assert_array_equal(read_dicom(tmp_path / "b").image, plain.image)


def test_deflated_files_are_capped_as_they_stream(tmp_path):
    content = _deflate(write_stack(tmp_path) / "IM02.dcm")
    start = 144 + struct.unpack_from("<I", content, 140)[0]
    (tmp_path / "IM02.dcm").write_bytes(content[: start + 40])
    _bad(tmp_path, r"IM02\.dcm: truncated DICOM file, its deflated data end early")
    (tmp_path / "IM02.dcm").write_bytes(content[:start] + bomb(wbits=-zlib.MAX_WBITS))
    tracemalloc.start()
    _bad(tmp_path, r"IM02\.dcm: inflates to more than 256 MiB")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**29


@pytest.mark.parametrize("depth", [3, 5000])
@pytest.mark.parametrize("closed", [True, False])
def test_nested_sequences(tmp_path, depth, closed):
    path = write_stack(tmp_path) / "IM02.dcm"
    content = path.read_bytes()
    at = content.index(b"\x20\0\x0d\0UI")
    opened = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(content[:at] + opened * depth + end * depth * closed + content[at:])
    if closed and depth == 3:
        assert len(read_dicom(tmp_path).image) == 5
    else:
        _bad(tmp_path, r"IM02\.dcm")


@pytest.mark.parametrize("tag", [b"\x02\0\0\0", b"\x02\0\x02\0", b"\x08\0\x16\0", b"\x20\0\x0d\0"])
def test_a_sequence_in_the_place_of_a_value_is_never_printed(tmp_path, tag):
    path = write_stack(tmp_path) / "IM02.dcm"
    content = path.read_bytes()
    at = content.index(tag)
    opened = tag + b"SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    length = 8 + struct.unpack_from("<H", content, at + 6)[0]
    path.write_bytes(content[:at] + opened * 60 + end * 60 + content[at + length :])
    _bad(tmp_path, r"IM02\.dcm")


def test_lengths_that_no_file_holds_take_no_memory(tmp_path):
    path = write_stack(tmp_path) / "IM02.dcm"
    content = path.read_bytes()
    at = content.index(b"\x20\0\x0d\0UI")
    path.write_bytes(content[:at] + b"\x20\0\x0d\0UN\0\0\xf0\xff\xff\xff" + content[at:])
    tracemalloc.start()
    _bad(tmp_path, r"IM02\.dcm: cannot read the DICOM header")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


def test_a_file_of_zeros_behind_the_header_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(parse, "_MOST_READS", 1000)
    path = write_stack(tmp_path) / "IM02.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\0")] + bytes(2**16))
    _bad(tmp_path, r"IM02\.dcm: cannot read the DICOM header")


def test_pixels_larger_than_any_slice(tmp_path):
    write_stack(tmp_path)
    _damage_value(tmp_path / "IM02.dcm", "Rows", b"\x00\x20")
    _damage_value(tmp_path / "IM02.dcm", "Columns", b"\x00\x20")
    _bad(tmp_path, r"IM02\.dcm: the header claims 8192 x 8192 pixels")
