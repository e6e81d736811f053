"""Work in a process beside this one: results, messages, refusals, and how the process ends."""

import functools
import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from acsnet_jax import aside
from acsnet_jax.types import InputError


def test_results_come_from_one_other_process_in_their_order():
    with aside.Aside() as beside:
        waiting = [beside.call(os.getpid), beside.call(functools.partial(pow, 2), 3)]
        waiting.append(beside.call(os.getpid))
        first, eight, third = (one() for one in waiting)
    assert first == third != os.getpid() and eight == 8


def test_several_work_at_once_and_results_keep_their_order(tmp_path):
    with aside.Aside(2) as beside:
        waiting = [beside.call(meet, tmp_path, *names) for names in (("a", "b"), ("b", "a"))]
        assert [one() for one in waiting] == ["a", "b"]


def meet(folder, name, other):
    """Waits for another process that does the same."""
    (folder / name).touch()
    patience = time.monotonic() + 120
    while time.monotonic() < patience and not (folder / other).exists():
        time.sleep(0.02)
    assert (folder / other).exists()
    return name


def test_here_nothing_is_done_before_it_is_asked_for():
    done: list[int] = []
    waiting = aside.Here().call(done.append, 1)
    assert not done
    waiting()
    assert done == [1]


def test_messages_are_logged_here_when_a_result_is_asked_for(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    with aside.Aside() as beside:
        log = logging.getLogger("acsnet_jax.io").warning
        waiting = beside.call(log, "%s is cut", object)
        assert not caplog.records
        waiting()
    (record,) = caplog.records
    assert record.name == "acsnet_jax.io" and record.getMessage() == "<class 'object'> is cut"


def refuse(words):
    raise InputError(words)


def test_refusals_and_defects_are_raised_here():
    with aside.Aside() as beside:
        bad, broken, good = (
            beside.call(refuse, "a.dcm: no pixels"),
            beside.call(int, "a"),
            beside.call(int, "1"),
        )
        with pytest.raises(InputError, match=r"^a\.dcm: no pixels$"):
            bad()
        with pytest.raises(ValueError, match="invalid literal"):
            broken()
        assert good() == 1


def test_another_process_takes_over_from_one_that_died():
    with aside.Aside() as beside:
        dying = beside.call(os._exit, 3)
        with pytest.raises(InputError, match="want of memory"):
            dying()
        assert beside.call(int, "1")() == 1


def test_it_claims_no_accelerator():
    with aside.Aside() as beside:
        assert beside.call(os.environ.get, "JAX_PLATFORMS")() == "cpu"


KILLED = """
import os, time
from acsnet_jax.aside import Aside
with Aside() as beside:
    print(beside.call(os.getpid)(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="asks Linux's /proc")
def test_it_does_not_outlive_a_process_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as said:
        child = int(said.readline())
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    patience = time.monotonic() + 30
    while time.monotonic() < patience and is_there(child):
        time.sleep(0.05)
    assert not is_there(child)


def is_there(process):
    """A process that ended and that nobody waits for is none."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
