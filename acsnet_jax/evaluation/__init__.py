"""What segmentations and corrections are worth, in numbers: records, tables, studies.

- `KINDS`: what may be done to a mask.
- `STRENGTHS`: how much of it.
- `damage`: does it to one mask.
- `DamageStudy`: how methods fare on damaged masks.
- `compare`: what they make of them.
- `predict_slices`: the masks that are to be damaged.
- `CandidateGrid`: autoencoders that are to be compared.
- `CrossValidation`: how they are judged.
- `AutoencoderStudy`: what they are worth, and which is chosen.
- `choose`: the rule of one standard error.
- `cross_validate`: trains and judges them inside the training patients.
- `CHALLENGE_STRUCTURES`: what the EMIDEC challenge judges, infarct first.
- `ChallengeRecord`: one structure of one patient by its definitions.
- `ChallengeRow`: one of its measures over patients.
- `Agreement`: bias, limits, concordance and ICC of a volume.
- `VolumePair`: the expert's volume and ours.
- `Estimate`: a number and its interval.
- `Burden`: the infarct's share of the LV's mass, the expert's and ours.
- `Decision`: who is above such a share.
- `PatientRecord`: all of one patient.
- `PathologyRow`: patients of one pathology.
- `patient_records`: one a patient.
- `decisions`: at every share, for all patients and by pathology.
- `by_pathology`: Dice and bias.
- `Comparison`: two tools on the same patients.
- `ComparedRow`: one measure of both, and the paired difference.
- `compared_rows`: all of them, with p-values.
- `concordance`: Lin's coefficient.
- `intraclass`: ICC(2,1).
- `evaluate_challenge`: the records of segmentations.
- `challenge_records`: of one prediction.
- `challenge_rows`: their means over patients.
- `CoverageRecord`: an interval beside the expert's number.
- `CoverageRow`: how often intervals hold it.
- `coverage_records`: of segmentations.
- `coverage_rows`: of each feature.
- `GateRecord`: a patient's verdict beside what the segmentation is worth.
- `Ranking`: how well one sign of the gate ranks errors.
- `gate_records`: verdicts beside the Dice of each patient.
- `rankings`: of all signs.
- `agreement`: how their volumes agree.
- `Evaluation`: the records of many scans.
- `evaluate`: segmentations against expert labels.
- `evaluate_scan`: one of them.
- `merged`: the records of several evaluations in one.
- `LOCATIONS`: apex, middle, base.
- `STRUCTURES`: LV, myocardium, enhancement, core scar.
- `ScarShare`: enhancement over myocardium of one patient.
- `Presence`: scar found, missed and imagined.
- `Number`: one of the numbers that a study begins with.
- `Targets`: what it aims at.
- `headline_numbers`: those numbers, scar first.
- `Validity`: valid slices beside lost ones.
- `SliceRecord`: one structure on one slice.
- `Summary`: a mean over patients with its interval.
- `Table1Row`: overlap and distance of one structure.
- `Table2Row`: volumes of one structure.
- `VolumeRecord`: one structure of one scan.
- `locations`: which slices are apical, middle and basal.
- `scar_shares`: from volume records.
- `presence`: from pairs of masks that are there or not.
- `patient_presence`: by patient.
- `slice_presence`: by slice.
- `load_held_out`: the patients that nothing was trained on.
- `trained_on`: those that something was.
- `validity_of`: of segmentations.
- `why_lost`: what became of an expert slice.
- `summarise`: from values with their patients.
- `table1`: from slice records.
- `table2`: from volume records.
- `volume_tertiles`: the same by size of the LV.
- `worst_scan`: the patient of lowest Dice.
"""

from acsnet_jax.evaluation.agreement import (
    Agreement,
    VolumePair,
    agreement,
    concordance,
    intraclass,
)
from acsnet_jax.evaluation.autoencoders import AutoencoderStudy, CandidateGrid, choose
from acsnet_jax.evaluation.burden import (
    Burden,
    Decision,
    PathologyRow,
    PatientRecord,
    by_pathology,
    decisions,
    patient_records,
)
from acsnet_jax.evaluation.challenge import (
    CHALLENGE_STRUCTURES,
    ChallengeRecord,
    ChallengeRow,
    challenge_records,
    challenge_rows,
    evaluate_challenge,
)
from acsnet_jax.evaluation.comparison import ComparedRow, Comparison, compared_rows
from acsnet_jax.evaluation.coverage import (
    CoverageRecord,
    CoverageRow,
    coverage_records,
    coverage_rows,
)
from acsnet_jax.evaluation.cross_validation import CrossValidation, cross_validate
from acsnet_jax.evaluation.damage import KINDS, STRENGTHS, damage
from acsnet_jax.evaluation.damage_study import DamageStudy, compare, predict_slices
from acsnet_jax.evaluation.estimates import Estimate
from acsnet_jax.evaluation.gate_study import GateRecord, Ranking, gate_records, rankings
from acsnet_jax.evaluation.headline import Number, Targets, headline_numbers
from acsnet_jax.evaluation.held_out import load_held_out, trained_on
from acsnet_jax.evaluation.records import Evaluation, evaluate, evaluate_scan, merged
from acsnet_jax.evaluation.summary import (
    LOCATIONS,
    STRUCTURES,
    Presence,
    ScarShare,
    SliceRecord,
    Summary,
    Table1Row,
    Table2Row,
    VolumeRecord,
    locations,
    patient_presence,
    presence,
    scar_shares,
    slice_presence,
    summarise,
    table1,
    table2,
    volume_tertiles,
    worst_scan,
)
from acsnet_jax.evaluation.validity import Validity, validity_of, why_lost

__all__ = [
    "CHALLENGE_STRUCTURES",
    "KINDS",
    "LOCATIONS",
    "STRENGTHS",
    "STRUCTURES",
    "Agreement",
    "AutoencoderStudy",
    "Burden",
    "CandidateGrid",
    "ChallengeRecord",
    "ChallengeRow",
    "ComparedRow",
    "Comparison",
    "CoverageRecord",
    "CoverageRow",
    "CrossValidation",
    "DamageStudy",
    "Decision",
    "Estimate",
    "Evaluation",
    "GateRecord",
    "Number",
    "PathologyRow",
    "PatientRecord",
    "Presence",
    "Ranking",
    "ScarShare",
    "SliceRecord",
    "Summary",
    "Table1Row",
    "Table2Row",
    "Targets",
    "Validity",
    "VolumePair",
    "VolumeRecord",
    "agreement",
    "by_pathology",
    "challenge_records",
    "challenge_rows",
    "choose",
    "compare",
    "compared_rows",
    "concordance",
    "coverage_records",
    "coverage_rows",
    "cross_validate",
    "damage",
    "decisions",
    "evaluate",
    "evaluate_challenge",
    "evaluate_scan",
    "gate_records",
    "headline_numbers",
    "intraclass",
    "load_held_out",
    "locations",
    "merged",
    "patient_presence",
    "patient_records",
    "predict_slices",
    "presence",
    "rankings",
    "scar_shares",
    "slice_presence",
    "summarise",
    "table1",
    "table2",
    "trained_on",
    "validity_of",
    "volume_tertiles",
    "why_lost",
    "worst_scan",
]
