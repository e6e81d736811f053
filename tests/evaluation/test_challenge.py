import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import directed_hausdorff

from acsnet_jax.clinical import predicted_regions, reference_regions
from acsnet_jax.evaluation.challenge import (
    ChallengeRecord,
    ChallengeStructure,
    challenge_records,
    challenge_rows,
    evaluate_challenge,
    stack_dice,
    stack_hausdorff_mm,
)
from acsnet_jax.types import InputError, Label


def record(
    scan_id: str,
    truth: float,
    ours: float,
    *,
    structure: ChallengeStructure = "enhancement",
    dice: float = 0.5,
    wall: float = 1000.0,
) -> ChallengeRecord:
    return ChallengeRecord(scan_id, structure, dice, 4.0, float(truth), float(ours), wall)


def with_positions(scan, positions):
    return scan.replace(positions_mm=np.array(positions, np.float64))


def rows_of(records):
    return {(r.structure, r.group, r.measure): r.summary for r in challenge_rows(records)}


def outline(mask, scan):
    """Boundary voxels in mm, by asking each voxel for its six neighbours."""
    points = []
    for voxel in np.argwhere(mask):
        neighbours = [
            voxel + step * np.eye(3, dtype=int)[axis] for axis in range(3) for step in (-1, 1)
        ]
        if not all(
            (n >= 0).all() and (n < mask.shape).all() and mask[tuple(n)] for n in neighbours
        ):
            index, row, column = voxel
            points.append(
                (
                    scan.positions_mm[index],
                    row * scan.spacing_mm[0],
                    column * scan.spacing_mm[1],
                )
            )
    return np.array(points)


def test_a_perfect_segmentation_is_perfect(make_segmentation):
    records = evaluate_challenge([make_segmentation()])
    structures = [r.structure for r in records]
    assert structures == ["enhancement", "myocardium", "blood_pool", "lv"]
    assert all(r.dice == 1 and r.hausdorff_mm == 0 and r.bias_mm3 == 0 for r in records)
    assert all(r.relative_difference == 0 for r in records)
    assert records[0].share_difference == 0
    assert [r.share_difference for r in records[1:]] == [None] * 3


def test_volumes_are_voxels_times_their_size(make_segmentation):
    """Pixels of 1.5 x 1.25 mm, slices 8 mm apart."""
    segmentation = make_segmentation()
    eaten = segmentation.enhancement.copy()
    eaten[0] = False
    found = {
        r.structure: r
        for r in evaluate_challenge([dataclasses.replace(segmentation, enhancement=eaten)])
    }
    voxel = 1.5 * 1.25 * 8
    scar, wall, pool = (found[k] for k in ("enhancement", "myocardium", "blood_pool"))
    drawn = segmentation.enhancement
    assert scar.truth_mm3 == pytest.approx(voxel * drawn.sum())
    assert scar.bias_mm3 == pytest.approx(-voxel * drawn[0].sum())
    assert scar.difference_mm3 == -scar.bias_mm3
    assert scar.relative_difference == pytest.approx(0.25)
    assert scar.relative_bias == pytest.approx(-0.25)
    assert scar.share_difference == pytest.approx(drawn[0].sum() / segmentation.myocardium.sum())
    assert scar.dice == pytest.approx(2 * 3 / (3 + 4))
    assert scar.hausdorff_mm == pytest.approx(8)
    assert found["lv"].truth_mm3 == pytest.approx(wall.truth_mm3 + pool.truth_mm3)


def test_a_shift_of_a_box_is_its_hausdorff_distance(make_segmentation):
    scan = with_positions(make_segmentation(slices=5).scan, [0, 8, 16, 24, 32])
    box = np.zeros(scan.image.shape, bool)
    box[1:3, 10:20, 10:20] = True
    assert stack_hausdorff_mm(box, np.roll(box, (0, 3, 4), (0, 1, 2)), scan) == pytest.approx(
        math.hypot(3 * 1.5, 4 * 1.25)
    )
    assert stack_hausdorff_mm(box, np.roll(box, 1, 0), scan) == pytest.approx(8)


def test_slices_stand_where_their_positions_say(make_segmentation):
    scan = with_positions(make_segmentation().scan, [0, 5, 25, 31])
    masks = np.zeros((2, *scan.image.shape), bool)
    masks[0, 1, 24, 24] = masks[1, 2, 24, 24] = True
    assert stack_hausdorff_mm(masks[0], masks[1], scan) == pytest.approx(20)


@pytest.mark.parametrize("seed", range(6))
def test_dice_and_distance_agree_with_a_slow_reference(make_segmentation, seed):
    rng = np.random.default_rng(seed)
    scan = make_segmentation().scan
    scan = with_positions(scan, np.cumsum(rng.uniform(3, 12, 4)))
    shape = (4, 9, 11)
    truth, ours = (rng.uniform(size=shape) < density for density in (0.6, 0.2))
    points = outline(truth, scan), outline(ours, scan)
    expected = max(directed_hausdorff(one, other)[0] for one, other in (points, points[::-1]))
    assert stack_hausdorff_mm(ours, truth, scan) == pytest.approx(expected)
    assert stack_hausdorff_mm(truth, ours, scan) == pytest.approx(expected)
    both = sum(1 for pair in zip(truth.flat, ours.flat, strict=True) if all(pair))
    assert stack_dice(ours, truth) == pytest.approx(2 * both / (truth.sum() + ours.sum()))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # its own
def test_dice_and_distance_agree_with_surface_distance(make_segmentation, seed):
    """DeepMind's surfaces run between voxels, ours through them: half a voxel apart on each."""
    peer = pytest.importorskip("surface_distance", reason="needs surface-distance, a peer of ours")
    rng = np.random.default_rng(seed)
    truth, ours = np.zeros((2, 9, 44, 44), bool)
    for mask in (truth, ours):
        noise = ndimage.gaussian_filter(rng.normal(size=(7, 40, 40)), (0.7, 4, 4))
        mask[1:-1, 2:-2, 2:-2] = noise > 0.01
    scan = with_positions(make_segmentation(slices=9).scan, np.arange(9) * 8.0)
    spacing = (8.0, *scan.spacing_mm)
    found = stack_hausdorff_mm(ours, truth, scan)
    assert stack_dice(ours, truth) == pytest.approx(peer.compute_dice_coefficient(truth, ours))
    distances = peer.compute_surface_distances(truth, ours, spacing)
    expected = peer.compute_robust_hausdorff(distances, 100)
    assert found == pytest.approx(expected, abs=0.5 * math.hypot(*spacing))


def test_empty_masks(make_segmentation):
    scarred, healthy = make_segmentation("a"), make_segmentation("b", scar=False)
    missed = dataclasses.replace(scarred, enhancement=healthy.enhancement, core=healthy.core)
    alarm = dataclasses.replace(healthy, enhancement=scarred.enhancement, core=scarred.core)
    scar = {
        name: evaluate_challenge([one])[0]
        for name, one in (("both", healthy), ("missed", missed), ("alarm", alarm))
    }
    assert [scar[k].dice for k in ("both", "missed", "alarm")] == [1, 0, 0]
    # 48 x 48 pixels of 1.5 x 1.25 mm, four slices of 8 mm
    diagonal = pytest.approx(np.linalg.norm((48 * 1.5, 48 * 1.25, 4 * 8)))
    assert [r.hausdorff_mm for r in scar.values()] == [None, diagonal, diagonal]
    assert (scar["both"].difference_mm3, scar["both"].relative_difference) == (0, None)
    assert (scar["missed"].relative_difference, scar["missed"].relative_bias) == (1, -1)
    assert scar["alarm"].relative_difference is None
    assert scar["alarm"].share_difference == pytest.approx(
        scarred.enhancement.sum() / scarred.myocardium.sum()
    )


def test_only_labelled_slices_are_judged(make_segmentation):
    segmentation = make_segmentation()
    scan = segmentation.scan
    labelled = np.array([False, True, True, True])
    ours = segmentation.enhancement.copy()
    ours[0] = True  # where nobody looked
    part = dataclasses.replace(segmentation, scan=scan.replace(labelled=labelled), enhancement=ours)
    scar = evaluate_challenge([part])[0]
    assert (scar.dice, scar.hausdorff_mm, scar.bias_mm3) == (1, 0, 0)
    voxel = 1.5 * 1.25 * 8
    assert scar.truth_mm3 == pytest.approx(voxel * segmentation.enhancement[1:].sum())


def test_no_reflow_is_judged_where_it_is_predicted_and_belongs_to_the_infarct(make_segmentation):
    segmentation = make_segmentation()
    dark = segmentation.enhancement & (np.arange(48) < 18)[:, None]
    labels = np.where(dark, np.uint8(Label.NO_REFLOW), segmentation.scan.labels)
    scan = segmentation.scan.replace(labels=labels)
    regions = predicted_regions(segmentation)
    assert "no_reflow" not in {r.structure for r in challenge_records(scan, regions)}
    found = {r.structure: r for r in challenge_records(scan, regions, no_reflow=dark)}
    assert found["enhancement"].dice == found["no_reflow"].dice == 1
    assert found["no_reflow"].truth_mm3 == pytest.approx(1.5 * 1.25 * 8 * dark.sum())
    assert found["no_reflow"].share_difference == 0


def test_label_values_may_be_judged_too(make_segmentation):
    segmentation = make_segmentation(shift=(1, 2))
    shifted = np.roll(segmentation.scan.labels, (1, 2), (1, 2))
    regions = reference_regions(segmentation.scan.replace(labels=shifted))
    assert challenge_records(segmentation.scan, regions) == evaluate_challenge([segmentation])


def test_enhancement_that_nobody_assessed_is_not_judged(make_segmentation):
    segmentation = make_segmentation()
    scan = segmentation.scan.replace(has_enhancement=False)
    records = evaluate_challenge([dataclasses.replace(segmentation, scan=scan)])
    assert [r.structure for r in records] == ["myocardium", "blood_pool", "lv"]


def test_a_prediction_on_another_grid_is_refused(make_segmentation):
    regions = predicted_regions(make_segmentation(slices=3))
    with pytest.raises(InputError, match="predict on the scan's own grid"):
        challenge_records(make_segmentation().scan, regions)


def test_rows_are_means_over_patients_with_scar_alone_besides():
    """Of a, b and the normal c: with three patients Student's t of 2 degrees is 4.3027."""
    records = [
        record("a", 200, 100, dice=0.4),
        record("b", 400, 440, dice=0.8),
        record("c", 0, 30, dice=0.0),
    ]
    rows = rows_of(records)
    dice = rows["enhancement", "all", "dice"]
    assert dice.mean == pytest.approx(0.4)
    assert dice.half_width == pytest.approx(4.302653 * 0.4 / math.sqrt(3), rel=1e-6)
    assert rows["enhancement", "affected", "dice"].mean == pytest.approx(0.6)
    relative = rows["enhancement", "all", "relative_difference"]
    assert relative.mean == pytest.approx((0.5 + 0.1) / 2)
    assert (relative.counted, relative.n) == (2, 3)
    assert rows["enhancement", "all", "difference_mm3"].mean == pytest.approx(170 / 3)
    assert rows["enhancement", "all", "share_difference"].mean == pytest.approx(0.17 / 3)
    assert rows["enhancement", "all", "relative_bias"].mean == pytest.approx(-0.2)
    found = challenge_rows(records)[0].presence
    assert found == (2, 0, 1, 1)
    assert (found.sensitivity, found.specificity) == (1, 0)


def test_rows_exist_for_what_was_judged():
    rows = rows_of([record("a", 9, 9, structure="lv")])
    assert {structure for structure, _, _ in rows} == {"lv"}
    assert {group for _, group, _ in rows} == {"all"}
    assert ("lv", "all", "share_difference") not in rows
    assert challenge_rows([]) == []


def test_scar_comes_first():
    records = [record("a", 9, 9, structure=s) for s in ("lv", "myocardium", "enhancement")]
    order = [key for key, _ in itertools.groupby(r.structure for r in challenge_rows(records))]
    assert order == ["enhancement", "myocardium", "lv"]
