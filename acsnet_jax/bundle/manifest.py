"""What a bundle's files have to be, and arrays that are read only if they are just that.

``manifest.json`` lists size and SHA-256 of every other file of the folder, and dtype and shape of
every array in it. A file is read once, into memory, and what was hashed there is what is parsed.
"""

import hashlib
import io
import json
import math
import os
import pathlib
import re
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from acsnet_jax.files import read_json, write_json
from acsnet_jax.lock import LOCK_FILE
from acsnet_jax.types import InputError

NAME = "manifest.json"
"""The file that lists the others."""

MOST_BYTES = 2**31
"""Of a file, and of the arrays in it; the networks of the paper have a sixteenth of that."""

_FORMAT = 1
_MOST_FILES = 1000
_FIX = "restore the bundle"
_FILE = re.compile(r"[A-Za-z0-9_-]{1,64}\.(json|npz)")
_HASH = re.compile(r"[0-9a-f]{64}")
_DTYPES = ("bool", "float16", "float32", "float64", "int32", "int64", "uint8")
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile, zlib and NumPy's header parser raise of bytes that are not theirs.
_DAMAGE = (
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    UserWarning,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class ArrayInfo(NamedTuple):
    """What an array is like, without its values."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of its values."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)


class FileInfo(NamedTuple):
    """What a file has to be.

    Attributes:
        sha256: of its bytes, in hexadecimal digits.
        bytes: its size.
        arrays: by name; empty for a file that is no ``.npz``.
    """

    sha256: str
    bytes: int
    arrays: dict[str, ArrayInfo]


Manifest = dict[str, FileInfo]
"""All files of a bundle but the manifest, by name."""


def describe(folder: pathlib.Path) -> Manifest:
    """The manifest that the files of a folder would have now.

    Raises:
        InputError: a link, a folder or a damaged file is among them.
    """
    files = {}
    for name in sorted(check_entries(folder) - {NAME}):
        content = _read(folder / name, MOST_BYTES)
        arrays = array_infos(content, folder / name) if name.endswith(".npz") else {}
        files[name] = FileInfo(hashlib.sha256(content).hexdigest(), len(content), arrays)
    return files


def write(folder: pathlib.Path) -> None:
    """List the files of a folder in its ``manifest.json``.

    Raises:
        InputError: as of `describe`.
    """
    files = {
        name: {
            "sha256": info.sha256,
            "bytes": info.bytes,
            "arrays": {name: one._asdict() for name, one in info.arrays.items()},
        }
        for name, info in describe(folder).items()
    }
    write_json({"format": _FORMAT, "files": files}, folder / NAME)


def read(folder: pathlib.Path) -> Manifest | None:
    """The manifest of a bundle whose files are all there, and no others, in their sizes.

    Returns:
        None for a bundle without one, as older formats are.

    Raises:
        InputError: it is damaged; or a file is missing, a link, of another size or not listed.
    """
    names = check_entries(folder)
    if NAME not in names:
        return None
    path = folder / NAME
    manifest = _parse(read_json(path, fix=_FIX), path)
    if missing := sorted(manifest.keys() - names):
        raise InputError(f"{folder / missing[0]} is missing, which {NAME} lists: {_FIX}")
    if extra := sorted(names - manifest.keys() - {NAME, LOCK_FILE}):
        raise InputError(f"{folder / extra[0]} is not listed in {NAME}: remove it, or {_FIX}")
    for name, info in manifest.items():
        size = (folder / name).stat().st_size
        if size != info.bytes:
            raise InputError(
                f"{folder / name} has {size} bytes and not the {info.bytes} of {NAME}: {_FIX}"
            )
    return manifest


def digest(folder: str | pathlib.Path) -> str:
    """What tells bundles apart: a SHA-256, in hexadecimal digits, over names and hashes of files.

    It says the same of a bundle with and without its manifest; with one, no other file is read.

    Raises:
        InputError: as of `read`; or without a manifest, as of `describe`.
    """
    folder = pathlib.Path(folder)
    manifest = read(folder)
    manifest = describe(folder) if manifest is None else manifest
    hashes = {name: info.sha256 for name, info in manifest.items()}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def check_entries(folder: pathlib.Path) -> set[str]:
    """The names of a bundle's files.

    Raises:
        InputError: something in the folder is no regular file of the folder itself.
    """
    try:
        with os.scandir(folder) as entries:
            kinds = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in entries}
    except OSError as error:
        raise InputError(f"{folder} is no folder that can be read: give a bundle's") from error
    for name, kind in kinds.items():
        if stat.S_ISLNK(kind):
            raise InputError(
                f"{folder / name} is a symbolic link: put the file itself there, or {_FIX}"
            )
        if not stat.S_ISREG(kind):
            raise InputError(f"{folder / name} is no file: remove it, or {_FIX}")
    return set(kinds)


def read_file(path: pathlib.Path, manifest: Manifest | None) -> bytes:
    """The bytes of a bundle's file, which are those that the manifest means.

    Raises:
        InputError: it is missing, too large or changed.
    """
    if manifest is None:
        return _read(path, MOST_BYTES, first=lambda file: _infos(file, path))
    if path.name not in manifest:
        raise InputError(f"{path} is missing, also in {NAME}: {_FIX}")
    info = manifest[path.name]
    content = _read(path, info.bytes)
    if hashlib.sha256(content).hexdigest() != info.sha256:
        raise InputError(f"{path} was changed or damaged, its SHA-256 is another: {_FIX}")
    return content


def array_infos(content: bytes, path: pathlib.Path) -> dict[str, ArrayInfo]:
    """What the arrays of an ``.npz`` file are like; their values are not decompressed.

    Args:
        content: the whole file.
        path: what it is called, for messages.

    Raises:
        InputError: it is damaged, or holds anything but plain arrays of the size that it declares.
    """
    return _infos(io.BytesIO(content), path)


def _infos(file: io.BufferedIOBase, path: pathlib.Path) -> dict[str, ArrayInfo]:
    """`array_infos` of an open file, of which little is read."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members, path)
            return {_array_name(one): _read_info(archive, one, path) for one in members}
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def read_arrays(content: bytes, path: pathlib.Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of an ``.npz`` file that `array_infos` has passed, half precision as float32.

    Raises:
        InputError: it is damaged.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                    if file.read(1):
                        raise InputError(f"{path}: {member.filename} is too long: {_FIX}")
                half = array.dtype == np.float16
                arrays[_array_name(member)] = array.astype(np.float32) if half else array
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return arrays


def _read(
    path: pathlib.Path, most: int, *, first: Callable[[io.BufferedIOBase], object] = lambda _: None
) -> bytes:
    """A file of a limited size; ``first`` may refuse it before it is in memory."""
    try:
        size = path.stat().st_size
        if size > most:
            raise InputError(f"{path} is larger than {most} bytes: {_FIX}")
        with path.open("rb") as file:
            first(file)
            file.seek(0)
            return file.read(size)
    except OSError as error:
        raise InputError(f"{path} is missing or cannot be read: {_FIX}") from error


def _damaged(path: pathlib.Path, error: Exception) -> InputError:
    """The error to raise for one of `_DAMAGE`; ours, which are ValueErrors, stay as they are."""
    return error if isinstance(error, InputError) else InputError(f"{path} is damaged: {_FIX}")


def _array_name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _check_members(members: Iterable[zipfile.ZipInfo], path: pathlib.Path) -> None:
    """Plain members only, each once, not too large in all."""
    seen: set[str] = set()
    total = 0
    for one in members:
        if one.filename in seen or not one.filename.endswith(".npy"):
            raise InputError(f"{path} holds what is no array, or one twice: {_FIX}")
        if one.compress_type not in _COMPRESSION or one.flag_bits & 1:
            raise InputError(f"{path} is encrypted or compressed in an unknown way: {_FIX}")
        seen.add(one.filename)
        total += one.file_size
    if total > MOST_BYTES:
        raise InputError(f"{path} would unpack to {total} bytes, more than {MOST_BYTES}: {_FIX}")


def _read_info(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: pathlib.Path) -> ArrayInfo:
    """The header of one array, which has to agree with the size that the archive declares."""
    with archive.open(member) as file, warnings.catch_warnings():
        warnings.simplefilter("error")  # of a header that NumPy would mend
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise InputError(f"{path}: {_array_name(member)!r} has an unknown header: {_FIX}")
        shape, _, dtype = _HEADERS[version](file)
        values = member.file_size - file.tell()
    if dtype.name not in _DTYPES or not dtype.isnative:  # no objects, hence no pickle
        raise InputError(f"{path}: {_array_name(member)!r} holds no plain numbers: {_FIX}")
    info = ArrayInfo(dtype.name, tuple(map(int, shape)))
    if any(side < 0 for side in info.shape) or info.bytes != values:
        raise InputError(f"{path}: {_array_name(member)!r} has not its declared size: {_FIX}")
    return info


def _parse(values: Any, path: pathlib.Path) -> Manifest:
    """A manifest out of its JSON."""
    if not isinstance(values, dict):
        raise InputError(f"{path} is no manifest: {_FIX}")
    form, files = values.get("format"), values.get("files")
    if isinstance(form, int) and form > _FORMAT:
        raise InputError(f"{path} has format {form}, newer than this version: update acsnet_jax")
    if form != _FORMAT or not isinstance(files, dict) or not 0 < len(files) <= _MOST_FILES:
        raise InputError(f"{path} is no manifest of format {_FORMAT}: {_FIX}")
    for name in files:
        if not _FILE.fullmatch(name) or name == NAME:
            raise InputError(f"{path} lists {name[:80]!r}, no file of a bundle's folder: {_FIX}")
    return {name: _parse_file(one, f"{path}: {name}") for name, one in files.items()}


def _parse_file(values: Any, where: str) -> FileInfo:
    if not isinstance(values, Mapping) or values.keys() != set(FileInfo._fields):
        raise InputError(f"{where} lacks sha256, bytes or arrays: {_FIX}")
    sha256, size, arrays = (values[name] for name in FileInfo._fields)
    if not isinstance(sha256, str) or not _HASH.fullmatch(sha256):
        raise InputError(f"{where} has no SHA-256: {_FIX}")
    if not _is_count(size) or size > MOST_BYTES:
        raise InputError(f"{where} declares no size up to {MOST_BYTES} bytes: {_FIX}")
    if not isinstance(arrays, Mapping):
        raise InputError(f"{where} lists no arrays: {_FIX}")
    infos = {name: _parse_array(one, f"{where}: {name[:80]!r}") for name, one in arrays.items()}
    if sum(info.bytes for info in infos.values()) > MOST_BYTES:
        raise InputError(f"{where} declares arrays of more than {MOST_BYTES} bytes: {_FIX}")
    return FileInfo(sha256, size, infos)


def _parse_array(values: Any, where: str) -> ArrayInfo:
    if not isinstance(values, Mapping) or values.keys() != set(ArrayInfo._fields):
        raise InputError(f"{where} lacks dtype or shape: {_FIX}")
    dtype, shape = values["dtype"], values["shape"]
    if dtype not in _DTYPES:
        raise InputError(f"{where} is of no dtype that a bundle has: {_FIX}")
    if not isinstance(shape, list) or len(shape) > 8 or not all(map(_is_count, shape)):
        raise InputError(f"{where} has no shape: {_FIX}")
    return ArrayInfo(dtype, tuple(shape))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
