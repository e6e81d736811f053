"""The same study as DICOM and as what dcm2niix makes of it."""

import shutil
import subprocess

import numpy as np
import pytest
from test_pipeline import bundle, make_scan

from acsnet_jax import pipeline
from acsnet_jax.io import read_scans
from acsnet_jax.synthesis.phantom.dicom import write_dicom

__all__ = ["bundle"]  # the cascade's fixture

# RAS: from base to apex, and two axes in the plane, of an oblique short-axis stack.
APEX = np.array([-1.0, 1.0, -1.0]) / np.sqrt(3.0)
ROW = np.array([1.0, 1.0, 0.0]) / np.sqrt(2.0)


def oblique_scan():
    scan = make_scan()
    affine = np.eye(4)
    affine[:3, 0] = ROW * scan.spacing_mm[1]
    affine[:3, 1] = np.cross(APEX, ROW) * scan.spacing_mm[0]
    affine[:3, 2] = -8.0 * APEX
    affine[:3, 3] = [20.0, -35.0, 50.0]
    return scan.replace(affine=affine, file_affine=affine, oriented=True)


def voxels_of(one, other):
    """For each voxel of one scan the index, in all three axes, of the same place in another."""
    slices, rows, columns = (axis.ravel() for axis in np.indices(one.image.shape))
    patient = one.affine @ np.stack([columns, rows, slices, np.ones_like(rows)])
    column, row, slice_, _ = np.linalg.inv(other.affine) @ patient
    found = np.stack([slice_, row, column])
    whole = np.rint(found).astype(int)
    np.testing.assert_allclose(found, whole, atol=0.01)
    return whole


def test_what_dcm2niix_makes_of_it_is_segmented_as_the_dicom_is(bundle, tmp_path):
    program = shutil.which("dcm2niix")
    if program is None:
        pytest.skip("needs dcm2niix: install it, for instance from Debian")
    write_dicom(oblique_scan(), tmp_path / "dicom")
    (tmp_path / "nifti").mkdir()
    command = [program, "-z", "y", "-b", "n", "-o", tmp_path / "nifti", tmp_path / "dicom"]
    subprocess.run(command, check=True, capture_output=True)
    (one,), (other,) = (read_scans(tmp_path / kind, modality="lge") for kind in ("dicom", "nifti"))
    there = voxels_of(one, other)
    np.testing.assert_allclose(one.image.ravel(), other.image[*there], rtol=1e-5)
    ours, theirs = (pipeline.segment(scan, bundle) for scan in (one, other))
    assert ours.myocardium.any() and ours.blood_pool.any()
    for name in ("myocardium", "blood_pool", "enhancement", "core"):
        mask, copy = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_array_equal(mask.ravel(), copy[*there], err_msg=name)
