"""Readers, one a format, each to `acsnet_jax.types.Scan`; the store; masks on the user's grid."""

from acsnet_jax.io.acdc import read_acdc
from acsnet_jax.io.cohort import Format, discover, iter_cohort, read_cohort, read_scans
from acsnet_jax.io.dicom import read_dicom
from acsnet_jax.io.emidec import read_emidec
from acsnet_jax.io.nifti import read_nifti, write_mask, write_segmentation
from acsnet_jax.io.stack import SliceOrder
from acsnet_jax.io.store import read_scan, write_scan
from acsnet_jax.io.sunnybrook import read_sunnybrook

__all__ = [
    "Format",
    "SliceOrder",
    "discover",
    "iter_cohort",
    "read_acdc",
    "read_cohort",
    "read_dicom",
    "read_emidec",
    "read_nifti",
    "read_scan",
    "read_scans",
    "read_sunnybrook",
    "write_mask",
    "write_scan",
    "write_segmentation",
]
