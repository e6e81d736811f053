"""Discs instead of hearts: their measures against scikit-image, bounds, and the whole job."""

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from acsnet_jax import anatomy
from acsnet_jax.jobs.discs import DAMAGES, METHODS, clean, correct_discs, damage_discs, draw_discs
from acsnet_jax.types import InputError
from configs import discs as config
from experiments import discs

SIZE = 32
LOOSE = discs.Bounds(circularity=0.9, area=20.0)
_measure = jax.jit(discs.measure)


def various_masks(count):
    """Noise at several scales, damaged discs, rings within rings, full and empty masks."""
    rng = np.random.default_rng(count)
    masks = list(damage_discs(draw_discs(rng, 4, SIZE), 2, 0).reshape(-1, SIZE, SIZE))
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
    objects = int(measure.label(mask, connectivity=2).max())
    holes = objects - int(measure.euler_number(mask, connectivity=2))
    perimeter = measure.perimeter_crofton(mask, directions=4)
    circularity = 4 * np.pi * mask.sum() / perimeter**2 if mask.any() else np.nan
    return objects, holes, circularity, mask.sum()


@pytest.mark.parametrize("count", [1, 200])
def test_measures_equal_scikit_image(count):
    masks = various_masks(count)
    found = _measure(masks)
    expected = discs.Measures(*np.array([oracle(mask) for mask in masks]).T)
    for name in ("objects", "holes", "area"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    np.testing.assert_allclose(found.circularity, expected.circularity, rtol=1e-5)
    valid = np.array(
        [
            objects == 1 and holes == 0 and circularity >= LOOSE.circularity and area >= LOOSE.area
            for objects, holes, circularity, area in zip(*expected, strict=True)
        ]
    )
    np.testing.assert_array_equal(discs.is_valid(jnp.asarray(masks), LOOSE), valid)
    assert count < 200 or 0 < valid.sum() < count


class _Measures(NamedTuple):
    size: np.ndarray
    depth: np.ndarray
    is_ring: np.ndarray


class _Bounds(NamedTuple):
    depth: float
    most: float
    least: float = 7.0


ROWS = _Measures(
    size=np.arange(1.0, 101.0),
    depth=np.where(np.arange(100) < 50, np.arange(100.0), -1.0),
    is_ring=np.arange(100) < 50,
)
RULES = (
    anatomy.Criterion("not too large", "size", "upper", "most"),
    anatomy.Criterion("deep", "depth", "lower", "depth", "ring"),
    anatomy.Criterion("some", "size", "lower", 1.0),
)


def test_bounds_of_any_measures_are_fitted():
    fitted = anatomy.fit_bounds(ROWS, RULES, _Bounds, coverage=0.9)
    # 90 of 100 sizes, and 45 of the 50 depths of rings, are accepted, each with its slack of 1e-5
    assert fitted == _Bounds(depth=5 - 5e-5, most=90 + 90e-5, least=7.0)
    assert anatomy.fit_bounds(ROWS, RULES, _Bounds, coverage=1.0).most == 100 + 100e-5
    failed = anatomy.check(jax.tree.map(jnp.asarray, ROWS), fitted, RULES)
    np.testing.assert_array_equal(failed.sum(axis=0), [10, 5, 0])


def test_given_bounds_stay():
    fitted = anatomy.fit_bounds(ROWS, RULES, _Bounds, most=3.0, least=2.0)
    assert (fitted.most, fitted.least) == (3.0, 2.0)
    assert set(anatomy.fit_bounds(ROWS, RULES, dict)) == {"most", "depth"}
    exact = (anatomy.Criterion("so many", "size", "equal", "least"),)
    assert anatomy.fit_bounds(ROWS, exact, dict) == {}


def test_nothing_to_fit_is_named():
    no_ring = ROWS._replace(is_ring=np.zeros(100, bool))
    with pytest.raises(InputError, match="no mask to fit depth to: give expert masks with closed"):
        anatomy.fit_bounds(no_ring, RULES, _Bounds)
    nothing = ROWS._replace(size=np.full(100, np.nan))
    with pytest.raises(InputError, match="no mask to fit most to: give expert masks that are not"):
        anatomy.fit_bounds(nothing, RULES, _Bounds)
    with pytest.raises(InputError, match=r"coverage must lie in \(0, 1\], not 0"):
        anatomy.fit_bounds(ROWS, RULES, _Bounds, coverage=0.0)


def test_discs_are_drawn_and_damaged_from_their_seed():
    drawn = draw_discs(np.random.default_rng(5), 40, SIZE)
    np.testing.assert_array_equal(drawn, draw_discs(np.random.default_rng(5), 40, SIZE))
    border = np.ones((SIZE, SIZE), bool)
    border[1:-1, 1:-1] = False
    assert not (drawn & border).any()
    bounds = discs.fit(drawn)
    assert discs.is_valid(jnp.asarray(drawn), bounds).mean() > 0.9
    damaged = damage_discs(drawn, 3, 0)
    assert damaged.shape == (len(DAMAGES), *drawn.shape)
    np.testing.assert_array_equal(damaged, damage_discs(drawn, 3, 0))
    assert (damaged != drawn).any(axis=(2, 3)).mean() > 0.95
    with pytest.raises(InputError, match="strengths 1 to 5, not 6"):
        damage_discs(drawn[:1], 6, 0)


def test_cleaning_keeps_the_largest_component_without_holes():
    disc = np.hypot(*(np.indices((SIZE, SIZE)) - 12)) < 8
    damaged = disc.copy()
    damaged[10:13, 10:12] = False
    damaged[25:29, 25:29] = True
    np.testing.assert_array_equal(clean(damaged), disc)
    assert not clean(np.zeros((SIZE, SIZE), bool)).any()


def test_the_whole_job(tmp_path, capsys):
    settings = config.get_config()
    settings.update_from_flattened_dict(
        {
            "train": 160,
            "held_out": 6,
            "model.size": SIZE,
            "model.latent": 3,
            "model.filters": (4,),
            "optimisation.epochs": 15,
            "optimisation.learning_rate": 1e-2,
            "components": 2,
            "population": 50,
        }
    )
    with jax.numpy_dtype_promotion("standard"):
        correct_discs(settings, tmp_path, fit=discs.fit, is_valid=discs.is_valid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["discs.json", "discs.png"]
    record = json.loads((tmp_path / "discs.json").read_text())
    assert set(record["bounds"]) == {"circularity", "area"}
    assert record["autoencoder_dice"] > 0.8
    assert 0 < record["acceptance"] <= 1
    outcomes = record["outcomes"]
    assert set(outcomes) == set(METHODS)
    for outcome in outcomes.values():
        assert set(outcome) == {"all", *DAMAGES}
        kinds = [outcome[kind]["dice"] for kind in DAMAGES]
        assert outcome["all"]["dice"] == pytest.approx(np.mean(kinds), rel=1e-5)
    assert outcomes["corrected"]["all"]["valid"] == 1.0
    assert outcomes["damaged"]["all"]["valid"] < 0.5
    assert outcomes["cleaned"]["islands"]["dice"] == 1.0
    pixels = matplotlib.image.imread(tmp_path / "discs.png")
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.01
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 1 + len(METHODS)
    assert table[-1].startswith("latent correction") and "100.0%" in table[-1]
