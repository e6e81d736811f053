"""Seeded damage to DICOM and NIfTI files, as bytes: what a disk, a network or a converter does.

As a script, it reads many damaged inputs and prints those that end in anything but a scan of finite
arrays or an `InputError`::

    python tests/io/mutations.py COUNT [SEED]

With ACSNET_DATA, Sunnybrook and EMIDEC are damaged, too.
"""

import gzip
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from typing import NamedTuple

import nibabel
import numpy as np
import pydicom
from pydicom.uid import RLELossless
from synthetic_dicom import write_enhanced, write_slice, write_stack

from acsnet_jax.io import read_scans
from acsnet_jax.synthesis.phantom import make_scan, write_dicom
from acsnet_jax.types import InputError, Scan

SECONDS = 5.0
"""No damaged input may take longer."""

_LONG = (b"OB", b"OD", b"OF", b"OL", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")
_VRS = (*_LONG, b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT")
_VRS += (b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US", b"ZZ", b"\0\0", b"x1")
_VALUES = (b"", b"1", b"2\\3", b"2\\3\\", b"abc", b"-1", b"0", b"nan", b"inf", b"1e400", b"1e-320")
_VALUES += (b"99999999999", b"\0", b"\0\0", b"\xff\xff", b"\x02\0\x03\0", b"\xff" * 8, b"\\\\\\")
_VALUES += (b"LINEAR_EXACT", b"MONOCHROME1", b"1.2.3", b"1\\0\\0\\0\\1\\0", "\u00e9\u4e2d".encode())
_CINE = {
    "RescaleSlope": 2,
    "RescaleIntercept": -50,
    "WindowCenter": 300,
    "WindowWidth": 400,
    "VOILUTFunction": "LINEAR_EXACT",
    "NominalInterval": 900,
    "InversionTime": 280,
    "CardiacNumberOfImages": 25,
    "NumberOfFrames": 1,
}
_DIMENSIONS = (-32768, -1, 0, 1, 2, 3, 7, 255, 4096, 32767)
_FLOATS = (0.0, -1.0, 1e-30, 1e30, -1e30, np.nan, np.inf, 1.0)


class Element(NamedTuple):
    """Where an element of a file in explicit little endian lies, in bytes."""

    start: int
    value: int
    end: int
    vr: bytes


def elements(content: bytes) -> Iterator[Element]:
    """The top-level elements of a file with a preamble, up to the pixels or something unknown."""
    at = 132
    while at + 8 <= len(content):
        vr = content[at + 4 : at + 6]
        if vr in _LONG:
            length, value = struct.unpack_from("<I", content, at + 8)[0], at + 12
        else:
            length, value = struct.unpack_from("<H", content, at + 6)[0], at + 8
        if value + length > len(content) or content[at : at + 4] == b"\xe0\x7f\x10\x00":
            return
        yield Element(at, value, value + length, vr)
        at = value + length


def damaged_dicom(content: bytes, rng: np.random.Generator) -> bytes:
    """One file with one or two of its elements, or some of its bytes, damaged."""
    if rng.random() < 0.25:
        return damaged_bytes(content, rng)
    for _ in range(rng.integers(1, 3)):
        found = list(elements(content))
        if not found:
            return content
        one = found[rng.integers(len(found))]
        before, value, after = (
            content[: one.value],
            content[one.value : one.end],
            content[one.end :],
        )
        kind = rng.integers(5)
        if kind == 0:  # another VR, the bytes as they are
            vr = _VRS[rng.integers(len(_VRS))]
            content = content[: one.start + 4] + vr + content[one.start + 6 :]
        elif kind == 1:  # a wrong length
            length = int(rng.choice([0, 1, 3, 7, 255, 65535, len(value) + 1]))
            form, back = ("<I", 4) if one.vr in _LONG else ("<H", 2)
            content = before[:-back] + struct.pack(form, length) + value + after
        elif kind == 2:  # absent
            content = content[: one.start] + after
        elif kind == 3:  # twice
            content = content[: one.end] + content[one.start :]
        else:  # another value, its length right, odd or not
            value = _VALUES[rng.integers(len(_VALUES))]
            form, back = ("<I", 4) if one.vr in _LONG else ("<H", 2)
            content = before[:-back] + struct.pack(form, len(value)) + value + after
    return content


def damaged_nifti(content: bytes, rng: np.random.Generator) -> bytes:
    """One uncompressed file with one to three header fields, or some of its bytes, damaged."""
    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    header = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(5)
        if kind == 0:
            at = 40 + 2 * int(rng.integers(8))
            struct.pack_into("<h", header, at, _DIMENSIONS[rng.integers(len(_DIMENSIONS))])
        elif kind == 1:
            at = rng.choice([*range(76, 120, 4), *range(252, 328, 4)])
            struct.pack_into("<f", header, at, _FLOATS[rng.integers(len(_FLOATS))])
        elif kind == 2:
            struct.pack_into(
                "<h", header, 70, rng.choice([0, 1, 2, 8, 16, 64, 128, 768, 1536, 2304])
            )
        elif kind == 3:
            struct.pack_into("<h", header, 72 + 2 * int(rng.integers(2)), rng.integers(-5, 300))
        else:
            header[rng.integers(352)] = rng.integers(256)
    return bytes(header)


def damaged_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """A file cut, or with bytes changed, taken out or put in, most of them near its start."""
    kind = rng.integers(4)
    limit = len(content) if rng.random() < 0.2 else min(len(content), 4000)
    at, count = int(rng.integers(limit)), int(rng.integers(1, 9))
    noise = rng.integers(0, 256, count, dtype=np.uint8).tobytes()
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + content[at + count :]
    return content[:at] + noise + content[at + count * (kind == 2) :]


def check(path: pathlib.Path) -> str:
    """Reads; "" if that ends as it should, else what went wrong."""
    start = time.perf_counter()
    try:
        wrong = [name for scan in read_scans(path) for name in not_finite(scan)]
    except InputError as error:
        wrong = ["a message of several lines"] if "\n" in str(error) else []
    except BaseException:  # a script that reports whatever comes
        return traceback.format_exc()
    seconds = time.perf_counter() - start
    if seconds > SECONDS:
        wrong.append(f"{seconds:.1f} s")
    return ", ".join(wrong)


def not_finite(scan: Scan) -> list[str]:
    """Names of the scan's arrays and numbers that are not finite."""
    numbers = {
        "image": scan.image,
        "spacing": np.array(scan.spacing_mm),
        "positions": scan.positions_mm,
        "affine": scan.affine,
        "file affine": scan.file_affine,
    }
    return [name for name, values in numbers.items() if not np.isfinite(values).all()]


def write_bases(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """DICOM plain, compressed, multi-frame and of a cine; NIfTI; EMIDEC's layout."""
    scan = make_scan(0, 1, size=48, spacing_mm=(2.9, 2.9), slice_distance_mm=14.0)
    assert scan.labels is not None
    write_dicom(scan, folder / "dicom")
    write_enhanced(folder / "enhanced" / "a.dcm", phases=2)
    for k in range(4):
        write_slice(folder / "cine", f"{k}.dcm", k // 2, TriggerTime=20 + 300 * (k % 2), **_CINE)
    for path in write_stack(folder / "compressed", 3).iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    case = folder / "emidec" / "Case_P001"
    targets = {
        folder / "nifti" / "scan.nii": scan.image,
        folder / "gz" / "scan.nii.gz": scan.image,
        case / "Images" / "Case_P001.nii.gz": scan.image,
        case / "Contours" / "Case_P001.nii.gz": scan.labels,
    }
    for path, array in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = np.int16 if array.dtype == np.float32 else np.uint8
        image = nibabel.Nifti1Image(array.astype(kind).transpose(2, 1, 0), scan.affine)
        nibabel.save(image, path)
    names = ("dicom", "nifti", "gz", "emidec", "enhanced", "cine", "compressed")
    return {name: folder / name for name in names}


def damage(base: pathlib.Path, target: pathlib.Path, rng: np.random.Generator) -> None:
    """A copy of a folder in which one file is damaged."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(base, target)
    files = sorted(p for p in target.rglob("*") if p.suffix in (".dcm", ".nii", ".gz"))
    path = files[rng.integers(len(files))]
    content = path.read_bytes()
    if path.suffix == ".dcm":
        path.write_bytes(damaged_dicom(content, rng))
    elif path.suffix == ".nii":
        path.write_bytes(damaged_nifti(content, rng))
    elif rng.random() < 0.1:
        path.write_bytes(damaged_bytes(content, rng))
    else:
        path.write_bytes(gzip.compress(damaged_nifti(gzip.decompress(content), rng), 1))


def main(count: int, seed: int) -> None:
    """Damages, reads, prints what broke."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        bases = write_bases(folder)
        data = os.environ.get("ACSNET_DATA")
        if data:
            study = next((pathlib.Path(data) / "sunnybrook" / "SCD_IMAGES_01").glob("*"))
            shutil.copytree(study, folder / "sunnybrook")
            case = next((pathlib.Path(data) / "emidec").glob("Case_*"))
            shutil.copytree(case, folder / "real" / case.name)
            bases |= {"sunnybrook": folder / "sunnybrook", "real": folder / "real"}
        broken = 0
        for index in range(count):
            name = list(bases)[index % len(bases)]
            damage(bases[name], folder / "damaged", np.random.default_rng([seed, index]))
            said = check(folder / "damaged")
            if said:
                broken += 1
                print(f"--- {name} {seed} {index}\n{said}", flush=True)
        print(f"{broken} of {count} broke")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
