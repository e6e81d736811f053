"""The infarct as a share of the LV's mass, patient by patient: what decisions rest on.

A patient has "any scar", "more than 5%" or "more than 15% of the LV" by the expert's infarct over
the expert's myocardium, and by ours over ours, by volume (one density makes shares of mass the
same). Infarcts hold their no-reflow. Shares lie in [0, 1]. Pathologies are what the data set's
owner says of a patient; where none is said, whether the expert drew scar.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from acsnet_jax.clinical.assessment import LARGE_INFARCT
from acsnet_jax.clinical.gate import Verdict
from acsnet_jax.evaluation.agreement import VolumePair, volume_pairs
from acsnet_jax.evaluation.challenge import ChallengeRecord
from acsnet_jax.evaluation.estimates import Estimate, share
from acsnet_jax.evaluation.gate_study import GateRecord
from acsnet_jax.evaluation.summary import Presence, Summary, VolumeRecord, presence, summarise
from acsnet_jax.types import Segmentation

BURDEN_LIMITS = (0.0, 0.05, LARGE_INFARCT)
"""Shares of the LV's mass above which a patient counts: any scar, 5%, the clinical threshold."""

EVERYBODY = "all"


class Burden(NamedTuple):
    """The infarct of one patient over the myocardium.

    Attributes:
        scan_id: the patient's pseudonymous id.
        pathology: what the owner says, or "scar" and "no scar" by the expert's labels.
        truth: the expert's share; None if enhancement was not assessed or no myocardium was drawn.
        predicted: ours; 0 where we found no myocardium.
    """

    scan_id: str
    pathology: str
    truth: float | None
    predicted: float | None

    @property
    def bias(self) -> float | None:
        """``predicted - truth``."""
        if self.truth is None or self.predicted is None:
            return None
        return self.predicted - self.truth


class Decision(NamedTuple):
    """Who is above a share of the LV's mass, by the expert and by us.

    Attributes:
        limit: the share; above 0 is any scar.
        group: `EVERYBODY`, or a pathology.
        presence: patients above and not above it by the expert, and in how many we differ.
    """

    limit: float
    group: str
    presence: Presence

    @property
    def sensitivity(self) -> Estimate:
        """Share of those above whom we call so, with Wilson's interval."""
        return share(self.presence.present - self.presence.missed, self.presence.present)

    @property
    def specificity(self) -> Estimate:
        """Share of those not above whom we call so, with Wilson's interval."""
        return share(self.presence.absent - self.presence.false_alarms, self.presence.absent)


class PatientRecord(NamedTuple):
    """All of one patient in a row.

    Attributes:
        burden: infarct over myocardium.
        judged: the patient's structures in 3-D.
        volumes: of each structure, core scar and gray zone with them, by name.
        verdict: of the gate; None if nobody asked it.
    """

    burden: Burden
    judged: dict[str, ChallengeRecord]
    volumes: dict[str, VolumePair]
    verdict: Verdict | None


class PathologyRow(NamedTuple):
    """Patients of one pathology.

    Attributes:
        group: `EVERYBODY`, or a pathology.
        patients: how many.
        myocardium_dice: in 3-D.
        lv_dice: in 3-D.
        infarct_dice: in 3-D, of patients in whom the expert has some.
        infarct_bias_ml: ours less the expert's.
        share_bias: the same of the infarct's share of the LV's mass.
    """

    group: str
    patients: int
    myocardium_dice: Summary
    lv_dice: Summary
    infarct_dice: Summary
    infarct_bias_ml: Summary
    share_bias: Summary


def burden_of(scan_id: str, judged: dict[str, ChallengeRecord], *, pathology: str = "") -> Burden:
    """The burden of one patient from the records of its structures.

    Args:
        scan_id: the patient's.
        judged: records by structure.
        pathology: what the owner says; empty for whether the expert drew scar.
    """
    scar, wall = judged.get("enhancement"), judged.get("myocardium")
    if scar is None or wall is None:
        return Burden(scan_id, pathology, None, None)
    pathology = pathology or ("scar" if scar.truth_mm3 else "no scar")
    truth = scar.truth_mm3 / wall.truth_mm3 if wall.truth_mm3 else None
    predicted = scar.predicted_mm3 / wall.predicted_mm3 if wall.predicted_mm3 else 0.0
    return Burden(scan_id, pathology, truth, predicted)


def patient_records(
    segmentations: Sequence[Segmentation],
    challenge: Sequence[ChallengeRecord],
    volumes: Sequence[VolumeRecord],
    gate: Sequence[GateRecord],
) -> list[PatientRecord]:
    """One record a patient, in the order of the segmentations.

    Args:
        segmentations: of patients with expert labels.
        challenge: of the same patients, see `acsnet_jax.evaluation.evaluate_challenge`.
        volumes: of the same, see `acsnet_jax.evaluation.evaluate`.
        gate: of the same, or none.
    """
    verdicts: dict[str, Verdict] = {one.scan_id: one.judgement.verdict for one in gate}
    judged: dict[str, dict[str, ChallengeRecord]] = defaultdict(dict)
    for record in challenge:
        judged[record.scan_id][record.structure] = record
    measured: dict[str, dict[str, VolumePair]] = defaultdict(dict)
    for structure, pairs in volume_pairs(challenge, volumes=volumes):
        for pair in pairs:
            measured[pair.scan_id][structure] = pair
    return [
        PatientRecord(
            burden_of(scan.id, judged[scan.id], pathology=scan.provenance.pathology),
            judged[scan.id],
            measured[scan.id],
            verdicts.get(scan.id),
        )
        for scan in (segmentation.scan for segmentation in segmentations)
    ]


def decisions(burdens: Sequence[Burden]) -> list[Decision]:
    """Who is above each limit, over all patients and by pathology; none without shares."""
    known = [one for one in burdens if one.truth is not None and one.predicted is not None]
    return [
        Decision(
            limit,
            group,
            presence(
                (float(one.truth > limit), float(one.predicted > limit))
                for one in known
                if one.truth is not None and one.predicted is not None
                if group in (EVERYBODY, one.pathology)
            ),
        )
        for group in (_groups(known) if known else [])
        for limit in BURDEN_LIMITS
    ]


def by_pathology(records: Sequence[PatientRecord]) -> list[PathologyRow]:
    """Dice and bias of the patients of each pathology, after those of all."""
    rows = []
    for group in _groups([one.burden for one in records]):
        own = [one for one in records if group in (EVERYBODY, one.burden.pathology)]
        rows.append(
            PathologyRow(
                group,
                len(own),
                _dice(own, "myocardium"),
                _dice(own, "lv"),
                _dice(own, "enhancement", where_drawn=True),
                summarise(
                    (
                        one.burden.scan_id,
                        pair.bias_ml if (pair := one.volumes.get("enhancement")) else None,
                    )
                    for one in own
                ),
                summarise((one.burden.scan_id, one.burden.bias) for one in own),
            )
        )
    return rows


def _groups(burdens: Sequence[Burden]) -> list[str]:
    """Everybody, then the pathologies that there are."""
    return [EVERYBODY, *sorted({one.pathology for one in burdens} - {""})]


def _dice(
    records: Sequence[PatientRecord], structure: str, *, where_drawn: bool = False
) -> Summary:
    own = [(one.burden.scan_id, one.judged.get(structure)) for one in records]
    return summarise(
        (name, None if one is None or (where_drawn and not one.truth_mm3) else one.dice)
        for name, one in own
    )
