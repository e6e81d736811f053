"""Correct the masks of any tool (nnU-Net, TotalSegmentator, MONAI).

    python -m experiments.correct --config.input=PATH --config.labels=2,3 --workdir=OUT

PATH is a NIfTI file of labels, or a folder of them with its subfolders. Without --config.bundle=DIR
(a bundle, or stage 3 alone) the prior that ships with the package corrects them. Some seconds a
file on two CPU cores, after half a minute of compilation. Writes OUT/NAME.nii.gz on the file's own
grid, OUT/NAME.json with a certificate a slice (slice_index counts from 0 in the file's own order),
and OUT/corrections.csv. Slices that satisfy delta on the file's own grid come back as they were.
"""

import ml_collections
from ml_collections import config_dict

from acsnet_jax.config import Config, overrides
from acsnet_jax.correction import CorrectionOptions


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/correct",  # folder for everything that is written
            # A bundle, or one of stage 3 alone; "" for the prior that ships with the package.
            "bundle": "",
            "input": "",  # a file of labels, or a folder of them
            "pattern": "**/*",  # which files of a folder, such as Case_*/Contours/*.nii.gz
            # Values that together make the myocardium, such as 2,3; "" all above 0. Pixels that are
            # added get the first of them.
            "labels": "",
            "scar_labels": "",  # those that mark enhancement, to be told how much of it moved
            # Axis across the slices, 1 to 3; 0 for the third, or the one with clearly the largest
            # spacing.
            "axis": 0,
            "trim": False,  # take the wall off slices beyond apex and base; needs the files' order
            "slice_order": "",  # "apex_first" or "base_first"
            # Of the area between slices, for trim; not set, the bundle's own.
            "max_change": config_dict.placeholder(float),
            # What is set here replaces the bundle's own.
            "correction": overrides(CorrectionOptions, scope="invalid"),
        }
    ).lock()
