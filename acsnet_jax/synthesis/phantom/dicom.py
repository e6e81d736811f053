"""A synthetic scan as a folder of DICOM files, one a slice, as a scanner would send it.

Stored pixels are 16-bit unsigned; ``stored * RescaleSlope + RescaleIntercept`` is the intensity.
"""

import os
import pathlib

import numpy as np
import pydicom
import pydicom.uid
from pydicom.dataset import FileMetaDataset
from pydicom.valuerep import format_number_as_ds

from acsnet_jax.files import replacing_folder
from acsnet_jax.types import InputError, Scan

_WHITE = 65535
_PERSON = "PHANTOM"
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_dicom(scan: Scan, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Write a synthetic scan as MR Image Storage; labels are not written.

    The folder appears when it is complete.

    Args:
        scan: a scan whose affine is oriented.
        folder: a new folder, or an empty one.

    Returns:
        The files, in the scan's file order.

    Raises:
        InputError: the scan is not oriented, or the folder holds files already.
    """
    folder = pathlib.Path(folder)
    if not scan.oriented:
        raise InputError(f"write_dicom: scan {scan.id} has no patient orientation to write")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"write_dicom: {folder} is not empty; name a new folder")
    names = []
    with replacing_folder(folder) as temporary:
        for instance, dataset in enumerate(_datasets(scan), start=1):
            names.append(f"IM-{instance:04d}.dcm")
            dataset.save_as(temporary / names[-1], enforce_file_format=True)
    return [folder / name for name in names]


def _datasets(scan: Scan) -> list[pydicom.Dataset]:
    low = float(scan.image.min())
    slope = max(float(scan.image.max()) - low, 1e-6) / _WHITE
    # What the header can hold is what the pixels are quantised with.
    slope, low = float(_decimal(slope)), float(_decimal(low))
    stored = np.clip(np.rint((scan.image.astype(np.float64) - low) / slope), 0, _WHITE)
    stored = stored.astype("<u2")

    to_patient = _TO_LPS @ scan.affine
    right, down, _ = (to_patient[:3, :3] / np.linalg.norm(to_patient[:3, :3], axis=0)).T
    gaps = np.diff(scan.positions_mm)
    distance_mm = float(gaps.mean()) if len(gaps) else float(np.linalg.norm(to_patient[:3, 2]))
    study, series, frame = (
        pydicom.uid.generate_uid(entropy_srcs=[scan.id, part])
        for part in ("study", "series", "frame")
    )
    datasets = []
    for instance, k in enumerate(np.argsort(scan.file_order), start=1):
        position = to_patient @ np.array([0.0, 0.0, float(k), 1.0])
        dataset = pydicom.Dataset()
        dataset.SOPClassUID = pydicom.uid.MRImageStorage
        dataset.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[scan.id, str(instance)])
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.FrameOfReferenceUID = frame
        dataset.Modality = "MR"
        dataset.Manufacturer = "acsnet_jax"
        dataset.PatientName = _PERSON
        dataset.PatientID = _PERSON
        dataset.PatientBirthDate, dataset.PatientSex = "", ""
        dataset.StudyDate, dataset.StudyTime = "", ""
        dataset.AccessionNumber, dataset.StudyID = "", ""
        dataset.ReferringPhysicianName = ""
        dataset.SeriesDescription = f"{scan.modality} short axis"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        dataset.ScanningSequence, dataset.SequenceVariant = "GR", "SK"
        dataset.SeriesNumber, dataset.InstanceNumber = 1, instance
        dataset.ImagePositionPatient = [_decimal(value) for value in position[:3]]
        dataset.ImageOrientationPatient = [_decimal(value) for value in (*right, *down)]
        dataset.PixelSpacing = [_decimal(value) for value in scan.spacing_mm]
        dataset.SliceThickness = _decimal(0.8 * distance_mm)
        dataset.SpacingBetweenSlices = _decimal(distance_mm)
        dataset.SliceLocation = _decimal(float(scan.positions_mm[k]))
        dataset.RescaleSlope, dataset.RescaleIntercept = _decimal(slope), _decimal(low)
        dataset.RescaleType = "US"
        if scan.window is not None:
            dataset.WindowCenter = _decimal(scan.window.centre)
            dataset.WindowWidth = _decimal(scan.window.width)
            dataset.VOILUTFunction = scan.window.function.upper()
        dataset.Rows, dataset.Columns = scan.image.shape[1:]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 0
        dataset.PixelData = stored[k].tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        datasets.append(dataset)
    return datasets


def _decimal(value: float) -> str:
    """A number in the 16 characters that a DICOM decimal string has."""
    return format_number_as_ds(float(value))
