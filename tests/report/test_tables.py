import csv
import dataclasses

from acsnet_jax.evaluation.records import evaluate
from acsnet_jax.evaluation.summary import SliceRecord, VolumeRecord, table1, table2
from acsnet_jax.pipeline import Inference
from acsnet_jax.report import aligned, slices_table, write_csv, write_tables
from acsnet_jax.report.tables import (
    PAPER_TABLE1,
    PAPER_TABLE2,
    TextTable,
    csv_table,
    markdown,
    presence_text,
    table1_text,
    table2_text,
)


def test_the_papers_figures_stand_beside_ours():
    rows = table1_text(table1([])).rows
    assert len(PAPER_TABLE1) == 12
    assert sum(row[6:10] != ("",) * 4 for row in rows) == 12
    myocardium = next(row for row in rows if row[:2] == ("MYO", "Dice"))
    assert myocardium[6:10] == ("0.75 ± 0.04", "0.82 ± 0.02", "0.80 ± 0.04", "0.79 ± 0.02")
    rows = table2_text(table2([])).rows
    assert len(PAPER_TABLE2) == 13
    assert sum(row[8:12] != ("",) * 4 for row in rows) == 13  # of masks as drawn only
    found = {row[:3]: row[11] for row in rows}
    assert found["LV", "as drawn", "Norm. MAE (%)"] == "6.3 (0.6-18.8)"
    assert found["Enhancement", "treated alike", "Norm. MAE (%)"] == ""
    assert found["Scar of wall", "as drawn", "Bias (points)"] == "2 (unsigned)"


def test_scar_comes_first():
    first = [table1_text(table1([])).rows[0][0], table2_text(table2([])).rows[0][0]]
    assert first == ["Enhancement", "Enhancement"]


def test_nothing_counted_is_said_so():
    row = table1_text(table1([])).rows[0]
    assert row[2:6] == ("n/a",) * 4
    assert row[-4:] == ("0", "0 of 0", "0 of 0", "0 of 0")


def test_numbers_are_scaled_and_rounded_for_readers():
    def record(scan_id, accuracy, area):
        return SliceRecord(
            scan_id, 0, "lv", "apex", 0.5, accuracy, 1.0, 1.0, None, None, 20.0, area
        )

    rows = table1_text(table1([record("a", 0.95, 50.0), record("b", 0.97, 0.0)])).rows
    found = {row[:2]: row for row in rows}
    # two patients: Student's t is tan(0.475 pi) = 12.7, times a standard error of 0.01
    assert found["LV", "BA (%)"][2] == "96.0 ± 12.7"
    assert found["LV", "BA (%)"][-4:] == ("2", "2 of 2", "1 of 2", "0 of 0")
    assert found["LV", "Area bias (mm²)"][2] == "+5 ± 318"


def test_a_range_of_signed_numbers_is_read_without_doubt():
    records = [
        VolumeRecord(scan_id, "lv", 100.0, ours) for scan_id, ours in (("a", 90.0), ("b", 104.0))
    ]
    rows = {row[:3]: row for row in table2_text(table2(records)).rows}
    assert rows["LV", "as drawn", "Bias (mL)"][6] == "-3.0 (-10.0 to +4.0)"
    assert rows["LV", "as drawn", "Pred (mL)"][6] == "97.0 (90.0-104.0)"


def name_of(segmentation, number):
    return dataclasses.replace(segmentation, scan=segmentation.scan.replace(id=f"p{number}"))


def test_presence_counts_patients_and_slices(make_segmentation):
    scarred, healthy = make_segmentation("a"), make_segmentation("b", scar=False)
    missed = dataclasses.replace(scarred, enhancement=healthy.enhancement, core=healthy.core)
    alarm = dataclasses.replace(healthy, enhancement=scarred.enhancement, core=scarred.core)
    several = [missed, scarred, scarred, alarm, alarm, healthy, healthy, healthy]
    records = evaluate([name_of(one, k) for k, one in enumerate(several)], Inference())
    table = presence_text(table1(records.slices), table2(records.volumes))
    assert len(set(table.header)) == len(table.header)
    assert table.header[1:4] == ("Patients with it", "Patients missed", "Patients without")
    assert table.rows[0] == ("Enhancement", "3", "1", "5", "2", "12", "4", "20", "8")
    assert table.rows[2] == ("MYO", "8", "0", "0", "0", "32", "0", "0", "0")


def test_csv_keeps_base_units_and_counts(make_segmentation, tmp_path):
    records = evaluate([make_segmentation("a", shift=(1, 1)), make_segmentation("b")], Inference())
    write_csv(csv_table(table2(records.volumes)), tmp_path / "table2.csv")
    with (tmp_path / "table2.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (8 * 4 + 2 * 4) * 4
    total = next(
        row
        for row in rows
        if (row["structure"], row["measure"], row["group"]) == ("lv", "truth_ml", "total")
    )
    expected = sum(r.truth_ml for r in records.volumes if r.structure == "lv") / 2
    assert abs(float(total["mean"]) - expected) < 1e-3
    assert (total["patients"], total["records_counted"], total["records"]) == ("2", "2", "2")


def test_all_files_are_written_and_no_temporary_left(make_segmentation, tmp_path):
    records = evaluate([make_segmentation()], Inference())
    write_tables(table1(records.slices), table2(records.volumes), tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{name}.{kind}" for name in ("presence", "table1", "table2")
                     for kind in ("csv", "md")]  # fmt: skip
    for name in ("table1", "table2"):
        assert "Student's t" in (tmp_path / "out" / f"{name}.md").read_text(encoding="utf-8")


def test_slices_table_has_one_row_a_record(make_segmentation):
    records = evaluate([make_segmentation(scar=False)], Inference()).slices
    table = slices_table(records)
    assert len(table.rows) == len(records)
    assert table.rows[0][table.header.index("hausdorff_mm")] == ""


def test_markdown():
    table = TextTable(("a", "b"), [("1", "2")])
    assert markdown(table) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_a_table_for_a_terminal_has_numbers_flush_right():
    table = TextTable(("name", "n", "share"), [("one", "7", "12.5%"), ("other", "12", "3.0%")])
    assert aligned(table) == ("name    n  share\none     7  12.5%\nother  12   3.0%\n")
