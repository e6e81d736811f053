"""The prior that ships: its form, and what it is good for."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from rings import SPACING, THRESHOLDS, decode

from acsnet_jax import anatomy, latent
from acsnet_jax import bundle as bundles
from acsnet_jax.anatomy.cleanup import clean_components
from acsnet_jax.correction import correct_stack
from acsnet_jax.evaluation.damage import KINDS, damage
from acsnet_jax.metrics import dice
from acsnet_jax.prior import SHIPPED, decoded_population, half_precision
from acsnet_jax.synthesis.shapes import draw_plausible
from acsnet_jax.types import InputError

is_valid = functools.partial(anatomy.is_valid, spacing_mm=(SPACING, SPACING), thresholds=THRESHOLDS)
CODES = np.array([[30, 22], [30, 29], [26, 18], [24, 16]], np.float32)  # the second wall is thin


@pytest.fixture(scope="module")
def shipped():
    return bundles.load_corrector(SHIPPED)


@pytest.fixture(scope="module")
def delta(shipped):
    return functools.partial(
        anatomy.is_valid, spacing_mm=(shipped.spacing_mm,) * 2, thresholds=shipped.thresholds
    )


def test_half_precision_is_what_float16_holds():
    given, half = (np.array([1 / 3, 2.0], dtype) for dtype in (np.float32, np.float16))
    rounded = half_precision({"a": given, "b": {"c": np.float32(1e-3)}})
    np.testing.assert_array_equal(rounded["a"], half.astype(np.float32))
    assert rounded["b"]["c"].dtype == np.float32
    with pytest.raises(InputError, match="beyond the 65504"):
        half_precision({"a": np.float32(1e5)})


def test_codes_get_their_masks_back_and_those_that_fail_are_left_out(caplog):
    population = decoded_population(CODES, decode, is_valid)
    np.testing.assert_array_equal(population.codes, CODES[[0, 2, 3]])
    np.testing.assert_array_equal(
        latent.unpack_masks(population.masks), decode(jnp.asarray(CODES[[0, 2, 3]]))
    )
    assert "1 of 4 codes decode to invalid masks here" in caplog.text
    with pytest.raises(InputError, match="only 0 of 3 codes"):
        decoded_population(CODES[[1, 1, 1]], decode, is_valid)


def test_the_prior_is_small_and_made_of_shapes_alone():
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    told = bundles.provenance(SHIPPED)
    assert told["training"]["data"]["format"] == "shapes"
    assert list(told["networks"]) == ["autoencoder"]


def test_every_member_of_its_population_is_valid(shipped, delta):
    population = shipped.population
    assert len(population.codes) > 4_900
    masks = np.asarray(latent.unpack_masks(population.masks))
    for part in np.split(masks[:4_900], 7):
        assert np.asarray(delta(part)).all()


def test_it_mends_shapes_better_than_cleaning_does(shipped, delta):
    spacing = (shipped.spacing_mm,) * 2
    rng = np.random.default_rng(2024)
    truth = draw_plausible(rng, 16, delta, size=shipped.size, spacing_mm=shipped.spacing_mm)
    rebuilt = shipped.decode(shipped.encode(jnp.asarray(truth, jnp.float32)))
    assert np.asarray(dice(rebuilt, jnp.asarray(truth))).mean() > 0.9
    truth = np.repeat(truth, len(KINDS), axis=0)
    broken = np.stack(
        [damage(rng, mask, spacing, KINDS[k % len(KINDS)], 4) for k, mask in enumerate(truth)]
    )
    mended = np.asarray(correct_stack(broken, shipped, spacing).mask)
    assert np.asarray(delta(mended)).all()
    cleaned = np.stack([clean_components(mask) for mask in broken])
    ours, theirs = (np.asarray(dice(masks, truth)).mean() for masks in (mended, cleaned))
    assert ours > theirs + 0.02
