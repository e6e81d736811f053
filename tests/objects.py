"""Objects of a mask as SciPy numbers them."""

import numpy as np
from scipy import ndimage

FOUR = ndimage.generate_binary_structure(2, 1)
EIGHT = ndimage.generate_binary_structure(2, 2)


def label_objects(mask: np.ndarray, structure: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers of the objects, from 1, and how many there are.

    `ndimage.label` returns one thing or two, as it is asked; here it fills an array.
    """
    numbers = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure, output=numbers)
    return numbers, int(numbers.max())
