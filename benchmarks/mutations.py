"""Seeded damage to files, as bytes: what a disk, a network, a converter or a hostile sender does.

Everything here maps the content of a sound file and a generator to that of a damaged one; `damage`
does it to one file of a folder, or to the folder itself. Nothing is ever read as an image.
"""

import copy
import functools
import gzip
import io
import json
import os
import pathlib
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

MARK = "QUIXOTE"
"""Stands in every free text of sound inputs; no message may quote it."""

SWOLLEN = 3 * 2**29
"""Bytes of a file that was made larger than the memory that reading may take."""

_LONG = (b"OB", b"OD", b"OF", b"OL", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")
_VRS = (*_LONG, b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT")
_VRS += (b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US", b"ZZ", b"\0\0", b"x1")
_VALUES = (b"", b"1", b"2\\3", b"2\\3\\", b"abc", b"-1", b"0", b"nan", b"inf", b"1e400", b"1e-320")
_VALUES += (b"99999999999", b"\0", b"\0\0", b"\xff\xff", b"\x02\0\x03\0", b"\xff" * 8, b"\\\\\\")
_VALUES += (b"LINEAR_EXACT", b"MONOCHROME1", b"1.2.3", b"1\\0\\0\\0\\1\\0", "\u00e9\u4e2d".encode())
_LIES = {
    b"\x28\0\x08\0": (b"2147483647", b"65535 ", b"0 ", b"-5", b"2\\3 "),  # NumberOfFrames
    b"\x28\0\x10\0": (b"\xff\xff", b"\0\0", b"\x01\0", b"\0\x40"),  # Rows
    b"\x28\0\x11\0": (b"\xff\xff", b"\0\0", b"\x01\0", b"\0\x40"),  # Columns
    b"\x28\0\x02\0": (b"\x03\0", b"\0\0", b"\xff\xff"),  # SamplesPerPixel
    b"\x28\0\0\x01": (b"\x01\0", b"\x08\0", b"\x20\0", b"\x40\0", b"\x0c\0", b"\0\0"),  # allocated
    b"\x28\0\x01\x01": (b"\x01\0", b"\x20\0", b"\0\0", b"\x10\0"),  # BitsStored
    b"\x28\0\x03\x01": (b"\x01\0", b"\x02\0"),  # PixelRepresentation
    b"\x28\0\x04\0": (b"RGB ", b"PALETTE COLOR ", b"YBR_FULL", b"MONOCHROME1 "),
    b"\x02\0\x10\0": tuple(
        f"1.2.840.10008.1.2{suffix}\0".encode()
        for suffix in ("", ".1.99", ".2", ".5", ".4.50", ".4.70", ".4.80", ".4.90", ".4.100", ".9")
    ),
    b"\x08\0\x05\0": (b"ISO_IR 192", b"\\ISO 2022 IR 87 ", b"nonsense"),
    b"\x20\0\x37\0": (b"1\\0\\0\\0\\1\\0 ", b"0\\1\\0\\-1\\0\\0 ", b"0\\0\\0\\0\\0\\0 "),
}
"""What an element may be made to say, by its tag: sizes, encodings, an orientation."""

_DIMENSIONS = (-32768, -1, 0, 1, 2, 3, 7, 255, 4096, 32767)
_FLOATS = (0.0, -1.0, 1e-30, 1e30, -1e30, np.nan, np.inf, 1.0)
_JSON = (None, -1, 0, 2.5, 1e308, 10**30, True, "", "\u00e9\nword", [], {}, [[]], ["a"], [None])
_WORDS = ("", "nan", "inf", "-1e999", "1 2 3", "x y", "1,5 2,5", "\ufeff", "1e9 1e9", "-3 -3", "\0")
_UNDEFINED = 0xFFFFFFFF
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0")
_PIXELS = b"\xe0\x7f\x10\x00"


class Element(NamedTuple):
    """Where an element of a little-endian file lies, in bytes.

    Attributes:
        start: its tag.
        size: its length field.
        form: of that field, for `struct`.
        value: its value.
        end: one past its value; of a sequence the same as ``value``, since one steps into it.
        vr: value representation; empty in the implicit encoding.
    """

    start: int
    size: int
    form: str
    value: int
    end: int
    vr: bytes


def elements(content: bytes) -> Iterator[Element]:
    """The elements of a file with a preamble, nested ones too, up to the pixels or nonsense."""
    implicit = b"1.2.840.10008.1.2\0" in content[132:500]
    at = 132
    while at + 8 <= len(content):
        tag = content[at : at + 4]
        if tag in _ITEMS:
            at += 8
            continue
        vr = b"" if implicit and tag[:2] != b"\x02\0" else content[at + 4 : at + 6]
        size, form = (at + 4, "<I") if not vr else (at + 8, "<I") if vr in _LONG else (at + 6, "<H")
        value = size + struct.calcsize(form)
        if value > len(content):
            return
        length = struct.unpack_from(form, content, size)[0]
        if vr == b"SQ" or (length == _UNDEFINED and tag != _PIXELS):
            length = 0
        end = len(content) if length == _UNDEFINED else value + length
        if end > len(content):
            return
        yield Element(at, size, form, value, end, vr)
        if tag == _PIXELS:
            return
        at = end


def damaged_dicom(content: bytes, rng: np.random.Generator) -> bytes:
    """One file with one or two of its elements, or some of its bytes, damaged."""
    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    for _ in range(rng.integers(1, 3)):
        found = list(elements(content))
        if not found:
            return content
        change = _CHANGES[rng.integers(len(_CHANGES))]
        content = change(content, found, rng)
    return content


def _other_vr(content: bytes, found: list[Element], rng: np.random.Generator) -> bytes:
    one = _any(found, rng)
    vr = _VRS[rng.integers(len(_VRS))] if one.vr else b"\xff\xff"
    return content[: one.start + 4] + vr + content[one.start + 6 :]


def _other_length(content: bytes, found: list[Element], rng: np.random.Generator) -> bytes:
    one = _any(found, rng)
    lengths = [0, 1, 3, 7, 255, 65535, one.end - one.value + 1, 2**31, _UNDEFINED]
    length = lengths[rng.integers(len(lengths))] % 2 ** (8 * struct.calcsize(one.form))
    return content[: one.size] + struct.pack(one.form, length) + content[one.value :]


def _absent(content: bytes, found: list[Element], rng: np.random.Generator) -> bytes:
    one = _any(found, rng)
    return content[: one.start] + content[one.end :]


def _twice(content: bytes, found: list[Element], rng: np.random.Generator) -> bytes:
    one = _any(found, rng)
    return content[: one.end] + content[one.start :]


def _other_value(content: bytes, found: list[Element], rng: np.random.Generator) -> bytes:
    return _with_value(content, _any(found, rng), _VALUES[rng.integers(len(_VALUES))])


def _lie(content: bytes, found: list[Element], rng: np.random.Generator) -> bytes:
    known = [one for one in found if content[one.start : one.start + 4] in _LIES]
    if not known:
        return content
    one = _any(known, rng)
    said = _LIES[content[one.start : one.start + 4]]
    return _with_value(content, one, said[rng.integers(len(said))])


def _nested(content: bytes, found: list[Element], rng: np.random.Generator) -> bytes:
    """With sequences in sequences in front of an element, some of them never closed."""
    depth = int(rng.choice([2, 40, 600, 5000]))
    one = _any(found, rng)
    tag = content[one.start : one.start + 4] if rng.random() < 0.3 else b"\x08\0\x40\x11"
    opened = (tag + (b"SQ\0\0" if one.vr else b"") + b"\xff" * 4 + _ITEMS[0] + b"\xff" * 4) * depth
    closed = (_ITEMS[1] + b"\0" * 4 + _ITEMS[2] + b"\0" * 4) * (depth - int(rng.integers(2)))
    return content[: one.start] + opened + closed + content[one.start :]


def _damaged_end(content: bytes, found: list[Element], rng: np.random.Generator) -> bytes:
    """With the last element, that of the pixels, cut or changed."""
    value = found[-1].value
    return content[:value] + damaged_bytes(content[value:] or b"\0", rng)


_CHANGES = (_other_vr, _other_length, _absent, _twice, _other_value, _lie, _lie, _nested)
_CHANGES += (_damaged_end,)


def _any(found: list[Element], rng: np.random.Generator) -> Element:
    return found[rng.integers(len(found))]


def _with_value(content: bytes, one: Element, value: bytes) -> bytes:
    """Its length right, odd or not."""
    size = struct.pack(one.form, len(value))
    return content[: one.size] + size + value + content[one.end :]


def damaged_deflated(content: bytes, rng: np.random.Generator) -> bytes:
    """A deflated DICOM file: damaged within, cut without, or a bomb of 3 GiB."""
    start = 132 + 12 + struct.unpack_from("<I", content, 140)[0]
    kind = rng.integers(4)
    if kind == 0:
        return damaged_bytes(content, rng)
    if kind == 1:
        return content[:start] + bomb(wbits=-zlib.MAX_WBITS)
    inner = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    damaged = damaged_dicom(content[:start] + inner, rng)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return damaged[:start] + packer.compress(damaged[start:]) + packer.flush()


@functools.cache
def _zeros(wbits: int) -> bytes:
    """16 MiB of zeros, compressed a thousandfold, such that copies may follow one another."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    mode = zlib.Z_FULL_FLUSH if wbits < 0 else zlib.Z_FINISH
    return packer.compress(b"\0" * 2**24) + packer.flush(mode)


def bomb(*, wbits: int) -> bytes:
    """3 GiB of zeros, raw or as members of a gzip file."""
    return _zeros(wbits) * 192 + (b"\x03\0" if wbits < 0 else b"")


def damaged_nifti(content: bytes, rng: np.random.Generator) -> bytes:
    """One uncompressed file with one to three header fields, or some of its bytes, damaged."""
    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    header = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(7)
        if kind == 0:
            at = 40 + 2 * int(rng.integers(8))
            struct.pack_into("<h", header, at, _DIMENSIONS[rng.integers(len(_DIMENSIONS))])
        elif kind == 1:
            at = rng.choice([*range(76, 120, 4), *range(252, 328, 4)])
            struct.pack_into("<f", header, at, _FLOATS[rng.integers(len(_FLOATS))])
        elif kind == 2:
            types = [0, 1, 2, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1536, 1792, 2048, 2304]
            struct.pack_into("<h", header, 70, rng.choice(types))
        elif kind == 3:
            struct.pack_into("<h", header, 72 + 2 * int(rng.integers(2)), rng.integers(-5, 300))
        elif kind == 4:  # header extensions, of a size that nothing need hold
            header[348:352] = b"\x01\0\0\0"
            size = int(rng.choice([0, 7, 16, 1024, 2**30, -16]))
            header[352:352] = struct.pack("<ii", size, int(rng.choice([0, 2, 4, 6]))) + b"\xff" * 8
            offset = float(rng.choice([352, 368, 2.0**30, 1e9]))
            struct.pack_into("<f", header, 108, offset)
        elif kind == 5:  # the other byte order, or another standard's magic
            header[344:348] = [b"n+2\0", b"ni1\0", b"\0\0\0\0", b"n+1\0"][rng.integers(4)]
            struct.pack_into(rng.choice(["<i", ">i"]), header, 0, rng.choice([348, 540, 0]))
        else:
            header[rng.integers(352)] = rng.integers(256)
    return bytes(header)


def damaged_gzip(content: bytes, rng: np.random.Generator) -> bytes:
    """A compressed NIfTI file: damaged within, cut without, or a bomb."""
    kind = rng.random()
    if kind < 0.15:
        return damaged_bytes(content, rng)
    inner = damaged_nifti(gzip.decompress(content), rng)
    if kind < 0.25:
        return gzip.compress(inner, 1) + bomb(wbits=16 + zlib.MAX_WBITS)
    if kind < 0.3:
        header = bytearray(inner[:352].ljust(352, b"\0"))  # it may be cut already
        struct.pack_into("<8h", header, 40, 3, 4000, 4000, rng.choice([4, 8, 40]), 1, 1, 1, 1)
        return gzip.compress(bytes(header)) + bomb(wbits=16 + zlib.MAX_WBITS)
    return gzip.compress(inner, 1)


def damaged_json(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three values of a JSON file exchanged or removed, or its bytes damaged."""
    kind = rng.random()
    if kind < 0.15:
        return damaged_bytes(content, rng)
    if kind < 0.2:
        return b"[" * 200_000
    values = json.loads(content)
    for _ in range(rng.integers(1, 4)):
        places = list(_places(values))
        if not places:
            break
        node, key = places[rng.integers(len(places))]
        if rng.random() < 0.2:
            del node[key]
        elif rng.random() < 0.1:
            node[key] = [node[key]] * 1000
        else:
            node[key] = copy.deepcopy(_JSON[rng.integers(len(_JSON))])
    text = json.dumps(values)
    if rng.random() < 0.1:
        text = text.replace("1", "NaN", 1)
    return text.encode()


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a JSON value."""
    inner = list(values.items()) if isinstance(values, dict) else list(enumerate(values))
    for key, value in inner:
        yield values, key
        if isinstance(value, dict | list):
            yield from _places(value)


def damaged_text(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three words or lines of a text exchanged, or its bytes damaged."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    lines = content.decode("utf-8", "replace").splitlines()
    for _ in range(rng.integers(1, 4)):
        if not lines:
            break
        at = int(rng.integers(len(lines)))
        kind = rng.integers(3)
        if kind == 0:
            lines[at] = _WORDS[rng.integers(len(_WORDS))]
        elif kind == 1:
            del lines[at]
        else:
            lines = lines[: at + 1]
    return "\n".join(lines).encode()


def damaged_archive(content: bytes, rng: np.random.Generator) -> bytes:
    """A NumPy archive: its bytes damaged, an array of it absent, of another shape or dtype."""
    if rng.random() < 0.4:
        return damaged_bytes(content, rng)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        kept = {name: arrays[name] for name in arrays}
    name = list(kept)[rng.integers(len(kept))]
    array = kept.pop(name)
    others: list[Any] = [None, array[None], array.ravel()[:-1], np.float64(3), array.astype("S4")]
    others += [array * np.float32(np.nan), array.astype(np.complex64), array.astype(np.int8)]
    other = others[rng.integers(len(others))]
    if other is not None:
        kept[name] = np.asarray(other)
    file = io.BytesIO()
    np.savez_compressed(file, **kept)
    if rng.random() < 0.2:  # of a size that the archive does not hold
        shape = "(2147483647, 3)" if rng.random() < 0.5 else "(1, 99999999999)"
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}"
        header = header.ljust(117) + "\n"
        start = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode()
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(f"{name}_.npy", start)
    return file.getvalue()


def damaged_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """A file cut, or with bytes changed, taken out or put in, most of them near its start."""
    kind = rng.integers(4)
    limit = len(content) if rng.random() < 0.2 else min(len(content), 4000)
    at, count = int(rng.integers(max(limit, 1))), int(rng.integers(1, 9))
    noise = rng.integers(0, 256, count, dtype=np.uint8).tobytes()
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + content[at + count :]
    return content[:at] + noise + content[at + count * (kind == 2) :]


_BY_SUFFIX = {
    ".dcm": damaged_dicom,
    ".deflated": damaged_deflated,
    ".nii": damaged_nifti,
    ".gz": damaged_gzip,
    ".json": damaged_json,
    ".txt": damaged_text,
    ".csv": damaged_text,
    ".cfg": damaged_text,
    ".py": damaged_text,
    ".jsonl": damaged_text,
    ".npz": damaged_archive,
}


def damage(base: pathlib.Path, target: pathlib.Path, rng: np.random.Generator) -> None:
    """A copy of a folder in which one file, or the folder itself, is damaged."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(base, target)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    path = files[rng.integers(len(files))]
    if rng.random() < 0.1:
        _damage_folder(path, files, rng)
        return
    change = _BY_SUFFIX.get(path.suffix.lower(), damaged_bytes)
    path.write_bytes(change(path.read_bytes(), rng))


def _damage_folder(path: pathlib.Path, files: list[pathlib.Path], rng: np.random.Generator) -> None:
    """A file absent, empty, there twice, another one's content, a folder, a link, or swollen."""
    other = files[rng.integers(len(files))]
    kind = rng.integers(7)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(b"")
    elif kind == 2:
        shutil.copy(path, path.with_name(f"twice_{path.name}"))
    elif kind == 3:
        path.write_bytes(other.read_bytes())
    elif kind == 4:
        path.unlink()
        path.mkdir()
    elif kind == 5:
        path.unlink()
        path.symlink_to(other if other != path else path.with_name("nowhere"))
    else:
        os.truncate(path, SWOLLEN)
