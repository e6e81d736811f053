"""Files and folders that are whole or absent: written under a temporary name, then renamed.

Text and JSON that come from outside are read here too: of limited size, and damage is an error.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from zipfile import BadZipFile

import numpy as np

from acsnet_jax.types import InputError

T = TypeVar("T")
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_UNPARSED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

AGAIN = "remove it, and it is made again"
"""What to do about a file that a resumed run had kept."""

RESTORE = "restore it, or use another --workdir"
"""What to do about a file that says what a working folder was begun with."""

MOST_TEXT = 2**24
"""Bytes of a text that is read whole; headers, contours and tables are far below."""


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    Args:
        path: the final path of a file; its folder is made if need be.

    Yields:
        The temporary path, with the same suffixes. It is removed if the block raises, and what was
        there stays.
    """
    path = path.resolve()  # what a link points at is replaced, on its own disk
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty folder beside ``folder`` that takes its place when the block ends well.

    Args:
        folder: the final folder; that around it is made if need be. An earlier one is replaced as a
            whole.

    Yields:
        The temporary folder. It is removed if the block raises, and what was there stays.

    Raises:
        InputError: a file is in the way.
    """
    folder = folder.resolve()
    if folder.is_file():
        raise InputError(f"{folder} is a file; remove it, or choose another folder")
    new, old = _beside(folder), _beside(folder)
    new.mkdir(parents=True)
    try:
        yield new
        if folder.exists():  # no folder that holds files can be renamed over
            folder.replace(old)
        new.replace(folder)
    finally:
        if old.exists() and not folder.exists():
            old.replace(folder)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def create_private(text: str, path: pathlib.Path) -> bool:
    """Write a file that its owner alone may read, unless there is one already.

    Several processes may try at once: one of them writes, and all of them find that file, whole.
    (On file systems without hard links it is empty for an instant.)

    Returns:
        Whether it was written by this call.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        _write_new(text, temporary)
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            _write_new(text, path)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _write_new(text: str, path: pathlib.Path) -> None:
    """Raises FileExistsError where something is."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _beside(path: pathlib.Path) -> pathlib.Path:
    """A hidden name in the same folder that nobody else uses."""
    return path.with_name(f".{secrets.token_hex(4)}.{path.name}")


def read_text(path: pathlib.Path, *, fix: str = "copy it again") -> str:
    """The UTF-8 text of a file.

    Args:
        path: the file.
        fix: what to do about one that is damaged, for messages.

    Raises:
        InputError: it is missing, no file, larger than `MOST_TEXT` or no text.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: {fix}")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_TEXT + 1)
        if len(content) > MOST_TEXT:
            raise InputError(f"{path}: larger than {MOST_TEXT >> 20} MiB, no such text: {fix}")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {fix}") from error


def read_json(path: pathlib.Path, *, fix: str = "copy it again") -> Any:
    """The value that a JSON file holds; arguments as of `read_text`.

    Raises:
        InputError: as `read_text`, or it is no JSON.
    """
    text = read_text(path, fix=fix)
    try:
        return json.loads(text)
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: not JSON, truncated: {fix}") from error


def read_record(path: pathlib.Path, parse: Callable[[Any], T], *, fix: str) -> T:
    """What a run wrote down in JSON, in the form in which it is used.

    Args:
        path: of the file.
        parse: makes it of the JSON value.
        fix: what to do about one that is damaged, for messages.

    Raises:
        InputError: as `read_json`, or the value is none that `parse` takes.
    """
    values = read_json(path, fix=fix)
    try:
        return parse(values)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error
    except _UNPARSED as error:
        raise InputError(f"{path}: not what was written there: {fix}") from error


def read_arrays(path: pathlib.Path, parse: Callable[[Any], T], *, fix: str) -> T:
    """What a run kept in an ``.npz`` file; arguments as of `read_record`.

    Raises:
        InputError: it is missing or damaged, or lacks an array that `parse` takes.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: {fix}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return parse(arrays)
    except (*_UNPARSED, EOFError, NotImplementedError, OSError, BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not what was written there: {fix}") from error


def sha256(path: pathlib.Path) -> str:
    """The digest of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(text: str, path: pathlib.Path) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_arrays(arrays: Mapping[str, Any], path: pathlib.Path) -> None:
    """Write named arrays into one compressed ``.npz`` file; see `replacing`."""
    plain: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **plain)


def write_json(values: Any, path: pathlib.Path) -> None:
    """Write JSON, whole or not at all.

    Raises:
        ValueError: a number is not finite.
    """
    write_text(json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n", path)


def tuples_for_lists(values: dict[str, Any]) -> dict[str, Any]:
    """Lists, which JSON makes of tuples, as tuples again: settings are hashable."""
    return {key: tuple(x) if isinstance(x, list) else x for key, x in values.items()}


def from_json(cls: type[T], values: Mapping[str, Any]) -> T:
    """A frozen dataclass from the JSON object it became; lists are tuples again.

    Raises:
        TypeError: a value is not of its field's type, or a field is unknown or missing; names it.
    """
    hints, values = get_type_hints(cls), tuples_for_lists({**values})
    for name, value in values.items():
        if name not in hints or not fits(value, hints[name]):
            raise TypeError(f"{cls.__name__}.{name}")
    return cls(**values)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value out of JSON is of an annotated type; numbers have to be finite."""
    if isinstance(hint, type):
        number = isinstance(value, float | int) and not isinstance(value, bool)
        if hint in (float, int):
            sized = number and abs(value) <= sys.float_info.max  # of any integer, unlike isfinite
            return sized and (hint is float or isinstance(value, int))
        return isinstance(value, hint)
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if get_origin(hint) is not tuple:
        return any(fits(value, one) for one in inner)
    if not isinstance(value, tuple):
        return False
    inner = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
    return len(value) == len(inner) and all(map(fits, value, inner))
