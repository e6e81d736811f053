import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from acsnet_jax.ops import bits, components, distance, flood, hull, morphology, polar, quads
from acsnet_jax.ops.subset import on_subset

SHAPE = (37, 71)
# the same calls, each compiled once as a whole
pack_rows = jax.jit(bits.pack_rows)
unpack_rows = jax.jit(bits.unpack_rows, static_argnums=(1, 2, 3))
lanes_from_rows = jax.jit(bits.lanes_from_rows, static_argnums=1)
rows_from_lanes = jax.jit(bits.rows_from_lanes)
grid = jax.jit(bits.grid, static_argnums=1)
extract_largest = jax.jit(components.extract_largest, static_argnames="tries")
FOUR = ndimage.generate_binary_structure(2, 1)
EIGHT = ndimage.generate_binary_structure(2, 2)


@pytest.fixture(scope="module")
def masks():
    rng = np.random.default_rng(0)
    return rng.random((70, *SHAPE)) < rng.uniform(0, 1, (70, 1, 1))


@pytest.fixture(scope="module")
def rows(masks):
    return pack_rows(jnp.asarray(masks))


def unpack(rows, count=70):
    return np.asarray(unpack_rows(rows, count, *SHAPE))


def to_lanes(rows):
    return lanes_from_rows(rows, SHAPE[1] + 2)


@pytest.mark.parametrize("width", [5, 29, 30, 31, 62, 63, 126, 128])
def test_packing_goes_there_and_back(width):
    masks = np.random.default_rng(width).random((33, 9, width)) < 0.5
    rows = pack_rows(jnp.asarray(masks))
    assert rows.shape == (11, -(-(width + 2) // 32), 64)
    np.testing.assert_array_equal(unpack_rows(rows, 33, 9, width), masks)
    lanes = lanes_from_rows(rows, width + 2)
    assert lanes.shape == (11, width + 2, 2)
    np.testing.assert_array_equal(rows_from_lanes(lanes), rows)
    np.testing.assert_array_equal(bits.pack_grid(grid(rows, width + 2)), rows)
    np.testing.assert_array_equal(grid(rows, width + 2)[1:-1, 1:-1, :33], masks.transpose(1, 2, 0))
    np.testing.assert_array_equal(bits.count(rows)[:33], masks.sum(axis=(1, 2)))


def test_lane_of_a_mask_is_documented(masks, rows):
    lanes = np.asarray(to_lanes(rows))
    words = lanes.shape[-1]
    for index in (0, 1, 2, 3, 69):
        lane, word = divmod(index, words)
        np.testing.assert_array_equal(lanes[1:-1, 1:-1, word] >> lane & 1, masks[index])
    flags = np.asarray(bits.any_lane(to_lanes(rows)))
    np.testing.assert_array_equal(flags[:70], masks.any(axis=(1, 2)))


def test_locate_lists_pixels_in_raster_order(masks, rows):
    find = jax.jit(lambda r: bits.locate(bits.number_pixels(r), jnp.int32(3), 200))
    row, column, exists = find(rows)
    for k, mask in enumerate(masks):
        expected = np.argwhere(mask)[3:203] + 1
        found = np.stack([row[:, k], column[:, k]], axis=1)[np.asarray(exists[:, k])]
        np.testing.assert_array_equal(found, expected)


def test_contours_equal_scipy(masks, rows):
    inner = unpack(jax.jit(morphology.inner_contour)(rows))
    outer = unpack(jax.jit(morphology.outer_contour)(rows))
    for k, mask in enumerate(masks):
        eroded = np.asarray(ndimage.binary_erosion(mask, FOUR), bool)
        np.testing.assert_array_equal(inner[k], mask & ~eroded)
        np.testing.assert_array_equal(outer[k], ndimage.binary_dilation(mask, FOUR) & ~mask)


@pytest.mark.parametrize("diagonal", [False, True])
def test_flood_equals_scipy_propagation(masks, rows, diagonal):
    seed = masks & (np.random.default_rng(1).random(masks.shape) < 0.01)
    filled = flood.flood(to_lanes(pack_rows(jnp.asarray(seed))), to_lanes(rows), diagonal=diagonal)
    filled = unpack(rows_from_lanes(filled))
    for k, mask in enumerate(masks):
        expected = ndimage.binary_propagation(
            seed[k], structure=EIGHT if diagonal else FOUR, mask=mask
        )
        np.testing.assert_array_equal(filled[k], expected)


def test_outside_equals_scipy_fill(masks, rows):
    filled = unpack(rows_from_lanes(~flood.outside(to_lanes(rows))))
    for k, mask in enumerate(masks):
        np.testing.assert_array_equal(filled[k], ndimage.binary_fill_holes(mask, FOUR))


def test_quads_equal_skimage(masks, rows):
    euler = np.asarray(jax.jit(quads.euler_number)(rows))
    perimeter = np.asarray(jax.jit(quads.crofton_perimeter)(rows))
    for k, mask in enumerate(masks):
        assert euler[k] == measure.euler_number(mask, connectivity=2)
        expected = measure.perimeter_crofton(mask, directions=4)
        np.testing.assert_allclose(perimeter[k], expected, rtol=1e-6)


def test_object_count_equals_skimage(masks, rows):
    lanes = to_lanes(rows)
    count = jax.jit(lambda x: components.object_count(x, ~flood.outside(x)))
    found = np.asarray(count(lanes))
    expected = [np.asarray(measure.label(m, connectivity=2)).max() for m in masks]
    np.testing.assert_array_equal(found[:70], expected)


def largest(mask):
    labels = np.asarray(measure.label(mask, connectivity=1))
    areas = np.bincount(labels.ravel())[1:]
    return labels == 1 + np.argmax(areas) if areas.size else np.zeros_like(mask)


def test_largest_component_equals_skimage(masks, rows):
    best, sure = extract_largest(to_lanes(rows), tries=1000)
    best = unpack(rows_from_lanes(best))
    labelled = jax.jit(components.label_largest)(jnp.asarray(masks.transpose(1, 2, 0)))
    assert np.all(sure)
    for k, mask in enumerate(masks):
        # skimage numbers components in raster order of their first pixel
        np.testing.assert_array_equal(best[k], largest(mask))
        np.testing.assert_array_equal(labelled[:, :, k], largest(mask))


def test_extraction_says_when_it_is_unsure(masks, rows):
    best, sure = extract_largest(to_lanes(rows), tries=2)
    best = unpack(rows_from_lanes(best))
    assert 0 < np.sum(sure[:70]) < 70
    for k in np.flatnonzero(sure[:70]):
        np.testing.assert_array_equal(best[k], largest(masks[k]))


def depth_mm(mask, spacing_mm):
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing_mm))


def test_distances_equal_scipy(masks, rows):
    rng = np.random.default_rng(2)
    spacing = rng.uniform(0.5, 2, (96, 2)).astype(np.float32)
    targets = np.roll(masks, 1, axis=0) & (rng.random(masks.shape) < 0.1)
    packed = pack_rows(jnp.asarray(targets))
    measured = jax.jit(
        lambda r, t, s: (
            *distance.nearest_distance_range(bits.number_pixels(r), bits.number_pixels(t), s),
            distance.largest_depth(bits.grid(r, SHAPE[1] + 2), s),
        )
    )
    low, high, depth = measured(rows, packed, jnp.asarray(spacing.T))
    for k, (mask, target) in enumerate(zip(masks, targets, strict=True)):
        inside = depth_mm(np.pad(mask, 1), spacing[k])
        np.testing.assert_allclose(depth[k], inside.max(), rtol=1e-6)
        if mask.any() and target.any():
            field = depth_mm(~target, spacing[k])[mask]
            np.testing.assert_allclose([low[k], high[k]], [field.min(), field.max()], rtol=1e-6)


def test_convexity_defect_of_convex_and_dented_outlines():
    square = np.zeros(SHAPE, bool)
    square[5:25, 5:35] = True
    dented = square.copy()
    dented[5:10, 15:25] = False
    rows = pack_rows(jnp.asarray(np.stack([square, dented])))
    defect = jax.jit(
        lambda r, s: hull.convexity_defect(bits.number_pixels(morphology.inner_contour(r)), s)
    )
    found = defect(rows, jnp.tile(jnp.array([[2.0], [1.0]]), (1, 32)))
    # the floor of the dent lies five rows of 2 mm under the edge, the nearest supporting line
    np.testing.assert_allclose(found[:2], [0, 10], atol=1e-4)


def test_coordinate_sums_are_exact(masks, rows):
    row_sum, column_sum = jax.jit(polar.coordinate_sums)(rows)
    for k, mask in enumerate(masks):
        row, column = np.nonzero(mask)
        assert (row_sum[k], column_sum[k]) == ((row + 1).sum(), (column + 1).sum())


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.4, 1.4), (1.3, 0.7)])
def test_bins_equal_float64_even_beside_their_edges(spacing):
    rng = np.random.default_rng(3)
    spacing32 = np.array(spacing, np.float32)
    y, x = rng.integers(-(2**22), 2**22, (2, 20000))
    # offsets as close to an edge as integers can be
    edge = np.radians(5 * rng.integers(0, 72, 10000))
    length = rng.uniform(2**18, 2**22, 10000)
    y[:10000] = np.rint(length * np.sin(edge) / float(spacing32[0]))
    x[:10000] = np.rint(length * np.cos(edge) / float(spacing32[1]))
    y[:100] = x[:100]
    y[100:200] = -x[100:200]
    y[200:300], x[300:400] = 0, 0
    found = jax.jit(polar.bin_of)(
        jnp.asarray(y[:, None], jnp.int32),
        jnp.asarray(x[:, None], jnp.int32),
        jnp.tile(jnp.asarray(spacing32)[:, None], (1, 1)),
    )
    degrees = np.degrees(np.arctan2(y * float(spacing32[0]), x * float(spacing32[1]))) % 360
    np.testing.assert_array_equal(found[:, 0], np.floor(degrees / 5).astype(int) % 72)


@pytest.mark.parametrize("cost", [None, np.arange(100, dtype=np.int32) % 7])
def test_subset_leaves_others_alone(cost):
    select = np.random.default_rng(4).random(100) < 0.5

    @jax.jit
    def squares(x):
        cost_ = None if cost is None else jnp.asarray(cost)
        return on_subset(
            lambda a: (a**2, a > 50),
            jnp.asarray(select),
            x,
            block=32,
            fill=(-1.0, False),
            cost=cost_,
        )

    square, large = squares(jnp.arange(100.0))
    np.testing.assert_array_equal(square, np.where(select, np.arange(100.0) ** 2, -1))
    np.testing.assert_array_equal(large, select & (np.arange(100) > 50))
