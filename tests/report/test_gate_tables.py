import csv

from acsnet_jax.clinical import judge
from acsnet_jax.clinical.gate import Signs
from acsnet_jax.evaluation.gate_study import GateRecord
from acsnet_jax.report import write_gate
from acsnet_jax.report.gate import SIGN_NAMES


def records():
    found = []
    for k in range(10):
        signs = Signs(0.5 + 0.05 * k, None, 0.0, 0.005, 0.0, 3.0 + (k == 2), 2.0)
        found.append(GateRecord(f"P{k}", judge(signs), 0.5 + 0.04 * k, None))
    return found


def test_every_sign_has_a_name_for_readers():
    assert set(SIGN_NAMES) == set(Signs._fields)


def test_a_row_a_patient_and_the_worst_wall_first(tmp_path):
    write_gate(records(), tmp_path)
    with (tmp_path / "gate.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scan_id"] for row in rows] == [f"P{k}" for k in range(10)]
    assert rows[0]["verdict"] == "look at it" and rows[9]["verdict"] == "accepted"
    assert rows[3]["wall_confidence"] == "0.65" and rows[3]["scar_confidence"] == ""
    text = (tmp_path / "gate.md").read_text()
    assert "| Dice to be expected of the wall | MYO | 10 | +1.00 | 1 of 1 |" in text
    assert text.index("| P0 |") < text.index("| P1 |")
    assert "unsure of the wall (Dice to be expected 0.50)" in text
