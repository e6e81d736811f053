"""Check an installation, a line a check, with what to do about each that is not ok.

    python -m experiments.doctor --config.bundle=DIR --workdir=DIR

Looks at the versions of Python and of all packages, at jax's devices, at a reduction that some
releases of jaxlib get wrong, at the decoders of DICOM, at the folder of compiled programs and the
work folder, and at a bundle's checksums; then reads, corrects and measures a phantom, and segments
it if the bundle can. Under a minute on two CPU cores, most of it compilation the first time. Writes
doctor.json; the exit status is 1 if a check failed.
"""

import ml_collections

from acsnet_jax.config import Config


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/doctor",  # folder for everything that is written
            # A bundle, or one of stage 3 alone; "" for the prior that ships with the package.
            "bundle": "",
        }
    ).lock()
