"""DICOM-SEG of stacks that lie in files in every way, read back by pydicom and by highdicom.

Each source pixel is random, and each mask a function of the pixels that the scan holds. What a
segment must be on a source image thus follows from that very image, wherever it went on its way.
"""

import dataclasses
import shutil
import subprocess

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.pixels.utils import unpack_bits
from synthetic_dicom import (
    COLUMN,
    FRAME,
    NAME,
    NUMBER,
    ROW,
    SERIES,
    STUDY,
    write_enhanced,
    write_slice,
)

from acsnet_jax.io import read_dicom, read_scan, write_scan
from acsnet_jax.io.dicom_seg import STRUCTURES, write_dicom_seg
from acsnet_jax.palette import CORE
from acsnet_jax.types import InputError, Segmentation

SHAPE = (12, 10)
RNG = np.random.default_rng(5)
RULES = {
    "LV myocardium": lambda pixels: pixels % 2 == 0,
    "LV blood pool": lambda pixels: pixels % 2 == 1,
    "Scar": lambda pixels: pixels % 4 == 0,
    "Gray zone": lambda pixels: pixels % 8 == 4,
    "Core scar": lambda pixels: pixels % 8 == 0,
}


def noise(frames=None):
    return RNG.integers(0, 4000, SHAPE if frames is None else (frames, *SHAPE))


def segmented(scan):
    masks = {name: rule(scan.image.astype(int)) for name, rule in RULES.items()}
    return Segmentation(
        scan=scan,
        myocardium=masks["LV myocardium"],
        blood_pool=masks["LV blood pool"],
        enhancement=masks["Scar"],
        core=masks["Core scar"],
        kept=np.ones(len(scan.image), bool),
    )


def stack(folder, *, positions=(0, 1, 2, 3, 4), **attributes):
    for k, position in enumerate(positions):
        write_slice(folder, f"{(3 * k) % 5}.dcm", position, pixels=noise(), **attributes)
    return folder


def oblique(folder):
    turned = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    normal = np.cross(turned[0], turned[1])
    for k in range(5):
        place = normal * 9 * k + turned[0] * 0.4 * k + [10, -70.5, 33]  # and it drifts
        write_slice(
            folder,
            f"{k}.dcm",
            k,
            pixels=noise(),
            ImagePositionPatient=[round(x, 6) for x in place.tolist()],
            ImageOrientationPatient=[round(x, 6) for x in turned[:2].ravel().tolist()],
        )
    return folder


def tilted(folder):
    """The last digits of an orientation differ, as scanners round them."""
    for k in range(4):
        turned = [round(x + 1e-6 * (k == 2), 6) for x in (*ROW, *COLUMN)]
        write_slice(folder, f"{k}.dcm", k, pixels=noise(), ImageOrientationPatient=turned)
    return folder


def cine(folder):
    for k in range(4):
        for phase in range(3):
            attributes = {"TriggerTime": 40 * ((phase + k) % 3)}
            write_slice(folder, f"{k}-{phase}.dcm", k, pixels=noise(), **attributes)
    return folder


def one_series_each(folder):
    for k in range(4):
        series = f"{SERIES}.{k}"
        write_slice(folder, f"{k}.dcm", k, pixels=noise(), SeriesInstanceUID=series)
    return folder


def multi_frame(folder, *, phases=1):
    folder.mkdir(parents=True)
    write_enhanced(folder / "a.dcm", 4, phases, pixels=noise(4 * phases))
    return folder


def several_multi_frame(folder):
    folder.mkdir(parents=True)
    for k in range(4):
        write_enhanced(folder / f"{k}.dcm", 1, 3, first=k, pixels=noise(3))
    return folder


LAYOUTS = {
    "apex last": stack,
    "apex first": lambda folder: stack(
        folder, ImageOrientationPatient=[round(x, 6) for x in (*ROW, *-COLUMN)]
    ),
    "as told": stack,
    "gapped": lambda folder: stack(folder, positions=(0, 1, 2, 3.4, 4.4)),
    "oblique": oblique,
    "tilted": tilted,
    "cine": cine,
    "a series a slice": one_series_each,
    "multi-frame": multi_frame,
    "multi-frame cine": lambda folder: multi_frame(folder, phases=3),
    "a multi-frame cine a slice": several_multi_frame,
}


@pytest.fixture(params=LAYOUTS)
def written(request, tmp_path):
    """Source files, scan, and the SEG as it lies on disk."""
    folder = LAYOUTS[request.param](tmp_path / "source")
    order = "base_first" if request.param == "as told" else "auto"
    scan = read_dicom(folder, slice_order=order)
    write_dicom_seg(tmp_path / "segmentation.dcm", segmented(scan))
    sources = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, folder.iterdir())}
    return sources, scan, tmp_path / "segmentation.dcm"


def sop_instance(plane):
    return pydicom.dcmread(plane.path, stop_before_pixels=True).SOPInstanceUID


def source_pixels(source, frame):
    pixels = source.pixel_array.astype(int)
    return pixels if frame is None else pixels[frame - 1]


def referenced(group):
    (derivation,) = group.DerivationImageSequence
    (item,) = derivation.SourceImageSequence
    frame = item.get("ReferencedFrameNumber")
    return item.ReferencedSOPInstanceUID, None if frame is None else int(frame)


def plane_position(source, frame):
    if frame is None:
        return source.ImagePositionPatient
    group = source.PerFrameFunctionalGroupsSequence[frame - 1]
    return group.PlanePositionSequence[0].ImagePositionPatient


def test_every_segment_is_what_its_source_image_says(written):
    sources, scan, path = written
    seg = pydicom.dcmread(path)
    labels = {item.SegmentNumber: item.SegmentLabel for item in seg.SegmentSequence}
    assert list(labels.values()) == list(RULES)
    bits = np.asarray(unpack_bits(seg.PixelData))
    pixels = bits[: seg.NumberOfFrames * np.prod(SHAPE)].reshape(-1, *SHAPE).astype(bool)
    seen = set()
    for group, mask in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        uid, frame = referenced(group)
        seen.add((number, uid, frame))
        expected = RULES[labels[number]](source_pixels(sources[uid], frame))
        np.testing.assert_array_equal(mask, expected)
        position = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, plane_position(sources[uid], frame), atol=1e-5)
    assert len(seen) == len(labels) * len(scan.image)  # each segment on each slice, once


def test_highdicom_reads_the_same_from_the_source_images(written):
    sources, scan, path = written
    seg = highdicom.seg.segread(path)
    found = 0
    for uid, source in sources.items():
        wanted = [
            plane for plane in scan.planes if pydicom.dcmread(plane.path).SOPInstanceUID == uid
        ]
        if not wanted:
            continue
        if "NumberOfFrames" in source:
            frames = [plane.frame + 1 for plane in wanted]
            masks = seg.get_pixels_by_source_frame(uid, frames)
        else:
            frames = [None]
            masks = seg.get_pixels_by_source_instance([uid])
        for frame, mask in zip(frames, masks, strict=True):
            for channel, rule in enumerate(RULES.values()):
                expected = rule(source_pixels(source, frame))
                np.testing.assert_array_equal(mask[..., channel], expected)
                found += 1
    assert found == len(RULES) * len(scan.image)


def test_it_belongs_to_the_study_and_names_its_series(written):
    sources, scan, path = written
    seg = pydicom.dcmread(path)
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (STUDY, FRAME)
    named = {
        (series.SeriesInstanceUID, item.ReferencedSOPInstanceUID)
        for series in seg.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }
    used = {sop_instance(plane) for plane in scan.planes}
    assert named == {(sources[uid].SeriesInstanceUID, uid) for uid in used}
    assert seg.SeriesInstanceUID not in {source.SeriesInstanceUID for source in sources.values()}
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == list(scan.spacing_mm)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy, of dicom3tools")
def test_dciodvfy_finds_no_error(written):
    done = subprocess.run(["dciodvfy", str(written[2])], capture_output=True, text=True, check=True)
    assert "Segmentation" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("Error")]


def test_codes_and_colours_are_those_of_the_standard(tmp_path):
    write_dicom_seg(tmp_path / "a.dcm", segmented(read_dicom(stack(tmp_path / "source"))))
    found = {
        item.SegmentLabel: item for item in pydicom.dcmread(tmp_path / "a.dcm").SegmentSequence
    }

    def codes(label):
        item = found[label]
        sequences = ("SegmentedPropertyCategory", "SegmentedPropertyType")
        (category,), (kind,) = (item[f"{name}CodeSequence"].value for name in sequences)
        region = item.get("AnatomicRegionSequence")
        parts = [category, kind, *(region or [])]
        return [(part.CodingSchemeDesignator, part.CodeValue) for part in parts]

    assert codes("LV myocardium") == [("SCT", "91723000"), ("SCT", "49848007")]
    assert codes("LV blood pool") == [("SCT", "91720002"), ("SCT", "87612001"), ("SCT", "87878005")]
    wall = ("SCT", "49848007")
    assert codes("Scar") == [("SCT", "49755003"), ("SCT", "12402003"), wall]
    assert codes("Gray zone") == [("SCT", "49755003"), ("99ACSNET", "gray-zone"), wall]
    assert codes("Core scar") == [("SCT", "49755003"), ("99ACSNET", "core-scar"), wall]
    value = found["Core scar"].RecommendedDisplayCIELabValue
    shown = highdicom.color.CIELabColor.from_dicom_value(value).to_rgb()
    assert np.abs(np.subtract(shown, [int(CORE[k : k + 2], 16) for k in (1, 3, 5)])).max() <= 1
    assert {item.SegmentAlgorithmType for item in found.values()} == {"AUTOMATIC"}
    assert [structure.label for structure in STRUCTURES[:-1]] == list(found)
    assert STRUCTURES[-1].label == "No-reflow"  # of which nothing was given


def test_of_the_patient_only_what_the_standard_wants_is_repeated(tmp_path):
    secrets = {
        "PatientComments": "lives in La Mancha",
        "OtherPatientIDs": "OTHER-1",
        "PatientAddress": "Toledo 4",
        "PatientWeight": 61.625,
        "InstitutionName": "Hospital Dulcinea",
        "OperatorsName": "Panza^Sancho",
        "RequestingPhysician": "Carrasco^Sanson",
        "StudyDescription": "Cardiac, Quixote",
        "ProtocolName": "LGE of Quixote",
    }
    kept = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientBirthDate": "16050116",
        "PatientSex": "M",
        "StudyDate": "20240102",
        "AccessionNumber": "A1",
    }
    folder = stack(tmp_path / "source", **secrets, **kept, PatientName="Cervantes^José")
    write_dicom_seg(tmp_path / "a.dcm", segmented(read_dicom(folder)))
    seg = pydicom.dcmread(tmp_path / "a.dcm")
    assert str(seg.PatientName) == "Cervantes^José" and seg.PatientID == NUMBER
    assert {keyword: seg[keyword].value for keyword in kept} == kept
    raw = (tmp_path / "a.dcm").read_bytes()
    for value in secrets.values():
        assert str(value).encode() not in raw
    assert b"LGE SAX" not in raw


def test_a_source_without_optional_identity_gets_empty_elements(tmp_path):
    folder = stack(tmp_path / "source", drop=("PatientID", "SliceThickness"), PatientSex="U")
    write_dicom_seg(tmp_path / "a.dcm", segmented(read_dicom(folder)))
    seg = pydicom.dcmread(tmp_path / "a.dcm")
    assert seg.PatientName == NAME and seg.PatientID == "" and seg.StudyID == ""
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SliceThickness == pytest.approx(8.0)  # the distance of slices


def test_structures_without_a_pixel_are_no_segments(tmp_path):
    segmentation = segmented(read_dicom(stack(tmp_path / "source")))
    nothing = np.zeros_like(segmentation.core)
    bare = dataclasses.replace(segmentation, enhancement=nothing, core=nothing)
    write_dicom_seg(tmp_path / "a.dcm", bare)
    items = pydicom.dcmread(tmp_path / "a.dcm").SegmentSequence
    assert [(item.SegmentNumber, item.SegmentLabel) for item in items] == [
        (1, "LV myocardium"),
        (2, "LV blood pool"),
    ]
    empty = dataclasses.replace(bare, myocardium=nothing, blood_pool=nothing)
    with pytest.raises(InputError, match="nothing was segmented"):
        write_dicom_seg(tmp_path / "b.dcm", empty)
    assert not (tmp_path / "b.dcm").exists()


def test_slices_without_a_pixel_are_no_frames(tmp_path):
    segmentation = segmented(read_dicom(stack(tmp_path / "source")))
    segmentation.core[1:] = False
    segmentation.enhancement[1:] = False
    write_dicom_seg(tmp_path / "a.dcm", segmentation)
    seg = highdicom.seg.segread(tmp_path / "a.dcm")
    assert seg.NumberOfFrames == 2 * 5 + 3
    uids = [str(sop_instance(plane)) for plane in segmentation.scan.planes]
    masks = seg.get_pixels_by_source_instance(uids, ignore_spatial_locations=False)
    np.testing.assert_array_equal(masks[..., 4].astype(bool), segmentation.core)


def test_the_same_masks_have_the_same_uid_and_others_another(tmp_path):
    segmentation = segmented(read_dicom(stack(tmp_path / "source")))
    first, again = (write_dicom_seg(tmp_path / name, segmentation) for name in ("a", "b"))
    assert first.SOPInstanceUID == again.SOPInstanceUID
    segmentation.core[0, 0, 0] ^= True
    other = write_dicom_seg(tmp_path / "c", segmentation)
    assert other.SOPInstanceUID != first.SOPInstanceUID
    assert other.SeriesInstanceUID == first.SeriesInstanceUID


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "SOPInstanceUID"])
def test_images_that_nothing_can_refer_to_are_named(tmp_path, keyword):
    scan = read_dicom(stack(tmp_path / "source", drop=(keyword,)))
    with pytest.raises(InputError, match=rf"source.*{keyword} is missing"):
        write_dicom_seg(tmp_path / "a.dcm", segmented(scan))


def test_a_stack_of_two_frames_of_reference_is_refused(tmp_path):
    stack(tmp_path / "source", positions=(0, 1, 2, 3))
    write_slice(tmp_path / "source", "x.dcm", 4, pixels=noise(), FrameOfReferenceUID="1.2.3")
    scan = read_dicom(tmp_path / "source")
    with pytest.raises(InputError, match="FrameOfReferenceUID differs"):
        write_dicom_seg(tmp_path / "a.dcm", segmented(scan))


def test_a_scan_from_elsewhere_is_refused(tmp_path):
    scan = read_dicom(stack(tmp_path / "source"))
    stored = read_scan(write_scan(scan, tmp_path / "store"))
    assert stored.planes == ()
    with pytest.raises(InputError, match="not those of DICOM files"):
        write_dicom_seg(tmp_path / "a.dcm", segmented(stored))


def test_files_that_went_away_are_named(tmp_path):
    scan = read_dicom(stack(tmp_path / "source"))
    shutil.rmtree(tmp_path / "source")
    with pytest.raises(InputError, match="cannot read the DICOM header again"):
        write_dicom_seg(tmp_path / "a.dcm", segmented(scan))
