"""The cascade's geometry, with callables that read the answer off the picture."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest
from rings import SIZE, SPACING, make_corrector

from acsnet_jax import clinical, pipeline
from acsnet_jax.anatomy.cleanup import CleanupWeights
from acsnet_jax.correction import native, valid_stack
from acsnet_jax.preprocess.grid import make_grid, masks_to_working, to_native
from acsnet_jax.preprocess.orient import apply_turn
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.types import InputError, Label, NoVentricleError, Route, Scan


@pytest.fixture(scope="module")
def bundle():
    return pipeline.Bundle(
        localise=lambda images: (images > 100).astype(jnp.float32),
        delineate=lambda images: jnp.stack(
            [(images > 60) & (images < 180), images > 400], -1
        ).astype(jnp.float32),
        corrector=make_corrector(),
        spec=InputSpec(2.0, 96, SPACING, SIZE, SIZE, 12.0, "literal"),
        inference=pipeline.Inference(turns=1, batch=4, max_change=0.9),
        cleanup=CleanupWeights(),
    )


def make_scan(*, spacing=(1.2, 1.8), shape=(150, 100), cut=None, oriented=False):
    """Rings of 30 mm with a wall of 9 mm, apex smaller; 10 mm off the picture's centre."""
    rows = (np.arange(shape[0]) - shape[0] / 2) * spacing[0] - 10
    columns = (np.arange(shape[1]) - shape[1] / 2) * spacing[1] + 5
    radius = np.hypot(rows[:, None], columns[None, :])
    labels = np.zeros((5, *shape), np.uint8)
    for index, outer in enumerate((20, 25, 29, 30, 30)):
        labels[index][radius <= outer] = Label.MYOCARDIUM
        labels[index][radius <= outer - 9] = Label.BLOOD_POOL
    drawn = labels.copy()
    if cut is not None:
        drawn[cut][(rows[:, None] > 0) & (np.abs(columns[None, :]) < 4)] = 0
    # Stage 1 sees CLAHE's picture, so the LV is one bright disc with a slightly darker wall.
    image = np.choose(drawn, [10.0, 250.0, 130.0]).astype(np.float32)
    image += np.random.default_rng(0).uniform(0, 2, image.shape).astype(np.float32)
    return Scan(
        id="ring",
        image=image,
        spacing_mm=spacing,
        positions_mm=np.arange(5) * 8.0,
        affine=np.diag([spacing[1], spacing[0], 8.0, 1.0]),
        oriented=oriented,
        modality="lge",
        labels=labels,
        labelled=np.ones(5, bool),
        has_enhancement=True,
        file_order=np.arange(5),
        file_affine=np.diag([spacing[1], spacing[0], 8.0, 1.0]),
    )


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_rings_come_back_on_the_scans_own_grid(bundle):
    scan = make_scan()
    assert scan.labels is not None
    result = pipeline.segment(scan, bundle)
    assert result.myocardium.shape == scan.image.shape
    assert dice(result.myocardium, scan.labels == Label.MYOCARDIUM) > 0.9
    assert dice(result.lv, scan.labels > 0) > 0.96
    assert result.kept.all()
    assert not (result.myocardium & result.blood_pool).any()
    assert valid_stack(result.myocardium, scan.spacing_mm, bundle.corrector.thresholds).all()


def test_a_cut_ring_becomes_valid_and_is_certified(bundle):
    scan = make_scan(cut=3)
    assert scan.labels is not None
    result = pipeline.segment(scan, bundle)
    cut = result.certificates[3]
    assert cut.failed_before and not cut.valid_before and cut.valid_after
    assert cut.route is Route.CLEANED  # an island lies in the cut
    for one in result.certificates[:3] + result.certificates[4:]:
        assert one.valid_before and one.valid_after and one.kept
        assert one.pixels_changed == 0 and one.route is Route.UNTOUCHED
    assert valid_stack(result.myocardium, scan.spacing_mm, bundle.corrector.thresholds).all()
    assert dice(result.lv[3], scan.labels[3] > 0) > 0.9


def test_a_heart_larger_than_stage_2s_input_is_seen_whole(bundle):
    small = dataclasses.replace(bundle, spec=dataclasses.replace(bundle.spec, myo_size=24))
    scan = make_scan()
    expected, found = (pipeline.delineate(scan, one) for one in (bundle, small))
    np.testing.assert_array_equal(found.myocardium, expected.myocardium)
    assert expected.myocardium.any() and found.box == expected.box


@pytest.mark.parametrize("turn", range(8))
def test_averaging_over_turns_makes_the_cascade_indifferent_to_them(bundle, turn):
    asking = dataclasses.replace(bundle, inference=dataclasses.replace(bundle.inference, turns=8))
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32)).astype(np.float32)

    def network(batch):  # anything that is not symmetric
        weights = jnp.linspace(0, 1 / 255, 32, dtype=jnp.float32)
        return jnp.stack([batch * weights[None, :, None], batch * weights[None, None, :] ** 2], -1)

    straight = pipeline.averaged(network, images, asking.inference).mean
    turned = pipeline.averaged(network, apply_turn(images, turn), asking.inference).mean
    expected = np.moveaxis(apply_turn(np.moveaxis(straight, -1, 1), turn), 1, -1)
    np.testing.assert_allclose(turned, expected, rtol=1e-5, atol=1e-6)


def test_averaged_does_not_depend_on_the_batch_size(bundle):
    images = np.random.default_rng(1).uniform(0, 1, (5, 16, 16)).astype(np.float32)
    results = [
        pipeline.averaged(lambda x: x**2, images, pipeline.Inference(turns=8, batch=batch)).mean
        for batch in (1, 7, 64)
    ]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)
    np.testing.assert_allclose(results[0], results[2], rtol=1e-6)


def test_a_picture_without_a_heart_is_an_error_that_names_the_scan(bundle):
    scan = make_scan()
    flat = scan.replace(image=np.full_like(scan.image, 50.0))
    with pytest.raises(NoVentricleError, match="scan ring: no left ventricle"):
        pipeline.segment(flat, bundle)
    nothing = pipeline.segment_or_nothing(flat, bundle)
    assert not (nothing.lv.any() or nothing.kept.any())


def test_no_reflow_of_a_network_belongs_to_the_infarct_that_it_touches(bundle):
    """Scar in the upper left of the wall, no-reflow next to it, and some on the right."""
    scan = make_scan()

    def delineate(images, *, tells):
        wall = bundle.delineate(images)[..., 0]
        middle = images.shape[-1] // 2
        rows, columns = jnp.indices(images.shape[-2:])
        left = columns < middle - 4
        scar = left & (rows < middle - 2)
        dark = left & (rows >= middle - 2) & (rows < middle + 4) | ~left & (rows > middle + 4)
        scar, dark = (jnp.broadcast_to(one, wall.shape) for one in (scar, dark))
        outputs = [one.astype(jnp.float32) for one in (wall, scar, dark)]
        return jnp.stack(outputs[: 2 + tells], -1)

    result, plain = (
        pipeline.segment(
            scan, dataclasses.replace(bundle, delineate=functools.partial(delineate, tells=tells))
        )
        for tells in (True, False)
    )
    assert plain.no_reflow is None and result.no_reflow is not None
    assert result.no_reflow.any() and not (result.no_reflow & ~result.myocardium).any()
    assert not (result.no_reflow & plain.enhancement).all()
    np.testing.assert_array_equal(result.enhancement, plain.enhancement | result.no_reflow)
    centre = np.mean(np.nonzero(result.blood_pool)[2])
    assert np.nonzero(result.no_reflow)[2].max() < centre
    measured, without = clinical.features(result), clinical.features(plain)
    assert measured.no_reflow_volume_ml and measured.infarct_volume_ml and without.infarct_volume_ml
    assert measured.infarct_volume_ml > without.infarct_volume_ml
    assert measured.infarct_volume_ml == pytest.approx(measured.enhancement_volume_ml)


def test_damaged_weights_are_no_empty_result(bundle):
    broken = dataclasses.replace(bundle, localise=lambda images: jnp.full(images.shape, jnp.nan))
    with pytest.raises(InputError, match="no probability"):
        pipeline.segment_or_nothing(make_scan(), broken)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 3.0])
@pytest.mark.parametrize("stage", ["localise", "delineate"])
def test_what_is_no_probability_is_an_error_that_names_scan_and_slice(bundle, stage, wrong):
    def spoil(batch):
        return getattr(bundle, stage)(batch).at[2, 5, 5].set(wrong)

    spoiled = dataclasses.replace(bundle, **{stage: spoil})
    with pytest.raises(InputError, match=r"scan ring: slice 2: the network gives .*no probability"):
        pipeline.segment(make_scan(), spoiled)


def test_slices_above_the_base_are_trimmed(bundle):
    scan = make_scan()
    assert scan.labels is not None
    image = scan.image.copy()
    speck = np.roll(image[0], (0, 0), (0, 1))
    image[4] = np.where(speck > 60, 10.0, 10.0)
    rows, columns = np.nonzero(scan.labels[4] == Label.BLOOD_POOL)
    middle = (int(rows.mean()), int(columns.mean()))
    yy, xx = np.mgrid[: image.shape[1], : image.shape[2]]
    radius = np.hypot((yy - middle[0]) * 1.2, (xx - middle[1]) * 1.8)
    image[4][radius < 11] = 130.0
    image[4][radius < 5] = 250.0
    strict = dataclasses.replace(
        bundle, inference=dataclasses.replace(bundle.inference, max_change=0.6)
    )
    result = pipeline.segment(scan.replace(image=image), strict)
    assert result.kept.tolist() == [True, True, True, True, False]
    assert not result.lv[4].any()


def test_scar_that_the_correction_moves_is_counted_on_the_scans_grid(bundle):
    scan = make_scan()
    grid = make_grid(scan, SPACING)
    wall = scan.labels == Label.MYOCARDIUM
    wall[3, 78:88] = False  # two arcs: two objects
    masks = masks_to_working(wall, grid)
    everywhere = np.ones(masks.shape, np.float32)
    assembled = [
        pipeline.assemble(
            scan,
            pipeline.Delineation(masks, masks.astype(np.float32), share * everywhere, grid),
            bundle,
        )
        for share in (1.0, 0.0)
    ]
    given = to_native(masks.astype(np.float32), grid) >= 0.5
    moved = given ^ assembled[0].myocardium
    everything, nothing = (
        [one.scar_moved_mm3 for one in segmentation.certificates if one.scar_moved_mm3 is not None]
        for segmentation in assembled
    )
    np.testing.assert_allclose(everything, 8.0 * clinical.areas_mm2(moved, scan.spacing_mm))
    assert everything[3] > 0 and not any(everything[:3] + everything[4:])
    assert not any(nothing)


def spoiled(masks, how):
    """The masks with slice 3 spoiled."""
    masks = masks.copy()
    rows, columns = np.nonzero(masks[3])
    row, column = round(rows.mean()), round(columns.mean())
    y, x = np.indices(masks.shape[1:]) - np.array([row, column])[:, None, None]
    radius = SPACING * np.hypot(y, x)
    if how == "thick":
        masks[3] |= (np.abs(y) < 2) & (x < 0) & (radius < 30)
    elif how == "thin":
        masks[3] = (radius <= 30) & (radius > 28)
    elif how == "cut":
        masks[3] &= np.abs(y) > 4
    return masks


def nothing_renders(monkeypatch):
    def fail(masks, grid, corrector):
        return native.on_native(masks, grid), np.zeros(len(masks), bool)

    monkeypatch.setattr(native, "render_native", fail)


@pytest.mark.parametrize(
    ("how", "route"),
    [
        ("as it is", Route.UNTOUCHED),
        ("thick", Route.REDECODED),
        ("thin", Route.MOVED),
        ("cut", Route.STAND_IN),
        ("cut", Route.LOST),
    ],
)
def test_every_route_is_certified_of_what_the_cascade_delivers(bundle, how, route, monkeypatch):
    scan = make_scan(spacing=(SPACING, SPACING))
    grid = make_grid(scan, SPACING)
    masks = spoiled(masks_to_working(scan.labels == Label.MYOCARDIUM, grid), how)
    given = to_native(masks.astype(np.float32), grid) >= 0.5
    if route in (Route.STAND_IN, Route.LOST):
        nothing_renders(monkeypatch)
    if route is Route.LOST:
        monkeypatch.setattr(native, "_stand_in", lambda mask, grid, corrector: None)
    none = np.zeros(masks.shape, np.float32)
    found = pipeline.Delineation(masks, masks.astype(np.float32), none, grid)
    result = pipeline.assemble(scan, found, bundle)
    one = result.certificates[3]
    assert one.route is route
    assert one.pixels_changed == (given[3] ^ result.myocardium[3]).sum()
    assert one.kept == one.valid_after == result.myocardium[3].any() == (route is not Route.LOST)
    assert one.valid_before == (how == "as it is")
    assert result.kept[[0, 1, 2, 4]].all()  # a lost slice costs no other


@dataclasses.dataclass
class Pair:
    """An ensemble of two."""

    members: tuple

    def __call__(self, images):
        return sum(member(images) for member in self.members) / len(self.members)


def two_minds(bundle, **options):
    """Networks that agree on the wall, and of which one calls all of it scar."""

    def one(images):
        wall = (images > 60) & (images < 180)
        return jnp.stack([wall, wall], -1).astype(jnp.float32)

    def other(images):
        return one(images).at[..., 1].set(0.0)

    inference = dataclasses.replace(bundle.inference, erosions=0, scar_threshold=0.5, **options)
    return dataclasses.replace(bundle, delineate=Pair((one, other)), inference=inference)


def test_an_ensemble_is_averaged_member_by_member(bundle):
    images = np.random.default_rng(2).uniform(0, 255, (3, 16, 16)).astype(np.float32)
    pair = Pair((lambda x: x / 255, lambda x: (x / 255) ** 2))
    found = pipeline.averaged(pair, images, pipeline.Inference(turns=8))
    np.testing.assert_allclose(found.mean, np.asarray(pair(images)), rtol=1e-5)
    assert found.by_member.shape == (2, *images.shape)
    np.testing.assert_allclose(found.by_member[1], (images / 255) ** 2, rtol=1e-5)
    assert found.by_turn.shape == (8, *images.shape)
    np.testing.assert_allclose(found.by_turn[5], found.mean, rtol=1e-5)


def test_numbers_spread_as_far_as_networks_disagree(bundle):
    spread = pipeline.segment(make_scan(), two_minds(bundle, shapes=0)).spread
    # of one all of the wall is scar, of the other none: the deviation is half of it
    assert spread["scar_fraction"] == pytest.approx(0.5, abs=0.02)
    assert spread["myocardial_volume_ml"] == 0.0
    assert spread["lv_volume_ml"] == 0.0


def test_valid_shapes_make_the_wall_spread_too(bundle):
    segmentation = pipeline.segment(make_scan(), two_minds(bundle, shapes=8))
    walls = clinical.features(segmentation).myocardial_volume_ml
    assert walls is not None
    assert 0.01 * walls < segmentation.spread["myocardial_volume_ml"] < 0.5 * walls
    assert segmentation.spread["scar_fraction"] >= 0.5 - 0.02


def test_nothing_is_drawn_where_nobody_asks_and_of_a_single_slice(bundle):
    scan = make_scan()
    silent = two_minds(bundle, shapes=0, spread=False)
    assert pipeline.segment(scan, silent).spread == {}
    assert pipeline.segment(scan, bundle).spread.keys() >= {"lv_volume_ml"}
