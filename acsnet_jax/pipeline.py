"""The cascade: a scan goes in, a segmentation comes out (paper, figure 1).

Networks come in as callables on whole batches; nothing here knows how they were made.
"""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Float64

from acsnet_jax.anatomy.cleanup import CleanupWeights, one_lv
from acsnet_jax.clinical.features import predicted_regions
from acsnet_jax.clinical.findings import Regions
from acsnet_jax.clinical.intervals import Calibration, draw_values, spread_of, with_fractions
from acsnet_jax.clinical.scar import core_scar, scar_moved_mm3
from acsnet_jax.clinical.scar_rule import ScarRule, mark_scar, told_no_reflow
from acsnet_jax.clinical.volumes import MM3_PER_ML, slice_extents_mm
from acsnet_jax.correction import (
    Corrector,
    blood_pools,
    certify,
    correct_native,
    kept_slices,
    lost_message,
    shape_draws,
)
from acsnet_jax.preprocess.crop import uncrop
from acsnet_jax.preprocess.grid import Grid, Working, masks_to_working, resample_mask, to_native
from acsnet_jax.preprocess.orient import apply_turn, invert_turn
from acsnet_jax.preprocess.stages import (
    Box,
    Images,
    InputSpec,
    lv_box,
    lv_images,
    lv_working,
    myo_images,
    myo_working,
    null_outside,
)
from acsnet_jax.types import (
    InputError,
    MaskStack,
    NoVentricleError,
    Scan,
    Segmentation,
    Spacing,
    check_least,
)

_LOG = logging.getLogger(__name__)

Probability = Float32[np.ndarray, "slices height width"]


@dataclasses.dataclass(frozen=True)
class Inference(ScarRule):
    """How a trained system is used, its rule for scar included.

    Attributes:
        turns: over how many turns of the picture predictions are averaged: 1, or 8 to be
            indifferent to quarter turns and mirrorings.
        batch: images that a network sees at once.
        max_change: of the area between slices, see `acsnet_jax.anatomy.trim_stack`; whatever makes
            a bundle of experts' masks fits it to them.
        trim: whether slices beyond apex and base are removed.
        spread: whether it is measured how far the numbers of a scan spread over networks, turns and
            valid shapes, for intervals around them.
        shapes: how many valid shapes are drawn around the corrected ones.
        shape_step: how far, see `acsnet_jax.correction.shape_draws`.
    """

    turns: Literal[1, 8] = 8
    batch: int = 16
    max_change: float = 0.6
    trim: bool = True
    spread: bool = True
    shapes: int = 8
    shape_step: float = 0.25

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that no use can have."""
        try:
            super().__post_init__()
        except InputError as error:
            raise InputError(f"inference.{error}") from error
        check_least(self, "inference.", batch=1, max_change=0, shapes=0, shape_step=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
    """A trained system, as `acsnet_jax.bundle.load` gives it.

    Attributes:
        localise: images ``[n, size, size]`` in [0, 255] to LV probabilities of the same shape; with
            ``spec.context`` images are ``[n, channels, size, size]``, here and in stage 2. An
            ensemble has ``members``, callables alike, whose mean it is.
        delineate: images to probabilities ``[n, size, size, 2]`` of myocardium and enhancement, or
            3 with no-reflow.
        corrector: stage 3.
        spec: sizes and scalings.
        inference: how it is used.
        cleanup: weights of the choice of one LV.
        calibration: of intervals, on patients whom the networks never saw; None if there is none.
    """

    localise: Callable
    delineate: Callable
    corrector: Corrector
    spec: InputSpec
    inference: Inference
    cleanup: CleanupWeights = dataclasses.field(default_factory=CleanupWeights)
    calibration: Calibration | None = None


class Delineation(NamedTuple):
    """What the two segmentation networks say, on stage 2's working grid.

    Attributes:
        lv: stage 1's LV, one component a slice.
        myocardium: probability.
        enhancement: probability.
        grid: the working grid.
        box: where stage 2 looked.
        averages: what it said there; None if there is only a mean.
        no_reflow: probability; None if stage 2 does not tell it.
    """

    lv: MaskStack
    myocardium: Probability
    enhancement: Probability
    grid: Grid
    box: Box | None = None
    averages: "Averages | None" = None
    no_reflow: Probability | None = None


class Averages(NamedTuple):
    """Probabilities of a network or an ensemble, averaged in parts; the parts are draws.

    Attributes:
        mean: over members and turns.
        by_member: of each member, over turns.
        by_turn: of each turn of the picture, over members.
    """

    mean: Float32[np.ndarray, "slices size size *outputs"]
    by_member: Float32[np.ndarray, "members slices size size *outputs"]
    by_turn: Float32[np.ndarray, "turns slices size size *outputs"]


def segment(scan: Scan, bundle: Bundle) -> Segmentation:
    """Segment one scan: find the LV, delineate, correct, trim, and go back to the scan's grid.

    Raises:
        NoVentricleError: no left ventricle was found; names the scan.
        InputError: a network gives no probabilities; names the scan.
    """
    return assemble(scan, delineate(scan, bundle), bundle)


def segment_or_nothing(scan: Scan, bundle: Bundle) -> Segmentation:
    """A segmentation; an empty one, which every measure counts, where no ventricle was found.

    Raises:
        InputError: a network gives no probabilities; names the scan.
    """
    try:
        return segment(scan, bundle)
    except NoVentricleError as error:
        _LOG.warning("%s", error)
        return nothing_found(scan)


def delineate(scan: Scan, bundle: Bundle) -> Delineation:
    """Stages 1 and 2, without any anatomical correction.

    Raises:
        NoVentricleError: no left ventricle was found; names the scan.
        InputError: a network gives no probabilities; names the scan.
    """
    try:
        lv, coarse = localise(scan, bundle)
        working = myo_working(scan, bundle.spec)
        lv = resample_mask(lv, coarse, working.grid)
        box = lv_box(lv, working.grid.spacing_mm, bundle.spec.margin_mm)
        size = _window(lv, working.grid.spacing_mm, bundle.spec)
        images = null_outside(myo_images(working, box, bundle.spec, size=size), box.half_side)
        averages = averaged(bundle.delineate, images, bundle.inference)
    except InputError as error:
        raise type(error)(f"scan {scan.id}: {error}") from error
    myocardium, enhancement, *more = _outputs(averages.mean, working.grid, box)
    dark = more[0] if more else None
    return Delineation(lv, myocardium, enhancement, working.grid, box, averages, dark)


def _window(lv: MaskStack, spacing_mm: Spacing, spec: InputSpec) -> int:
    """Side of stage 2's input: that of training, or the multiple of it that holds the whole LV."""
    reach = lv_box(lv, spacing_mm, 0.0).half_side
    return spec.myo_size * max(1, math.ceil(2 * reach / spec.myo_size))


def _outputs(
    probability: Float32[np.ndarray, "slices size size outputs"], grid: Grid, box: Box
) -> list[Probability]:
    """Each output on the working grid, 0 beyond the box."""
    return [
        uncrop(np.ascontiguousarray(probability[..., output]), grid.shape, centre=box.centre)
        for output in range(probability.shape[-1])
    ]


def localise(scan: Scan, bundle: Bundle) -> tuple[MaskStack, Grid]:
    """Stage 1: one LV component a slice, on stage 1's working grid."""
    working = lv_working(scan, bundle.spec)
    probability = lv_probability(working, bundle)
    return one_lv(probability, working.grid.spacing_mm, weights=bundle.cleanup), working.grid


def lv_probability(working: Working, bundle: Bundle) -> Probability:
    """Stage 1's probabilities on its working grid."""
    images = lv_images(working, bundle.spec)
    return uncrop(averaged(bundle.localise, images, bundle.inference).mean, working.grid.shape)


def averaged(network: Callable, images: Images, inference: Inference) -> Averages:
    """A network's probabilities, averaged over members and turns of the picture.

    Args:
        network: called with batches of one shape.
        images: one a slice.
        inference: turns and batch.

    Raises:
        InputError: what the network gives is no probability; names the slice.
    """
    members = getattr(network, "members", (network,))
    by_member, total = [], None
    for member in members:
        turns = _turned_back(member, images, inference)
        by_member.append(turns.mean(axis=0))
        total = turns if total is None else total + turns
    assert total is not None
    by_turn = total / len(members)
    return Averages(by_turn.mean(axis=0), np.stack(by_member), by_turn)


def _turned_back(
    network: Callable, images: Images, inference: Inference
) -> Float32[np.ndarray, "turns slices size size *outputs"]:
    """What a network says of each turn of the picture, turned back; in batches of one shape."""
    turned = np.concatenate([apply_turn(images, turn) for turn in range(inference.turns)])
    padding = -len(turned) % inference.batch
    padded = np.concatenate([turned, np.zeros((padding, *turned.shape[1:]), turned.dtype)])
    parts = [
        np.asarray(network(jnp.asarray(part)))
        for part in np.split(padded, len(padded) // inference.batch)
    ]
    outputs = np.concatenate(parts)[: len(turned)]
    _check_probabilities(outputs, len(images))
    # [turns, slices, size, size, ...]; turns act on the last two axes
    outputs = np.moveaxis(
        outputs.reshape(inference.turns, len(images), *outputs.shape[1:]), (2, 3), (-2, -1)
    )
    back = np.stack([invert_turn(part, turn) for turn, part in enumerate(outputs)])
    return np.ascontiguousarray(np.moveaxis(back, (-2, -1), (2, 3)))


def _check_probabilities(outputs: Float32[np.ndarray, "n size size *outputs"], slices: int) -> None:
    wrong = ~((outputs >= 0) & (outputs <= 1))  # NaN too
    if wrong.any():
        first = np.argwhere(wrong)[0]
        raise InputError(
            f"slice {first[0] % slices}: the network gives {outputs[tuple(first)]}, which is no"
            " probability: its weights are damaged, or it gives logits"
        )


def assemble(scan: Scan, found: Delineation, bundle: Bundle) -> Segmentation:
    """Stage 3 and the volume checks, on the scan's own grid.

    Slices for which stage 3 found nothing valid are left out; their certificates and the log say
    so.
    """
    masks = found.myocardium >= 0.5
    wall = to_native(found.myocardium, found.grid)
    # between two pixels of the working grid probabilities say where an outline runs, masks do not
    given = wall >= 0.5
    corrected = correct_native(given, found.grid, bundle.corrector, working=masks)
    lv = to_native(found.lv.astype(np.float32), found.grid) >= 0.5
    kept = np.any(corrected.mask, axis=(1, 2))
    if bundle.inference.trim:
        lost = given & corrected.lost[:, None, None]
        change = bundle.inference.max_change
        kept = kept & kept_slices(corrected.mask, change, lv=lv, lost=lost)
    myocardium = corrected.mask & kept[:, None, None]
    probability = to_native(found.enhancement, found.grid)
    marked = probability >= bundle.inference.scar_threshold
    if len(kept) == 1 and bundle.inference.judges_patients:
        _LOG.warning(
            "scan %s: a single slice has no volume: limits in mL of who has scar are not applied",
            scan.id,
        )
    enhancement = mark_scar(
        probability, myocardium, scan.spacing_mm, scan.positions_mm, bundle.inference
    )
    no_reflow = dark = None
    if found.no_reflow is not None:
        dark = to_native(found.no_reflow, found.grid) >= 0.5
        no_reflow = told_no_reflow(dark, enhancement, probability, myocardium, bundle.inference)
        enhancement = enhancement | no_reflow
    if corrected.lost.any():
        _LOG.warning("scan %s: %s", scan.id, lost_message(np.flatnonzero(corrected.lost).tolist()))
    segmentation = Segmentation(
        scan=scan,
        myocardium=myocardium,
        blood_pool=blood_pools(myocardium, lv),
        enhancement=enhancement,
        core=core_scar(scan, enhancement),
        no_reflow=no_reflow,
        marked_no_reflow=dark,
        kept=kept,
        scar_probability=probability.astype(np.float32),
        myocardium_probability=wall.astype(np.float32),
        certificates=certify(
            corrected,
            scan.spacing_mm,
            scan_id=scan.id,
            kept=kept,
            scar_moved_mm3=_scar_moved(scan, marked, given, corrected.mask),
        ),
    )
    if not bundle.inference.spread or len(kept) < 2:
        return segmentation
    return dataclasses.replace(segmentation, spread=_spread(segmentation, lv, found, bundle))


def _spread(
    segmentation: Segmentation, lv: MaskStack, found: Delineation, bundle: Bundle
) -> dict[str, float]:
    """How far the numbers of a scan spread over networks, turns and valid shapes.

    The slices that are kept stay the same, and so does where stage 2 looked.
    """
    scan, kept = segmentation.scan, segmentation.kept[:, None, None]
    grid, box = found.grid, found.box
    shapes = _shape_values(segmentation, found, bundle)
    if found.averages is None or box is None:
        return spread_of([shapes])

    def values(probability: Float32[np.ndarray, "slices size size outputs"]) -> dict[str, float]:
        wall, scar, *dark = (to_native(x, grid) for x in _outputs(probability, grid, box))
        myocardium = (wall >= 0.5) & kept
        pool = blood_pools(myocardium, lv)
        enhancement = mark_scar(
            scar, myocardium, scan.spacing_mm, scan.positions_mm, bundle.inference
        )
        for one in dark:
            enhancement = enhancement | told_no_reflow(
                one >= 0.5, enhancement, scar, myocardium, bundle.inference
            )
        core = core_scar(scan, enhancement)
        regions = Regions(myocardium | pool, myocardium, pool, enhancement, core)
        return draw_values(regions, scan)

    _, members, turns = found.averages
    sources = [[values(draw) for draw in draws] for draws in (members, turns) if len(draws) > 1]
    return spread_of([*sources, shapes])


def _shape_values(
    segmentation: Segmentation, found: Delineation, bundle: Bundle
) -> list[dict[str, float]]:
    """Numbers of a scan whose wall is replaced by valid shapes near it; core as a share of scar."""
    scan, inference = segmentation.scan, bundle.inference
    changes = shape_draws(
        masks_to_working(segmentation.myocardium, found.grid),
        found.enhancement >= inference.scar_threshold,
        bundle.corrector,
        found.grid.spacing_mm,
        draws=inference.shapes,
        step=inference.shape_step,
    )
    ours = draw_values(predicted_regions(segmentation), scan)
    wall, pool = ours["myocardial_volume_ml"], ours["blood_pool_volume_ml"]
    scar, core = ours["enhancement_volume_ml"], ours["core_scar_volume_ml"]
    extents = slice_extents_mm(scan.positions_mm)
    values = []
    for draw in range(inference.shapes):
        thicker, wider, more = (float(x[draw] @ extents) / MM3_PER_ML for x in changes)
        marked = max(scar + more, 0.0) if scar else 0.0
        values.append(
            with_fractions(
                lv=wall + thicker + pool + wider,
                blood_pool=pool + wider,
                wall=wall + thicker,
                scar=marked,
                core=core * marked / scar if scar else 0.0,
            )
        )
    return values


def nothing_found(scan: Scan) -> Segmentation:
    """The empty segmentation of a scan in which no left ventricle was found."""
    empty = np.zeros(scan.image.shape, bool)
    return Segmentation(
        scan=scan,
        myocardium=empty,
        blood_pool=empty,
        enhancement=empty,
        core=empty,
        kept=np.zeros(len(empty), bool),
        scar_probability=np.zeros(scan.image.shape, np.float32),
        myocardium_probability=np.zeros(scan.image.shape, np.float32),
    )


def _scar_moved(
    scan: Scan, marked: MaskStack, before: MaskStack, after: MaskStack
) -> Float64[np.ndarray, "slices"] | None:
    """Enhancement that the latent correction moved; None where there is no slice distance."""
    if len(marked) < 2:
        return None
    extents = slice_extents_mm(scan.positions_mm)
    return scar_moved_mm3(marked, before, after, scan.spacing_mm, extents)
