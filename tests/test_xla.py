"""What XLA has to be told, and whether it computes reductions right as users run it."""

import importlib.metadata
import json
import os
import subprocess
import sys

import canaries
import pytest

import acsnet_jax
from acsnet_jax import xla


@pytest.fixture(scope="module")
def errors():
    """By case, as a fresh process tells them."""
    done, _ = python(canaries.__file__)
    return json.loads(done.splitlines()[-1])


@pytest.mark.parametrize("case", [case.__name__ for case in canaries.CASES])
def test_reductions_are_compiled_right(errors, case):
    assert errors[case] <= 0


@pytest.fixture
def environment(monkeypatch):
    """Sets XLA_FLAGS, the version of jaxlib, and whether jax has started."""

    def setup(flags="", version="0.10.2", *, started=False):
        monkeypatch.setenv("XLA_FLAGS", flags)
        monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
        monkeypatch.setattr(xla, "_started", lambda: started)

    return setup


@pytest.mark.parametrize("version", xla.AFFECTED)
@pytest.mark.parametrize(
    ("before", "after"),
    [("", f"{xla.FLAG}="), ("--xla_a=1 --xla_b", f"--xla_a=1 --xla_b {xla.FLAG}=")],
)
def test_an_affected_release_is_told(environment, version, before, after):
    environment(before, version)
    assert xla.disable_ynn_fusion()
    assert os.environ["XLA_FLAGS"] == after
    assert xla.disable_ynn_fusion()  # once is enough
    assert os.environ["XLA_FLAGS"] == after


@pytest.mark.parametrize("version", ["0.10.0", "0.10.1", "0.11.1", "0.12.0.1", "0.20.2"])
def test_another_release_is_left_alone(environment, version):
    environment("--xla_a=1", version, started=True)
    assert xla.disable_ynn_fusion()
    assert os.environ["XLA_FLAGS"] == "--xla_a=1"


@pytest.mark.parametrize(
    ("flags", "safe"),
    [(f"{xla.FLAG}=dot,reduce", False), (f"--xla_a {xla.FLAG}= --xla_b", True)],
)
def test_the_users_word_stands(environment, flags, safe):
    environment(flags)
    assert xla.disable_ynn_fusion() is safe
    assert os.environ["XLA_FLAGS"] == flags


@pytest.mark.parametrize(
    ("flags", "started", "words"),
    [("", True, "import acsnet_jax first"), ("flags.txt", False, "names a file; add")],
)
def test_too_late_is_a_warning(environment, flags, started, words):
    environment(flags, started=started)
    with pytest.warns(UserWarning, match=words):
        assert not xla.disable_ynn_fusion()
    assert os.environ["XLA_FLAGS"] == flags


def python(*arguments):
    """What a fresh process prints, started without XLA_FLAGS."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-W", "default", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


def test_importing_the_package_is_enough_and_imports_no_jax():
    out, _ = python(
        "-c",
        "import os, sys, acsnet_jax; print('jax' in sys.modules, os.environ.get('XLA_FLAGS', ''))",
    )
    needed = importlib.metadata.version("jaxlib") in xla.AFFECTED
    assert out == ("False " + (f"{xla.FLAG}=" if needed else "")).strip()


def test_a_process_in_which_jax_started_first_is_warned():
    _, err = python("-c", "import jax; jax.devices(); import acsnet_jax")
    needed = importlib.metadata.version("jaxlib") in xla.AFFECTED
    assert ("jax issue 39103" in err) is needed


def test_tests_run_with_the_flag():
    assert xla.disable_ynn_fusion()
    assert acsnet_jax.__version__
