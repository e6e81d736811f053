"""Two tools against one expert, patient by patient: paired differences that a paper can print.

Every number of a patient is that of the EMIDEC challenge (`acsnet_jax.evaluation.challenge`): Dice
over the stack (1 where both are empty, 0 where one is), the Hausdorff distance (the diagonal of the
stack where one is empty; where expert and tool are both empty, 0 if the other tool has a distance,
so that what it makes up costs it something), volumes in mL. A difference is A less B in the same
patient, averaged over the scans of one who has several; both means beside it are of the same pairs.
Its interval comes from resampled patients, its p-value from Wilcoxon's signed-rank test (two-sided,
pairs without a difference left out), then Holm's over the structures of one measure.

References:
    Wilcoxon, Biometrics Bulletin 1, 1945. Holm, Scandinavian Journal of Statistics 6, 1979.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, UInt8
from scipy import stats

from acsnet_jax.clinical import Regions
from acsnet_jax.clinical.volumes import MM3_PER_ML
from acsnet_jax.evaluation.burden import Burden, burden_of
from acsnet_jax.evaluation.challenge import (
    CHALLENGE_STRUCTURES,
    ChallengeRecord,
    ChallengeStructure,
)
from acsnet_jax.evaluation.estimates import Estimate, bootstrap, mean_over_patients
from acsnet_jax.evaluation.summary import Summary, means_by_patient, summarise
from acsnet_jax.io.stack import patient_of
from acsnet_jax.types import InputError, Label

ComparedMeasure = Literal[
    "dice",
    "hausdorff_mm",
    "volume_ml",
    "bias_ml",
    "error_ml",
    "share_bias",
    "share_error",
]

_OF_RECORD: dict[ComparedMeasure, Callable[[ChallengeRecord], float | None]] = {
    "dice": lambda record: record.dice,
    "hausdorff_mm": lambda record: record.hausdorff_mm,
    "volume_ml": lambda record: record.predicted_mm3 / MM3_PER_ML,
    "bias_ml": lambda record: record.bias_mm3 / MM3_PER_ML,
    "error_ml": lambda record: record.difference_mm3 / MM3_PER_ML,
}
_OF_BURDEN: dict[ComparedMeasure, Callable[[Burden], float | None]] = {
    "share_bias": lambda burden: burden.bias,
    "share_error": lambda burden: None if burden.bias is None else abs(burden.bias),
}
COMPARED_MEASURES: tuple[ComparedMeasure, ...] = get_args(ComparedMeasure)

_DIGITS = 9  # of a difference behind the point, in any unit

_NEEDS: dict[ChallengeStructure, tuple[frozenset[int], ...]] = {
    "enhancement": (frozenset({Label.ENHANCEMENT, Label.NO_REFLOW}),),
    "myocardium": (frozenset({Label.MYOCARDIUM}),),  # enhancement alone is no wall
    "blood_pool": (frozenset({Label.BLOOD_POOL}),),
    "lv": (frozenset({Label.BLOOD_POOL}), frozenset({Label.MYOCARDIUM})),
}


class ComparedRow(NamedTuple):
    """One measure of one structure, A beside B.

    Attributes:
        structure: what was segmented.
        measure: what was measured; shares are the infarct's of the LV's mass, in [0, 1].
        expert: the expert's mean volume over the pairs; None for other measures.
        a: A's mean over the pairs.
        b: B's mean over the pairs.
        difference: mean of A less B.
        p: of the signed-rank test; None where no pair differs.
        p_holm: the same, adjusted for the structures of this measure.
        pairs: patients in whom both have a value.
        patients: all.
    """

    structure: ChallengeStructure
    measure: ComparedMeasure
    expert: Summary | None
    a: Summary
    b: Summary
    difference: Estimate
    p: float | None
    p_holm: float | None
    pairs: int
    patients: int


class Unmatched(NamedTuple):
    """Patients who could not be compared, by id.

    Attributes:
        only_a: of A alone, or of A and B without a reference.
        only_b: likewise of B.
        without_a: of the reference whom A lacks.
        without_b: of the reference whom B lacks.
        undrawn: in whom the expert drew nothing.
    """

    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    without_a: tuple[str, ...]
    without_b: tuple[str, ...]
    undrawn: tuple[str, ...] = ()


class Comparison(NamedTuple):
    """Two tools on the same patients.

    Attributes:
        names: of A and of B, for readers.
        a: A's records, one a patient and structure.
        b: B's records, of the same patients and structures.
        pathologies: by patient, what the data set's owner says; empty where nothing is said.
        unmatched: who is not among them.
    """

    names: tuple[str, str]
    a: list[ChallengeRecord]
    b: list[ChallengeRecord]
    pathologies: dict[str, str]
    unmatched: Unmatched

    @property
    def patients(self) -> list[str]:
        """Ids, in order."""
        return list(dict.fromkeys(record.scan_id for record in self.a))

    @property
    def structures(self) -> list[ChallengeStructure]:
        """What is compared, scar first."""
        have = {record.structure for record in self.a}
        return [structure for structure in CHALLENGE_STRUCTURES if structure in have]


def match(
    a: Sequence[str], b: Sequence[str], reference: Sequence[str]
) -> tuple[list[str], Unmatched]:
    """Patients that all three have, sorted, and who is left over.

    Raises:
        InputError: there is none.
    """
    ours, theirs, known = set(a), set(b), set(reference)
    common = sorted(ours & theirs & known)
    if not common:
        examples = ", ".join(
            f"{name} has {min(found)}"
            for name, found in (("a", ours), ("b", theirs), ("the reference", known))
        )
        raise InputError(
            f"no patient is in a, b and the reference: {examples}: name their files alike, or "
            "choose others with pattern_a, pattern_b or pattern_reference"
        )
    return common, Unmatched(
        tuple(sorted(ours - known)),
        tuple(sorted(theirs - known)),
        tuple(sorted(known - ours)),
        tuple(sorted(known - theirs)),
    )


def label_regions(labels: UInt8[np.ndarray, "slices height width"]) -> Regions:
    """The structures of `Label` values; no core scar, which takes a picture."""
    return Regions(
        labels > Label.BACKGROUND,
        labels >= Label.MYOCARDIUM,
        labels == Label.BLOOD_POOL,
        labels >= Label.ENHANCEMENT,
        None,
    )


def comparable(told: Sequence[frozenset[int]]) -> list[ChallengeStructure]:
    """Structures that every side tells apart.

    Args:
        told: the labels that each side knows.

    Raises:
        InputError: there is none.
    """
    found: list[ChallengeStructure] = [
        structure
        for structure, needs in _NEEDS.items()
        if all(known & need for known in told for need in needs)
    ]
    if not found:
        raise InputError(
            "a, b and the reference have no structure in common: say what their values mean with "
            "labels_a, labels_b and labels_reference"
        )
    return found


def compared_rows(comparison: Comparison) -> list[ComparedRow]:
    """Every measure of every structure, A beside B, scar first; p-values adjusted by Holm."""
    rows = []
    for measure in COMPARED_MEASURES:
        found = [
            _row(structure, measure, comparison)
            for structure in comparison.structures
            if measure in _OF_RECORD or structure == "enhancement"
        ]
        known = [row for row in found if row.p is not None]
        adjusted = holm([row.p for row in known if row.p is not None])
        by_structure = dict(zip((row.structure for row in known), adjusted, strict=True))
        rows += [row._replace(p_holm=by_structure.get(row.structure)) for row in found]
    return sorted(rows, key=lambda row: CHALLENGE_STRUCTURES.index(row.structure))


def burdens(records: Sequence[ChallengeRecord], pathologies: dict[str, str]) -> dict[str, Burden]:
    """The infarct's share of the LV's mass of each patient, the expert's beside a tool's."""
    by_patient: dict[str, dict[str, ChallengeRecord]] = {}
    for record in records:
        by_patient.setdefault(record.scan_id, {})[record.structure] = record
    return {
        name: burden_of(name, judged, pathology=pathologies.get(name, ""))
        for name, judged in by_patient.items()
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the given order."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min((len(p_values) - rank) * p_values[index], 1.0))
        adjusted[index] = largest
    return adjusted


def signed_rank(differences: Float[np.ndarray, "patients"]) -> float | None:
    """The two-sided p-value of Wilcoxon's signed-rank test; None where nothing differs.

    Differences count to a billionth, so that equal volumes tie. Exact for up to 50 differences
    without ties, otherwise as SciPy does: by permutations of up to 13, by the normal approximation
    of more.
    """
    rounded = np.round(differences, _DIGITS)
    moved = rounded[rounded != 0]
    if not len(moved):
        return None
    return float(np.asarray(stats.wilcoxon(moved)[1]))


def _row(
    structure: ChallengeStructure, measure: ComparedMeasure, comparison: Comparison
) -> ComparedRow:
    ours, theirs = (
        _values(records, structure, measure, comparison.pathologies)
        for records in (comparison.a, comparison.b)
    )
    pairs = [
        pair
        for name, x in ours.items()
        if (pair := _pair(name, x, theirs[name], measure)) is not None
    ]
    differences = np.array([*means_by_patient((name, x - y) for name, x, y in pairs).values()])
    return ComparedRow(
        structure,
        measure,
        _expert(comparison.a, structure) if measure == "volume_ml" else None,
        summarise((name, x) for name, x, _ in pairs),
        summarise((name, y) for name, _, y in pairs),
        bootstrap(differences[:, None], mean_over_patients),
        signed_rank(differences),
        None,
        len(differences),
        len({patient_of(name) for name in ours}),
    )


def _pair(
    name: str, x: float | None, y: float | None, measure: ComparedMeasure
) -> tuple[str, float, float] | None:
    """What both tools have of a patient; None where that cannot be compared."""
    if measure == "hausdorff_mm" and (x is None) != (y is None):
        x, y = x or 0.0, y or 0.0  # nothing where there is nothing is no distance away
    return None if x is None or y is None else (name, x, y)


def _expert(records: Sequence[ChallengeRecord], structure: ChallengeStructure) -> Summary:
    own = [record for record in records if record.structure == structure]
    return summarise((record.scan_id, record.truth_mm3 / MM3_PER_ML) for record in own)


def _values(
    records: Sequence[ChallengeRecord],
    structure: ChallengeStructure,
    measure: ComparedMeasure,
    pathologies: dict[str, str],
) -> dict[str, float | None]:
    """One measure of each patient."""
    if measure in _OF_BURDEN:
        return {
            name: _OF_BURDEN[measure](one) for name, one in burdens(records, pathologies).items()
        }
    own = [record for record in records if record.structure == structure]
    return {record.scan_id: _OF_RECORD[measure](record) for record in own}
