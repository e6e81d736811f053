"""Segment scans with a bundle.

    python -m experiments.predict --config=configs/predict.py \
        --config.bundle=runs/quickstart/bundle --config.input=PATH --workdir=OUT

PATH is a DICOM folder, a NIfTI file, or a folder of them. Seconds a scan on two CPU cores, after
some ten seconds of compilation. Writes OUT/<scan>/report.html, segmentation.nii.gz, features.json,
slices.csv, segments.csv, scar_rules.csv, certificates.json, gate.json, and overlay.png, ring.png,
bullseye.png and scar_rules.png, of DICOM input segmentation.dcm and measurements.dcm as well; and
beside the scans' folders index.html and index.csv, settings.json, and of DICOM pseudonym.key.
"""

import ml_collections
from ml_collections import config_dict

from acsnet_jax.clinical import GateLimits
from acsnet_jax.config import Config, overrides, section
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.pipeline import Inference


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/predict",  # folder for everything that is written
            "bundle": "",  # folder of a trained system
            "input": "",  # DICOM folder, NIfTI file, or a folder of them
            "modality": "",  # "lge" or "cine" where the files do not tell
            # "apex_first" or "base_first" where geometry does not tell; counts more than what does.
            "slice_order": "auto",
            "series": "",  # number or UID, for a folder with several short-axis stacks
            # pseudonym.key of another working folder, to give DICOM scans the same names as there;
            # "" for one of its own.
            "pseudonym_key": "",
            # Whether DICOM input gets DICOM output, which names the patient as the input does.
            "dicom": True,
            # Whether four scans or more are read by another process, and assessed and written by up
            # to four, one for each core, while this one computes; each holds some 450 MB.
            "overlap": True,
            # Intensity of no signal, for phase-sensitive images, in the file's rescaled unit (after
            # RescaleSlope and RescaleIntercept, before any window); not set, the reader's or 0.
            "signal_zero": config_dict.placeholder(float),
            # Anterior and inferior insertion of the right ventricle, in degrees about the LV's
            # middle, from right over down in the stored picture; not set, they are found where the
            # file tells how the patient lies. As in --config.rv_insertions_deg=240,120.
            "rv_insertions_deg": config_dict.placeholder(tuple),
            # What is set here replaces the bundle's own.
            "inference": overrides(Inference),
            "correction": overrides(CorrectionOptions),
            "gate": section(GateLimits()),  # beyond which a segmentation is to be looked at
        }
    ).lock()
