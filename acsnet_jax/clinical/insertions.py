"""Where the right ventricle is inserted into the left one: the angular reference of AHA segments.

Angles are in degrees about the LV's middle, from right over down, in mm. The septum is the shorter
arc between the two insertions. In the picture it is the arc along which the greatest difference is
seen between what lies just beyond the epicardium there and elsewhere: blood of the right ventricle
instead of lung, fat and diaphragm. Which of its ends is the anterior one only the patient's
orientation tells: the picture alone does not know whether it is mirrored. Host side.

References:
    Cerqueira et al., Circulation 105, 2002: the attachment of the right ventricular wall separates
    the septum from the anterior and the inferior wall.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from scipy import ndimage

from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.clinical.wall import middle_of
from acsnet_jax.ops.host import Slice, fill_holes
from acsnet_jax.types import InputError, MaskStack, Scan, Spacing

_RAYS = 180
_RAY_DEG = 360 / _RAYS
_ALONG_MM = 0.25  # of a ray, to its outline
_DEPTHS_MM = np.arange(2.0, 16.0, 0.5)  # beyond the epicardium, where the other ventricle lies
_REACH_MM = 90.0
_WIDTHS_DEG = (84, 130)  # of the septum: 5th to 95th percentile of ACDC's end-diastolic slices
_TYPICAL_DEG = 107.0
_LEAST_CONTRAST = 0.1  # of what lies beyond the septum, in units of blood over wall
_FARTHEST_DEG = 75.0  # that the picture may lie from what the patient's orientation makes likely
_GIVEN_DEG = (40.0, 180.0)
# In the patient (RAS+): from the LV to the septum is right and forward, to the anterior wall up.
_TO_SEPTUM = np.array([1.0, 1.0, 0.0])
_TO_ANTERIOR_WALL = np.array([-0.3, 0.5, 1.0])

UNKNOWN_ORIENTATION = NotAvailable(
    "the file does not tell how the patient lies, and so not which wall is the anterior one: "
    "give the insertions of the right ventricle"
)


class Insertions(NamedTuple):
    """Where the right ventricle is inserted.

    Attributes:
        anterior_deg: between anterior and anteroseptal segments.
        inferior_deg: between inferoseptal and inferior wall.
        basis: given, found in the picture, or guessed from the patient's orientation alone.
    """

    anterior_deg: float
    inferior_deg: float
    basis: Literal["given", "picture", "geometry"]

    @property
    def turn(self) -> int:
        """1 if angles grow from the anterior insertion along the septum, else -1."""
        return 1 if (self.inferior_deg - self.anterior_deg) % 360 < 180 else -1


class Septum(NamedTuple):
    """An arc of the LV that borders on the right ventricle.

    Attributes:
        first_deg: where it begins, with growing angles.
        last_deg: where it ends.
        contrast: beyond it against beyond the rest, in units of blood over wall.
    """

    first_deg: float
    last_deg: float
    contrast: float

    @property
    def middle_deg(self) -> float:
        """The direction of its middle."""
        return (self.first_deg + (self.last_deg - self.first_deg) % 360 / 2) % 360


def given_insertions(anterior_deg: float, inferior_deg: float) -> Insertions:
    """What a reader marked.

    Raises:
        InputError: no septum lies between the two.
    """
    width = abs((inferior_deg - anterior_deg + 180) % 360 - 180)
    if not _GIVEN_DEG[0] <= width < _GIVEN_DEG[1]:
        raise InputError(
            f"insertions at {anterior_deg:g} and {inferior_deg:g} degrees lie {width:g} apart: a "
            f"septum spans {_GIVEN_DEG[0]:g} to {_GIVEN_DEG[1]:g} degrees"
        )
    return Insertions(anterior_deg % 360, inferior_deg % 360, "given")


def find_insertions(
    scan: Scan,
    myocardium: MaskStack,
    blood_pool: MaskStack,
    *,
    enhancement: MaskStack | None = None,
) -> Insertions | NotAvailable:
    """Insertions in the picture of an oriented scan, or else from its orientation alone.

    Args:
        scan: its image and its affine.
        myocardium: the wall, enhanced and viable.
        blood_pool: the cavity.
        enhancement: what of the wall may be as bright as blood.

    Returns:
        The insertions; why there are none where the orientation is unknown.
    """
    if not scan.oriented:
        return UNKNOWN_ORIENTATION
    likely = likely_insertions(scan.affine)
    septum = find_septum(
        scan.image, myocardium, blood_pool, scan.spacing_mm, enhancement=enhancement
    )
    if isinstance(septum, NotAvailable):
        return likely
    middle = likely.anterior_deg + likely.turn * _TYPICAL_DEG / 2
    if abs((septum.middle_deg - middle + 180) % 360 - 180) > _FARTHEST_DEG:
        return likely
    ends = septum.first_deg, septum.last_deg
    anterior, inferior = ends if likely.turn > 0 else ends[::-1]
    return Insertions(anterior, inferior, "picture")


def likely_insertions(affine: Float64[np.ndarray, "4 4"]) -> Insertions:
    """Where most patients have them, for what the affine says of the patient's orientation.

    Args:
        affine: voxel (column, row, slice) to RAS+ mm, as in `acsnet_jax.types.Scan`.
    """
    right, down = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (0, 1))
    septum, anterior = (
        float(np.rad2deg(np.arctan2(down @ way, right @ way)))
        for way in (_TO_SEPTUM, _TO_ANTERIOR_WALL)
    )
    side = 1 if (anterior - septum) % 360 < 180 else -1
    ends = (septum + side * _TYPICAL_DEG / 2) % 360, (septum - side * _TYPICAL_DEG / 2) % 360
    return Insertions(*ends, "geometry")


def find_septum(
    image: Float[np.ndarray, "slices height width"],
    myocardium: MaskStack,
    blood_pool: MaskStack,
    spacing_mm: Spacing,
    *,
    enhancement: MaskStack | None = None,
) -> Septum | NotAvailable:
    """The arc that borders on the right ventricle, over all slices but the apical third.

    Args:
        image: intensities of the scan.
        myocardium: the wall, enhanced and viable: what lies beyond it is looked at.
        blood_pool: the cavity.
        spacing_mm: (row, column) distance of pixel centres.
        enhancement: what of the wall may be as bright as blood; the rest tells how bright the wall
            is.
    """
    both = np.flatnonzero(myocardium.any(axis=(1, 2)) & blood_pool.any(axis=(1, 2)))
    both = both[len(both) // 3 :]
    if not both.size:
        return NotAvailable("no slice with myocardium and blood pool")
    viable = myocardium if enhancement is None else myocardium & ~enhancement
    viable = viable if viable[both].any() else myocardium
    wall = float(np.median(image[both][viable[both]]))
    blood = float(np.median(image[both][blood_pool[both]]))
    if blood <= wall:
        return NotAvailable("blood is not brighter than the wall: no right ventricle is to be seen")
    beyond = np.mean(
        [
            _beyond(
                (image[index] - wall) / (blood - wall),
                fill_holes(myocardium[index] | blood_pool[index]),
                spacing_mm,
            )
            for index in both
        ],
        axis=0,
    )
    septum = _brightest_arc(beyond)
    if septum.contrast < _LEAST_CONTRAST:
        return NotAvailable("no right ventricle stands out beside the wall")
    return septum


def _beyond(
    image: Float[np.ndarray, "height width"], lv: Slice, spacing_mm: Spacing
) -> Float[np.ndarray, "rays"]:
    """Mean intensity outside the epicardium in each direction, clipped to [0, 1]."""
    middle = np.array(middle_of(lv, spacing_mm))
    angle = np.deg2rad(np.arange(_RAYS) * _RAY_DEG)
    ways = np.stack([np.sin(angle), np.cos(angle)])
    step = np.array(spacing_mm)

    def seen(picture: np.ndarray, radius: np.ndarray) -> np.ndarray:
        # [2, rays, points] in pixels; beyond the picture nothing shines
        points = (middle[:, None, None] + ways[:, :, None] * radius) / step[:, None, None]
        return ndimage.map_coordinates(picture, points, order=1, mode="constant")

    along = np.arange(0, _REACH_MM, _ALONG_MM)
    within = seen(lv.astype(np.float64), along) > 0.5
    outline = np.max(np.where(within, along, 0), axis=1)
    return np.clip(seen(image, outline[:, None] + _DEPTHS_MM), 0, 1).mean(axis=1)


def _brightest_arc(brightness: Float[np.ndarray, "rays"]) -> Septum:
    """The arc, of a septum's width, of the greatest variance between it and the rest (Otsu)."""
    sums = np.concatenate([[0.0], np.cumsum(np.tile(brightness, 2))])
    best = Septum(0.0, 0.0, -np.inf)
    for width in range(round(_WIDTHS_DEG[0] / _RAY_DEG), round(_WIDTHS_DEG[1] / _RAY_DEG) + 1):
        inside = sums[width : width + _RAYS] - sums[:_RAYS]
        difference = inside / width - (sums[_RAYS] - inside) / (_RAYS - width)
        score = difference * np.sqrt(width * (_RAYS - width)) / _RAYS
        first = int(np.argmax(score))
        if score[first] > best.contrast:
            last = (first + width - 1) % _RAYS
            best = Septum(first * _RAY_DEG, last * _RAY_DEG, float(score[first]))
    return best
