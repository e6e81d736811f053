"""What segmentations and corrections are worth, in numbers: records, tables, studies."""

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
    "LOCATIONS",
    "STRUCTURES",
    "Evaluation",
    "ScarFraction",
    "SliceRecord",
    "Summary",
    "Table1Row",
    "Table2Row",
    "VolumeRecord",
    "evaluate",
    "evaluate_scan",
    "locations",
    "scar_fraction",
    "summarise",
    "table1",
    "table2",
    "volume_tertiles",
    "worst_scan",
]
