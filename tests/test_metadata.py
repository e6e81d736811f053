"""What stands beside the code agrees with it."""

import pathlib
import re
import tomllib

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
