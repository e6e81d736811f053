import functools

import jax
import numpy as np
import pytest
import rings

from acsnet_jax.preprocess.orient import TURNS, apply_turn
from acsnet_jax.preprocess.stages import null_outside
from acsnet_jax.training import augment as augmentation
from acsnet_jax.training.augment import NOTHING, Augment

TURNED = Augment(dihedral=True, rotation_deg=0.0, scale=0.0, shift_px=0.0)
RNG = np.random.default_rng(0)

warp = jax.jit(augmentation.warp, static_argnums=(2, 3))
jitter_intensity = jax.jit(augmentation.jitter_intensity, static_argnums=2)
damage_masks = jax.jit(augmentation.damage_masks, static_argnums=2)
null_outside_box = jax.jit(augmentation.null_outside_box, static_argnums=3)


def key(seed=0):
    return jax.random.key(seed)


def pictures(batch=3, size=16, channels=2):
    return RNG.uniform(0, 255, (batch, size, size, channels)).astype(np.float32)


@pytest.mark.parametrize("size", [16, 12])
def test_without_any_change_the_centre_stays(size):
    images = pictures()
    edge = (16 - size) // 2
    expected = images[:, edge : edge + size, edge : edge + size]
    np.testing.assert_allclose(warp(key(), images, size, NOTHING), expected, atol=1e-3)


def test_dihedral_changes_are_the_eight_turns():
    image = pictures(1)
    images = np.repeat(image, 64, axis=0)
    turns = [apply_turn(image[0].transpose(2, 0, 1), turn).transpose(1, 2, 0) for turn in TURNS]
    warped = np.asarray(warp(key(), images, 16, TURNED))
    distance = np.array([[np.abs(x - turn).max() for turn in turns] for x in warped])
    assert (distance.min(axis=1) < 0.01).all()
    assert len(set(distance.argmin(axis=1))) == 8  # all of them occur among 64


def test_each_image_has_its_own_change_and_its_key_decides():
    images = np.repeat(pictures(1), 8, axis=0)
    augment = Augment()
    first, again, other = (np.asarray(warp(key(s), images, 16, augment)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=(1, 2, 3)).all()
    assert all((first[0] != image).any() for image in first[1:])


def test_masks_move_with_their_image():
    images = np.repeat(pictures(8, 16, 1), 2, axis=-1)
    warped = warp(key(2), images, 12, Augment(rotation_deg=30.0, scale=0.3, shift_px=3.0))
    np.testing.assert_array_equal(warped[..., 0], warped[..., 1])


def test_a_shift_of_at_most_so_many_pixels():
    rows = np.broadcast_to(np.arange(32, dtype=np.float32)[:, None, None], (32, 32, 1))
    images = np.repeat(np.stack([rows, rows.transpose(1, 0, 2)])[..., 0], 20, axis=0)[..., None]
    augment = Augment(dihedral=False, rotation_deg=0.0, scale=0.0, shift_px=3.0)
    warped = np.asarray(warp(key(), images, 16, augment))
    moved = warped[:, 8, 8, 0] - 16  # the ramps tell by how much each image moved
    assert np.abs(moved).max() <= 3
    assert np.abs(moved).max() > 2
    assert len(np.unique(np.round(moved, 3))) > 30
    np.testing.assert_allclose(warped - warped[:, :1, :1], images[:, :16, :16], atol=1e-3)


def test_rotation_and_scale_stay_in_their_range():
    # The position itself as an image: what each pixel shows tells where it was taken from.
    offset = np.arange(33, dtype=np.float32) - 16
    position = np.stack(np.meshgrid(offset, offset, indexing="ij"), axis=-1)
    images = np.repeat(position[None], 40, axis=0)
    augment = Augment(dihedral=False, rotation_deg=20.0, scale=0.25, shift_px=0.0)
    warped = np.asarray(warp(key(), images, 9, augment))
    np.testing.assert_allclose(warped[:, 4, 4], 0, atol=1e-4)
    row, column = np.moveaxis(warped[:, 8, 4] / 4, -1, 0)  # where one pixel downwards leads to
    length, angle = np.hypot(row, column), np.rad2deg(np.arctan2(column, row))
    assert np.abs(angle).max() <= 20 and np.abs(angle).max() > 15
    assert 0.75 <= (1 / length).min() < 0.85
    assert 1.15 < (1 / length).max() <= 1.25
    right = warped[:, 4, 8] / 4  # no shear: at a right angle, and as long
    np.testing.assert_allclose(right, np.stack([-column, row], axis=-1), atol=1e-4)


def test_zeros_come_in_from_beyond():
    white = np.full((4, 16, 16, 1), 255, np.float32)
    augment = Augment(dihedral=False, rotation_deg=45.0, scale=0.0, shift_px=8.0)
    warped = np.asarray(warp(key(), white, 16, augment))
    assert warped.min() == 0
    assert warped.max() <= 255 * (1 + 1e-6)


JITTER = Augment(contrast=0.5, brightness=0.3, gamma=0.8, noise=0.2)


def test_intensities_stay_in_range():
    images = pictures(32, 16, 1)[..., 0]
    images[:4] = 0
    images[4:8] = 255
    result = np.asarray(jitter_intensity(key(), images, JITTER))
    assert result.min() >= 0 and result.max() <= 255
    assert np.abs(result - images).mean() > 10
    np.testing.assert_array_equal(result, jitter_intensity(key(), images, JITTER))
    assert (result != jitter_intensity(key(1), images, JITTER)).any()


def test_without_ranges_intensities_stay():
    images = pictures(4, 16, 1)[..., 0]
    np.testing.assert_allclose(jitter_intensity(key(), images, NOTHING), images, atol=0.03)


def test_gamma_contrast_and_brightness_keep_the_order_of_intensities():
    ramp = np.linspace(20, 230, 64, dtype=np.float32).reshape(1, 8, 8)
    for seed in range(5):
        augment = Augment(contrast=0.3, brightness=0.1, gamma=0.5)
        result = np.asarray(jitter_intensity(key(seed), ramp, augment)).ravel()
        assert (np.diff(result) >= -1e-3).all()
        assert result[-1] - result[0] > 50


def test_brightness_and_contrast_of_closed_forms():
    image = np.array([[[100.0, 150.0]]], np.float32)
    brighter = np.asarray(jitter_intensity(key(), image, Augment(brightness=0.1)))
    shift = brighter - image
    np.testing.assert_allclose(shift[..., 0], shift[..., 1], atol=1e-3)
    assert 0 < np.abs(shift).max() <= 25.5
    sharper = np.asarray(jitter_intensity(key(), image, Augment(contrast=0.2)))
    np.testing.assert_allclose(sharper.mean(), 125, rtol=1e-4)  # about the mean
    assert 40 <= np.ptp(sharper) <= 60


def test_the_box_of_training_is_that_of_prediction():
    images = pictures(4, 15, 1)[..., 0]
    half_side = np.full(4, 5, np.float32)
    expected = null_outside(images, 5)
    np.testing.assert_array_equal(null_outside_box(key(), images, half_side, NOTHING), expected)


def test_each_box_has_its_own_size_and_none_is_infinite():
    images = np.ones((6, 41, 41), np.float32)
    half_side = np.array([4, 10, 10, 10, 10, np.inf], np.float32)
    nulled = np.asarray(null_outside_box(key(), images, half_side, Augment(box=0.5)))
    sides = np.sqrt(nulled.sum(axis=(1, 2)))
    assert 2 * 2 + 1 <= sides[0] <= 2 * 6 + 1
    assert (sides[1:5] >= 2 * 5 + 1).all() and (sides[1:5] <= 2 * 15 + 1).all()
    assert len(set(sides[1:5])) > 1
    assert sides[5] == 41
    np.testing.assert_array_equal(nulled, nulled[:, ::-1, ::-1])


def make_rings(batch):
    radii_mm = np.full((batch, 2), [22.5, 13.4], np.float32)  # 15 and 9 pixels
    return np.array(rings.decode(radii_mm), np.float32)


def test_damage_takes_away_a_sector_or_cuts_out_and_adds_discs():
    masks = make_rings(200)
    damaged = np.asarray(damage_masks(key(), masks, Augment(damage=1.0)))
    assert set(np.unique(damaged)) == {0, 1}
    lost = (masks * (1 - damaged)).sum(axis=(1, 2)) / masks[0].sum()
    found = (damaged * (1 - masks)).sum(axis=(1, 2)) / masks[0].sum()
    assert lost.max() < 0.45  # 150 degrees are 0.42 of a turn
    assert ((lost > 0.3) & (found == 0)).any()
    assert ((lost == 0) & (found > 0)).any()
    assert ((lost > 0) & (found > 0)).any()
    again, other = (damage_masks(key(seed), masks, Augment(damage=1.0)) for seed in (0, 1))
    np.testing.assert_array_equal(again, damaged)
    assert (np.asarray(other) != damaged).any()


def test_damage_meets_its_share_of_the_masks_and_no_empty_one():
    masks = make_rings(400)
    masks[::4] = 0
    damaged = np.asarray(damage_masks(key(), masks, Augment(damage=0.3)))
    changed = (damaged != masks).any(axis=(1, 2))
    assert not changed[::4].any()
    assert 0.2 < changed.sum() / 300 < 0.35  # discs may miss the mask
    np.testing.assert_array_equal(damage_masks(key(), masks, Augment(damage=0.0)), masks)


def test_everything_runs_under_vmap_of_keys():
    images = pictures(2, 8, 1)
    keys = jax.random.split(key(), 3)
    many = jax.vmap(functools.partial(augmentation.warp, size=8, augment=Augment()), (0, None))
    result = jax.jit(many)(keys, images)
    assert result.shape == (3, 2, 8, 8, 1)
    np.testing.assert_allclose(result[1], warp(keys[1], images, 8, Augment()), atol=1e-3)
