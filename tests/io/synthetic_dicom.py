"""Writes small DICOM files, a short-axis stack by default."""

import pathlib

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

# Rows to the patient's left and down, columns back: a true short-axis plane, LPS.
APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3.0)
ROW = np.array([1.0, 1.0, 0.0]) / np.sqrt(2.0)
COLUMN = np.cross(APEX, ROW)
STUDY, SERIES, FRAME = "1.2.826.0.1.1", "1.2.826.0.1.2", "1.2.826.0.1.3"
NAME, NUMBER = "Quixote^Alonso", "HOSP-4711"


def base_dataset(path, *, rows=12, columns=10, sop_class=MRImageStorage):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, SERIES
    ds.FrameOfReferenceUID = FRAME
    ds.SeriesNumber = 7
    ds.SeriesDescription = "LGE SAX"
    ds.Modality = "MR"
    ds.PatientName, ds.PatientID = NAME, NUMBER
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    return ds


def write_slice(folder, name, position, *, pixels=None, distance=8.0, drop=(), **attributes):
    """One slice, ``position`` slice distances from the base towards the apex."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = np.arange(120).reshape(12, 10) + 100 * round(position)
    ds = base_dataset(folder / name, rows=pixels.shape[0], columns=pixels.shape[1])
    ds.ImagePositionPatient = [round(x, 6) for x in (APEX * distance * position).tolist()]
    ds.ImageOrientationPatient = [round(x, 6) for x in (*ROW, *COLUMN)]
    ds.PixelSpacing = [1.5, 1.25]
    ds.SliceThickness = 6
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    for keyword in drop:
        del ds[keyword]
    ds.PixelData = pixels.astype(np.uint16).tobytes()
    ds.save_as(folder / name, enforce_file_format=True)
    return folder / name


def write_stack(folder, slices=5, /, **attributes):
    """Slices base to apex, named in an order that is not that of their positions."""
    for k in range(slices):
        write_slice(folder, f"IM{(k * 3) % slices:02d}.dcm", k, **attributes)
    return pathlib.Path(folder)


def item(**attributes):
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def write_enhanced(path, slices=4, phases=1, *, slope=1.0, first=0, pixels=None):
    """A multi-frame file with shared and per-frame functional groups.

    Its first slice lies ``first`` slice distances from the base; ``pixels`` are slices by phases.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = base_dataset(path, sop_class=EnhancedMRImageStorage)
    ds.NumberOfFrames = slices * phases
    ds.SharedFunctionalGroupsSequence = Sequence(
        [
            item(
                PixelMeasuresSequence=Sequence([item(PixelSpacing=[1.5, 1.25])]),
                PlaneOrientationSequence=Sequence(
                    [item(ImageOrientationPatient=[round(x, 6) for x in (*ROW, *COLUMN)])]
                ),
                PixelValueTransformationSequence=Sequence(
                    [item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")]
                ),
            )
        ]
    )
    frames = []
    for k in range(slices):
        for t in range(phases):
            position = [round(x, 6) for x in (APEX * 8.0 * (first + k)).tolist()]
            frames.append(
                item(
                    PlanePositionSequence=Sequence([item(ImagePositionPatient=position)]),
                    CardiacSynchronizationSequence=Sequence(
                        [item(NominalCardiacTriggerDelayTime=40.0 * (phases - 1 - t))]
                    ),
                )
            )
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    if pixels is None:
        pixels = np.stack([np.full((12, 10), 10 * i) for i in range(slices * phases)])
    ds.PixelData = pixels.astype(np.uint16).tobytes()
    ds.save_as(path, enforce_file_format=True)
    return path
