"""The grid of a NIfTI file: what its header says of it, whether two agree, how it is written."""

import dataclasses
import pathlib

import nibabel
import numpy as np
from jaxtyping import Float64

from acsnet_jax.io.stack import check_scale, check_spacing, corners_apart_mm
from acsnet_jax.types import InputError, NiftiGrid, Scan

GEOMETRY_FIELDS = tuple(field.name for field in dataclasses.fields(NiftiGrid))
"""What a header says of the grid, but for the rows of the sform."""

_SAME_SPACING = 0.01  # relative difference that is taken as rounding


def grid_of(header: nibabel.Nifti1Header) -> NiftiGrid:
    """What is kept of a header, to write masks on the same grid."""
    values = {name: np.asarray(header[name]).tolist() for name in GEOMETRY_FIELDS}
    return NiftiGrid(**{**values, "pixdim": tuple(values["pixdim"])})


def voxel_geometry(
    path: pathlib.Path, header: nibabel.Nifti1Header
) -> tuple[tuple[float, float, float], Float64[np.ndarray, "4 4"], list[str]]:
    """What the header of a file says of its voxels.

    Returns:
        Spacing in mm along the array's axes, the affine with that spacing, and problems.

    Raises:
        InputError: a spacing is not positive, or no scanner's, or the affine is not finite.
    """
    affine = np.asarray(header.get_best_affine(), np.float64)
    if not np.isfinite(affine[:3, 3]).all():
        raise InputError(f"{path}: the affine holds NaN or infinity: correct its qform or sform")
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], np.float64))
    dims = int(header["dim"][0])
    if dims == 2:
        pixdim[2] = pixdim[2] if pixdim[2] > 0 else 1.0
    norms = np.linalg.norm(affine[:3, :3], axis=0)
    check_spacing(pixdim.tolist(), str(path))
    check_spacing(norms.tolist(), str(path))
    unit = {1: 1000.0, 3: 0.001}.get(int(header["xyzt_units"]) & 7, 1.0)
    problems = []
    spacing = norms
    if np.allclose(pixdim, norms, rtol=1e-3):
        # Digits that float32 would blur: 1.40625, not 1.4062500001.
        spacing = pixdim
    elif np.allclose(norms, 1.0, atol=1e-6):
        spacing = pixdim
        problems.append("the header's affine has no spacing, pixdim is used")
    elif not np.allclose(pixdim, 1.0):
        problems.append("affine and pixdim contradict each other, the affine is used")
    spacing = spacing * unit
    check_scale(spacing.tolist(), str(path))
    if unit != 1.0:
        problems.append("distances are not in mm in the header, converted")
    scaled = affine.copy()
    scaled[:3, :3] = affine[:3, :3] / norms * spacing
    scaled[:3, 3] *= unit
    return (float(spacing[0]), float(spacing[1]), float(spacing[2])), scaled, problems


def check_slices_last(
    path: pathlib.Path, shape: tuple[int, ...], spacing: tuple[float, float, float]
) -> None:
    """Refuses a stack whose slices do not lie along the last axis of the file.

    Raises:
        InputError: the axis along which they lie.
    """
    z, y, x = shape
    for axis, (size, distance) in enumerate(((x, spacing[0]), (y, spacing[1]))):
        if distance > 1.5 * spacing[2] and size < z:
            raise InputError(
                f"{path}: slices seem to lie along axis {axis + 1} ({size} of {distance:g} mm), "
                "not along the third: reorder the axes so that slices come last"
            )


def is_oriented(header: nibabel.Nifti1Header) -> bool:
    """Whether a code is set and the axes are more than a signed diagonal, a placeholder."""
    affine = np.asarray(header.get_best_affine(), np.float64)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return _is_coded(header) and bool(np.abs(axes - np.diag(np.diag(axes))).max() > 1e-3)


def _is_coded(header: nibabel.Nifti1Header) -> bool:
    return int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0


def check_grids(
    image: pathlib.Path,
    image_header: nibabel.Nifti1Header,
    label: pathlib.Path,
    label_header: nibabel.Nifti1Header,
    shape: tuple[int, int, int],
) -> None:
    """Refuses a label whose header puts its voxels elsewhere than its image does.

    A header without a code and with a spacing of 1 says nothing. Between a placeholder and an
    affine that tells how the patient lies, spacings alone are compared.

    Raises:
        InputError: spacings differ, axes run another way, or voxels lie elsewhere.
    """
    fix = "resample the label onto the image, or correct its header"
    spacing, affine, _ = voxel_geometry(image, image_header)
    label_spacing, label_affine, _ = voxel_geometry(label, label_header)
    coded = [_is_coded(header) for header in (image_header, label_header)]
    if not coded[1] and np.allclose(label_spacing, 1.0):
        return
    if not np.allclose(label_spacing, spacing, rtol=_SAME_SPACING):
        ours, theirs = (
            " x ".join(f"{one:.4g}" for one in each) for each in (label_spacing, spacing)
        )
        raise InputError(
            f"{label}: the label's voxels are {ours} mm, those of its image {image.name} {theirs} "
            f"(columns x rows x slices): {fix}"
        )
    oriented = [is_oriented(header) for header in (image_header, label_header)]
    if all(oriented):
        disagree = corners_apart_mm(affine, label_affine, shape) > 0.5 * min(spacing)
    else:
        ways = [np.sign(np.diag(one)[:3]) for one in (affine, label_affine)]
        disagree = all(coded) and not any(oriented) and bool((ways[0] != ways[1]).any())
    if disagree:
        raise InputError(
            f"{label}: the label's affine contradicts that of its image {image.name}: {fix}"
        )


def set_codes(image: nibabel.Nifti1Image, scan: Scan) -> None:
    """Gives an image the grid of a scan's file: the header of a NIfTI file to the letter."""
    grid = scan.nifti_grid
    if grid is None:
        set_forms(image, scan.file_affine, oriented=scan.oriented)
        return
    # Viewers overlay only what agrees.
    image.set_sform(scan.file_affine, code=grid.sform_code)
    for name in GEOMETRY_FIELDS:
        image.header[name] = getattr(grid, name)


def set_forms(
    image: nibabel.Nifti1Image, affine: Float64[np.ndarray, "4 4"], *, oriented: bool
) -> None:
    """Sets sform and qform, as scanner coordinates if ``oriented``, else as aligned to nothing."""
    code = 1 if oriented else 2
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code, strip_shears=True)
    image.header.set_xyzt_units("mm")
