"""How well the insertions of the right ventricle are found in the picture, on ACDC's labels.

    python -m benchmarks.insertions --root=ACDC

ACDC labels the right ventricle's cavity. Seen from the LV's middle, the true septum of a slice is
the longest run of directions in which that cavity begins within 4.5 mm of the epicardium, gaps of
up to 12 degrees closed; the two insertions of a patient are the circular means of its ends over all
slices but the apical third. The LV is the expert's. ACDC's spacing is nominal; angles do not depend
on it, the 4.5 mm do. Its orientation is unknown: both ends are judged, not which is the anterior
one. Writes ``insertions.json`` under ``--out``.
"""

import pathlib
from typing import NamedTuple

import numpy as np
from absl import app, flags
from nibabel import nifti1
from scipy import ndimage

from acsnet_jax.clinical import NotAvailable, find_septum
from acsnet_jax.clinical.wall import middle_of
from acsnet_jax.files import write_json
from acsnet_jax.io.acdc import acdc_patients, read_acdc
from acsnet_jax.ops.host import fill_holes, label_components
from acsnet_jax.types import InputError, Label, Scan
from benchmarks import record

_ROOT = flags.DEFINE_string("root", "", "ACDC's folder.")
flags.declare_key_flag("out")

_STEP_DEG = 2
_NEAR_MM = 4.5
_GAP_STEPS = 7  # of a closing, 12 degrees


class Found(NamedTuple):
    """Insertions of one patient in degrees."""

    scan_id: str
    truth_deg: tuple[float, float]
    found_deg: tuple[float, float] | None
    contrast: float | None

    @property
    def errors_deg(self) -> list[float]:
        """Of both ends, unsigned."""
        if self.found_deg is None:
            return []
        return [abs(apart(a, b)) for a, b in zip(self.found_deg, self.truth_deg, strict=True)]

    @property
    def middle_error_deg(self) -> float:
        """Of the middle of the septum; 0 where nothing was found."""
        if self.found_deg is None:
            return 0.0
        middles = [a + (b - a) % 360 / 2 for a, b in (self.found_deg, self.truth_deg)]
        return abs(apart(*middles))


def main(argv: list[str]) -> None:
    del argv
    if not _ROOT.value:
        raise InputError("name ACDC's folder with --root=DIR")
    records = [judge(read_acdc(folder), folder) for folder in acdc_patients(_ROOT.value)]
    found = [one for one in records if one.found_deg is not None]
    errors = np.concatenate([one.errors_deg for one in found])
    middles = np.array([one.middle_error_deg for one in found])
    header = ("of", "median", "90th percentile", "<= 15 deg", "<= 30 deg", "counted")
    rows = [
        (name, *np.percentile(values, (50, 90)), *(share(values, d) for d in (15, 30)), len(values))
        for name, values in (("insertions", errors), ("middle of the septum", middles))
    ]
    print(f"{len(found)} of {len(records)} patients: a septum was found in the picture")
    record.print_table(header, rows)
    write_json(
        [one._asdict() for one in records],
        pathlib.Path(record.OUT.value or "runs/insertions") / "insertions.json",
    )


def share(values: np.ndarray, limit_deg: float) -> str:
    return f"{100 * np.mean(values <= limit_deg):.0f}%"


def judge(scan: Scan, folder: pathlib.Path) -> Found:
    """One patient."""
    if scan.labels is None:
        raise InputError(f"{folder}: no labels: give ACDC's training patients")
    pattern = f"*_frame{scan.provenance.frame:02d}_gt.nii*"
    values = np.asarray(nifti1.load(next(folder.glob(pattern))).dataobj)
    ventricle = values.transpose(2, 1, 0)[scan.file_order] == 1
    wall, blood = scan.labels == Label.MYOCARDIUM, scan.labels == Label.BLOOD_POOL
    rings = np.flatnonzero(wall.any(axis=(1, 2)) & blood.any(axis=(1, 2)))
    ends = [
        run_of(beside(fill_holes(wall[index] | blood[index]), ventricle[index], scan.spacing_mm))
        for index in rings[len(rings) // 3 :]
    ]
    known = np.array([one for one in ends if one is not None])
    truth = circular_mean(known[:, 0]), circular_mean(known[:, 1])
    septum = find_septum(scan.image, wall, blood, scan.spacing_mm)
    if isinstance(septum, NotAvailable):
        return Found(scan.id, truth, None, None)
    return Found(scan.id, truth, (septum.first_deg, septum.last_deg), septum.contrast)


def beside(lv: np.ndarray, ventricle: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """In which directions the right ventricle begins near the epicardium."""
    middle, step = np.array(middle_of(lv, spacing_mm)), np.array(spacing_mm)
    angle = np.deg2rad(np.arange(0, 360, _STEP_DEG))
    ways = np.stack([np.sin(angle), np.cos(angle)])[:, :, None]

    def seen(mask: np.ndarray, radius: np.ndarray) -> np.ndarray:
        points = (middle[:, None, None] + ways * radius) / step[:, None, None]
        return np.asarray(ndimage.map_coordinates(mask.astype(float), points, order=1)) > 0.5

    along = np.arange(0, 90, 0.25)
    outline = np.where(seen(lv, along), along, 0).max(axis=1)
    near = seen(ventricle, outline[:, None] + np.arange(0, _NEAR_MM, 0.5))
    return np.any(near, axis=1)


def run_of(directions: np.ndarray) -> tuple[float, float] | None:
    """First and last direction of the longest run in degrees; None without one."""
    count = len(directions)
    closed = ndimage.binary_closing(np.tile(directions, 3), np.ones(_GAP_STEPS))
    closed = np.asarray(closed[count : 2 * count], bool)
    if not closed.any() or closed.all():
        return None
    start = int(np.argmin(closed))
    pieces = label_components(np.roll(closed, -start)[None])[0]
    longest = np.flatnonzero(pieces == np.argmax(np.bincount(pieces)[1:]) + 1)
    first, last = (longest[[0, -1]] + start) % count * _STEP_DEG
    return float(first), float(last)


def circular_mean(angles_deg: np.ndarray) -> float:
    return float(np.rad2deg(np.angle(np.mean(np.exp(1j * np.deg2rad(angles_deg)))))) % 360


def apart(a: float, b: float) -> float:
    return (a - b + 180) % 360 - 180


if __name__ == "__main__":
    app.run(main)
