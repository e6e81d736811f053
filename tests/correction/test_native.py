"""Every route that a mask can take, on a label file's grid and in the cascade."""

import dataclasses

import numpy as np
import pytest
import scipy
from rings import SPACING, make_corrector

from acsnet_jax.anatomy.cleanup import clean_components
from acsnet_jax.correction import (
    certify,
    correct_native,
    correct_stack,
    lost_slices,
    native,
    valid_stack,
    windows,
)
from acsnet_jax.preprocess.grid import grid_over, to_native
from acsnet_jax.types import Route

SHAPE, PIXELS = (90, 90), (1.5, 1.5)
GRID = grid_over(SHAPE, PIXELS, SPACING)


@pytest.fixture(scope="module")
def corrector():
    return make_corrector()


def ring(outer=30.0, wall=10.0):
    rows, columns = np.indices(SHAPE)
    radius = SPACING * np.hypot(rows - 44, columns - 46)
    return (radius <= outer) & (radius > outer - wall)


def with_island():
    mask = ring()
    mask[14:17, 44:47] = True
    return mask


def with_thick_wall():
    """Its areas are those of a ring that is valid, its wall is too thick on one side."""
    mask = ring()
    mask[44:47, 20:34] = True
    return mask


def with_two_gaps():
    mask = ring(wall=14.0)
    mask[:, 40:52] = False
    return mask


def options(corrector, **changes):
    return dataclasses.replace(corrector, options=dataclasses.replace(corrector.options, **changes))


def check(found, given, corrector):
    """What a certificate says is true of the array that is delivered."""
    certificates = certify(
        found, PIXELS, scan_id="x", kept=found.mask.any(axis=(1, 2)), scar_moved_mm3=None
    )
    valid = valid_stack(found.mask, PIXELS, corrector.thresholds)
    for one, mask, before, good in zip(certificates, found.mask, given, valid, strict=True):
        assert one.pixels_changed == (mask ^ before).sum()
        assert one.area_changed_mm2 == one.pixels_changed * PIXELS[0] * PIXELS[1]
        assert one.valid_after == good == one.kept == mask.any()
        assert (one.neighbour is None) == (one.latent_distance is None)
        assert one.empty == (not before.any())
        assert one.valid_before == (not one.failed_before and not one.empty)
    return certificates


def test_valid_masks_are_untouched_and_islands_cleaned_to_the_bit(corrector):
    given = np.stack([ring(), with_island(), np.zeros(SHAPE, bool)])
    found = correct_native(given, GRID, corrector)
    untouched, cleaned, empty = check(found, given, corrector)
    assert untouched.route is Route.UNTOUCHED and untouched.pixels_changed == 0
    assert cleaned.route is Route.CLEANED and "objects" in cleaned.failed_before
    np.testing.assert_array_equal(found.mask[1], ring())
    assert empty.empty and empty.route is Route.UNTOUCHED


def test_a_mask_whose_code_decodes_to_a_valid_one_is_redecoded(corrector):
    given = with_thick_wall()[None]
    (one,) = check(correct_native(given, GRID, corrector), given, corrector)
    assert one.route is Route.REDECODED
    assert (one.alpha, one.neighbour) == (0.0, None) and one.pixels_changed > 0


def test_a_mask_that_must_move_names_its_neighbour_and_step(corrector):
    given = ring(outer=42.0, wall=2.0)[None]  # far too thin
    (one,) = check(correct_native(given, GRID, corrector), given, corrector)
    assert one.route is Route.MOVED
    assert one.neighbour is not None and 0 < one.alpha <= 1
    assert one.latent_distance is not None and one.latent_distance > 0


def nothing_renders(monkeypatch):
    def fail(masks, grid, corrector):
        return native.on_native(masks, grid), np.zeros(len(masks), bool)

    monkeypatch.setattr(native, "render_native", fail)


def test_where_nothing_fits_the_native_grid_a_member_stands_in(corrector, monkeypatch):
    nothing_renders(monkeypatch)
    given = with_two_gaps()[None]
    (one,) = check(correct_native(given, GRID, corrector), given, corrector)
    assert one.route is Route.STAND_IN
    assert one.alpha == 1.0 and one.neighbour is not None


def test_where_no_member_fits_the_slice_is_lost_and_the_others_stand(corrector, monkeypatch):
    nothing_renders(monkeypatch)
    monkeypatch.setattr(native, "_stand_in", lambda mask, grid, corrector: None)
    given = np.stack([ring(), with_two_gaps(), with_island()])
    found = correct_native(given, GRID, corrector)
    kept, lost, cleaned = check(found, given, corrector)
    assert (kept.route, lost.route, cleaned.route) == (Route.UNTOUCHED, Route.LOST, Route.CLEANED)
    assert not found.mask[1].any() and not lost.kept and not lost.empty
    assert lost.pixels_changed == given[1].sum() and found.lost.tolist() == [False, True, False]
    assert lost_slices([kept, lost, cleaned]) == [1]


def test_a_notch_that_the_working_grid_does_not_see_is_drawn_again(corrector):
    """Half the pixel: a cut of one pixel fails on the file's grid alone."""
    fine, pixels = (180, 180), (0.75, 0.75)
    rows, columns = np.indices(fine)
    radius = 0.75 * np.hypot(rows - 89, columns - 93)
    given = ((radius <= 30) & (radius > 20))[None]
    given[0, 89, (columns[0] > 93 + 32)] = False
    found = correct_native(given, grid_over(fine, pixels, SPACING), corrector)
    (one,) = certify(found, pixels, scan_id="x", kept=np.ones(1, bool), scar_moved_mm3=None)
    assert one.failed_before and one.pixels_changed and one.valid_after
    assert one.route is Route.RESAMPLED


def test_specks_at_both_borders_of_a_large_picture_are_measured(corrector):
    mask = np.zeros((1, 960, 960), bool)
    mask[0, 400:490, 400:490] = ring()
    assert valid_stack(mask, PIXELS, corrector.thresholds).all()
    mask[0, 5, 5] = mask[0, 950, 950] = True
    assert not valid_stack(mask, PIXELS, corrector.thresholds).any()


def test_of_a_prediction_the_mask_that_is_written_counts(corrector):
    """An island on the working grid alone is none of the scan's; one on the scan's own is."""
    island = ring()
    island[10, 10] = True
    kept = correct_native(ring()[None], GRID, corrector, working=island[None])
    (one,) = check(kept, ring()[None], corrector)
    assert one.route is Route.UNTOUCHED and one.valid_before and not one.failed_before
    found = correct_native(island[None], GRID, corrector, working=ring()[None])
    (one,) = check(found, island[None], corrector)
    assert one.route is Route.CLEANED and "objects" in one.failed_before
    assert not one.valid_before and one.pixels_changed == 1


def unsure(radius):
    """A network that is less and less sure within some mm of the outline of a wall."""
    return scipy.special.expit((6.0 - np.abs(radius - 25.0)) / 2.0).astype(np.float32)


def distances(shape, spacing):
    """Of each pixel from one point of the body, in mm, on grids of one centre."""
    rows, columns = np.indices(shape)
    centre = (np.array(shape) - 1) / 2
    return np.hypot(rows - centre[0] + 1 / spacing, columns - centre[1]) * spacing


@pytest.mark.parametrize("spacing", [0.8, 1.3, 1.9])
def test_a_prediction_keeps_its_outline_between_two_pixels(corrector, spacing):
    """On another grid it is what the probabilities say, which the mask alone has forgotten."""
    shape = tuple(round(side * SPACING / spacing) for side in SHAPE)
    grid = grid_over(shape, (spacing, spacing), SPACING)
    probability = unsure(distances(grid.shape, SPACING))[None]
    truth = unsure(distances(shape, spacing)) >= 0.5
    masks, given = probability >= 0.5, to_native(probability, grid) >= 0.5
    found = correct_native(given, grid, corrector, working=masks)
    assert found.route == (Route.UNTOUCHED,)
    drawn, _ = native.render_native(masks, grid, corrector)
    ours, outlined = (np.count_nonzero(mask[0] ^ truth) for mask in (found.mask, drawn))
    assert ours < 0.5 * outlined and ours < 0.02 * truth.sum()


def test_a_prediction_that_fails_on_the_scans_grid_alone_is_drawn_by_its_outline(corrector):
    """What is delivered is told beside what the network drew there."""
    given = ring()[None]
    given[0, 44, 46:] = False  # a cut through the wall that the working grid does not have
    found = correct_native(given, GRID, corrector, working=ring()[None])
    (one,) = check(found, given, corrector)
    assert one.route is Route.RESAMPLED and one.failed_before and not one.valid_before
    drawn, _ = native.render_native(ring()[None], GRID, corrector)
    np.testing.assert_array_equal(found.mask, drawn)
    assert one.pixels_changed == np.count_nonzero(drawn ^ given) > 0


def test_a_speck_that_vanishes_on_its_way_is_not_forgotten(corrector):
    working = np.zeros((1, *SHAPE), bool)
    working[0, 44, 46] = True
    rendered, _ = native.render_native(working, GRID, corrector)
    assert not rendered.any()
    (one,) = certify(
        correct_native(rendered, GRID, corrector, working=working),
        PIXELS,
        scan_id="x",
        kept=np.ones(1, bool),
    )
    assert not one.empty and not one.valid_before
    assert one.route is Route.LOST or (one.valid_after and one.pixels_changed > 0)


def test_without_its_cleaned_pose_the_latent_space_has_to_do_all(corrector):
    given = with_island()[None]
    found = correct_native(given, GRID, options(corrector, cleaned_pose=False))
    (one,) = check(found, given, corrector)
    assert one.route in (Route.REDECODED, Route.MOVED)


def test_scope_all_leaves_no_mask_as_it_was(corrector):
    given = np.stack([ring(), with_island()])
    found = correct_native(given, GRID, options(corrector, scope="all"))
    for one in check(found, given, corrector):
        assert one.route in (Route.REDECODED, Route.MOVED)


def test_scope_all_takes_no_valid_mask_away(corrector, monkeypatch):
    nothing_renders(monkeypatch)
    given = np.stack([ring(), with_island()])
    all_ = options(corrector, scope="all")
    found = correct_native(given, GRID, all_)
    np.testing.assert_array_equal(found.mask[0], given[0])
    one, other = check(found, given, corrector)
    assert one.route is Route.UNTOUCHED and one.valid_before
    assert other.route in (Route.STAND_IN, Route.LOST)


def test_a_later_pose_is_better_than_none(corrector, monkeypatch):
    """A first try that found nothing must not refuse a valid one that changes more pixels."""
    given = with_two_gaps()[None]
    expected = correct_stack(given, corrector, PIXELS)
    assert expected.mask.any()
    around = windows._correct_around

    def fail_first(centre_of, masks, *args):
        found = around(centre_of, masks, *args)
        if centre_of is not windows.centroid:
            return found
        return found._replace(
            mask=np.zeros_like(masks), pixels_changed=masks.sum(axis=(1, 2)).astype(np.int32)
        )

    monkeypatch.setattr(windows, "_correct_around", fail_first)
    found = correct_stack(given, corrector, PIXELS)
    assert valid_stack(np.asarray(found.mask), PIXELS, corrector.thresholds).all()
    assert found.pixels_changed[0] == (found.mask ^ given).sum()


def test_parts_of_a_stack_change_nothing(corrector):
    kinds = [ring(), with_island(), with_thick_wall(), with_two_gaps()]
    given = np.stack([kinds[index % 4] for index in range(70)])
    together = correct_stack(given, corrector, PIXELS)
    few = correct_stack(given[:4], corrector, PIXELS)
    for index in range(70):
        np.testing.assert_array_equal(together.mask[index], few.mask[index % 4])
    np.testing.assert_array_equal(
        correct_native(with_island()[None], GRID, corrector).mask[0],
        clean_components(with_island()),
    )
