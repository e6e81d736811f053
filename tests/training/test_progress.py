"""What a run says of its time."""

import logging

import jax
import pytest
import tiny

from acsnet_jax.training import loop, progress
from acsnet_jax.training.progress import duration, forecast, step_seconds, ticking
from acsnet_jax.training.state import TrainState
from acsnet_jax.training.steps import Batch

HOUR = 3600.0


@pytest.fixture
def lines(caplog, monkeypatch):
    """What the package logged."""
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    caplog.set_level(logging.INFO, "acsnet_jax")
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("acsnet_jax")]


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0213, "0.021 s"),
        (4.2, "4.2 s"),
        (42.3, "42 s"),
        (170.0, "3 min"),
        (3 * HOUR + 290, "3 h 5 min"),
        (24 * HOUR, "1 day 0 h"),
        (52.4 * HOUR, "2 days 4 h"),
    ],
)
def test_times_in_words(seconds, text):
    assert duration(seconds) == text


def test_a_forecast_is_the_step_times_their_number():
    text = forecast("myo", 4.5, 40, 20)
    assert text == "myo: a step takes 4.5 s, an epoch of 40 3 min, and all 20 epochs 1 h 0 min"


def test_a_long_run_on_a_cpu_is_shown_the_config_for_two_cores(monkeypatch):
    assert "configs/emidec_cpu.py" not in forecast("myo", 1.0, 100, 100)
    assert "configs/emidec_cpu.py" in forecast("myo", 4.5, 100, 100)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "configs/emidec_cpu.py" not in forecast("myo", 4.5, 100, 100)


def test_the_step_after_the_compiled_one_is_measured_and_changes_nothing(clock):
    took = [60.0, 2.0]
    seen = []

    def step(state, batch):
        clock[0] += took[len(seen)]
        seen.append(state)
        return state._replace(step=state.step + len(batch.images)), {}

    count = jax.numpy.int32(5)
    state = TrainState(count, {}, {}, (), jax.numpy.zeros(2, jax.numpy.uint32))
    image = jax.numpy.zeros((3, 4, 4), jax.numpy.uint8)
    ones = jax.numpy.ones(3, jax.numpy.float32)
    batch = Batch(image, image[..., None], ones[:, None], ones)
    assert step_seconds(step, state, batch) == 2.0
    assert [int(one.step) for one in seen] == [5, 5]
    assert all(one.step is not count for one in seen)  # a step may take what it is given


def test_a_log_gets_a_line_every_half_minute_at_most(lines, clock):
    """Eleven seconds a step: a line after steps 3, 6 and 9, none after the last."""
    for index in ticking(12, "myo epoch 1/9"):
        assert index * 11 == clock[0]
        clock[0] += 11
    assert lines() == [
        "myo epoch 1/9: step 3 of 12, 2 min left",
        "myo epoch 1/9: step 6 of 12, 66 s left",
        "myo epoch 1/9: step 9 of 12, 33 s left",
    ]


@pytest.mark.usefixtures("standard_promotion")
def test_a_run_begins_with_what_it_will_take(lines, tmp_path):
    loop.train_and_evaluate(tiny.make_config(), tmp_path, cohort=tiny.make_cohort())
    before = lines().index(next(line for line in lines() if line.startswith("lv epoch 1/2")))
    (said,) = [line for line in lines()[:before] if "a step takes" in line]
    assert "an epoch of 3 " in said and "all 2 epochs" in said
