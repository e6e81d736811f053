"""A toy world with an exact inverse: coordinate i of a code is the lit share of row i."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.latent.correction import correct
from acsnet_jax.latent.memory import block_within
from acsnet_jax.latent.population import pack_masks, unpack_masks
from acsnet_jax.types import InputError, Population

ROWS, WIDTH = 4, 64
ALPHAS = np.linspace(0, 1, 64, dtype=np.float32)


def encode(masks):
    return jnp.mean(masks, axis=2)


def decode(codes):
    lit = jnp.floor(codes * WIDTH + 0.5).astype(jnp.int32)
    return jnp.arange(WIDTH, dtype=jnp.int32)[None, None, :] < lit[:, :, None]


def counts(masks):
    return masks.sum(axis=2)


def is_valid(masks):
    """Row 0 between 30 and 33 or from 50 on, and row 1 no longer than row 0; gaps, so no bisection.

    Rows must be lit from the left without a gap, which every decoding is.
    """
    lit = counts(masks)
    first = lit[:, 0]
    good = ((first >= 30) & (first <= 33)) | (first >= 50)
    gaps = (masks[:, :, 1:] & ~masks[:, :, :-1]).any(axis=(1, 2))
    return good & (lit[:, 1] <= first) & ~gaps


def render(lit):
    return np.arange(WIDTH)[None, None, :] < np.asarray(lit)[:, :, None]


def random_masks(n, seed):
    """Clean rows of any length, a third of them with scratches, some empty."""
    rng = np.random.default_rng(seed)
    masks = render(rng.integers(0, WIDTH + 1, (n, ROWS)))
    masks[::3] &= rng.random(masks[::3].shape) < 0.9
    masks[5::17] = False
    return masks


def population(size=200, seed=1):
    codes = np.random.default_rng(seed).random((20 * size, ROWS)).astype(np.float32)
    masks = np.asarray(decode(jnp.asarray(codes)))
    keep = np.flatnonzero(is_valid(masks))[:size]
    assert len(keep) == size
    return Population(codes=jnp.asarray(codes[keep]), masks=pack_masks(jnp.asarray(masks[keep])))


def bare(*lit):
    """Codes alone, of masks with the given lengths of rows."""
    return jnp.asarray(lit, jnp.float32) / WIDTH


POPULATION = population()
run = functools.partial(
    correct,
    encode=encode,
    decode=decode,
    is_valid=is_valid,
    population=POPULATION,
    alphas=ALPHAS,
)


def reference(mask, scope, refine):
    """One mask, one alpha at a time. Returns mask, alpha, neighbour."""
    if not mask.any():
        return mask, 0.0, -1
    if scope == "invalid" and is_valid(mask[None])[0]:
        return mask, 0.0, -1
    z = mask.mean(axis=1, dtype=np.float32)

    def at(alpha, target):
        code = z + np.float32(alpha) * (target - z)
        lit = np.floor(code * np.float32(WIDTH) + np.float32(0.5)).astype(int)
        return render(lit[None])[0]

    if is_valid(at(0, z)[None])[0]:
        return at(0, z), 0.0, -1
    bank = np.asarray(POPULATION.codes)
    index = int(((bank - z) ** 2).sum(axis=1).argmin())
    for i, alpha in enumerate(ALPHAS):
        if is_valid(at(alpha, bank[index])[None])[0]:
            below = ALPHAS[i - 1]
            for step in range(1, refine):
                finer = below + np.float32(step) * ((alpha - below) / np.float32(refine))
                if is_valid(at(finer, bank[index])[None])[0]:
                    return at(finer, bank[index]), finer, index
            return at(alpha, bank[index]), alpha, index
    return np.asarray(unpack_masks(POPULATION.masks[index])), 1.0, index


@pytest.mark.parametrize(
    ("scope", "refine", "block"),
    [("invalid", 16, 256), ("invalid", 1, 7), ("all", 16, 256), ("all", 5, 4096)],
)
def test_equals_the_sequential_reference(scope, refine, block):
    masks = random_masks(60, 0)
    found = run(masks, scope=scope, refine=refine, block=block)
    for i, mask in enumerate(masks):
        expected, alpha, neighbour = reference(mask, scope, refine)
        np.testing.assert_array_equal(found.mask[i], expected)
        assert float(found.alpha[i]) == pytest.approx(alpha, abs=1e-6)
        assert found.neighbour[i] == neighbour
        assert found.pixels_changed[i] == (expected ^ mask).sum()
    assert (found.alpha > 0).sum() > 20  # the search is really used


def test_output_is_valid_or_empty_and_reported():
    masks = random_masks(60, 2)
    found = run(masks)
    np.testing.assert_array_equal(found.empty, ~masks.any(axis=(1, 2)))
    np.testing.assert_array_equal(found.valid_before, is_valid(masks))
    np.testing.assert_array_equal(is_valid(found.mask), ~found.empty)
    assert not found.mask[np.asarray(found.empty)].any()
    np.testing.assert_array_equal(np.isnan(found.distance), found.neighbour < 0)
    used = np.flatnonzero(found.neighbour >= 0)
    exact = np.linalg.norm(
        masks[used].mean(axis=2) - POPULATION.codes[found.neighbour[used]], axis=1
    )
    np.testing.assert_allclose(found.distance[used], exact, rtol=1e-5)
    assert found.failed_before.shape == (60, 0)


def test_bisection_would_be_wrong():
    # Row 0 goes from 20 to 60: valid at 30 to 33, invalid at 34 to 49, valid from 50 on. Half way
    # (40) is invalid, so bisection ends near 50; the smallest alpha is where 29.5 is reached.
    found = run(render([[20, 0, 0, 0]]), population=bare([60, 0, 0, 0]))
    assert counts(found.mask)[0, 0] == 30
    assert 9.5 / 40 <= float(found.alpha[0]) <= 9.5 / 40 + 1 / 63 / 16


def test_batch_equals_one_at_a_time():
    masks = random_masks(60, 3)
    together = run(masks)
    for i, mask in enumerate(masks[:24]):
        alone = run(mask)  # also: a single mask without a batch axis
        for name in ("mask", "alpha", "neighbour", "distance", "pixels_changed"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(together, name)[i])


def test_any_batch_shape_under_jit():
    masks = jnp.asarray(random_masks(60, 3).reshape(3, 20, ROWS, WIDTH))
    flat = run(masks.reshape(60, ROWS, WIDTH))
    shaped = jax.jit(run)(masks)
    assert shaped.mask.shape == masks.shape
    assert shaped.failed_before.shape == (3, 20, 0)
    np.testing.assert_array_equal(shaped.mask.reshape(60, ROWS, WIDTH), flat.mask)
    np.testing.assert_array_equal(shaped.alpha.reshape(60), flat.alpha)


def test_valid_masks_are_kept_untouched():
    masks = np.tile(render([[31, 5, 64, 0], [55, 55, 1, 2], [64, 0, 0, 0]]), (20, 1, 1))
    found = run(masks)
    np.testing.assert_array_equal(found.mask, masks)
    assert found.valid_before.all()
    for name in ("alpha", "pixels_changed"):
        assert not getattr(found, name).any()


def test_all_empty():
    masks = np.zeros((60, ROWS, WIDTH), bool)
    for scope in ("invalid", "all"):
        found = run(masks, scope=scope)
        assert found.empty.all()
        assert not found.mask.any()
        assert not found.valid_before.any()
        assert (found.neighbour == -1).all()


@pytest.mark.parametrize("shape", [(0, ROWS, WIDTH), (3, 0, ROWS, WIDTH)])
def test_nothing_to_correct(shape):
    done = run(np.zeros(shape, bool))
    assert done.mask.shape == shape
    assert {leaf.shape[: len(shape) - 2] for leaf in done} == {shape[:-2]}


def test_correcting_twice_changes_nothing_more():
    once = run(random_masks(60, 4))
    twice = run(once.mask)
    np.testing.assert_array_equal(once.mask, twice.mask)
    assert not twice.pixels_changed.any()


def test_scope_all_also_redraws_valid_masks():
    def blur(masks):  # an autoencoder that loses row 3
        return encode(masks) * jnp.array([[1.0, 1, 1, 0]])

    masks = render([[31, 5, 64, 9], [20, 5, 64, 9]])
    found = run(masks, encode=blur, scope="all")
    np.testing.assert_array_equal(found.mask[0], render([[31, 5, 64, 0]])[0])
    assert found.valid_before.tolist() == [True, False]
    assert found.pixels_changed[0] == 9
    assert found.alpha[0] == 0


def test_soft_masks_are_cut_at_one_half_but_encoded_as_they_are():
    lit = render([[31, 0, 0, 0], [10, 0, 0, 0], [0, 0, 0, 0]])
    soft = np.where(lit, 0.5, 0.25).astype(np.float32)
    found = run(soft)
    assert found.valid_before.tolist() == [True, False, False]
    assert found.empty.tolist() == [False, False, True]
    np.testing.assert_array_equal(found.mask[0], soft[0] >= 0.5)
    code = (10 * 0.5 + 54 * 0.25) / 64  # of row 0; the other rows are 0.25
    query = np.array([code, 0.25, 0.25, 0.25], np.float32)
    expected = np.linalg.norm(POPULATION.codes - query[None], axis=1).min()
    assert float(found.distance[1]) == pytest.approx(expected, rel=1e-5)
    assert is_valid(found.mask).tolist() == [True, True, False]


def test_stored_mask_is_returned_where_nothing_on_the_line_passes():
    def broken(codes):  # whatever is decoded is one pixel short of valid
        return decode(jnp.minimum(codes, 29 / WIDTH))

    masks = render([[20, 0, 0, 0], [40, 64, 3, 3], [31, 0, 0, 0]])
    found = run(masks, decode=broken)
    stored = unpack_masks(POPULATION.masks[found.neighbour[:2]])
    np.testing.assert_array_equal(found.mask[:2], stored)
    np.testing.assert_array_equal(found.alpha, [1, 1, 0])
    assert is_valid(found.mask).all()


def test_a_neighbour_that_decodes_to_something_else_now_is_replaced_by_its_stored_mask():
    def imprecise(codes):  # one pixel is lost from every row, as on another device
        return decode(codes - 1 / WIDTH)

    target = jnp.array([[50.0, 0, 0, 0]]) / WIDTH
    stored = Population(codes=target, masks=pack_masks(decode(target)))
    found = run(render([[45, 0, 0, 0]]), decode=imprecise, population=stored)
    np.testing.assert_array_equal(found.mask, decode(target))
    assert found.alpha.tolist() == [1]


def test_the_array_returned_is_the_one_that_was_checked():
    def fickle(codes):  # what a code decodes to depends on its place in the batch
        place = jnp.arange(len(codes), dtype=jnp.int32) % 3
        return decode(codes - place.astype(jnp.float32)[:, None] / WIDTH)

    masks = render(np.random.default_rng(5).integers(0, 50, (60, ROWS)))
    assert is_valid(run(masks, decode=fickle).mask).all()


def test_bare_codes_fall_back_to_their_decoding():
    never_there = ALPHAS * np.float32(0.1)
    found = run(render([[20, 0, 0, 0]]), population=bare([60, 0, 0, 0]), alphas=never_there)
    np.testing.assert_array_equal(found.mask, render([[60, 0, 0, 0]]))
    assert found.alpha[0] == 1


def test_invalid_population_never_leaves_an_invalid_mask():
    found = run(render([[20, 0, 0, 0]]), population=bare([10, 0, 0, 0]))
    assert not found.mask.any()
    assert not found.empty.any()
    assert found.pixels_changed[0] == 20


def test_of_k_neighbours_the_least_change_wins():
    # From 40, the nearer code asks for 10 pixels up to 50, the farther one for 7 down to 33.
    codes = bare([50, 0, 0, 0], [29, 0, 0, 0])
    found = run(render([[40, 0, 0, 0]]), population=codes, k=2)
    assert counts(found.mask)[0, 0] == 33
    assert found.neighbour.tolist() == [1]
    assert found.pixels_changed.tolist() == [7]
    assert float(found.distance[0]) == pytest.approx(11 / WIDTH)
    nearest_only = run(render([[40, 0, 0, 0]]), population=codes[:1])
    assert nearest_only.pixels_changed.tolist() == [10]


def test_more_neighbours_never_change_more_pixels():
    masks = random_masks(60, 6)
    one, five = run(masks), run(masks, k=5)
    assert (five.pixels_changed <= one.pixels_changed).all()
    assert (five.pixels_changed < one.pixels_changed).any()
    assert (is_valid(five.mask) | five.empty).all()


def test_failures_are_those_of_the_given_masks():
    def failures(masks):
        return jnp.stack([counts(masks)[:, 0] < 30, counts(masks)[:, 1] > 3], axis=1)

    masks = render([[31, 0, 0, 0], [20, 0, 0, 0], [20, 4, 0, 0], [0, 0, 0, 0]])
    found = run(masks, failures=failures)
    assert found.failed_before.tolist() == [
        [False, False],
        [True, False],
        [True, True],
        [True, False],
    ]


def test_only_masks_in_need_are_decoded_and_never_more_than_a_block():
    sizes = []

    def watched(codes):
        jax.debug.callback(lambda codes: sizes.append(len(codes)), codes)
        return decode(codes)

    valid = render(np.tile([[31, 0, 0, 0]], (20, 1)))
    jax.block_until_ready(run(valid, decode=watched, block=16))
    assert not sizes
    masks = np.concatenate([valid, render([[20, 0, 0, 0]])])
    jax.block_until_ready(run(masks, decode=watched, block=16))
    jax.effects_barrier()
    assert max(sizes) <= 16
    assert len(sizes) <= 5 + 1  # 65 points of the grid and 15 between two of them, by 16


@pytest.mark.parametrize(
    "options",
    [
        {"alphas": np.array([0.5, 0.2], np.float32)},
        {"alphas": np.array([0.0, 1.5], np.float32)},
        {"alphas": np.zeros(0, np.float32)},
        {"k": 0},
        {"refine": 0},
        {"block": 0},
    ],
)
def test_bad_options(options):
    with pytest.raises(InputError, match=r"ascend|choose at least 1"):
        run(render([[20, 0, 0, 0]]), **options)


def test_a_memory_limit_sets_the_block():
    def check(masks):
        return is_valid(masks)

    block = block_within(2**20, decode, check, ROWS)
    more = block_within(2**22, decode, check, ROWS)
    assert 1 <= block < more
    assert more == 4 * block
    assert block & (block - 1) == 0
    with pytest.raises(InputError, match="allow more than 0"):
        block_within(1, decode, check, ROWS)
