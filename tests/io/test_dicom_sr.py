"""The structured report, read back by highdicom and item by item by pydicom."""

import shutil
import subprocess

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom import sr
from synthetic_dicom import NAME, NUMBER, STUDY, write_enhanced, write_stack

from acsnet_jax import clinical
from acsnet_jax.io import read_dicom
from acsnet_jax.io.dicom_seg import write_dicom_seg
from acsnet_jax.io.dicom_sr import write_dicom_sr
from acsnet_jax.types import Segmentation

WALL, BLOOD, VENTRICLE = ("SCT", "49848007"), ("SCT", "87612001"), ("SCT", "87878005")
SCAR, CORE, GRAY = ("SCT", "12402003"), ("99ACSNET", "core-scar"), ("99ACSNET", "gray-zone")
VOLUME, MASS, LV_MASS = ("SCT", "118565006"), ("SCT", "118538004"), ("LN", "18087-7")
SHARE = ("99ACSNET", "share-of-wall")
DARK, INFARCT = ("99ACSNET", "no-reflow"), ("SCT", "22298006")
SEGMENTS = {WALL: 1, BLOOD: 2, SCAR: 3, GRAY: 4, CORE: 5}


def segmented(scan, *, scar=True):
    masks = np.zeros((4, *scan.image.shape), bool)
    masks[0, :, 2:9, 2:8] = True
    masks[1, :, 4:7, 4:6] = True
    masks[0] &= ~masks[1]
    if scar:
        masks[2, :, 2:4, 2:8] = True
        masks[3, 0, 2:3, 2:8] = True
    return Segmentation(
        scan=scan,
        myocardium=masks[0],
        blood_pool=masks[1],
        enhancement=masks[2],
        core=masks[3],
        kept=np.ones(len(scan.image), bool),
    )


def write(folder, segmentation):
    """SEG, report, and the features that it tells."""
    seg = write_dicom_seg(folder / "segmentation.dcm", segmentation)
    features = clinical.features(segmentation)._asdict()
    path = folder / "measurements.dcm"
    write_dicom_sr(path, segmentation.scan, seg, features)
    return seg, path, features


def code(item):
    return item.CodingSchemeDesignator, item.CodeValue


def values(path):
    """(finding, quantity) -> (value, unit), read item by item."""
    found = {}
    (measurements,) = [
        item for item in pydicom.dcmread(path).ContentSequence if item.ValueType == "CONTAINER"
    ]
    for group in measurements.ContentSequence:
        (finding,) = [
            code(item.ConceptCodeSequence[0])
            for item in group.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeMeaning == "Finding"
        ]
        for item in group.ContentSequence:
            if item.ValueType == "NUM":
                measured = item.MeasuredValueSequence[0]
                unit = code(measured.MeasurementUnitsCodeSequence[0])
                key = finding, code(item.ConceptNameCodeSequence[0])
                found[key] = float(measured.NumericValue), unit
    return found


@pytest.fixture(params=["single", "multi-frame"])
def written(request, tmp_path):
    if request.param == "single":
        folder = write_stack(tmp_path / "source")
    else:
        folder = write_enhanced(tmp_path / "source" / "a.dcm", 4, 3).parent
    return write(tmp_path, segmented(read_dicom(folder)))


def test_each_feature_is_told_in_its_unit(written):
    _, path, features = written
    ml, gram, percent = ("UCUM", "mL"), ("UCUM", "g"), ("UCUM", "%")
    expected = {
        (WALL, LV_MASS): (features["myocardial_mass_g"], gram),
        (WALL, VOLUME): (features["myocardial_volume_ml"], ml),
        (BLOOD, VOLUME): (features["blood_pool_volume_ml"], ml),
        (VENTRICLE, VOLUME): (features["lv_volume_ml"], ml),
        (SCAR, MASS): (features["enhancement_mass_g"], gram),
        (SCAR, VOLUME): (features["enhancement_volume_ml"], ml),
        (SCAR, SHARE): (100 * features["scar_fraction"], percent),
        (CORE, MASS): (features["core_scar_mass_g"], gram),
        (CORE, VOLUME): (features["core_scar_volume_ml"], ml),
        (CORE, SHARE): (100 * features["core_fraction"], percent),
        (GRAY, MASS): (features["gray_zone_mass_g"], gram),
        (GRAY, VOLUME): (features["gray_zone_volume_ml"], ml),
        (INFARCT, MASS): (features["infarct_mass_g"], gram),
        (INFARCT, VOLUME): (features["infarct_volume_ml"], ml),
        (INFARCT, SHARE): (100 * features["infarct_fraction"], percent),
    }
    assert features["no_reflow_mass_g"] is None  # there is no remote myocardium to measure against
    found = values(path)
    assert found.keys() == expected.keys()
    for key, (value, unit) in expected.items():
        assert found[key] == (pytest.approx(value, abs=1e-4), unit), key
    # 6 pixels of 1.5 x 1.25 mm on one slice of 8 mm.
    assert found[CORE, VOLUME][0] == pytest.approx(6 * 1.5 * 1.25 * 8 / 1000, abs=1e-4)


def test_highdicom_finds_each_group_with_the_segment_that_was_measured(written):
    seg, path, _ = written
    report = sr.srread(path)
    assert isinstance(report, sr.ComprehensiveSR)
    content = report.content
    assert isinstance(content, sr.MeasurementReport)
    groups = content.get_volumetric_roi_measurement_groups()
    found = {}
    for group in groups:
        assert group.finding_type is not None
        segment = group.referenced_segment
        assert segment is not None
        reference = segment[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        finding = group.finding_type.scheme_designator, group.finding_type.value
        found[finding] = reference.ReferencedSegmentNumber
    assert found == SEGMENTS
    others = [group.tracking_identifier for group in content.get_image_measurement_groups()]
    assert others == ["Left ventricle, wall and cavity", "Infarct, scar alone"]  # as no remote


def test_papillary_muscles_are_blood_and_it_says_so(written):
    _, path, _ = written
    content = sr.srread(path).content
    assert isinstance(content, sr.MeasurementReport)
    found = {
        group.tracking_identifier: [
            code(item[0].ConceptCodeSequence[0]) for item in group.get_qualitative_evaluations()
        ]
        for group in content.get_volumetric_roi_measurement_groups()
    }
    assert found["LV myocardium"] == [("DCM", "122620")]
    assert found["LV blood pool"] == [("DCM", "122621")]
    assert not found["Scar"]


def test_images_and_frames_are_those_of_the_segmentation(written):
    seg, path, _ = written
    report = pydicom.dcmread(path)
    images = {
        item.ReferencedSOPInstanceUID
        for series in seg.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert evidence == images | {seg.SOPInstanceUID}
    group = report.ContentSequence[-1].ContentSequence[0]
    sources = [
        item.ReferencedSOPSequence[0]
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Source Image for Segmentation"
    ]
    assert {item.ReferencedSOPInstanceUID for item in sources} == images
    frames = [item.get("ReferencedFrameNumber") for item in sources]
    # The earliest of three phases, which the file holds latest first, apex first.
    assert frames == ([None] * 5 if len(images) == 5 else [[12, 9, 6, 3]])


def test_it_belongs_to_the_study_and_is_not_final(written):
    _, path, _ = written
    report = pydicom.dcmread(path)
    assert (report.StudyInstanceUID, report.PatientName, report.PatientID) == (STUDY, NAME, NUMBER)
    assert report.PreliminaryFlag == "PRELIMINARY" and report.VerificationFlag == "UNVERIFIED"
    assert b"LGE SAX" not in path.read_bytes()


def test_no_scar_is_a_volume_of_zero_without_a_segment(tmp_path):
    segmentation = segmented(read_dicom(write_stack(tmp_path / "source")), scar=False)
    _, path, _ = write(tmp_path, segmentation)
    found = values(path)
    assert found[SCAR, VOLUME][0] == 0 and found[CORE, VOLUME][0] == 0
    content = sr.srread(path).content
    assert isinstance(content, sr.MeasurementReport)
    assert len(content.get_volumetric_roi_measurement_groups()) == 2


def test_what_is_not_available_is_left_out(tmp_path):
    segmentation = segmented(read_dicom(write_stack(tmp_path / "source")))
    seg = write_dicom_seg(tmp_path / "segmentation.dcm", segmentation)
    features = clinical.features(segmentation)._replace(enhancement_volume_ml=None)
    path = tmp_path / "measurements.dcm"
    write_dicom_sr(path, segmentation.scan, seg, features._asdict())
    found = values(path)
    assert (SCAR, VOLUME) not in found and (SCAR, SHARE) in found


def test_no_reflow_is_a_segment_of_its_own_and_no_gray_zone(tmp_path):
    segmentation = segmented(read_dicom(write_stack(tmp_path / "source")))
    dark = segmentation.enhancement & ~segmentation.core
    dark[1:] = False
    seg = write_dicom_seg(tmp_path / "segmentation.dcm", segmentation, no_reflow=dark)
    numbers = {item.SegmentLabel: int(item.SegmentNumber) for item in seg.SegmentSequence}
    (item,) = [one for one in seg.SegmentSequence if one.SegmentLabel == "No-reflow"]
    assert code(item.SegmentedPropertyTypeCodeSequence[0]) == DARK
    read = highdicom.seg.segread(tmp_path / "segmentation.dcm")

    def pixels(label):
        volume = read.get_volume(segment_numbers=[numbers[label]])
        return int(np.count_nonzero(volume.array))

    gray = segmentation.enhancement & ~segmentation.core
    assert pixels("No-reflow") == dark.sum()
    assert pixels("Gray zone") == (gray & ~dark).sum()
    features = {"no_reflow_volume_ml": 1.5}
    path = tmp_path / "measurements.dcm"
    write_dicom_sr(path, segmentation.scan, seg, features)
    assert values(path) == {(DARK, VOLUME): (1.5, ("UCUM", "mL"))}


def numbered_segments():
    """The AHA's 17, with numbers that tell them apart; the apex has none."""
    return [
        {
            "segment": number,
            "mass_g": None if number == 17 else float(number),
            "wall_mean_mm": None if number == 17 else 5.0 + number,
            "infarct_fraction": None if number == 17 else number / 100,
            "transmurality_mean": None if number == 17 else number / 50,
        }
        for number in range(1, 18)
    ]


def test_segments_stand_at_their_sites(tmp_path):
    segmentation = segmented(read_dicom(write_stack(tmp_path / "source")))
    seg = write_dicom_seg(tmp_path / "segmentation.dcm", segmentation)
    path = tmp_path / "measurements.dcm"
    write_dicom_sr(path, segmentation.scan, seg, {}, segments=numbered_segments())
    content = sr.srread(path).content
    assert isinstance(content, sr.MeasurementReport)
    found = {}
    for group in content.get_image_measurement_groups():
        (site,) = group.finding_sites
        numbers = [float(one.value) for one in group.get_measurements()]
        found[site.value.value] = numbers
    assert len(found) == 16
    # basal anterior, basal inferoseptal, apical lateral
    assert found["264850008"] == [1.0, 6.0, 1.0, 2.0]
    assert found["396646008"] == [3.0, 8.0, 3.0, 6.0]
    assert found["264853005"] == [16.0, 21.0, 16.0, 32.0]
    with pytest.raises(ValueError, match="shorter"):
        write_dicom_sr(path, segmentation.scan, seg, {}, segments=numbered_segments()[:3])
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=True)
        assert not [line for line in done.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy, of dicom3tools")
def test_dciodvfy_finds_no_error(written):
    command = ["dciodvfy", str(written[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ComprehensiveSR" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("Error")]
