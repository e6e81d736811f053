"""Whether the packages that are installed are those that acsnet_jax asks for.

Imports nothing but the standard library and ``packaging``, so that it can speak where others are
missing.
"""

import importlib.metadata
import pathlib
import platform
import sys
import tomllib
from collections.abc import Iterable
from typing import Literal, NamedTuple, NoReturn

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

Verdict = Literal["ok", "warning", "FAILED"]

_NAME = "acsnet-jax"
_PROJECT = pathlib.Path(__file__).resolve().parent.parent / "pyproject.toml"


class Finding(NamedTuple):
    """What a check of an installation says.

    Attributes:
        check: its name.
        verdict: "ok", "warning" or "FAILED".
        text: what was found, and what to do about it, in one line.
    """

    check: str
    verdict: Verdict
    text: str

    @property
    def line(self) -> str:
        """As it is printed."""
        return f"{self.verdict:<7}  {self.check:<10}  {' '.join(self.text.split())}"


class Requirements(NamedTuple):
    """What acsnet_jax asks for.

    Attributes:
        python: versions of Python.
        packages: those it needs at run time.
    """

    python: SpecifierSet
    packages: list[Requirement]


def requirements() -> Requirements:
    """Of ``pyproject.toml`` in a checkout, of the wheel's metadata elsewhere."""
    if _PROJECT.is_file():
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
        python, lines = project["requires-python"], project["dependencies"]
    else:
        python = importlib.metadata.metadata(_NAME)["Requires-Python"] or ""
        lines = importlib.metadata.requires(_NAME) or []
    packages = [Requirement(line) for line in lines]
    needed = [one for one in packages if one.marker is None or one.marker.evaluate({"extra": ""})]
    return Requirements(SpecifierSet(python), needed)


def check_python() -> Finding:
    """The version of Python."""
    version, wanted = platform.python_version(), requirements().python
    if wanted.contains(version, prereleases=True):
        return Finding("python", "ok", version)
    return Finding("python", "FAILED", f"{version} is not {wanted}: make a venv of another Python")


def check_packages() -> list[Finding]:
    """A line for each package that is missing or of another version; one for all if none is."""
    needed = requirements().packages
    wrong = [finding for one in needed if (finding := _check_package(one)) is not None]
    return wrong or [Finding("packages", "ok", f"{len(needed)}, each within its bounds")]


def _check_package(wanted: Requirement) -> Finding | None:
    fix = f"pip install '{wanted.name}{wanted.specifier}'"
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding("packages", "FAILED", f"{wanted.name} is not installed: {fix}")
    if wanted.specifier.contains(version, prereleases=True):
        return None
    lower = [one for one in wanted.specifier if not one.operator.startswith("<")]
    newer = all(one.contains(version, prereleases=True) for one in lower)
    if newer:
        text = f"{wanted.name} {version} is newer than what was tried: {fix}"
        return Finding("packages", "warning", text)
    text = f"{wanted.name} {version} is not {wanted.specifier}: {fix}"
    return Finding("packages", "FAILED", text)


def require_packages() -> None:
    """Leave with a line for each package that is missing, before one of them is imported."""
    missing = [one for one in check_packages() if "is not installed" in one.text]
    if missing:
        _leave(missing)


def stop(error: ImportError) -> NoReturn:
    """Leave with the lines of all packages, and that of one that cannot be imported."""
    text = f"one cannot be imported ({error}): install acsnet_jax anew, in a new venv"
    _leave([*check_packages(), Finding("packages", "FAILED", text)])


def _leave(findings: Iterable[Finding]) -> NoReturn:
    for one in findings:
        print(one.line)
    print("error: acsnet_jax cannot be imported; the lines above say what to do", file=sys.stderr)
    sys.exit(1)
