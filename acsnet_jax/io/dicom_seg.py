"""A segmentation as a DICOM Segmentation, for a PACS and the viewers that read from it.

BINARY, one bit a pixel, on the grid of the source images and referring to each of them. Segments
overlap, since each code means all of its structure: the myocardium holds its scar, the scar its
core. They come in an order in which a viewer that shows one segment a pixel, the last one, shows
the finest: wall, blood, scar, gray zone, core, no-reflow. A segment without a pixel is left out.

It carries what identifies patient and study, as the standard wants of objects of one study, and
nothing else of the source's header: see `acsnet_jax.io.dicom.sources`.

References:
    DICOM PS3.3, A.51 and C.8.20; PS3.16, CID 7150 and 7151.
"""

import pathlib
from typing import NamedTuple

import highdicom
import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.color import CIELabColor
from highdicom.seg import SegmentDescription
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MRImageStorage

import acsnet_jax
from acsnet_jax.files import replacing
from acsnet_jax.io.dicom.sources import (
    Sources,
    derived_uid,
    identify,
    nobody,
    quiet,
    read_sources,
    reference,
)
from acsnet_jax.palette import CAVITY, CORE, ENHANCEMENT, GRAY_ZONE, NO_REFLOW, WALL
from acsnet_jax.types import InputError, MaskStack, Scan, Segmentation

PRIVATE = "99ACSNET"
"""Designator of our own codes, for what the standard's dictionaries do not hold."""

LEFT_VENTRICLE = codes.SCT.LeftVentricle
MYOCARDIUM = codes.SCT.LeftVentricleMyocardium
SCAR = codes.SCT.ScarTissue
CORE_SCAR = Code("core-scar", PRIVATE, "Core scar")
GRAY = Code("gray-zone", PRIVATE, "Gray zone of scar")
DARK_CORE = Code("no-reflow", PRIVATE, "No-reflow, dark core of an infarct")

PRIVATE_SCHEME = CodingSchemeIdentificationItem(
    PRIVATE, name="acsnet_jax", responsible_organization="acsnet_jax"
)
MAKER = "acsnet_jax"
"""Manufacturer, model and algorithm of what is written."""
_SERIES_NUMBERS = 1000  # of ours, above the source's own


class Structure(NamedTuple):
    """A segment's meaning.

    Attributes:
        name: of the mask.
        label: for readers.
        description: what belongs to it.
        category: of CID 7150.
        code: what it is.
        region: where it lies; None if the code says so.
        colour: ``#rrggbb``.
    """

    name: str
    label: str
    description: str
    category: Code
    code: Code
    region: Code | None
    colour: str


STRUCTURES = (
    Structure(
        "myocardium",
        "LV myocardium",
        "Wall of the left ventricle, viable and enhanced, without papillary muscles",
        codes.SCT.AnatomicalStructure,
        MYOCARDIUM,
        None,
        WALL,
    ),
    Structure(
        "blood_pool",
        "LV blood pool",
        "Cavity of the left ventricle with its papillary muscles",
        codes.SCT.BodySubstance,
        codes.SCT.Blood,
        LEFT_VENTRICLE,
        CAVITY,
    ),
    Structure(
        "enhancement",
        "Scar",
        "Late gadolinium enhancement of the wall: gray zone and core",
        codes.SCT.MorphologicallyAbnormalStructure,
        SCAR,
        MYOCARDIUM,
        ENHANCEMENT,
    ),
    Structure(
        "gray_zone",
        "Gray zone",
        "Enhancement below the threshold of core scar, without no-reflow",
        codes.SCT.MorphologicallyAbnormalStructure,
        GRAY,
        MYOCARDIUM,
        GRAY_ZONE,
    ),
    Structure(
        "core",
        "Core scar",
        "Enhancement at or above half of its maximum (FWHM)",
        codes.SCT.MorphologicallyAbnormalStructure,
        CORE_SCAR,
        MYOCARDIUM,
        CORE,
    ),
    Structure(
        "no_reflow",
        "No-reflow",
        "Dark core of the infarct, which belongs to it",
        codes.SCT.MorphologicallyAbnormalStructure,
        DARK_CORE,
        MYOCARDIUM,
        NO_REFLOW,
    ),
)
"""All that a segmentation may hold, in the order of its segments."""


@quiet()
def write_dicom_seg(
    path: pathlib.Path, segmentation: Segmentation, *, no_reflow: MaskStack | None = None
) -> Dataset:
    """Write a segmentation of a DICOM series as DICOM.

    Args:
        path: file to write.
        segmentation: of a scan that was read from DICOM.
        no_reflow: dark cores of the infarct, where they were looked for.

    Returns:
        The data set that was written, for objects that refer to it.

    Raises:
        InputError: nothing was segmented, or the scan's files cannot be referred to.
    """
    sources = read_sources(segmentation.scan)
    found = structure_masks(segmentation, no_reflow=no_reflow)
    masks = {name: mask for name, mask in found.items() if mask.any()}
    if not masks:
        raise InputError(f"scan {segmentation.scan.id}: nothing was segmented, no DICOM-SEG is due")
    dataset = _segmentation(segmentation, masks, sources)
    with replacing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return dataset


def structure_masks(
    segmentation: Segmentation, *, no_reflow: MaskStack | None = None
) -> dict[str, MaskStack]:
    """The mask of each of `STRUCTURES` by name, apex first; arguments as of `write_dicom_seg`."""
    dark = np.zeros_like(segmentation.core) if no_reflow is None else no_reflow
    return {
        "myocardium": segmentation.myocardium,
        "blood_pool": segmentation.blood_pool,
        "enhancement": segmentation.enhancement,
        "gray_zone": segmentation.enhancement & ~segmentation.core & ~dark,
        "core": segmentation.core,
        "no_reflow": dark,
    }


class Series(NamedTuple):
    """A series of ours beside those that it derives from.

    Attributes:
        uid: the same for the same sources.
        number: one that the scanner is unlikely to have used.
    """

    uid: str
    number: int


def series_of(sources: Sources, name: str, *, index: int) -> Series:
    """The series of a kind of object.

    Args:
        sources: the images that it derives from.
        name: of the kind.
        index: tells kinds apart in the series' number.
    """
    uid = derived_uid(name, *(plane.sop_instance for plane in sources.planes))
    number = _SERIES_NUMBERS + 10 * sources.series_number + index
    return Series(uid, number if number < 2**31 else _SERIES_NUMBERS + index)  # what IS can hold


def algorithm() -> highdicom.AlgorithmIdentificationSequence:
    """What made the masks."""
    return highdicom.AlgorithmIdentificationSequence(
        name=MAKER,
        family=codes.cid7162.ArtificialIntelligence,
        version=acsnet_jax.__version__,
    )


def _segmentation(
    segmentation: Segmentation, masks: dict[str, MaskStack], sources: Sources
) -> Dataset:
    described = [structure for structure in STRUCTURES if structure.name in masks]
    pixels = np.stack([masks[structure.name] for structure in described], axis=-1)
    views = [_view(k, sources, segmentation.scan) for k in range(len(sources.planes))]
    instance = derived_uid(
        *(plane.sop_instance for plane in sources.planes),
        acsnet_jax.__version__,
        *(structure.name for structure in described),
        np.packbits(pixels).tobytes().hex(),
    )
    series = series_of(sources, "segmentation", index=1)
    dataset = highdicom.seg.Segmentation(
        source_images=views,
        pixel_array=pixels.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_description(n, s) for n, s in enumerate(described, start=1)],
        series_instance_uid=series.uid,
        series_number=series.number,
        sop_instance_uid=instance,
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=acsnet_jax.__version__,
        device_serial_number=acsnet_jax.__version__,
        series_description="LV and scar segmentation",
        content_label="LV_AND_SCAR",
        content_description="Left ventricle and scar, segmented automatically",
        coding_schemes=[PRIVATE_SCHEME],
    )
    identify(dataset, sources)
    _refer(dataset, sources)
    return dataset


def _description(number: int, structure: Structure) -> SegmentDescription:
    red, green, blue = (int(structure.colour[k : k + 2], 16) for k in (1, 3, 5))
    item = SegmentDescription(
        segment_number=number,
        segment_label=structure.label,
        segmented_property_category=structure.category,
        segmented_property_type=structure.code,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm(),
        anatomic_regions=None if structure.region is None else [structure.region],
        display_color=CIELabColor.from_rgb(red, green, blue),
    )
    item.SegmentDescription = structure.description
    return item


def _view(index: int, sources: Sources, scan: Scan) -> Dataset:
    """A slice as a single-frame image under a UID of its own, whatever file it lies in.

    Slices may be frames of one file or of several, or of a series each: highdicom sees one plain
    series, and `_refer` puts the true references in place.
    """
    plane = sources.planes[index]
    view = Dataset()
    view.update(plane.geometry)
    # Last digits may differ from slice to slice; highdicom wants them alike.
    view.ImageOrientationPatient = sources.planes[0].geometry.ImageOrientationPatient
    view.PixelSpacing = sources.planes[0].geometry.PixelSpacing
    view.SOPClassUID, view.SOPInstanceUID = MRImageStorage, _stand_in(index)
    view.SeriesInstanceUID = _stand_in(-1)
    view.FrameOfReferenceUID = sources.frame_of_reference
    view.Modality = "MR"
    view.update(nobody(sources))
    view.Rows, view.Columns = scan.image.shape[1:]
    if not view.get("SliceThickness"):
        view.SliceThickness = round(float(np.linalg.norm(scan.affine[:3, 2])), 6)
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(view, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(view, keyword, "")
    return view


def _stand_in(index: int) -> str:
    return f"2.25.{index + 2}"


def _refer(dataset: Dataset, sources: Sources) -> None:
    """Puts references to the true source images in the place of those to `_view`."""
    planes = {_stand_in(k): plane for k, plane in enumerate(sources.planes)}
    items = [
        item
        for group in dataset.PerFrameFunctionalGroupsSequence
        for item in group.DerivationImageSequence[0].SourceImageSequence
    ]
    for item in {id(item): item for item in items}.values():  # frames of a slice may share one
        plane = planes[item.ReferencedSOPInstanceUID]
        item.update(reference(plane, frames=[] if plane.frame is None else [plane.frame]))
    series: dict[str, list[Dataset]] = {}
    for plane in sources.instances():
        series.setdefault(plane.series, []).append(reference(plane))
    dataset.SourceImageSequence = [item for items in series.values() for item in items]
    dataset.ReferencedSeriesSequence = []
    for uid, items in series.items():
        entry = Dataset()
        entry.SeriesInstanceUID = uid
        entry.ReferencedInstanceSequence = items
        dataset.ReferencedSeriesSequence.append(entry)
