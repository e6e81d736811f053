"""The command ``acsnet``: in a checkout, and out of a wheel, outside of the repository."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

import acsnet_jax
from acsnet_jax import cli
from acsnet_jax import config as configs

REPOSITORY = configs.folder("configs").parent


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["acsnet", *arguments])
    cli.main()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_without_a_command_each_is_named_with_its_line(arguments, monkeypatch, capsys):
    call(monkeypatch, *arguments)
    lines = capsys.readouterr().out.splitlines()
    for name in (
        *("train", "prepare", "fit_latent", "predict", "evaluate", "check", "correct"),
        *("reproduce", "damage", "select_autoencoder", "compare"),
    ):
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert line.endswith(".")
    assert "train Train one of the three networks." in [" ".join(line.split()) for line in lines]


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    call(monkeypatch, "--version")
    assert capsys.readouterr().out.strip() == acsnet_jax.__version__


@pytest.mark.parametrize(("name", "hint"), [("tran", "did you mean train?"), ("x", "there are ")])
def test_an_unknown_command_is_one_line(name, hint, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, name)
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: no command {name!r}")
    assert hint in line


def test_a_command_takes_a_config_that_ships_from_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("myo", "configs/myo.py"):
        with pytest.raises(SystemExit) as stopped:
            call(monkeypatch, "train", f"--config={name}", "--config.seed=5", "--print_config")
        assert not stopped.value.code
        text = capsys.readouterr().out
        assert "task = 'myo'" in text
        assert "seed = 5" in text


def test_help_speaks_of_the_command(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, "train", "--help")
    assert not stopped.value.code
    text = capsys.readouterr().out
    assert text.startswith("usage: acsnet train")
    assert "acsnet train --config=configs/myo.py" in text
    assert "python -m" not in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of this tree, built in a copy of it."""
    root = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("acsnet_jax", "configs", "experiments"):
        shutil.copytree(REPOSITORY / name, root / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, root / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", root, root / "source"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("needs a package registry that has setuptools")
    assert done.returncode == 0, done.stderr
    (path,) = root.glob("*.whl")
    return path


def test_a_wheel_holds_the_package_its_configs_and_its_commands(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "acsnet = acsnet_jax.cli:main" in archive.read(entry_points).decode()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        assert f"\nVersion: {acsnet_jax.__version__}\n" in archive.read(metadata).decode()
    inside = {name for name in names if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in inside} == {"acsnet_jax"}
    kept = ("*.py", "*.j2", "py.typed", "*.npz", "bundle.json", "manifest.json")
    expected = {
        path.relative_to(REPOSITORY).as_posix()
        for kind in kept
        for path in (REPOSITORY / "acsnet_jax").rglob(kind)
    }
    for name in ("configs", "experiments"):
        expected |= {f"acsnet_jax/{name}/{path.name}" for path in (REPOSITORY / name).glob("*.py")}
    assert inside == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], "  reproduce "),
        (["check", "--help"], "usage: acsnet check"),
        (["train", "--config=myo", "--print_config"], "model.bridge = 1024"),
        (["train", "--config=emidec_autoencoder", "--print_config"], "model.latent = 32"),
    ],
)
def test_a_wheel_works_outside_the_repository(wheel, arguments, words, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import acsnet_jax.cli, sys; print(acsnet_jax.__file__); acsnet_jax.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert words in done.stdout
