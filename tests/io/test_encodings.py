"""Every single-frame grey picture among pydicom's own files, whatever its encoding, as a stack."""

import pathlib
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_rescale
from pydicom.uid import MRImageStorage

from acsnet_jax.io import read_dicom
from acsnet_jax.types import InputError

FOLDER = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
SLICES = 3


def quiet():
    """Some of these files break the standard on purpose."""
    return warnings.catch_warnings(action="ignore")


def load(path):
    with quiet():
        return pydicom.dcmread(path)


def is_grey_picture(path):
    try:
        dataset = load(path)
        with quiet():
            return (
                "PixelData" in dataset
                and dataset.SamplesPerPixel == 1
                and dataset.PhotometricInterpretation.startswith("MONOCHROME")
                and dataset.get("NumberOfFrames", 1) in (None, 1)
                and dataset.BitsAllocated in (8, 16)
            )
    except (AttributeError, InvalidDicomError):
        return False


PICTURES = [path for path in sorted(FOLDER.glob("*.dcm")) if is_grey_picture(path)]
SYNTAXES = {path.name: load(path).file_meta.TransferSyntaxUID.name for path in PICTURES}


def write_as_stack(path, folder):
    """Copies of a picture as slices of a short-axis stack; its pixels stay as they are encoded."""
    for k in range(SLICES):
        dataset = load(path)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
        dataset.SOPInstanceUID = f"1.2.3.4.{k}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
        dataset.Modality = "MR"
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, 8 * k]
        dataset.PixelSpacing = [1.5, 1.5]
        for keyword in ("WindowCenter", "WindowWidth", "NumberOfFrames", "TriggerTime"):
            if keyword in dataset:
                del dataset[keyword]
        with quiet():
            dataset.save_as(folder / f"{k}.dcm")
    return folder


def pixels(path):
    """What pydicom makes of a picture; None where nothing here decodes it."""
    dataset = load(path)
    try:
        with quiet():
            return np.asarray(apply_rescale(dataset.pixel_array, dataset), np.float32)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        return None


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_decoded_as_pydicom_decodes_it_or_refused_by_name(path, tmp_path):
    stack, expected = write_as_stack(path, tmp_path), pixels(path)
    if expected is None:
        with pytest.raises(InputError, match=r"\.dcm: cannot decode the pixels"):
            read_dicom(stack)
        return
    scan = read_dicom(stack)
    assert len(scan.image) == SLICES
    for one in scan.image:
        np.testing.assert_array_equal(one, expected)


def test_lossless_encodings_of_one_picture_are_one_picture(tmp_path):
    plain = pixels(FOLDER / "MR_small.dcm")
    alike = [path for path in PICTURES if path.name.startswith("MR_small_")]
    assert len({SYNTAXES[path.name] for path in alike}) >= 5
    for path in alike:
        folder = tmp_path / path.stem
        folder.mkdir()
        for one in read_dicom(write_as_stack(path, folder)).image:
            np.testing.assert_array_equal(one, plain, err_msg=path.name)


def test_these_encodings_are_among_them():
    """What the installed decoders are there for: nothing of it fell out of pydicom's files."""
    assert set(SYNTAXES.values()) >= {
        "Deflated Explicit VR Little Endian",
        "Explicit VR Big Endian",
        "Explicit VR Little Endian",
        "Implicit VR Little Endian",
        "JPEG 2000 Image Compression",
        "JPEG 2000 Image Compression (Lossless Only)",
        "JPEG Extended (Process 2 and 4)",
        "JPEG-LS Lossless Image Compression",
        "JPEG-LS Lossy (Near-Lossless) Image Compression",
        "RLE Lossless",
    }
