"""Compare two tools (ours, nnU-Net, TotalSegmentator, a second expert) with the same expert.

    python -m experiments.compare --config.a=DIR --config.b=DIR --config.reference=DIR \
        --workdir=OUT

DIR of a and b is a folder of NIfTI label files, one a patient, with its subfolders; that of the
reference likewise, or a cohort in the layout of EMIDEC or ACDC, or a store. Patients go by the
file's name (predict's segmentation.nii.gz by its folder's), and files have to lie on the
reference's grid. A second a patient. Prints one table, and writes OUT/report.html,
OUT/comparison.md, .csv and .json, OUT/patients.csv and OUT/bland_altman_*.png.
"""

import ml_collections

from acsnet_jax.config import Config


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/compare",  # folder for everything that is written
            "a": "",  # label files of one tool
            "b": "",  # label files of the other one; differences are a less b
            "reference": "",  # the expert's label files, or cohort
            # "labels", "emidec", "acdc", "store" or another cohort's format; "auto" to find out.
            "reference_format": "auto",
            # What values mean, such as 1:blood_pool,2:myocardium,3:enhancement,other:background;
            # names are background, blood_pool, myocardium, enhancement, no_reflow. "" for files
            # whose values are these, from 0 to 4; predict's own may be read so (core as
            # no_reflow, which is part of the infarct).
            "labels_a": "",
            # The same of b.
            "labels_b": "",
            # The same of the reference, if it is label files.
            "labels_reference": "",
            "pattern_a": "**/*",  # which files of a, such as Case_*/Contours/*.nii.gz
            "pattern_b": "**/*",  # which files of b
            "pattern_reference": "**/*",  # which files of the reference, if it is label files
            "name_a": "",  # of a, for tables and plots; "" for its folder's name
            "name_b": "",  # of b
            # "labelled": slices on which the expert drew myocardium, as everywhere here. "all":
            # what a tool draws beyond them counts as wrong.
            "slices": "labelled",
            # Axis of the reference's label files across the slices, 1 to 3; 0 for the third, or the
            # one with clearly the largest spacing.
            "axis": 0,
        }
    ).lock()
