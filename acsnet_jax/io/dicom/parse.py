"""Files as pydicom is to parse them: deflated ones inflated, huge values refused.

What parsing may take is limited before it is taken: bytes that a file inflates to, bytes of one
value. pydicom itself knows no limits, and does not decode pixels of deflated files.
"""

import io
import pathlib
import struct
import zlib
from typing import Any

import pydicom
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from acsnet_jax.types import InputError

PYDICOM_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and the decoders raise on damaged files."""

MOST_INFLATED = 2**28
"""Bytes of a deflated file; a series of 400 frames of 512 x 512 has 200 MiB."""

_MOST_META = 2**16  # bytes before the data set
_MOST_VALUE = 2**27  # bytes; a slice of 4096 x 4096 in double precision
_MOST_READS = 2**20  # of a file; a header of a thousand frames takes a third
_CHUNK = 2**20
_PREAMBLE = 132
_NESTED_LENGTH = b"\x02\0\0\0SQ"
_DEFLATED = DeflatedExplicitVRLittleEndian.encode()
_PLAIN = ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")


def open_dicom(path: pathlib.Path) -> io.BufferedReader:
    """The file, or what it says when inflated; to be closed.

    Raises:
        InputError: it inflates to more than `MOST_INFLATED` bytes, its end is missing, or a
            sequence stands for the length of what comes before the data set.
    """
    file = _Limited(io.FileIO(path))
    start = file.read(_MOST_META)
    if _NESTED_LENGTH in start:  # pydicom would print it while it parses, see `check_nesting`
        file.close()
        raise InputError(f"{path}: damaged DICOM file, its header has no length: copy it again")
    if start[128:136] == b"DICM\x02\0\0\0" and len(start) >= _PREAMBLE + 12:
        (length,) = struct.unpack_from("<I", start, _PREAMBLE + 8)
        meta = start[: _PREAMBLE + 12 + length]
        file.seek(len(meta))
        if _DEFLATED in meta:
            with file:
                inflated = _inflated(file, path)
            return _Limited(io.BytesIO(meta.replace(_DEFLATED, _PLAIN) + inflated))
    file.seek(0)
    return file


def _inflated(file: io.BufferedReader, path: pathlib.Path) -> bytes:
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    blocks, size = [], 0
    waiting = file.read(_CHUNK)
    while waiting and not unpack.eof:
        blocks.append(unpack.decompress(waiting, _CHUNK))
        size += len(blocks[-1])
        if size > MOST_INFLATED:
            raise InputError(
                f"{path}: inflates to more than {MOST_INFLATED >> 20} MiB: export it uncompressed, "
                "one file a slice"
            )
        waiting = unpack.unconsumed_tail or file.read(_CHUNK)
    if not unpack.eof:
        raise InputError(
            f"{path}: truncated DICOM file, its deflated data end early: copy it again"
        )
    return b"".join(blocks)


def parse(path: pathlib.Path, keywords: tuple[str, ...]) -> Dataset:
    """The attributes of some keywords, those before the pixels; their values are converted later.

    Raises:
        InputError: as `open_dicom`.
        One of PYDICOM_ERRORS: the file cannot be parsed, or a sequence stands for a value.
    """
    with open_dicom(path) as file:
        dataset = pydicom.dcmread(
            file, stop_before_pixels=True, force=True, specific_tags=[*keywords]
        )
    for element in dataset.file_meta:
        check_nesting(element)
    for keyword in keywords:
        if keyword in dataset:
            check_nesting(dataset.get_item(keyword))
    return dataset


def check_nesting(element: DataElement | RawDataElement | None) -> None:
    """Raises ValueError where a sequence stands in the place of a value: its text has no end.

    Where an item of a nested sequence cannot be read, pydicom's text of it holds a traceback for
    each level, and in each all those below.
    """
    if element is None or element.VR != "SQ" or not dictionary_has_tag(element.tag):
        return
    if dictionary_VR(element.tag) != "SQ":
        raise ValueError("a sequence in the place of a value")


class _Limited(io.BufferedReader):
    """A file that is not read without end: lengths lie, and zeros are elements, too."""

    def __init__(self, raw: io.FileIO | io.BytesIO):
        super().__init__(raw)  # pyright: ignore[reportArgumentType]
        self._left = _MOST_READS

    @property
    def name(self) -> Any:
        """None to be told: pydicom asks for it, and a file in memory lacks it."""
        return ""

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file; an OSError where it is too much."""
        self._left -= 1
        if size is None or not 0 <= size <= _MOST_VALUE or self._left < 0:
            raise OSError("too much to read")
        return super().read(size)
