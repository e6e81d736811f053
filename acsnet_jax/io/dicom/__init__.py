"""DICOM: a folder of mixed files -> the short-axis stack in it, as a `Scan`."""

from acsnet_jax.io.dicom.headers import Frame, is_dicom, study_uid
from acsnet_jax.io.dicom.read import load_stack, read_dicom
from acsnet_jax.io.dicom.series import FrameStack, choose_phase, find_stack

__all__ = [
    "Frame",  # one image plane: a file, or one frame of it
    "FrameStack",  # the parallel planes of one series
    "choose_phase",  # one plane a position: end-diastole, or a trigger time
    "find_stack",  # the short-axis stack of a folder, nothing decoded
    "is_dicom",  # whether a file begins as DICOM does
    "load_stack",  # chosen planes -> Scan
    "read_dicom",  # a folder -> Scan
    "study_uid",  # of the first file of a folder
]
