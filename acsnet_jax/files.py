"""Files that are whole or absent: written under a temporary name, then renamed."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    Args:
        path: the final path; its folder is made if need be.

    Yields:
        The temporary path, with the same suffix. It is removed if the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: pathlib.Path) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(values: Any, path: pathlib.Path) -> None:
    """Write JSON, whole or not at all.

    Raises:
        ValueError: a number is not finite.
    """
    write_text(json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n", path)


def tuples_for_lists(values: dict[str, Any]) -> dict[str, Any]:
    """Lists, which JSON makes of tuples, as tuples again: settings are hashable."""
    return {key: tuple(x) if isinstance(x, list) else x for key, x in values.items()}
