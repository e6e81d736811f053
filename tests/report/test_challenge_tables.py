import csv

import pytest

from acsnet_jax.evaluation.challenge import (
    ChallengeRecord,
    challenge_rows,
    evaluate_challenge,
)
from acsnet_jax.report import challenge_text, write_challenge
from acsnet_jax.report.challenge import challenge_patients, found_text


def records():
    """Two scarred patients, one of them missed, and a normal one called scarred."""
    numbers = (("a", 0.8, 6.0, 200.0, 180.0), ("b", 0.0, None, 100.0, 0.0))
    numbers += (("c", 0.0, None, 0.0, 20.0),)
    return [
        ChallengeRecord(name, "enhancement", dice, distance, truth, ours, 1000.0)
        for name, dice, distance, truth, ours in numbers
    ]


def test_numbers_are_scaled_and_rounded_for_readers():
    rows = {row[1:3]: row for row in challenge_text(challenge_rows(records())).rows}
    assert rows["with it", "Dice 3-D"][0] == "Infarct"
    # two patients: Student's t is tan(0.475 pi) = 12.706, times a standard error of 0.4
    assert rows["with it", "Dice 3-D"][3:] == ("0.400 ± 5.082", "0.000 to 0.800", "2 of 2")
    assert rows["all", "HD 3-D (mm)"][3:] == ("6.0", "6.0 to 6.0", "1 of 3")
    assert rows["all", "AVD of expert's (%)"][4:] == ("10.0 to 100.0", "2 of 3")
    assert rows["all", "Bias (mm³)"][4] == "-100 to +20"
    assert rows["all", "AVDR, of MYO (%)"][4] == "2.00 to 10.00"


def test_what_was_missed_and_made_up():
    table = found_text(challenge_rows(records()))
    assert table.rows == [("Infarct", "2", "1", "50.0", "1", "1", "0.0")]
    present = [record for record in records() if record.truth_mm3]
    assert found_text(challenge_rows(present)).rows[0][-1] == "n/a"


def test_three_files_are_written_and_no_temporary_left(make_segmentation, tmp_path):
    scarred = make_segmentation("a", shift=(1, 0))
    normal = make_segmentation("b", scar=False)
    found = evaluate_challenge([scarred, normal])
    write_challenge(found, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["challenge.csv", "challenge.md", "challenge_patients.csv"]
    text = (tmp_path / "out" / "challenge.md").read_text(encoding="utf-8")
    assert all(word in text for word in ("Lalande", "Sensitivity"))
    with (tmp_path / "out" / "challenge.csv").open(encoding="utf-8") as file:
        rows = {(r["structure"], r["group"], r["measure"]): r for r in csv.DictReader(file)}
    dice = rows["enhancement", "all", "dice"]
    scar = [r.dice for r in found if r.structure == "enhancement"]
    assert float(dice["mean"]) == pytest.approx(sum(scar) / 2, rel=1e-5)
    assert [dice[k] for k in ("patients", "present", "missed", "absent", "false_alarms")] == [
        *("2", "1", "0", "1", "0")
    ]
    assert rows["enhancement", "affected", "dice"]["patients"] == "1"


def test_a_row_a_record_with_empty_cells_where_nothing_applies(make_segmentation):
    table = challenge_patients(evaluate_challenge([make_segmentation(scar=False)]))
    first = dict(zip(table.header, table.rows[0], strict=True))
    assert len(table.rows) == 4
    assert (first["structure"], first["dice"], first["hausdorff_mm"]) == ("enhancement", "1", "")
    assert (first["relative_difference"], first["bias_mm3"]) == ("", "0")
