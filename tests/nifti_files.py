"""NIfTI files as nibabel reads them, whatever wrote them."""

import os

import nibabel


def load_nifti(path: str | os.PathLike[str]) -> nibabel.Nifti1Image:
    """An image that is known to be NIfTI-1, which `nibabel.load` does not tell."""
    return nibabel.Nifti1Image.from_filename(path)
