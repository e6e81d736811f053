"""Folders of label files with shapes whose numbers are known: boxes of voxels of 2 x 1.5 x 8 mm."""

import pathlib

import nibabel
import numpy as np

SHAPE = (4, 24, 30)  # slices, rows, columns
VOXEL_ML = 1.5 * 2 * 8 / 1000


def affine(*, oriented: bool = True) -> np.ndarray:
    """(column, row, slice) of 2 x 1.5 x 8 mm, oblique if it is to tell an orientation."""
    turned, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    result = np.diag([2.0, 1.5, 8.0, 1.0])
    if oriented:
        result[:3, :3] = turned * (2.0, 1.5, 8.0)
        result[:3, 3] = [-40, 25, 70]
    return result


def heart(*, scar: int = 0, wider: int = 0, slices: int = 4) -> np.ndarray:
    """A cavity of 6 x 6 in a wall of 12 x (12 + wider), with scar in its first two rows.

    Scar is `scar` columns wide, on all slices but the first, which is smaller: the apex.
    """
    labels = np.zeros((slices, *SHAPE[1:]), np.uint8)
    labels[:, 4:16, 5 : 17 + wider] = 2
    labels[:, 7:13, 8:14] = 1
    labels[0, 14:16] = 0
    labels[1:, 4:6, 5 : 5 + scar] = 3
    return labels


def save(path: pathlib.Path, labels: np.ndarray, *, grid: np.ndarray | None = None) -> pathlib.Path:
    """Write labels as a tool would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(labels.transpose(2, 1, 0), affine() if grid is None else grid)
    nibabel.save(image, path)
    return path
