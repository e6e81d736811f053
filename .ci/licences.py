"""Print docs/licences.md: licence of each package that acsnet_jax needs at run time, as installed.

.venv/bin/python .ci/licences.py > docs/licences.md
"""

import importlib.metadata
import pathlib
import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = pathlib.Path(__file__).resolve().parent.parent / "pyproject.toml"

HEAD = """# Licences

acsnet_jax is under the Apache License 2.0. These are the packages that `pip install .` brings on
Linux, and what their own metadata say. Bold ones are asked for by acsnet_jax itself, the
others by those. None is part of this repository; versions are in `requirements.lock`. This page is
written by `.venv/bin/python .ci/licences.py > docs/licences.md`.

**pylibjpeg-libjpeg** says that it is under the GPL 3, which binds who hands it on together with
other works. It is imported by pydicom alone, and only to decode; without it JPEG lossless and JPEG
of 12 bits are not decoded, and all else is.

| package | licence |
|---|---|
"""


def main() -> None:
    """Print the page."""
    asked = {canonicalize_name(one.name) for one in _project()}
    print(HEAD, end="")
    for name in sorted(_closure(_project())):
        metadata = importlib.metadata.metadata(name)
        shown = f"**{name}**" if name in asked else name
        print(f"| {shown} | {_licence(metadata)} |")


def _project() -> list[Requirement]:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    return [Requirement(line) for line in project["dependencies"]]


def _closure(asked: list[Requirement]) -> set[str]:
    """Names of all packages that some need, with those that these need."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(one, extra) for one in asked for extra in ("", *one.extras)]
    while waiting:
        one, extra = waiting.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        needs = map(Requirement, importlib.metadata.requires(name) or [])
        waiting += [(need, inner) for need in needs for inner in ("", *extras)]
    return {name for name, _ in seen}


def _licence(metadata: importlib.metadata.PackageMetadata) -> str:
    """The SPDX expression, or the classifiers, or the first line of what stands there."""
    values = metadata.json
    if expression := values.get("license_expression"):
        return str(expression)
    known = [one.split(" :: ")[-1] for one in values.get("classifier", []) if "License ::" in one]
    known = [one for one in known if one != "OSI Approved"]
    text = ", ".join(known) or str(values.get("license") or "").strip().split("\n")[0]
    return re.sub(r"[|\s]+", " ", text)[:80] or "see the package"


if __name__ == "__main__":
    main()
