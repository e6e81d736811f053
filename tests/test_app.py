"""How entry points end: one line on standard error, exit status 1, no traceback."""

import pathlib
import subprocess
import sys

import jax
import pytest
from absl import flags

import acsnet_jax
from acsnet_jax import app

REPOSITORY = pathlib.Path(acsnet_jax.__file__).resolve().parent.parent


def run(tmp_path, *flags):
    command = [sys.executable, "-m", "experiments.train", f"--workdir={tmp_path / 'run'}", *flags]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config=configs/lv.py", "--config.nope=1"], ["the config has no key 'nope';"]),
        (["--config.data.patiens=1"], ["no key 'patiens'; Did you mean"]),
        (["--config=configs/nope.py"], ["configs/nope.py", "No such file"]),
        (
            ["--config.data.format=emidec", "--config.data.root=nowhere"],
            ["nowhere", "no such folder"],
        ),
    ],
    ids=["unknown key", "unknown key of the default config", "missing config", "missing cohort"],
)
def test_bad_input_is_one_line(tmp_path, flags, words):
    result = run(tmp_path, *flags)
    assert result.returncode == 1, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words)
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("'nope'"), "the config has no key 'nope'; see the config file for those it has"),
        (
            AttributeError(KeyError("'sed'\nDid you mean")),
            "the config has no key 'sed'; Did you mean",
        ),
        (ValueError("two\nlines"), "two\nlines"),
        (flags.UnrecognizedFlagError("confg"), "Unknown command line flag 'confg'"),
        (FileNotFoundError(2, "No such file", "x.py"), "[Errno 2] No such file: 'x.py'"),
    ],
)
def test_what_is_wrong_with_the_flags(error, reason):
    assert app._reason(error) == reason


def test_a_message_is_joined_to_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        app._stop("the file\n  is bad")
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: the file is bad\n"


@pytest.fixture
def cache_dir():
    """Gives the setting back as it was."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.usefixtures("cache_dir")
def test_the_compilation_cache_lies_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    app.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "acsnet_jax" / "xla")
    monkeypatch.setenv("XDG_CACHE_HOME", "elsewhere")
    app.use_compilation_cache()  # what is set already stays
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "acsnet_jax" / "xla")


@pytest.mark.usefixtures("cache_dir")
def test_without_that_variable_it_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    app.use_compilation_cache()
    expected = tmp_path / ".cache" / "acsnet_jax" / "xla"
    assert jax.config.jax_compilation_cache_dir == str(expected)
