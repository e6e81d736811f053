import csv
import dataclasses

import pytest

from acsnet_jax.evaluation import evaluate, evaluate_challenge, gate_records, patient_records
from acsnet_jax.evaluation.agreement import VolumePair, agree
from acsnet_jax.evaluation.burden import Burden, decisions
from acsnet_jax.evaluation.estimates import share
from acsnet_jax.pipeline import Inference
from acsnet_jax.report import write_agreement, write_burden
from acsnet_jax.report.agreement import agreement_text
from acsnet_jax.report.burden import decision_text

VOLUMES = (("a", 200.0, 180.0), ("b", 100.0, 0.0), ("c", 0.0, 20.0))


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_agreement_for_readers(tmp_path):
    """Differences -20, -100, +20 mL: mean -100 / 3, of 300; deviation sqrt(11200 / 3)."""
    pairs = [VolumePair(k, t, o) for k, t, o in VOLUMES]
    found = [agree("enhancement", pairs), agree("gray_zone", pairs[:1])]
    (row, alone) = agreement_text(found).rows
    assert row[:2] == ("Infarct", "3")
    assert row[2].startswith("-33.3 ± ")
    assert row[3:6] == ("-33.3", "-153.1", "+86.4")
    # sum of products 22000 - 300 * 200 / 3, sums of squares 20000 and 32800 - 40000 / 3
    expected = 2 * 16_000 / (20_000 + 32_800 - 40_000 / 3 + 3 * (100 / 3) ** 2)
    assert row[6].startswith(f"{expected:.3f}")
    assert alone == ("Gray zone", "1", "-20.0", "-10.0", "n/a", "n/a", *["not available"] * 2)
    write_agreement(found, tmp_path)
    first, second = rows_of(tmp_path / "agreement.csv")
    assert float(first["concordance"]) == pytest.approx(expected, rel=1e-5)
    assert second["icc"] == second["concordance_low"] == second["lower_ml"] == ""
    text = (tmp_path / "agreement.md").read_text(encoding="utf-8")
    assert all(name in text for name in ("Bland and Altman", "Lin's", "Shrout", "McGraw"))
    assert "nan" not in text.lower()


def test_decisions_for_readers():
    rows = decision_text(decisions([Burden("a", "scar", 0.2, 0.1), Burden("b", "scar", 0.1, 0.1)]))
    table = {row[:2]: row[2:] for row in rows.rows}
    low, high = (100 * x for x in share(2, 2)[1:] if x is not None)
    assert table["any scar", "all"][:3] == ("2", "0", f"100.0 ({low:.1f} to {high:.1f})")
    assert table["any scar", "all"][3:] == ("0", "0", "not available")
    assert table["> 5% of the LV", "scar"][:2] == ("2", "0")
    assert table["> 15% of the LV", "scar"][:2] == ("1", "1")


def test_a_row_a_patient(make_segmentation, tmp_path):
    scarred = make_segmentation("a", shift=(1, 0))
    normal = make_segmentation("b", scar=False)
    scan = normal.scan.replace(labels=normal.scan.labels)
    cohort = [scarred, dataclasses.replace(normal, scan=scan)]
    in_3d = evaluate_challenge(cohort)
    records = patient_records(
        cohort, in_3d, evaluate(cohort, Inference()).volumes, gate_records(cohort, in_3d)
    )
    write_burden(records, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"burden.csv", "burden.md", "patients.csv"}
    first, second = rows_of(tmp_path / "patients.csv")
    assert (first["scan_id"], first["pathology"], second["pathology"]) == ("a", "scar", "no scar")
    scar = next(r for r in in_3d if (r.scan_id, r.structure) == ("a", "enhancement"))
    assert float(first["enhancement_expert_ml"]) == pytest.approx(scar.truth_mm3 / 1000, rel=1e-5)
    assert float(first["enhancement_dice_3d"]) == pytest.approx(scar.dice, rel=1e-5)
    assert float(first["infarct_share_expert"]) == pytest.approx(
        scar.truth_mm3 / scar.myocardium_mm3, rel=1e-5
    )
    assert first["verdict"] and first["core_ours_ml"] and first["gray_zone_difference_ml"]
    assert second["enhancement_hausdorff_3d_mm"] == "" and second["infarct_share_expert"] == "0"
    assert not [name for name in first if name.startswith("no_reflow")]  # nobody judged it
    text = (tmp_path / "burden.md").read_text(encoding="utf-8")
    assert "any scar" in text and "| no scar |" in text and "nan" not in text
