"""Numbers of a DICOM header: as many as are due, and finite, or an error that names them."""

import pathlib

import numpy as np
from jaxtyping import Float64
from pydicom import Dataset

from acsnet_jax.types import InputError


def numbers(
    header: Dataset, keyword: str, count: int, path: pathlib.Path
) -> Float64[np.ndarray, "count"] | None:
    """A numeric attribute as an array; None where it is absent or empty."""
    try:
        value = header.get(keyword)
        if value is None or value == "":
            return None
        numbers = np.atleast_1d(np.asarray(value, float))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {keyword} is not a number: correct the header") from error
    if numbers.size == 0:
        return None
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        wanted = "one finite number" if count == 1 else f"{count} finite numbers"
        raise InputError(f"{path}: {keyword} needs {wanted}: correct the header")
    return numbers


def first_number(header: Dataset, keyword: str, path: pathlib.Path) -> float | None:
    """The first of one or more numbers; None where it is absent, empty or not finite.

    Raises:
        InputError: it is not a number.
    """
    value = header.get(keyword)
    if value is None or value == "":
        return None
    try:
        found = np.atleast_1d(np.asarray(value, float))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {keyword} is not a number: correct the header") from error
    return float(found.flat[0]) if found.size and np.isfinite(found.flat[0]) else None


def whole_number(header: Dataset, keyword: str, path: pathlib.Path, *, default: int = 1) -> int:
    """One whole number, not negative; ``default`` where it is absent or empty.

    Raises:
        InputError: it is several, negative or no whole number.
    """
    found = numbers(header, keyword, 1, path)
    if found is None:
        return default
    if found[0] < 0 or found[0] != round(found[0]):
        raise InputError(f"{path}: {keyword} needs a whole number: correct the header")
    return int(found[0])
