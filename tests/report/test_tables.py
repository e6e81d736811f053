import csv

from acsnet_jax.evaluation.records import evaluate
from acsnet_jax.evaluation.summary import SliceRecord, table1, table2
from acsnet_jax.report import aligned, slices_table, write_csv, write_tables
from acsnet_jax.report.tables import (
    PAPER_TABLE1,
    PAPER_TABLE2,
    TextTable,
    csv_table,
    markdown,
    table1_text,
    table2_text,
)


def test_the_papers_figures_stand_beside_ours():
    rows = table1_text(table1([])).rows
    assert len(rows) == len(PAPER_TABLE1) == 12
    myocardium = next(row for row in rows if row[:2] == ("MYO", "Dice"))
    assert myocardium[6:10] == ("0.75 ± 0.04", "0.82 ± 0.02", "0.80 ± 0.04", "0.79 ± 0.02")
    rows = table2_text(table2([])).rows
    assert len(rows) == len(PAPER_TABLE2) == 12
    assert next(row for row in rows if row[:2] == ("LV", "Norm. MAE (%)"))[10] == "6.3 (0.6-18.8)"


def test_nothing_counted_is_said_so():
    row = table1_text(table1([])).rows[0]
    assert row[2:6] == ("n/a",) * 4
    assert row[-2:] == ("0", "0 of 0")


def test_numbers_are_scaled_and_rounded_for_readers():
    def record(scan_id, accuracy):
        return SliceRecord(scan_id, 0, "lv", "apex", 0.5, accuracy, 1.0, 1.0, None, None)

    row = table1_text(table1([record("a", 0.95), record("b", 0.97)])).rows[0]
    assert row[:3] == ("LV", "BA (%)", "96.0 ± 2.0")  # 1.96 x 0.01 is 1.96 %
    assert row[-2:] == ("2", "2 of 2")


def test_csv_keeps_base_units_and_counts(make_segmentation, tmp_path):
    records = evaluate([make_segmentation("a", shift=(1, 1)), make_segmentation("b")])
    write_csv(csv_table(table2(records.volumes)), tmp_path / "table2.csv")
    with (tmp_path / "table2.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 * 4
    total = next(
        row
        for row in rows
        if (row["structure"], row["measure"], row["group"]) == ("lv", "truth_ml", "total")
    )
    expected = sum(r.truth_ml for r in records.volumes if r.structure == "lv") / 2
    assert abs(float(total["mean"]) - expected) < 1e-3
    assert (total["patients"], total["records_counted"], total["records"]) == ("2", "2", "2")


def test_all_files_are_written_and_no_temporary_left(make_segmentation, tmp_path):
    records = evaluate([make_segmentation()])
    write_tables(table1(records.slices), table2(records.volumes), tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["table1.csv", "table1.md", "table2.csv", "table2.md"]


def test_slices_table_has_one_row_a_record(make_segmentation):
    records = evaluate([make_segmentation(scar=False)]).slices
    table = slices_table(records)
    assert len(table.rows) == len(records)
    assert table.rows[-1][table.header.index("hausdorff_mm")] == ""


def test_markdown():
    table = TextTable(("a", "b"), [("1", "2")])
    assert markdown(table) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_a_table_for_a_terminal_has_numbers_flush_right():
    table = TextTable(("name", "n", "share"), [("one", "7", "12.5%"), ("other", "12", "3.0%")])
    assert aligned(table) == ("name    n  share\none     7  12.5%\nother  12   3.0%\n")
