"""Intervals around volumes and burdens: how far an expert's number may lie from ours.

A segmentation is drawn again and again: by each network of an ensemble, by each turn of the
picture, and by valid shapes near the corrected one (`acsnet_jax.correction.shape_draws`). How far
the numbers of these draws spread says in which scans the system is unsure, not how wrong it is:
draws share their training. So intervals are calibrated on patients whom the networks never saw.
There, |expert - ours| over (spread + floor) is ranked, and the rank that the wanted coverage asks
for becomes the factor: ours ± factor (spread + floor) then covers that share of new patients like
them, whatever the spread is worth (split conformal prediction). The floor is the patients' median
error, or their mean error where the median is 0, so that a spread of 0 alone promises no certainty.
Where nearly nobody of a group has any error, as patients in whom no scar was found, the interval is
the number itself: those who were missed are fewer than what the coverage leaves out. Scans in which
scar was found and those in which none was are calibrated apart, since a miss and a wrong size are
of different orders.

Fields are those of `acsnet_jax.clinical.Features`, in its units.

References:
    Lei et al., J Am Stat Assoc 113, 2018 (split conformal, locally weighted); Papadopoulos et al.,
    J Artif Intell Res 40, 2011 (floor of the spread); Vovk, Machine Learning 92, 2013 (calibration
    apart by class); Barber et al., Ann Stat 49, 2021 (folds).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import stats

from acsnet_jax.clinical.features import Features, features, reference_features
from acsnet_jax.clinical.findings import Regions
from acsnet_jax.clinical.volumes import MYOCARDIAL_DENSITY_G_PER_ML, volume_ml
from acsnet_jax.types import Scan, Segmentation

Group = Literal["all", "found", "none"]
"""Scans that are calibrated together: all, or by whether scar was found."""

COVERAGE = 0.9

_SPREAD_OF = {  # the infarct's no-reflow is found in the picture, and not drawn again
    "lv_volume_ml": "lv_volume_ml",
    "blood_pool_volume_ml": "blood_pool_volume_ml",
    "myocardial_volume_ml": "myocardial_volume_ml",
    "infarct_volume_ml": "enhancement_volume_ml",
    "infarct_fraction": "scar_fraction",
    "enhancement_volume_ml": "enhancement_volume_ml",
    "scar_fraction": "scar_fraction",
    "core_scar_volume_ml": "core_scar_volume_ml",
    "core_fraction": "core_fraction",
    "gray_zone_volume_ml": "gray_zone_volume_ml",
    "gray_zone_fraction": "gray_zone_fraction",
}
_MASS_OF = {
    "myocardial_mass_g": "myocardial_volume_ml",
    "infarct_mass_g": "infarct_volume_ml",
    "enhancement_mass_g": "enhancement_volume_ml",
    "core_scar_mass_g": "core_scar_volume_ml",
    "gray_zone_mass_g": "gray_zone_volume_ml",
}
_MASKS = ("myocardium", "blood_pool", "enhancement", "core", "no_reflow")
_WHOLE = ("lv_volume_ml", "blood_pool_volume_ml", "myocardial_volume_ml")

INTERVAL_FIELDS: tuple[str, ...] = tuple(_SPREAD_OF)
"""Features that are calibrated; those in g follow from those in mL."""


class Scale(NamedTuple):
    """How a spread becomes an interval: ``value ± factor * (spread + floor)``.

    Attributes:
        floor: in the unit of the field.
        factor: of both.
        patients: that it rests on.
    """

    floor: float
    factor: float
    patients: int


class Calibration(NamedTuple):
    """What intervals rest on; ``_asdict()`` is ready for JSON.

    Attributes:
        coverage: share of patients whose expert's number is to lie inside.
        scales: by field and group; a group of too few patients is missing.
    """

    coverage: float
    scales: Mapping[str, Mapping[Group, Scale]]


class Interval(NamedTuple):
    """Where the expert's number is to be expected; ``_asdict()`` is ready for JSON.

    Attributes:
        low: at least 0.
        high: of a fraction at most 1.
        calibrated: whether on patients whom the networks never saw; if not, the interval is that of
            a normal distribution with the spread of the draws, and too narrow.
    """

    low: float
    high: float
    calibrated: bool


class IntervalCase(NamedTuple):
    """One patient whom the networks never saw.

    Attributes:
        ours: features of the segmentation.
        expert: of the expert's labels.
        spread: of the draws, see `spread_of`.
    """

    ours: Features
    expert: Features
    spread: Mapping[str, float]


def draw_values(regions: Regions, scan: Scan) -> dict[str, float]:
    """The numbers of one draw.

    Args:
        regions: of the draw; enhancement and core have to be there.
        scan: whose grid they are on, of two slices or more.

    Returns:
        Volumes in mL and fractions of the myocardium by the name of the feature.
    """
    assert regions.enhancement is not None and regions.core is not None
    grid = scan.positions_mm, scan.spacing_mm
    lv, pool, wall, scar, core = (
        volume_ml(mask, *grid)
        for mask in (
            regions.lv,
            regions.blood_pool,
            regions.myocardium,
            regions.enhancement,
            regions.core,
        )
    )
    return with_fractions(lv=lv, blood_pool=pool, wall=wall, scar=scar, core=core)


def with_fractions(
    *, lv: float, blood_pool: float, wall: float, scar: float, core: float
) -> dict[str, float]:
    """Volumes in mL with gray zone and fractions, by the name of the feature."""
    gray = scar - core
    shares = {"scar_fraction": scar, "core_fraction": core, "gray_zone_fraction": gray}
    return {
        "lv_volume_ml": lv,
        "blood_pool_volume_ml": blood_pool,
        "myocardial_volume_ml": wall,
        "enhancement_volume_ml": scar,
        "core_scar_volume_ml": core,
        "gray_zone_volume_ml": gray,
        **{name: part / wall if wall > 0 else 0.0 for name, part in shares.items()},
    }


def spread_of(sources: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """Standard deviation over all sources of doubt together, which are taken as independent.

    Args:
        sources: draws of each source (networks, turns, shapes), see `draw_values`; those of fewer
            than two draws say nothing.

    Returns:
        By field: root of the sum of the variances.
    """
    heard = [draws for draws in sources if len(draws) > 1]
    if not heard:
        return {}
    return {
        name: math.sqrt(sum(float(np.var([draw[name] for draw in draws])) for draws in heard))
        for name in heard[0][0]
    }


def interval_case(segmentation: Segmentation) -> IntervalCase:
    """What intervals are calibrated and judged on, on labelled slices.

    Args:
        segmentation: of a labelled scan, with its spread.

    Raises:
        InputError: no slice is labelled.
    """
    judged = segmentation.scan.labelled[:, None, None]
    given = {name: getattr(segmentation, name) for name in _MASKS}
    masks = {name: mask & judged for name, mask in given.items() if mask is not None}
    return IntervalCase(
        features(dataclasses.replace(segmentation, **masks)),
        reference_features(segmentation.scan),
        segmentation.spread,
    )


def fit_calibration(cases: Sequence[IntervalCase], *, coverage: float = COVERAGE) -> Calibration:
    """Scales that make intervals cover the wanted share of patients.

    Args:
        cases: patients whom the networks never saw. Those that the rule for scar was fitted to may
            be among them: it has few choices, and cases by it are nearly as good as new.
        coverage: wanted, in (0, 1).

    Returns:
        The calibration. A group of fewer than ``coverage / (1 - coverage)`` patients is left out:
        no rank among them promises the coverage.
    """
    scales: dict[str, dict[Group, Scale]] = {}
    for field, source in _SPREAD_OF.items():
        groups: dict[Group, list[tuple[float, float]]] = {}
        for case in cases:
            ours, expert = getattr(case.ours, field), getattr(case.expert, field)
            if ours is not None and expert is not None and source in case.spread:
                pair = abs(ours - expert), case.spread[source]
                groups.setdefault(_group(field, case.ours), []).append(pair)
        scales[field] = {
            group: scale
            for group, pairs in groups.items()
            if (scale := _scale(pairs, coverage)) is not None
        }
    return Calibration(coverage, scales)


def _scale(pairs: Sequence[tuple[float, float]], coverage: float) -> Scale | None:
    rank = math.ceil((len(pairs) + 1) * coverage - 1e-9)
    if rank > len(pairs):
        return None
    errors, spreads = np.array(pairs).T
    floor = float(np.median(errors)) or float(errors.mean())
    reach = spreads + floor
    scores = np.divide(errors, reach, out=np.zeros_like(errors), where=reach > 0)
    return Scale(floor, float(np.sort(scores)[rank - 1]), len(pairs))


def _group(field: str, ours: Features) -> Group:
    if field in _WHOLE:
        return "all"
    return "found" if ours.enhancement_volume_ml else "none"


def intervals(
    features: Features, spread: Mapping[str, float], calibration: Calibration | None
) -> dict[str, Interval]:
    """Intervals around the features of a segmentation.

    Args:
        features: of the segmentation.
        spread: of its draws, see `spread_of`.
        calibration: of the networks that drew them; None if there is none.

    Returns:
        By the name of the feature; what has no value or no spread has no interval.
    """
    found = {}
    for field, source in _SPREAD_OF.items():
        value = getattr(features, field)
        if value is None or source not in spread:
            continue
        scale = None
        if calibration is not None:
            scale = calibration.scales.get(field, {}).get(_group(field, features))
        reach = _normal(calibration) * spread[source]
        if scale is not None:
            reach = scale.factor * (spread[source] + scale.floor)
        highest = 1.0 if field.endswith("_fraction") else math.inf
        found[field] = Interval(
            max(value - reach, 0.0), min(value + reach, highest), scale is not None
        )
    for mass, volume in _MASS_OF.items():
        if volume in found:
            low, high, calibrated = found[volume]
            dense = MYOCARDIAL_DENSITY_G_PER_ML
            found[mass] = Interval(dense * low, dense * high, calibrated)
    return found


def _normal(calibration: Calibration | None) -> float:
    """How many standard deviations cover as much, if errors were normal."""
    coverage = COVERAGE if calibration is None else calibration.coverage
    return float(stats.norm.ppf(0.5 + coverage / 2))


def calibration_from(record: Mapping[str, Any]) -> Calibration:
    """What `Calibration._asdict` gave, after JSON.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is nothing of the kind.
    """
    coverage = float(record["coverage"])
    scales: dict[str, dict[Group, Scale]] = {}
    for field, groups in record["scales"].items():
        scales[field] = {}
        for group, (floor, factor, patients) in groups.items():
            scale = Scale(float(floor), float(factor), int(patients))
            if not all(math.isfinite(x) and x >= 0 for x in scale):
                raise ValueError(f"{field}: {scale} scales nothing")
            scales[field][group] = scale
    if not 0 < coverage < 1:
        raise ValueError(f"{coverage} is no coverage")
    return Calibration(coverage, scales)
