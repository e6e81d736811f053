import functools
import pathlib
import sys

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from batches import BATCH, is_valid, measure
from nifti_files import load_nifti

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from acsnet_jax import anatomy
from acsnet_jax.anatomy import criteria
from acsnet_jax.types import InputError, Label
from benchmarks import oracle
from benchmarks import random_masks as generate

COUNTED = ("objects", "holes", "is_ring", "gap_deg", "hollow")
LOOSE = anatomy.Thresholds(0.6, 0.4, 4.0, 1.0, 20.0)


def failures(measures, thresholds=LOOSE):
    return np.asarray(anatomy.check(measures, thresholds, anatomy.CRITERIA))


def assert_equals_oracle(masks, spacing_mm, *, delta=True):
    """Measures and delta of masks [n, h, w]; spacing [2] or [n, 2] that float32 holds exactly."""
    found = measure(masks, spacing_mm)
    per_mask = np.broadcast_to(np.float32(spacing_mm), (len(masks), 2)).astype(np.float64)
    table = [oracle.measures(m, s) for m, s in zip(masks, per_mask, strict=True)]
    for name in anatomy.Anatomy._fields:
        expected = np.array([row[name] for row in table])
        if name in COUNTED:
            np.testing.assert_array_equal(getattr(found, name), expected, err_msg=name)
        else:
            atol = 1e-3 if name.endswith("mm") else 0
            np.testing.assert_allclose(
                getattr(found, name), expected, rtol=1e-4, atol=atol, err_msg=name
            )
    expected = [oracle.is_valid(row, LOOSE) for row in table]
    np.testing.assert_array_equal(~failures(found).any(axis=-1), expected)
    if delta:
        np.testing.assert_array_equal(is_valid(masks, spacing_mm, LOOSE), expected)


@pytest.mark.parametrize(
    ("shape", "count", "spacing", "delta"),
    [
        ((64, 64), 1020, (1.5, 1.5), True),
        ((64, 64), 510, "random", True),
        ((128, 128), 170, (1.25, 1.25), True),
        ((200, 160), 17, "random", False),
    ],
)
def test_measures_equal_the_oracle_on_random_masks(shape, count, spacing, delta):
    masks = generate.random_masks(sum(shape), count, shape)
    if spacing == "random":
        rng = np.random.default_rng(0)
        spacing = rng.choice([0.75, 1.0, 1.375, 1.5, 2.0, 2.5], (count, 2))
    assert_equals_oracle(masks, spacing, delta=delta)


def emidec_masks(root):
    """One list entry a patient: masks [slices, height, width], spacing."""
    for path in sorted(root.glob("emidec/Case_*/Contours/*.nii.gz")):
        image = load_nifti(path)
        labels = np.asarray(image.dataobj).transpose(2, 1, 0)
        _, column_mm, row_mm, *_ = image.header["pixdim"]
        yield labels >= Label.MYOCARDIUM, (float(row_mm), float(column_mm))


def acdc_masks(root):
    for path in sorted(root.glob("acdc/patient*/*_gt.nii.gz")):
        labels = np.asarray(load_nifti(path).dataobj).transpose(2, 1, 0)
        yield labels == 2, (1.5, 1.5)


def cropped(mask, size):
    """A square window around the mask; every measure is invariant under translation."""
    row, column = np.nonzero(mask)
    out = np.zeros((size, size), bool)
    if row.size:
        part = mask[row.min() : row.max() + 1, column.min() : column.max() + 1]
        out[1 : 1 + part.shape[0], 1 : 1 + part.shape[1]] = part
    return out


@pytest.mark.parametrize("cohort", [emidec_masks, acdc_masks])
def test_measures_equal_the_oracle_on_expert_masks(data_root, cohort):
    masks, spacings = [], []
    for stack, spacing in cohort(data_root):
        masks += [cropped(mask, 128) for mask in stack]
        spacings += [spacing] * len(stack)
    assert len(masks) > 500
    assert_equals_oracle(np.stack(masks), np.array(spacings, np.float32))


def annulus(outer, inner, size=64):
    row, column = np.indices((size, size)) - size // 2
    squared = row**2 + column**2
    return (squared <= outer**2) & (squared >= inner**2)


def test_annulus_has_the_measures_of_its_radii():
    mask = annulus(30, 20)
    found = measure(mask, (1.5, 1.5))
    assert (found.objects, found.holes, found.is_ring) == (1, 1, True)
    assert found.extra_hole_area_mm2 == 0
    np.testing.assert_allclose(found.area_mm2, 1.5**2 * np.pi * (30**2 - 20**2), rtol=0.02)
    # cavity pixels lie nearer than 20 pixels to the centre, pixels outside farther than 30
    assert 1.5 * (10 - 1) < found.wall_min_mm <= found.wall_max_mm < 1.5 * (10 + 3 - 1)
    assert 0.9 < found.circularity_epi < 1.1
    assert 0.9 < found.circularity_endo < 1.1
    assert 0 <= found.convexity_defect_mm < 1.5
    assert np.isnan(found.gap_deg)
    assert not found.hollow


def test_square_ring_has_exact_measures():
    mask = np.zeros((64, 64), bool)
    mask[5:25, 10:40] = True
    mask[8:22, 15:35] = False
    found = measure(mask, (2.0, 1.0))
    assert found.convexity_defect_mm == 0
    # rows: 3 rows of wall, 4 steps of 2 mm; columns: 5 columns of wall, 6 steps of 1 mm
    np.testing.assert_allclose(found.wall_min_mm, 6 - np.sqrt(2), rtol=1e-6)
    # an outer corner pixel's nearest neighbour outside: (4 rows, 5 columns) from the cavity's
    np.testing.assert_allclose(found.wall_max_mm, np.hypot(4 * 2, 5) - np.sqrt(2), rtol=1e-6)


def test_notch_depth_is_the_convexity_defect():
    mask = np.zeros((64, 64), bool)
    mask[10:50, 10:50] = True
    mask[25:35, 25:35] = False
    mask[10:17, 28:32] = False
    # the deepest boundary pixel lies below the notch, seven rows under the straight edge
    assert measure(mask, (1.5, 1.5)).convexity_defect_mm == pytest.approx(7 * 1.5)


def test_gap_of_an_arc_is_the_missing_angle():
    row, column = np.indices((64, 64)) - 32
    away = np.abs(np.degrees(np.arctan2(row, column)))
    arc = annulus(30, 24) & (away > 30)
    found = measure(arc, (1.0, 1.0))
    assert not found.is_ring
    assert found.hollow
    # the centroid moves away from the gap, which narrows it
    shift = -np.argwhere(arc).mean(axis=0)[1] + 32
    seen = 2 * np.degrees(np.arctan2(27 * np.sin(np.pi / 6), 27 * np.cos(np.pi / 6) + shift))
    assert abs(float(found.gap_deg) - seen) <= 10


def test_pixels_on_bin_edges_fall_to_the_bin_above():
    mask = np.zeros((64, 64), bool)
    mask[16, [4, 28]] = mask[[4, 28], 16] = True
    mask[[8, 8, 24, 24], [8, 24, 8, 24]] = True
    # eight pixels at multiples of 45 degrees: 8 empty bins between any two
    assert measure(mask, (1.4, 1.4)).gap_deg == 40


def test_empty_mask_measures_nothing_and_is_not_valid():
    empty = np.zeros((64, 64), bool)
    found = measure(empty, (1.5, 1.5))
    assert (found.objects, found.holes, found.area_mm2) == (0, 0, 0)
    assert not found.is_ring
    assert not found.hollow
    assert np.isnan([found.wall_max_mm, found.gap_deg, found.circularity_epi]).all()
    assert failures(found)[0]
    assert not is_valid(empty[None], (1.5, 1.5), LOOSE)[0]


def test_full_mask_is_an_open_mask_of_known_depth():
    found = measure(np.ones((64, 64), bool), (1.0, 2.0))
    assert (found.objects, found.holes) == (1, 0)
    np.testing.assert_allclose(found.wall_max_mm, 2 * 32 - np.sqrt(2), rtol=1e-6)
    assert found.gap_deg == 0


@functools.cache
def some_masks():
    centred = generate.random_masks(3, BATCH, (48, 48))
    return np.pad(centred, ((0, 0), (8, 8), (8, 8)))


def assert_same(found, expected, *, but=()):
    for name in set(anatomy.Anatomy._fields) - set(but):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-4, err_msg=name
        )


@pytest.mark.parametrize("shift", [(5, -8), (-7, 3)])
def test_translation_changes_nothing(shift):
    masks = some_masks()
    expected = measure(masks, (1.5, 1.25))
    assert_same(measure(np.roll(masks, shift, axis=(1, 2)), (1.5, 1.25)), expected)


def test_depths_do_not_depend_on_the_place():
    """Thresholds are fitted to masks in one place, and hold in every other."""
    masks = some_masks()
    mask = masks[np.argmax(np.asarray(measure(masks, (1.0, 1.0)).convexity_defect_mm) > 2.0)]
    rows, columns = (np.flatnonzero(mask.any(axis=k)) for k in (1, 0))
    shape = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    moved = np.zeros((BATCH, 200, 160), bool)
    rng = np.random.default_rng(0)
    for one in moved:
        row = rng.integers(0, 200 - shape.shape[0])
        column = rng.integers(0, 160 - shape.shape[1])
        one[row : row + shape.shape[0], column : column + shape.shape[1]] = shape
    depths = measure(moved, (1.3671875, 1.3671875)).convexity_defect_mm
    assert np.unique(depths).size == 1


TURNS = {
    "flip rows": (lambda m: m[:, ::-1], False),
    "flip columns": (lambda m: m[:, :, ::-1], False),
    "quarter turn": (lambda m: np.rot90(m, axes=(1, 2)), True),
    "transpose": (lambda m: m.swapaxes(1, 2), True),
}


@pytest.mark.parametrize("turn", TURNS)
def test_flips_and_turns_change_only_what_ties_and_bins_decide(turn):
    function, swaps = TURNS[turn]
    masks = some_masks()
    cavities = np.array([_hole_areas(m) for m in masks])
    masks = masks[cavities]  # the choice among equal largest holes follows the raster order
    spacing = (1.5, 1.25)
    expected = measure(masks, spacing)
    turned = measure(np.ascontiguousarray(function(masks)), spacing[::-1] if swaps else spacing)
    assert_same(turned, expected, but=("gap_deg", "hollow"))
    # a pixel on an edge between bins may change sides, at both ends of the gap
    gaps = np.abs(np.asarray(turned.gap_deg) - np.asarray(expected.gap_deg))
    assert np.nanmax(gaps) <= 10


def _hole_areas(mask):
    labels, count = oracle.holes_of(mask)
    areas = np.sort(np.bincount(labels.ravel(), minlength=count + 1)[1:])
    return count < 2 or areas[-1] > areas[-2]


def test_vmap_over_any_axes_equals_the_batch():
    masks = generate.random_masks(5, 34, (64, 64)).reshape(2, 17, 64, 64)
    spacing = np.random.default_rng(0).choice([1.0, 1.5], (17, 2)).astype(np.float32)
    inner = jax.vmap(anatomy.measure)
    found = jax.jit(jax.vmap(inner, in_axes=(0, None)))(masks, spacing)
    expected = measure(masks.reshape(34, 64, 64), np.tile(spacing, (2, 1)))
    assert_same(found, jax.tree.map(lambda x: x.reshape(2, 17), expected))


def test_many_masks_of_any_batch_shape_are_checked_in_chunks():
    masks = generate.random_masks(6, 34, (64, 64))
    once = is_valid(masks, (1.5, 1.5), LOOSE)
    assert once.any()
    many = np.tile(masks, (40, 1, 1)).reshape(40, 34, 64, 64)
    found = jax.jit(anatomy.is_valid)(many, np.array([1.5, 1.5], np.float32), LOOSE)
    np.testing.assert_array_equal(found, np.tile(once, (40, 1)))


def test_failures_and_traced_thresholds_under_vmap():
    mask = annulus(30, 20)
    strict = LOOSE._replace(wall_max_mm=1.0)
    both = jax.tree.map(lambda *x: jnp.array(x), LOOSE, strict)
    failed = jax.jit(jax.vmap(lambda t: anatomy.failures(mask, (1.5, 1.5), t)))(both)
    expected = np.zeros((2, len(anatomy.CRITERIA)), bool)
    expected[1, 6] = True
    np.testing.assert_array_equal(failed, expected)


def test_regions_equal_the_oracle():
    masks = generate.random_masks(9, 85, (64, 64)).reshape(5, 17, 64, 64)
    filled, cavity = jax.jit(jax.vmap(anatomy.regions))(masks)
    for k in np.ndindex(5, 17):
        expected = oracle.regions(masks[k])
        np.testing.assert_array_equal(filled[k], expected[0])
        np.testing.assert_array_equal(cavity[k], expected[1])


def test_thresholds_are_the_tightest_of_their_coverage():
    rng = np.random.default_rng(1)
    rings = np.stack([generate.ring(rng, (64, 64), strength=0.5) for _ in range(160)])
    masks = np.concatenate([rings, np.zeros((BATCH - 160, 64, 64), bool)])
    spacing = np.full((BATCH, 2), 1.5, np.float32)
    thresholds = anatomy.fit_thresholds(masks, spacing, 0.9, gap_max_deg=0.0)
    assert thresholds.gap_max_deg == 0
    found = measure(masks, (1.5, 1.5))
    for name in thresholds._fields[:-1]:
        values = np.asarray(getattr(found, name))
        values = values[~np.isnan(values)]
        upper = name in ("convexity_defect_mm", "wall_max_mm")
        bound = getattr(thresholds, name)
        need = int(np.ceil(0.9 * len(values)))
        accepted = values <= bound if upper else values >= bound
        tighter = values < bound - 1e-3 if upper else values > bound + 1e-3
        assert accepted.sum() >= need > tighter.sum()


def test_failures_name_what_is_wrong():
    names = [criterion.name for criterion in anatomy.CRITERIA]
    good = annulus(30, 20)
    damaged = {
        "objects": good | annulus(3, 0),
        "extra holes": good & ~np.roll(annulus(1, 0), 25, axis=0),
        "thick wall": annulus(30, 10),
        "hollow": annulus(20, 0),
    }
    assert not failures(measure(good, (1.5, 1.5))).any()
    for name, mask in damaged.items():
        assert failures(measure(mask, (1.5, 1.5)))[names.index(name)], name
    open_mask = good.copy()
    open_mask[30:35, 32:] = False
    assert is_valid(open_mask[None], (1.5, 1.5), LOOSE)[0]
    assert not is_valid(open_mask[None], (1.5, 1.5), LOOSE._replace(gap_max_deg=0.0))[0]


def test_other_shapes_need_only_other_criteria():
    criteria = (
        anatomy.Criterion("holes", "holes", "equal", 0.0),
        anatomy.Criterion("area", "area_mm2", "upper", "wall_max_mm"),
    )
    measures = measure(np.stack([annulus(20, 0), annulus(20, 10)]), (1.0, 1.0))
    failed = anatomy.check(measures, LOOSE._replace(wall_max_mm=1100.0), criteria)
    np.testing.assert_array_equal(failed, [[False, True], [True, False]])


def test_no_mask_has_no_measure():
    masks, spacing = np.zeros((0, 16, 16), bool), (1.5, 1.25)
    assert {leaf.shape for leaf in anatomy.measure(masks, spacing)} == {(0,)}
    assert anatomy.is_valid(masks, spacing, LOOSE).shape == (0,)
    assert anatomy.failures(masks, spacing, LOOSE).shape == (0, len(anatomy.CRITERIA))
    assert {leaf.shape for leaf in anatomy.regions(masks)} == {(0, 16, 16)}
    with pytest.raises(InputError, match="no mask to fit"):
        anatomy.fit_thresholds(masks, spacing)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_labels_are_no_masks(dtype, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # which asks first in tests
    labels = 2 * annulus(12, 8)[None].astype(dtype)
    with pytest.raises(InputError, match=f"masks are {np.dtype(dtype)}, not bool.*mask > 0"):
        anatomy.measure(labels, (1.0, 1.0))
    with pytest.raises(InputError, match="not bool"):
        anatomy.is_valid(labels, (1.0, 1.0), LOOSE)
    with pytest.raises(InputError, match="not bool"):
        anatomy.regions(labels)


def test_a_fork_that_lets_extra_holes_pass_has_one_delta(monkeypatch):
    mask = annulus(12, 8)
    mask[32, 22] = False
    names = [criterion.name for criterion in criteria.CRITERIA]
    only = np.arange(len(names)) == names.index("extra holes")
    np.testing.assert_array_equal(anatomy.failures(mask, (1.0, 1.0), LOOSE), only)
    assert not is_valid(mask[None], (1.0, 1.0), LOOSE)
    lenient = tuple(
        one._replace(limit=5.0) if one.name == "extra holes" else one for one in criteria.CRITERIA
    )
    monkeypatch.setattr(criteria, "CRITERIA", lenient)
    jax.clear_caches()
    assert not anatomy.failures(mask, (1.0, 1.0), LOOSE).any()
    assert anatomy.is_valid(mask, (1.0, 1.0), LOOSE)
    monkeypatch.undo()
    jax.clear_caches()


def test_bad_input_is_named():
    mask = np.zeros((4, 32, 32), bool)
    with pytest.raises(InputError, match=r"spacing_mm has shape \(3,\)"):
        anatomy.measure(mask, (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="too large"):
        jax.eval_shape(anatomy.measure, jnp.zeros((2000, 2000), bool), jnp.ones(2))
    with pytest.raises(InputError, match="no mask to fit"):
        anatomy.fit_thresholds(np.zeros((BATCH, 64, 64), bool), np.ones((BATCH, 2)))
    with pytest.raises(InputError, match="coverage"):
        anatomy.fit_thresholds(mask, (1.0, 1.0), 1.5)
