"""What segmentations and corrections are worth, in numbers: records, tables, studies.

- `KINDS`: what may be done to a mask.
- `STRENGTHS`: how much of it.
- `damage`: does it to one mask.
- `DamageStudy`: how methods fare on damaged masks.
- `compare`: what they make of them.
- `predict_slices`: the masks that are to be damaged.
- `Evaluation`: the records of many scans.
- `evaluate`: segmentations against expert labels.
- `evaluate_scan`: one of them.
- `LOCATIONS`: apex, middle, base.
- `STRUCTURES`: LV, myocardium, enhancement, core scar.
- `ScarFraction`: how well the scar's share of the wall is met.
- `SliceRecord`: one structure on one slice.
- `Summary`: a mean over patients with its interval.
- `Table1Row`: overlap and distance of one structure.
- `Table2Row`: volumes of one structure.
- `VolumeRecord`: one structure of one scan.
- `locations`: which slices are apical, middle and basal.
- `scar_fraction`: from volume records.
- `summarise`: from values with their patients.
- `table1`: from slice records.
- `table2`: from volume records.
- `volume_tertiles`: the same by size of the LV.
- `worst_scan`: the patient of lowest Dice.
"""

from acsnet_jax.evaluation.damage import KINDS, STRENGTHS, damage
from acsnet_jax.evaluation.damage_study import DamageStudy, compare, predict_slices
from acsnet_jax.evaluation.records import Evaluation, evaluate, evaluate_scan
from acsnet_jax.evaluation.summary import (
    LOCATIONS,
    STRUCTURES,
    ScarFraction,
    SliceRecord,
    Summary,
    Table1Row,
    Table2Row,
    VolumeRecord,
    locations,
    scar_fraction,
    summarise,
    table1,
    table2,
    volume_tertiles,
    worst_scan,
)

__all__ = [
    "KINDS",
    "LOCATIONS",
    "STRENGTHS",
    "STRUCTURES",
    "DamageStudy",
    "Evaluation",
    "ScarFraction",
    "SliceRecord",
    "Summary",
    "Table1Row",
    "Table2Row",
    "VolumeRecord",
    "compare",
    "damage",
    "evaluate",
    "evaluate_scan",
    "locations",
    "predict_slices",
    "scar_fraction",
    "summarise",
    "table1",
    "table2",
    "volume_tertiles",
    "worst_scan",
]
