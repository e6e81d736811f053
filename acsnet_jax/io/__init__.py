"""Readers, one a format, each to `acsnet_jax.types.Scan`; the store; masks on the user's own grid.

- `read_acdc`: cine with labels, in ACDC's layout.
- `Format`: names of the formats.
- `discover`: whatever a path holds, as (name, loader) pairs; for predictions.
- `Loader`: reads one of them when it is called.
- `iter_cohort`: a cohort's scans, or what is wrong with them, one by one.
- `read_cohort`: all scans of a cohort; a bad one is an error.
- `read_scans`: all scans at a path of any format.
- `read_dicom`: the short-axis stack in a folder of mixed files.
- `read_emidec`: LGE with labels, in EMIDEC's layout.
- `LabelStack`: one label file of any tool, as a stack.
- `label_files`: the label files of a folder by name.
- `mask_of`: the pixels of some values.
- `read_labels`: reads such a file.
- `write_labels`: writes it again on its own grid.
- `read_nifti`: an image, with its label if there is one.
- `write_mask`: one mask on the grid of the user's file.
- `write_segmentation`: predicted tissue on that grid.
- `SliceOrder`: how to order slices where geometry does not tell.
- `read_scan`: one scan of the store.
- `write_scan`: writes it, whole or not at all.
- `read_sunnybrook`: cine DICOM with contours, in Sunnybrook's layout.
"""

from acsnet_jax.io.acdc import read_acdc
from acsnet_jax.io.cohort import Format, Loader, discover, iter_cohort, read_cohort, read_scans
from acsnet_jax.io.dicom import read_dicom
from acsnet_jax.io.emidec import read_emidec
from acsnet_jax.io.masks import LabelStack, label_files, mask_of, read_labels, write_labels
from acsnet_jax.io.nifti import read_nifti, write_mask, write_segmentation
from acsnet_jax.io.stack import SliceOrder
from acsnet_jax.io.store import read_scan, write_scan
from acsnet_jax.io.sunnybrook import read_sunnybrook

__all__ = [
    "Format",
    "LabelStack",
    "Loader",
    "SliceOrder",
    "discover",
    "iter_cohort",
    "label_files",
    "mask_of",
    "read_acdc",
    "read_cohort",
    "read_dicom",
    "read_emidec",
    "read_labels",
    "read_nifti",
    "read_scan",
    "read_scans",
    "read_sunnybrook",
    "write_labels",
    "write_mask",
    "write_scan",
    "write_segmentation",
]
