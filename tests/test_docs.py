"""README and docs cannot rot: code runs, commands parse, links lead somewhere, the house is whole.

Python blocks of one file share a namespace, in a folder that holds ``masks.npy``, one scan at
``PATH`` and, as ``BUNDLE``, a system of closed forms. A block that is part of an example is run by
that example's test.
"""

import argparse
import ast
import importlib
import pathlib
import re
import runpy
import shlex
import tomllib

import nibabel
import numpy as np
import pytest
import rings
from test_pipeline import bundle, make_scan

import acsnet_jax
from acsnet_jax import app
from acsnet_jax import bundle as bundles
from acsnet_jax import config as configs
from acsnet_jax.types import InputError

__all__ = ["bundle"]  # the cascade's fixture

ROOT = pathlib.Path(acsnet_jax.__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PACKAGES = sorted(path.parent for path in (ROOT / "acsnet_jax").glob("*/__init__.py"))
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def blocks(page, language):
    return [body for kind, body in _FENCED.findall(page.read_text()) if kind == language]


def prose(page):
    return _FENCED.sub("", page.read_text())


def commands(page):
    """The commands of a page, each as a list of words."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = [*shlex.split(line, comments=True), "&&"]
            while words:
                end = words.index("&&")
                if end:
                    yield words[:end]
                words = words[end + 1 :]


# Python


@pytest.fixture
def place(tmp_path, monkeypatch, bundle):
    """A folder with the files that blocks read; the bundle's networks are closed forms."""

    def load(folder, **_):
        assert str(folder) in {"BUNDLE", "RUN/bundle"}
        return bundle

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundles, "load", load)
    monkeypatch.setattr(bundles, "load_corrector", lambda folder, **_: load(folder).corrector)
    outer = np.linspace(20.0, 36.0, 24, dtype=np.float32)
    np.save("masks.npy", rings.decode(np.stack([outer, outer - 9], axis=-1)))
    scan = make_scan()
    pathlib.Path("PATH").mkdir()
    image = nibabel.Nifti1Image(scan.image.transpose(2, 1, 0), scan.affine)
    nibabel.save(image, "PATH/ring.nii.gz")
    return tmp_path


@pages
@pytest.mark.usefixtures("standard_promotion", "place")
def test_python_blocks_run(page):
    told = "\n".join(path.read_text() for path in EXAMPLES)
    namespace = {}
    for body in blocks(page, "python"):
        if body not in told:
            exec(compile(body, page.name, "exec"), namespace)


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=lambda path: path.name)
def test_only_the_public_surface_is_imported(path):
    sources = blocks(path, "python") if path.suffix == ".md" else [path.read_text()]
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("acsnet_jax"):
            module = importlib.import_module(str(node.module))
            names = {alias.name for alias in node.names}
            assert node.module == "acsnet_jax" or names <= set(module.__all__), node.module


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_has_a_line_for_each_name(package):
    module = importlib.import_module(f"acsnet_jax.{package.name}")
    told = re.findall(r"^- `(\w+)`: ", module.__doc__ or "", re.MULTILINE)
    if told and hasattr(module, "__all__"):
        assert set(told) == set(module.__all__)


# Commands


def default_config(entry):
    """The name of the config that an entry point starts from."""
    (name,) = re.findall(r'app\.run\(.*"(\w+)"', entry.read_text())
    return name


def check_entry_point(name, arguments):
    entry = ROOT / "experiments" / f"{name}.py"
    assert entry.is_file(), name
    shown = {"--help", "--print_config"}  # these print and stop
    if "join=" in entry.read_text():
        shown.add("--distributed")
    app.read_options([word for word in arguments if word not in shown], default_config(entry))


def check_benchmark(name, arguments):
    source = (ROOT / "benchmarks" / f"{name}.py").read_text()
    known = set(re.findall(r'(?:DEFINE_\w+|declare_key_flag)\(\s*"(\w+)"', source))
    assert {word.removeprefix("--").split("=")[0] for word in arguments} <= known


def check_example(path, arguments, monkeypatch):
    parsed = []
    parse = argparse.ArgumentParser.parse_args

    class ParsedError(Exception):
        pass

    def stop(parser, *_):
        parsed.append(parse(parser, arguments))
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(ParsedError):
        runpy.run_path(str(ROOT / path), run_name="__main__")
    assert parsed


def check_command(words, monkeypatch):
    program, *arguments = words
    program = program.removeprefix(".venv/bin/")
    if program in ("python", "python3"):
        if arguments[0] != "-m":
            check_example(arguments[0], arguments[1:], monkeypatch)
        elif arguments[1].startswith("experiments."):
            check_entry_point(arguments[1].split(".")[1], arguments[2:])
        elif arguments[1].startswith("benchmarks."):
            check_benchmark(arguments[1].split(".")[1], arguments[2:])
        else:
            assert arguments[1] in ("venv", "pytest"), words
    elif program == "acsnet":
        if arguments not in (["--help"], ["--version"]):
            check_entry_point(arguments[0], arguments[1:])
    else:
        assert program == "pip", words
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extra in re.findall(r"\[(\w+)\]", " ".join(arguments)):
            assert extra in project["optional-dependencies"], extra


@pages
def test_commands_are_understood(page, monkeypatch):
    for words in commands(page):
        check_command(words, monkeypatch)


def test_options_that_the_text_names_exist():
    known = set()
    for path in sorted((ROOT / "configs").glob("[!_]*.py")):
        known |= {line.key for line in configs.explain(configs.load(str(path)), {})}
    for page in PAGES:
        named = re.findall(r"--config\.([\w.]+)=", page.read_text())
        assert set(named) <= known, page.name


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("python -m experiments.nope", AssertionError),
        ("python -m experiments.train --config=configs/nope.py", InputError),
        ("python -m experiments.train --config.optimisation.epoch=1", InputError),
        ("python -m experiments.train --config.optimisation.epochs=few", InputError),
        ("python -m experiments.train --wrkdir=OUT", InputError),
        ("python -m benchmarks.anatomy --fast", AssertionError),
        ('pip install -e ".[nope]"', AssertionError),
    ],
)
def test_a_wrong_command_is_noticed(words, error, monkeypatch):
    with pytest.raises(error):
        check_command(shlex.split(words), monkeypatch)


# Text


def anchors(page):
    """What GitHub calls the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_page_and_picture_is_reached():
    text = "\n".join(page.read_text() for page in PAGES)
    missing = [
        path.name
        for path in (ROOT / "docs").iterdir()
        if path.name not in text and path.suffix in (".md", ".png")
    ]
    assert not missing


def test_the_readme_is_short_and_its_commands_stand_on_one_line():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 180
    set_up = [line for line in lines if line.startswith("python3 -m venv ")]
    assert [line.split()[-1].split("=")[-1] for line in set_up] == [
        "configs/quickstart.py",
        "pytest",
    ]


def test_the_picture_of_the_house_names_every_package_and_module():
    (house,) = (block for block in blocks(PAGES[0], "") if block.startswith("acsnet_jax/\n"))
    words = set(re.findall(r"\w+", house))
    named = set()
    for path in (ROOT / "acsnet_jax").rglob("*.py"):
        *folders, name = path.relative_to(ROOT / "acsnet_jax").with_suffix("").parts
        named |= {*folders, name} - {"__init__"}
    assert not named - words, "the README's picture of the house lacks these"
