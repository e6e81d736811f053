import json
import os

import numpy as np
import pytest

from acsnet_jax.training.record import Record, read
from acsnet_jax.types import InputError


def test_scalars_are_lines_that_are_on_disk_at_once(tmp_path):
    with Record(tmp_path) as record:
        for step in (10, 20):
            record.scalars(step, {"loss": 1 / step, "epoch": step // 10})
            assert read(tmp_path)[-1] == {"step": step, "loss": 1 / step, "epoch": step // 10}
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


def test_a_folder_without_a_record_has_no_lines(tmp_path):
    assert read(tmp_path) == []


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    with Record(tmp_path) as record:
        for step in (10, 20, 30):
            record.scalars(step, {"loss": 1.0})
    with Record(tmp_path, resume_step=20) as record:
        assert [row["step"] for row in read(tmp_path)] == [10, 20]
        record.scalars(30, {"loss": 2.0})
    assert [(row["step"], row["loss"]) for row in read(tmp_path)] == [(10, 1), (20, 1), (30, 2)]


def test_a_fresh_run_starts_an_empty_record(tmp_path):
    with Record(tmp_path) as record:
        record.scalars(10, {"loss": 1.0})
    with Record(tmp_path):
        assert read(tmp_path) == []


def test_an_unfinished_last_line_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10, "loss": 1.0}\n{"step": 20, "lo')
    assert [row["step"] for row in read(tmp_path)] == [10]
    with Record(tmp_path, resume_step=30) as record:
        record.scalars(40, {"loss": 0.5})
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 40]


@pytest.mark.parametrize("line", ["{", "[1]", '{"loss": 1.0}'])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 2: .*remove the line"):
        read(tmp_path)


def test_a_swollen_record_is_not_read_whole(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"")
    os.truncate(tmp_path / "metrics.jsonl", 2**40)  # sparse; once a MemoryError
    with pytest.raises(InputError, match=r"metrics\.jsonl: larger than 16 MiB.*restore it"):
        read(tmp_path)


def test_a_folder_in_the_records_place_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(InputError, match=r"metrics\.jsonl is no file"):
        read(tmp_path)


def test_pictures_go_to_tensorboard_alone(tmp_path):
    with Record(tmp_path) as record:
        record.picture(10, "samples", np.zeros((4, 6, 3), np.uint8))
        (events,) = tmp_path.glob("events.out.tfevents.*")
    assert read(tmp_path) == []
    assert b"samples" in events.read_bytes()
