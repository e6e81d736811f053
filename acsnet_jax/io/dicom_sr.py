"""Clinical features as a DICOM structured report (Comprehensive SR, TID 1500 Measurement Report).

One group of measurements a structure, volumes in mL, masses in g, shares in %; and one a segment of
the AHA's model, with the thickness of its wall and the transmurality of its infarct. The group of a
structure refers to the segment of the DICOM-SEG that was measured and to the images it was drawn
on; a structure that was looked for and not found has none, and its volume is 0. A feature that is
not available is left out. Papillary muscles count as blood: the group of the wall says that they
are excluded, that of the cavity that they are included.

References:
    DICOM PS3.16, TID 1500, 1411 and 1501; CID 3717, 3821, 7469.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

import acsnet_jax
from acsnet_jax.files import replacing
from acsnet_jax.io.dicom.sources import (
    Sources,
    derived_uid,
    identify,
    nobody,
    quiet,
    read_sources,
)
from acsnet_jax.io.dicom_seg import (
    CORE_SCAR,
    DARK_CORE,
    GRAY,
    LEFT_VENTRICLE,
    MAKER,
    MYOCARDIUM,
    PRIVATE,
    PRIVATE_SCHEME,
    SCAR,
    STRUCTURES,
    series_of,
)
from acsnet_jax.types import Scan

SHARE_OF_WALL = Code("share-of-wall", PRIVATE, "Share of the volume of the LV myocardium")
SHARE_OF_SEGMENT = Code("share-of-segment", PRIVATE, "Infarct, share of the segment's volume")
TRANSMURALITY = Code("transmurality", PRIVATE, "Infarct, mean share of the way through the wall")
SEGMENTS = (
    codes.cid3717.LeftVentricleBasalAnteriorSegment,
    codes.cid3717.LeftVentricleBasalAnteroseptalSegment,
    codes.cid3717.LeftVentricleBasalInferoseptalSegment,
    codes.cid3717.LeftVentricleBasalInferiorSegment,
    codes.cid3717.LeftVentricleBasalInferolateralSegment,
    codes.cid3717.LeftVentricleBasalAnterolateralSegment,
    codes.cid3717.LeftVentricleMidAnteriorSegment,
    codes.cid3717.LeftVentricleMidAnteroseptalSegment,
    codes.cid3717.LeftVentricleMidInferoseptalSegment,
    codes.cid3717.LeftVentricleMidInferiorSegment,
    codes.cid3717.LeftVentricleMidInferolateralSegment,
    codes.cid3717.LeftVentricleMidAnterolateralSegment,
    codes.cid3717.LeftVentricleApicalAnteriorSegment,
    codes.cid3717.LeftVentricleApicalSeptalSegment,
    codes.cid3717.LeftVentricleApicalInferiorSegment,
    codes.cid3717.LeftVentricleApicalLateralSegment,
    codes.cid3717.ApexOfLeftVentricle,
)
"""The AHA's segments, 1 to 17."""

_VOLUME, _MASS, _LV_MASS = codes.SCT.Volume, codes.SCT.MassQuantity, codes.LN.LeftVentricleMass
_ML, _GRAM = Code("mL", "UCUM", "milliliter"), Code("g", "UCUM", "gram")
_PERCENT, _MM = codes.UCUM.Percent, Code("mm", "UCUM", "millimeter")
_PAPILLARY = codes.DCM.PapillaryMuscleIncludedExcluded


class _Quantity(NamedTuple):
    """A field of the features as a measurement, ``scale`` times its value."""

    field: str
    name: Code
    unit: Code
    scale: float = 1.0


class _Group(NamedTuple):
    """What is measured of one structure; ``structure`` names its segment, where it may have one."""

    structure: str | None
    tracking: str
    finding: Code
    site: Code | None
    quantities: tuple[_Quantity, ...]
    papillary: Code | None = None


_INFARCT = _Group(
    None,
    "Infarct, scar and no-reflow",
    codes.SCT.MyocardialInfarction,
    MYOCARDIUM,
    (
        _Quantity("infarct_mass_g", _MASS, _GRAM),
        _Quantity("infarct_volume_ml", _VOLUME, _ML),
        _Quantity("infarct_fraction", SHARE_OF_WALL, _PERCENT, 100.0),
    ),
)
_GROUPS = (
    _Group(
        "myocardium",
        "LV myocardium",
        MYOCARDIUM,
        None,
        (
            _Quantity("myocardial_mass_g", _LV_MASS, _GRAM),
            _Quantity("myocardial_volume_ml", _VOLUME, _ML),
        ),
        codes.DCM.PapillaryMuscleExcluded,
    ),
    _Group(
        "blood_pool",
        "LV blood pool",
        codes.SCT.Blood,
        LEFT_VENTRICLE,
        (_Quantity("blood_pool_volume_ml", _VOLUME, _ML),),
        codes.DCM.PapillaryMuscleIncluded,
    ),
    _Group(
        None,
        "Left ventricle, wall and cavity",
        LEFT_VENTRICLE,
        None,
        (_Quantity("lv_volume_ml", _VOLUME, _ML),),
    ),
    _Group(
        "enhancement",
        "Scar",
        SCAR,
        MYOCARDIUM,
        (
            _Quantity("enhancement_mass_g", _MASS, _GRAM),
            _Quantity("enhancement_volume_ml", _VOLUME, _ML),
            _Quantity("scar_fraction", SHARE_OF_WALL, _PERCENT, 100.0),
        ),
    ),
    _Group(
        "core",
        "Core scar",
        CORE_SCAR,
        MYOCARDIUM,
        (
            _Quantity("core_scar_mass_g", _MASS, _GRAM),
            _Quantity("core_scar_volume_ml", _VOLUME, _ML),
            _Quantity("core_fraction", SHARE_OF_WALL, _PERCENT, 100.0),
        ),
    ),
    _Group(
        "gray_zone",
        "Gray zone",
        GRAY,
        MYOCARDIUM,
        (
            _Quantity("gray_zone_mass_g", _MASS, _GRAM),
            _Quantity("gray_zone_volume_ml", _VOLUME, _ML),
        ),
    ),
    _Group(
        "no_reflow",
        "No-reflow",
        DARK_CORE,
        MYOCARDIUM,
        (
            _Quantity("no_reflow_mass_g", _MASS, _GRAM),
            _Quantity("no_reflow_volume_ml", _VOLUME, _ML),
            _Quantity("no_reflow_fraction", SHARE_OF_WALL, _PERCENT, 100.0),
        ),
    ),
)
_OF_SEGMENT = (
    _Quantity("mass_g", _MASS, _GRAM),
    _Quantity("wall_mean_mm", codes.DCM.WallThickness, _MM),
    _Quantity("infarct_fraction", SHARE_OF_SEGMENT, _PERCENT, 100.0),
    _Quantity("transmurality_mean", TRANSMURALITY, _PERCENT, 100.0),
)


@quiet()
def write_dicom_sr(
    path: pathlib.Path,
    scan: Scan,
    segmentation: Dataset,
    features: Mapping[str, Any],
    *,
    segments: Sequence[Mapping[str, Any]] = (),
) -> Dataset:
    """Write the features of a scan that was read from DICOM.

    Args:
        path: file to write.
        scan: the scan.
        segmentation: what `acsnet_jax.io.dicom_seg.write_dicom_seg` returned for it.
        features: `acsnet_jax.clinical.Features` by field, or as many of them as there are. The
            infarct is called "scar alone" where there is no no-reflow.
        segments: `acsnet_jax.clinical.SegmentFeatures` by field, the 17 or none.

    Returns:
        The data set that was written.

    Raises:
        InputError: the scan's files cannot be referred to.
    """
    sources = read_sources(scan)
    whole = features.get("no_reflow_volume_ml") is not None or not features.get("infarct_volume_ml")
    infarct = _INFARCT if whole else _INFARCT._replace(tracking="Infarct, scar alone")
    groups = [
        _measurements(group, quantities, segmentation, sources)
        for group, values in (
            *((one, features) for one in (*_GROUPS, infarct)),
            *_of_segments(segments),
        )
        if (quantities := _known(group, values))
    ]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer()),
        procedure_reported=codes.LN.MRIUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    series = series_of(sources, "measurements", index=2)
    dataset = sr.ComprehensiveSR(
        evidence=_evidence(segmentation, sources),
        content=content,
        series_instance_uid=series.uid,
        series_number=series.number,
        sop_instance_uid=derived_uid(
            segmentation.SOPInstanceUID,
            *(f"{name}={features[name]}" for name in sorted(features)),
            *(f"{one}" for one in segments),
        ),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=acsnet_jax.__version__,
        device_serial_number=acsnet_jax.__version__,
        series_description="LV and scar measurements",
        coding_schemes=[PRIVATE_SCHEME],
        is_complete=True,
    )
    identify(dataset, sources)
    with replacing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return dataset


def _of_segments(
    segments: Sequence[Mapping[str, Any]],
) -> list[tuple[_Group, Mapping[str, Any]]]:
    """A group for each of the AHA's segments, with its values."""
    return [
        (_Group(None, f"Segment {one['segment']}", MYOCARDIUM, site, _OF_SEGMENT), one)
        for site, one in zip(SEGMENTS, segments, strict=bool(segments))
    ]


def _known(group: _Group, features: Mapping[str, Any]) -> list[sr.Measurement]:
    return [
        sr.Measurement(
            name=quantity.name,
            value=round(quantity.scale * float(features[quantity.field]), 4),
            unit=quantity.unit,
            algorithm_id=sr.AlgorithmIdentification(MAKER, acsnet_jax.__version__),
        )
        for quantity in group.quantities
        if features.get(quantity.field) is not None
    ]


def _measurements(
    group: _Group,
    quantities: Sequence[sr.Measurement],
    segmentation: Dataset,
    sources: Sources,
) -> (
    sr.VolumetricROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations
):
    """A group of measurements, of a segment if the structure has one."""
    evaluations = []
    if group.papillary is not None:
        evaluations.append(sr.QualitativeEvaluation(_PAPILLARY, group.papillary))
    described: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(
            derived_uid(segmentation.SOPInstanceUID, group.tracking), group.tracking
        ),
        "finding_type": group.finding,
        "finding_sites": None if group.site is None else [sr.FindingSite(group.site)],
        "measurements": quantities,
        "qualitative_evaluations": evaluations,
    }
    number = _segment_number(group, segmentation)
    if number is None:
        return sr.MeasurementsAndQualitativeEvaluations(**described)
    segment = sr.ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=number,
        source_images=_source_images(sources),
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=segment, **described
    )


def _segment_number(group: _Group, segmentation: Dataset) -> int | None:
    labels = {structure.name: structure.label for structure in STRUCTURES}
    if group.structure is None:
        return None
    wanted = labels[group.structure]
    numbers = {item.SegmentLabel: int(item.SegmentNumber) for item in segmentation.SegmentSequence}
    return numbers.get(wanted)


def _source_images(sources: Sources) -> list[sr.SourceImageForSegmentation]:
    """Each source object once, with the frames that were segmented."""
    images = []
    for first in sources.instances():
        frames = [
            plane.frame
            for plane in sources.planes
            if plane.sop_instance == first.sop_instance and plane.frame is not None
        ]
        images.append(
            sr.SourceImageForSegmentation(first.sop_class, first.sop_instance, frames or None)
        )
    return images


def _observer() -> sr.ObserverContext:
    version = acsnet_jax.__version__
    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid(MAKER, version),
            name=MAKER,
            manufacturer_name=MAKER,
            model_name=MAKER,
            serial_number=version,
        ),
    )


def _evidence(segmentation: Dataset, sources: Sources) -> list[Dataset]:
    """The segmentation and the images it was drawn on, by UID alone."""
    found = [
        (segmentation.SOPClassUID, segmentation.SOPInstanceUID, segmentation.SeriesInstanceUID)
    ]
    found += [(p.sop_class, p.sop_instance, p.series) for p in sources.instances()]
    evidence = []
    for sop_class, sop_instance, series in found:
        item = Dataset()
        item.SOPClassUID, item.SOPInstanceUID, item.SeriesInstanceUID = (
            sop_class,
            sop_instance,
            series,
        )
        item.update(nobody(sources))
        evidence.append(item)
    return evidence
