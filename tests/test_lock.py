"""One run at a time in a folder: processes, threads, after a kill, where locks do not work."""

import errno
import fcntl
import logging
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

from acsnet_jax import app, bundle, lock
from acsnet_jax.types import InputError

HOLD = """
import pathlib, sys
from acsnet_jax import lock
with lock.hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_by_name_until_the_first_is_gone(
    holder, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["train.py", f"--workdir={folder}"])
    ran = []
    with pytest.raises(SystemExit) as stopped:
        app.run(lambda *_: ran.append(1), "lv")
    assert stopped.value.code == 1 and not ran
    (line,) = capsys.readouterr().err.splitlines()
    told = f"another run writes there (process {holder.pid} on {socket.gethostname()})"
    assert line.startswith(f"error: {folder}: {told}: wait for its end, or choose another")
    holder.kill()  # the kernel lets go, nobody else could
    holder.wait()
    assert (folder / ".lock").exists()
    app.run(lambda *_: ran.append(1), "lv")
    assert ran and list(folder.iterdir()) == []


def test_a_run_that_ends_well_leaves_nothing(holder, tmp_path):
    holder.communicate("")
    assert not holder.returncode and list(tmp_path.iterdir()) == []


def test_folders_of_others_stay(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new/er"):
        with lock.hold(tmp_path / name):
            assert [path.name for path in (tmp_path / name).iterdir()] == [lock.LOCK_FILE]
    assert (tmp_path / "empty").exists() and not (tmp_path / "new" / "er").exists()
    with lock.hold(tmp_path / "full"):
        (tmp_path / "full" / "result").touch()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["result"]


def test_who_holds_a_folder_goes_on_in_it(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with lock.hold(tmp_path / "run"):
        with lock.hold(tmp_path / "link"), lock.hold(tmp_path / "run" / "lv"):
            pass
        assert (tmp_path / "run" / ".lock").exists()
    assert not (tmp_path / "run").exists()


def test_never_two_at_once(tmp_path):
    """Each open file has a lock of its own, so that threads are as good as processes."""
    entered, clashes = [], []
    inside = threading.Lock()

    def work():
        for _ in range(150):
            try:
                with lock.hold(tmp_path / "run"):
                    if not inside.acquire(blocking=False):
                        clashes.append(1)
                        continue
                    entered.append(1)
                    inside.release()
            except InputError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) > 100 and not clashes


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EROFS])
def test_without_locks_there_is_a_warning(number, tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    with caplog.at_level(logging.WARNING), lock.hold(tmp_path):
        pass
    (record,) = caplog.records
    assert f"{tmp_path} cannot be locked ({os.strerror(number)})" in record.getMessage()


def test_other_faults_are_not_hidden(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="broken"), lock.hold(tmp_path):
        pass


@pytest.mark.parametrize(
    "place",
    [pathlib.Path.touch, lambda path: path.symlink_to("nowhere"), os.mkfifo],
    ids=["file", "link", "pipe"],
)
def test_a_file_in_its_place_is_one_error(place, tmp_path):
    place(tmp_path / "run")
    with pytest.raises(InputError, match="run is a file, or a link"), lock.hold(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made_is_one_error_and_no_wait(tmp_path):
    (tmp_path / "disk").symlink_to(tmp_path / "unmounted" / "disk")
    with pytest.raises(InputError, match="out cannot be made"), lock.hold(tmp_path / "disk/out"):
        pass


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR])
def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work(
    number, tmp_path, monkeypatch, caplog
):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(InputError, match="cannot be written to"), lock.hold(tmp_path):
        pass
    with caplog.at_level(logging.WARNING), lock.hold(tmp_path, writes=False):
        pass
    assert "cannot be locked" in caplog.text


def test_a_lock_is_no_output(tmp_path):
    with lock.hold(tmp_path / "bundle"):
        bundle.check_absent(tmp_path / "bundle")
        (tmp_path / "bundle" / "bundle.json").touch()
        with pytest.raises(InputError, match="exists already"):
            bundle.check_absent(tmp_path / "bundle")
    assert pathlib.Path(tmp_path / "bundle" / "bundle.json").exists()
