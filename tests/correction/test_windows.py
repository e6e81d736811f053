"""Where masks are centred for the autoencoder."""

import numpy as np
import pytest

from acsnet_jax.correction.windows import _put_back, circle_centre
from acsnet_jax.ops.host import centroid

SPACING = (1.5, 1.2)


def ring(centre, *, missing_deg=0.0):
    rows, columns = np.indices((100, 110))
    y, x = (rows - centre[0]) * SPACING[0], (columns - centre[1]) * SPACING[1]
    radius, angle = np.hypot(y, x), np.degrees(np.arctan2(y, x)) % 360
    return (radius <= 30) & (radius > 21) & (angle >= missing_deg)


@pytest.mark.parametrize("missing", [0, 60, 125, 180])
def test_the_circle_through_an_arc_has_its_centre_in_the_middle(missing):
    middle = (48, 57)
    mask = ring(middle, missing_deg=missing)
    centre = circle_centre(mask, spacing_mm=SPACING)
    assert np.abs(np.subtract(centre, middle)).max() <= 1
    if missing >= 125:
        assert np.abs(np.subtract(centroid(mask), middle)).max() > 4


def test_masks_that_no_circle_fits_are_centred_on_their_centroid():
    empty = np.zeros((20, 30), bool)
    assert circle_centre(empty, spacing_mm=SPACING) == (10, 15)
    line = empty.copy()
    line[4, 3:20] = True
    assert circle_centre(line, spacing_mm=SPACING) == centroid(line)
    dot = empty.copy()
    dot[7, 9] = True
    assert circle_centre(dot, spacing_mm=SPACING) == (7, 9)


@pytest.mark.parametrize(
    ("centre", "first"), [((4, 5), (0, 0)), ((29, 26), (22, 18)), ((15, 14), (11, 9))]
)
def test_what_reaches_beyond_the_array_is_moved_onto_it(centre, first):
    window = np.zeros((16, 16), bool)
    window[4:12, 3:13] = True
    window[6:9, 5:9] = False
    back = _put_back(window, (30, 28), centre)
    assert back.sum() == window.sum()
    rows, columns = np.nonzero(back)
    assert (rows.min(), columns.min()) == first
