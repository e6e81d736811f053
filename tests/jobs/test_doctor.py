"""The doctor on a sound installation, and on broken ones."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from acsnet_jax import installation
from acsnet_jax.jobs import doctor as jobs
from acsnet_jax.prior import SHIPPED
from acsnet_jax.types import InputError
from configs import doctor as doctor_config

ROOT = pathlib.Path(installation.__file__).resolve().parent.parent


def lines_of(text):
    """(verdict, check, text) of each line that is a finding."""
    found = [line.split(maxsplit=2) for line in text.splitlines()]
    return [one for one in found if one[:1] and one[0] in ("ok", "warning", "FAILED")]


def call(*arguments, path=(), **environment):
    """The doctor as a program."""
    paths = os.pathsep.join(map(str, [*path, ROOT]))
    return subprocess.run(
        [sys.executable, "-m", "experiments.doctor", *map(str, arguments)],
        env={**os.environ, **environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def damaged(tmp_path):
    """A bundle with a byte changed, which is noticed before anything is compiled."""
    folder = tmp_path / "damaged"
    shutil.copytree(SHIPPED, folder)
    content = bytearray((folder / "latent.npz").read_bytes())
    content[1000] ^= 1
    (folder / "latent.npz").write_bytes(content)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_a_sound_installation(tmp_path, capsys):
    config = doctor_config.get_config()
    findings = jobs.doctor(config, tmp_path / "out")
    checks = ["python", "packages", "devices", "compiler", "decoders", "cache", "workdir"]
    assert list(dict.fromkeys(one.check for one in findings)) == [*checks, "bundle", "run"]
    assert "FAILED" not in {one.verdict for one in findings}
    assert len(lines_of(capsys.readouterr().out)) == len(findings)
    assert findings[-1].text.startswith("a phantom corrected, LV ")
    report = json.loads((tmp_path / "out" / "doctor.json").read_text())
    assert report["checks"] == [one._asdict() for one in findings]


def test_a_damaged_bundle(damaged, tmp_path):
    done = call(f"--config.bundle={damaged}", f"--workdir={tmp_path / 'out'}")
    assert done.returncode == 1, done.stderr
    (failed,) = (one for one in lines_of(done.stdout) if one[0] == "FAILED")
    assert failed[1] == "bundle" and "latent.npz was changed or damaged" in failed[2]
    assert done.stderr.splitlines()[-1].startswith("error: 1 of ")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "doctor.json").is_file()


def test_folders_that_cannot_be_written_to(damaged, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = call(
        f"--config.bundle={damaged}",
        f"--workdir={tmp_path / 'file' / 'out'}",
        JAX_COMPILATION_CACHE_DIR=str(tmp_path / "file"),
    )
    assert done.returncode == 1, done.stderr
    failed = {one[1]: one[2] for one in lines_of(done.stdout) if one[0] == "FAILED"}
    assert failed.keys() == {"cache", "workdir", "bundle"}
    assert "set JAX_COMPILATION_CACHE_DIR to another" in failed["cache"]
    assert "give another with --workdir=DIR" in failed["workdir"]
    assert "Traceback" not in done.stderr


@pytest.fixture
def site(tmp_path):
    """A folder that comes first on the path, with metadata of an old release."""
    metadata = tmp_path / "site" / "optax-0.1.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: optax\nVersion: 0.1.0\n")
    return tmp_path / "site"


def with_package(site, name, source):
    (site / name).mkdir()
    (site / name / "__init__.py").write_text(source)


def test_a_decoder_that_does_not_work_and_an_old_package(damaged, site, tmp_path):
    source = "def fail(*_, **__):\n    raise RuntimeError('not built')\n"
    with_package(site, "libjpeg", f"{source}\n\ndef __getattr__(name):\n    return fail\n")
    done = call(f"--config.bundle={damaged}", f"--workdir={tmp_path / 'out'}", path=[site])
    assert done.returncode == 1, done.stderr
    told = [one[1:] for one in lines_of(done.stdout) if one[0] == "FAILED"]
    (packages,) = (text for check, text in told if check == "packages")
    assert packages.startswith("optax 0.1.0 is not ") and "pip install 'optax" in packages
    decoders = [text for check, text in told if check == "decoders"]
    assert decoders[0].startswith("JPEG lossless cannot be decoded")  # others have two decoders
    assert all("pip install --force-reinstall pylibjpeg" in text for text in decoders)
    assert "Traceback" not in done.stderr


def test_a_package_that_cannot_be_imported(damaged, site):
    with_package(site, "openjpeg", "raise ImportError('not built for this')\n")
    done = call(f"--config.bundle={damaged}", path=[site])
    assert done.returncode == 1
    old, broken = (one[2] for one in lines_of(done.stdout))
    assert old.startswith("optax 0.1.0 is not ")
    assert "one cannot be imported (not built for this): install acsnet_jax anew" in broken
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: acsnet_jax cannot be imported")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes acsnet_jax ask for other packages."""

    def ask(*dependencies, python=">=3.11"):
        path = tmp_path / "pyproject.toml"
        path.write_text(
            f"[project]\nrequires-python = {python!r}\ndependencies = {list(dependencies)}\n"
        )
        monkeypatch.setattr(installation, "_PROJECT", path)

    return ask


@pytest.mark.parametrize(
    ("asked", "verdict", "text"),
    [
        ("numpy>=1", "ok", "1, each within its bounds"),
        ("numpy>=99", "FAILED", "is not >=99: pip install 'numpy>=99'"),
        ("numpy>=1,<2", "warning", "is newer than what was tried: pip install 'numpy<2,>=1'"),
        ("nowhere-at-all>=1", "FAILED", "is not installed: pip install 'nowhere-at-all>=1'"),
        ("nowhere-at-all; python_version < '3'", "ok", "0, each within its bounds"),
    ],
)
def test_bounds_of_packages(project, asked, verdict, text):
    project(asked)
    (finding,) = installation.check_packages()
    assert finding.verdict == verdict and text in finding.text


def test_what_is_missing_is_told_before_anything_is_imported(project, capsys):
    project("nowhere-at-all", "numpy>=99")
    with pytest.raises(SystemExit) as stopped:
        installation.require_packages()
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("FAILED   packages    nowhere-at-all is not installed")
    project("numpy")
    installation.require_packages()


def test_another_python_is_refused(project):
    project(python=">=3.99")
    assert installation.check_python().verdict == "FAILED"


def test_bounds_come_from_the_wheel_where_there_is_no_project(tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "_PROJECT", tmp_path / "pyproject.toml")
    names = {one.name for one in installation.requirements().packages}
    assert {"jax", "flax", "pydicom"} <= names
    assert "ruff" not in names  # of an extra


def test_the_house_asks_for_what_it_checks():
    (orbax,) = (x for x in installation.requirements().packages if x.name == "orbax-checkpoint")
    assert orbax.specifier == Requirement("x<1,>=0.11.20").specifier


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    for free, verdict in ((2**20, "FAILED"), (2**30, "warning"), (2**40, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        assert jobs.check_folder("workdir", tmp_path, "make room").verdict == verdict


def test_a_folder_that_is_no_bundle(tmp_path):
    config = doctor_config.get_config()
    config.bundle = str(tmp_path)
    with pytest.raises(InputError, match=r"1 of \d+ checks failed"):
        jobs.doctor(config, tmp_path / "out")
