"""What stands beside the code agrees with it."""

import pathlib
import re
import subprocess
import sys
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import acsnet_jax
from acsnet_jax import config as configs

REPOSITORY = configs.folder("configs").parent


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_one_version_stands_everywhere():
    assert f"\nversion: {acsnet_jax.__version__}\n" in read("CITATION.cff")
    newest = re.search(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == acsnet_jax.__version__


def test_what_a_contributor_is_sent_to_is_there():
    named = set(re.findall(r"`([\w/]+(?:\.py|\.md|/))`", read("CONTRIBUTING.md")))
    named = {name for name in named if "NAME" not in name}
    assert "acsnet_jax/anatomy/measures.py" in named
    missing = [
        name
        for name in named
        if not (REPOSITORY / name).exists() and not (REPOSITORY / "acsnet_jax" / name).exists()
    ]
    assert missing == []


def test_ci_runs_paths_that_are_there():
    script = read(".ci/run")
    paths = re.findall(r"tests/[\w/]+(?:\.py)?", script)
    assert len(paths) > 5
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []
    assert ".ci/run" in read(".github/workflows/ci.yml")


def test_the_project_reads_what_it_ships():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["scripts"] == {"acsnet": "acsnet_jax.cli:main"}
    assert pathlib.Path(REPOSITORY / project["readme"]).is_file()
    assert "orbax-checkpoint>=0.11.20,<1" in project["dependencies"]


def needed():
    """Requirements of the package at run time."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    return [Requirement(line) for line in project["dependencies"]]


def test_the_lock_pins_every_dependency_within_its_bounds_and_with_hashes():
    text = read("requirements.lock")
    blocks = re.split(r"\n(?=\S)", text)
    pinned = {}
    for block in blocks:
        found = re.match(r"([\w.-]+)==([\w.]+)", block)
        assert found is not None and "--hash=sha256:" in block, block[:80]
        pinned.setdefault(canonicalize_name(found[1]), []).append(found[2])
    for one in needed():
        versions = pinned[canonicalize_name(one.name)]
        assert all(one.specifier.contains(version) for version in versions), one
    assert "://" not in text and "--index" not in text


def test_every_dependency_has_its_licence_on_the_page():
    told = dict(re.findall(r"^\| \**([\w.-]+?)\** \| (.+) \|$", read("docs/licences.md"), re.M))
    missing = [one.name for one in needed() if canonicalize_name(one.name) not in told]
    assert missing == []
    assert "see the package" not in told.values()


def test_the_page_of_licences_is_written_by_its_command():
    command = [sys.executable, str(REPOSITORY / ".ci" / "licences.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    head = done.stdout.split("| package |")[0]
    assert read("docs/licences.md").startswith(head)
    assert "| **jax** | Apache-2.0 |" in done.stdout


def test_what_security_refers_to_is_there():
    for path, anchor in re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", read("SECURITY.md")):
        assert (REPOSITORY / path).is_file(), path
        titles = re.findall(r"^#+ (.+)$", read(path), re.MULTILINE)
        assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}
