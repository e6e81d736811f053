"""Discs instead of hearts: their measures against scikit-image, and the whole script, tiny."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

import acsnet_jax

SCRIPT = pathlib.Path(acsnet_jax.__file__).resolve().parent.parent / "examples" / "discs.py"
SIZE = 32


@pytest.fixture(scope="module")
def discs():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("discs", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def various_masks(discs, count):
    """Noise at several scales, damaged discs, rings within rings, full and empty masks."""
    rng = np.random.default_rng(count)
    drawn = [discs.draw_disc(rng)[16:48, 16:48] for _ in range(4)]
    masks = [
        discs.damage_disc(rng, disc, kinds) for disc in drawn for kinds in discs.DAMAGES.values()
    ]
    radius = np.hypot(*(np.indices((SIZE, SIZE)) - 14))
    masks += [
        radius % 6 < 3,
        radius < 20,
        np.ones((SIZE, SIZE), bool),
        np.zeros((SIZE, SIZE), bool),
    ]
    while len(masks) < count:
        noise = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), rng.uniform(0.0, 3.0))
        masks.append(noise > np.quantile(noise, rng.uniform(0.2, 0.95)))
    return np.stack(masks[:count])


def oracle(mask):
    """(objects, holes, circularity, area) by scikit-image."""
    objects = int(np.max(np.asarray(measure.label(mask, connectivity=2))))
    holes = objects - int(measure.euler_number(mask, connectivity=2))
    perimeter = measure.perimeter_crofton(mask, directions=4)
    circularity = 4 * np.pi * mask.sum() / perimeter**2 if mask.any() else np.nan
    return objects, holes, circularity, mask.sum()


@pytest.mark.parametrize("count", [1, 200])
def test_measures_equal_scikit_image(discs, count):
    masks = various_masks(discs, count)
    found = discs.measure(masks)
    expected = discs.Measures(*np.array([oracle(mask) for mask in masks]).T)
    for name in ("objects", "holes", "area"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    np.testing.assert_allclose(found.circularity, expected.circularity, rtol=1e-5)
    valid = [
        objects == 1 and holes == 0 and circularity >= 0.9 and area >= 20
        for objects, holes, circularity, area in zip(*expected, strict=True)
    ]
    loose = discs.Bounds(circularity=0.9, area=20.0)
    np.testing.assert_array_equal(discs.is_valid(jnp.asarray(masks), loose), valid)
    assert count < 200 or 0 < sum(valid) < count


def test_discs_lie_inside_the_picture_and_damage_shows(discs):
    rng = np.random.default_rng(5)
    drawn = np.stack([discs.draw_disc(rng) for _ in range(40)])
    border = np.ones(drawn.shape[1:], bool)
    border[1:-1, 1:-1] = False
    assert not (drawn & border).any()
    for kinds in discs.DAMAGES.values():
        assert all((discs.damage_disc(rng, disc, kinds) != disc).any() for disc in drawn[:5])


def test_cleaning_keeps_the_largest_component_without_holes(discs):
    disc = np.hypot(*(np.indices((SIZE, SIZE)) - 12)) < 8
    damaged = disc.copy()
    damaged[10:13, 10:12] = False
    damaged[25:29, 25:29] = True
    np.testing.assert_array_equal(discs.clean(damaged), disc)
    assert not discs.clean(np.zeros((SIZE, SIZE), bool)).any()


@pytest.mark.slow
def test_the_whole_script(discs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(discs, "SIZE", SIZE)
    with jax.numpy_dtype_promotion("standard"):
        mended = discs.main(
            train=160, held_out=4, epochs=40, codes=20, picture=tmp_path / "discs.png"
        )
    assert set(mended) == set(discs.DAMAGES)
    for damaged, cleaned, corrected in mended.values():
        assert damaged.shape == cleaned.shape == corrected.shape == (4, discs.SIZE, discs.SIZE)
        assert not (corrected == damaged).all(axis=(1, 2)).any()
    told, header, *rows = capsys.readouterr().out.splitlines()
    assert told.startswith("Bounds(circularity=0.9")
    assert header.split() == ["valid,", "Dice", "damaged", "cleaned", "corrected"]
    cells = {row[:14].strip(): row[14:].split() for row in rows}
    assert set(cells) == set(discs.DAMAGES)
    for valid, *_, corrected_valid, dice in cells.values():
        assert (valid, corrected_valid) == ("0.0%", "100.0%")
        assert 0.5 < float(dice) <= 1
    assert cells["islands"][3] == "1.000"  # cleaning brings the disc back
    assert min(matplotlib.image.imread(tmp_path / "discs.png").shape[:2]) > 300
