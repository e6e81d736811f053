"""Check the masks of any tool (nnU-Net, TotalSegmentator, MONAI) against the anatomical criteria.

    python -m experiments.check --config.input=PATH --config.labels=2,3 --workdir=OUT

PATH is a NIfTI file of labels, or a folder of them with its subfolders. Needs no trained system;
seconds a hundred files, after some ten seconds of compilation. Prints one row a criterion, and
writes OUT/criteria.csv, OUT/slices.csv (slice_index counts from 0 in the file's own order) and
OUT/violations.png. Criteria are in mm, but for the two circularities, which are taken on the pixel
grid: pixels that are not square make them smaller.
"""

import ml_collections

from acsnet_jax import bundle, prior
from acsnet_jax.anatomy import Thresholds
from acsnet_jax.config import Config, section


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/check",  # folder for everything that is written
            "input": "",  # a file of labels, or a folder of them
            "pattern": "**/*",  # which files of a folder, such as Case_*/Contours/*.nii.gz
            "labels": "",  # values that together make the myocardium, such as 2,3; "" all above 0
            # Axis across the slices, 1 to 3; 0 for the third, or the one with clearly the largest
            # spacing.
            "axis": 0,
            "bundle": "",  # whose thresholds to take
            "experts": "",  # expert masks of the same labels, to fit the thresholds to instead
            "coverage": 0.99,  # share of expert masks that each criterion alone accepts
            # Without both: those of the prior that ships with the package; configs/prior.py has the
            # reasons. gap_max_deg=100 where open rings may be right.
            "thresholds": section(Thresholds(**bundle.provenance(prior.SHIPPED)["thresholds"])),
        }
    ).lock()
