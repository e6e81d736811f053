import numpy as np
import pytest
from hearts import radius, ring, sector
from scipy import ndimage

from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.clinical.wall import NO_CAVITY, NO_WALL, TOO_SMALL, transmurality, wall_lines
from acsnet_jax.ops.host import fill_holes, largest_component

SPACINGS = [(1.5, 1.5), (2.0, 1.0), (0.8, 1.4)]


def lines_of(mask, spacing_mm):
    lines = wall_lines(mask, spacing_mm)
    assert not isinstance(lines, NotAvailable)
    return lines


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("outer", "inner"), [(30, 22), (40, 36), (30, 20), (28, 10)])
def test_the_wall_between_two_circles_is_as_thick_as_their_radii_differ(spacing, outer, inner):
    wall, _ = ring(outer, inner, spacing, shift_mm=(0.3, 0.7))
    lines = lines_of(wall, spacing)
    pixel = max(spacing)
    assert len(lines.thickness_mm) == 120
    assert lines.thickness_mm.mean() == pytest.approx(outer - inner, abs=0.12 * pixel)
    assert np.abs(lines.thickness_mm - (outer - inner)).max() < 1.2 * pixel
    # the potential is one half at the geometric mean of the radii
    around = 2 * np.pi * np.sqrt(outer * inner)
    assert lines.spacing_mm * 120 == pytest.approx(around, rel=0.04)


def test_finer_pixels_come_closer_to_the_closed_form():
    errors = []
    for spacing in (2.0, 1.0, 0.5):
        wall, _ = ring(30, 20, (spacing, spacing), shift_mm=(0.1, 0.2))
        errors.append(lines_of(wall, (spacing, spacing)).thickness_mm.std())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.15


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.5, 0.75)])
def test_a_cavity_off_the_middle_has_its_extremes_where_the_circles_come_close(spacing):
    # between R = 30 and r = 20 about a centre 5 mm to the right: 5 mm there, 15 mm opposite
    wall, _ = ring(30, 20, spacing, off=5.0)
    lines = lines_of(wall, spacing)
    thinnest, thickest = lines.thickness_mm.argmin(), lines.thickness_mm.argmax()
    assert lines.thickness_mm[thinnest] == pytest.approx(5, abs=0.75)
    assert lines.thickness_mm[thickest] == pytest.approx(15, abs=0.75)
    assert abs((lines.angle_deg[thinnest] + 180) % 360 - 180) < 25
    assert abs(lines.angle_deg[thickest] - 180) < 25
    # field lines between two circles are arcs, longer than any straight way
    across = np.array([lines.thickness_mm[thinnest], lines.thickness_mm[thickest]])
    assert across[0] < lines.thickness_mm.mean() < across[1]


def test_field_lines_between_confocal_ellipses_end_on_both_axes():
    # a^2 - b^2 = 144 for both: lines run along hyperbolas, straight on the axes
    y, x = (np.indices((200, 200)) - 99.5) * 0.5
    outer, inner = ((x / a) ** 2 + (y / b) ** 2 < 1 for a, b in ((37, 35), (20, 16)))
    lines = lines_of(outer & ~inner, (0.5, 0.5))
    for angle, expected in ((0, 17), (90, 19), (180, 17), (270, 19)):
        nearest = np.argmin(np.abs((lines.angle_deg - angle + 180) % 360 - 180))
        assert lines.thickness_mm[nearest] == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.5, 0.75)])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_scar_from_within_covers_its_share_of_the_wall(spacing, share):
    wall, _ = ring(32, 20, spacing)
    scar = wall & (radius(spacing) < 20 + share * 12)
    found = transmurality(lines_of(wall, spacing), scar)
    assert found.mean() == pytest.approx(share, abs=0.03)
    assert np.abs(found - share).max() < 0.12


def test_a_transmural_sector_is_whole_inside_and_nothing_outside():
    wall, _ = ring(30, 20)
    lines = lines_of(wall, (1.0, 1.0))
    found = transmurality(lines, wall & sector(40, 130))
    inside = (lines.angle_deg > 45) & (lines.angle_deg < 125)
    outside = (lines.angle_deg > 135) | (lines.angle_deg < 35)
    assert (found[inside] == 1).all()
    assert (found[outside] == 0).all()
    assert found.mean() == pytest.approx(90 / 360, abs=0.01)


def test_a_turn_of_the_picture_turns_the_lines():
    wall, _ = ring(30, 20, off=4.0)
    lines, turned = lines_of(wall, (1.0, 1.0)), lines_of(np.rot90(wall).copy(), (1.0, 1.0))
    # the same walls, seen along other lines
    before, after = np.sort(lines.thickness_mm), np.sort(turned.thickness_mm)
    assert after.mean() == pytest.approx(before.mean(), abs=0.05)
    assert np.abs(after - before).max() < 0.6


def test_what_encloses_nothing_has_no_thickness():
    wall, cavity = ring(30, 20)
    assert wall_lines(np.zeros_like(wall), (1.0, 1.0)) == NO_WALL
    assert wall_lines(wall & ~sector(0, 40), (1.0, 1.0)) == NO_CAVITY
    assert wall_lines(wall | cavity, (1.0, 1.0)) == NO_CAVITY


def test_small_holes_and_islands_do_not_count():
    wall, _ = ring(30, 20)
    other = wall.copy()
    other[50, 25] = False  # a hole of one pixel inside the wall
    other[2:5, 2:5] = True
    before, after = lines_of(wall, (1.0, 1.0)), lines_of(other, (1.0, 1.0))
    np.testing.assert_allclose(after.thickness_mm, before.thickness_mm, atol=1e-6)


def test_a_wall_of_one_pixel_still_has_lines():
    wall, _ = ring(20, 18.9)
    lines = lines_of(wall, (1.0, 1.0))
    assert np.isfinite(lines.thickness_mm).all()
    assert 0.5 < lines.thickness_mm.mean() < 2.5


def test_the_border_of_the_picture_is_no_obstacle():
    wall, _ = ring(49.9, 40)
    assert lines_of(wall, (1.0, 1.0)).thickness_mm.mean() == pytest.approx(9.9, abs=0.2)


def blob(seed):
    """The largest part of a smooth random picture, which may reach its border."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(14, 40))
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), rng.uniform(1.2, 4))
    return largest_component(field > np.quantile(field, rng.uniform(0.1, 0.5)))


@pytest.mark.parametrize("seed", [138, 368, 757, 999, 1142])
def test_a_line_that_leaves_the_picture_looks_no_pixel_up(seed):
    mask = blob(seed)  # of ten thousand, some whose lines round to a pixel beyond the border
    lines = lines_of(mask, (1.5, 1.5))
    assert np.isfinite(lines.thickness_mm).all()
    wall = fill_holes(mask)  # smaller holes count as wall
    assert wall[lines.rows, lines.columns][lines.in_wall].all()


@pytest.mark.parametrize("pixels", [1, 2])
def test_a_cavity_too_small_for_an_outline_is_none(pixels):
    mask = np.zeros((30, 30), bool)
    mask[10:20, 10:20] = True
    mask[15, 14 : 14 + pixels] = False
    assert wall_lines(mask, (1.5, 1.5)) == TOO_SMALL


@pytest.mark.parametrize("cavity_px", [1, 2, 3, 5])
@pytest.mark.parametrize("wall_px", [1, 2, 3])
def test_tiny_rings_are_measured_or_the_reason_is_given(cavity_px, wall_px):
    size = cavity_px + 2 * wall_px
    mask = np.ones((size, size), bool)
    mask[wall_px:-wall_px, wall_px:-wall_px] = False
    lines = wall_lines(np.pad(mask, 6), (1.5, 1.5))
    if isinstance(lines, NotAvailable):
        assert cavity_px <= 2 or wall_px == 1
        assert "too small" in lines.reason
    else:
        assert np.isfinite(lines.thickness_mm).all()
        assert abs(lines.thickness_mm.mean() - 1.5 * wall_px) < 1.5
