"""The command ``acsnet``: every entry point by its name, wherever one is.

``acsnet train --config=myo`` is ``python -m experiments.train --config=configs/myo.py``.
"""

import ast
import difflib
import pathlib
import runpy
import sys

from acsnet_jax import __version__
from acsnet_jax.config import folder


def main() -> None:
    """Run ``acsnet COMMAND [options]``; without a command, say which there are."""
    name, *rest = sys.argv[1:] or ["--help"]
    known = commands()
    if name in ("-h", "--help", "help"):
        print(usage(known), end="")
    elif name == "--version":
        print(__version__)
    elif name in known:
        sys.argv = [str(known[name]), *rest]
        runpy.run_path(str(known[name]), run_name="__main__")
    else:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        print(f"error: no command {name!r}; {hint}", file=sys.stderr)
        sys.exit(1)


def commands() -> dict[str, pathlib.Path]:
    """Entry points by name."""
    return {path.stem: path for path in sorted(folder("experiments").glob("[!_]*.py"))}


def usage(known: dict[str, pathlib.Path]) -> str:
    """One line a command: the first line of its docstring."""
    width = max(map(len, known))
    lines = ["usage: acsnet COMMAND [--config=FILE] [--config.KEY=VALUE ...] [--workdir=DIR]", ""]
    for name, path in known.items():
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:<{width}}  {doc.splitlines()[0] if doc else ''}")
    lines += ["", "acsnet COMMAND --help says more; --print_config shows every number of a run."]
    return "\n".join(lines) + "\n"
