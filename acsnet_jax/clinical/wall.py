"""Thickness of the wall and transmurality of scar along the field lines of Laplace's equation.

The potential is 0 in the cavity and 1 outside of the epicardium; a field line that runs from one to
the other is the wall's own way through, whatever its shape, and no two lines cross. Its length is
the thickness (Jones et al.), and the part of it that lies in scar the transmurality. Lines are
traced from points that stand equally far apart along the middle surface (potential one half), so
that each stands for the same length of the wall, as the chords of the centre-line method do.

Outlines are taken between the pixels: the cavity and the LV, each slightly smoothed, cross one half
there. The equation is solved on a square grid in mm finer than the pixels, with the distances to
the outlines inside the stencil (Shortley and Weller), so that pixels need not be square. Angles are
in degrees about the LV's middle, from right over down, in mm. Host side, one slice at a time.

References:
    Jones, Buchbinder, Aharon, Human Brain Mapping 11, 2000, "Three-dimensional mapping of cortical
    thickness using Laplace's equation". Yezzi and Prince, IEEE Trans. Medical Imaging 22, 2003, for
    its use on the myocardium. Shortley and Weller, J. Applied Physics 9, 1938.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage, sparse
from scipy.sparse import linalg
from skimage import measure

from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.ops.host import Slice, component_sizes, fill_holes, holes, label_components
from acsnet_jax.types import Spacing

LINES = 120
"""Field lines of a slice."""

_SMOOTHING_PX = 0.7  # of the outlines, so that pixels leave no steps in them
_FINER = 2.0  # nodes a pixel
_MARGIN_PX = 4
_STEP = 0.5  # of a field line, in nodes
_LONGEST_MM = 60.0  # a line longer than this leads nowhere
_NEAREST = 1e-3  # of a node's step, between a node and an outline
_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))

Field = Float[np.ndarray, "nodes_down nodes_right"]

NO_WALL = NotAvailable("no myocardium on this slice")
TOO_SMALL = NotAvailable("cavity or wall are of a pixel or two: too small for an outline")
NO_CAVITY = NotAvailable("the myocardium encloses no cavity: an open ring, or a slice of the apex")


class WallLines(NamedTuple):
    """The field lines of one slice's wall, in order around it.

    Attributes:
        thickness_mm: length of each line.
        angle_deg: direction in which its middle is seen from the LV's middle, in [0, 360).
        spacing_mm: distance of two lines along the middle surface.
        rows: row of the pixel at each point of a line, from endocardium to epicardium.
        columns: its column.
        in_wall: whether that point exists and lies in the myocardium.
    """

    thickness_mm: Float[np.ndarray, "lines"]
    angle_deg: Float[np.ndarray, "lines"]
    spacing_mm: float
    rows: Int[np.ndarray, "lines points"]
    columns: Int[np.ndarray, "lines points"]
    in_wall: Bool[np.ndarray, "lines points"]


class _Grid(NamedTuple):
    """A square grid over a part of a slice; positions on it are in nodes."""

    step_mm: float
    first_row: int
    first_column: int
    spacing_mm: Spacing

    def pixels(self, points: Float[np.ndarray, "2 *n"]) -> Float[np.ndarray, "2 *n"]:
        """Positions in pixels of the slice."""
        rows = self.first_row + points[0] * (self.step_mm / self.spacing_mm[0])
        columns = self.first_column + points[1] * (self.step_mm / self.spacing_mm[1])
        return np.stack([rows, columns])


def wall_lines(
    myocardium: Slice, spacing_mm: Spacing, *, lines: int = LINES
) -> WallLines | NotAvailable:
    """The field lines of the wall on one slice.

    Args:
        myocardium: of one slice; its largest hole is the cavity, smaller ones count as wall.
        spacing_mm: (row, column) distance of pixel centres.
        lines: how many are traced.

    Returns:
        The lines; why there are none where the wall does not enclose a cavity.
    """
    if not myocardium.any():
        return NO_WALL
    parts = ring_of(myocardium)
    if parts is None:
        return NO_CAVITY
    lv, cavity = parts
    grid, within, beyond = _outlines(lv, cavity, spacing_mm)
    inside = (within > 0) & (beyond > 0)
    if not inside.any() or not (beyond <= 0).any():
        return TOO_SMALL
    potential, direction = _laplace(within, beyond, inside)
    starts, length = _middle(potential, lines)
    lengths, ways = zip(
        *(
            _trace(starts, sign * direction, level, grid.step_mm)
            for sign, level in ((-1, beyond), (1, within))
        ),
        strict=True,
    )
    # From the endocardium outwards: [points, 2, lines]
    points = np.concatenate([ways[0][::-1], starts[None], ways[1]])
    pixels = grid.pixels(np.moveaxis(points, 1, 0))
    nearest = np.rint(pixels)
    limits = np.array(lv.shape)[:, None, None]
    # beyond the picture, where the wall reaches its border; NaN is nowhere
    known = ((nearest >= 0) & (nearest < limits)).all(axis=0)
    rows, columns = np.where(known, nearest, 0).astype(int)
    in_wall = known & (lv & ~cavity)[rows, columns]
    arrived = np.isfinite(lengths[0] + lengths[1]) & in_wall.any(axis=0)
    return WallLines(
        (lengths[0] + lengths[1])[arrived],
        angles_deg(grid.pixels(starts), lv, spacing_mm)[arrived],
        length * grid.step_mm / lines,
        rows.T[arrived],
        columns.T[arrived],
        in_wall.T[arrived],
    )


def transmurality(lines: WallLines, scar: Slice) -> Float[np.ndarray, "lines"]:
    """The share of each line's way through the myocardium that lies in scar, in [0, 1]."""
    marked = scar[lines.rows, lines.columns] & lines.in_wall
    return marked.sum(axis=1) / lines.in_wall.sum(axis=1)


def ring_of(myocardium: Slice) -> tuple[Slice, Slice] | None:
    """The LV around the largest hole of a myocardium, filled, and that hole; None without one."""
    inside = label_components(holes(myocardium), connectivity=4)
    sizes = component_sizes(inside)
    if not sizes.size:
        return None
    cavity = inside == 1 + int(np.argmax(sizes))
    parts = label_components(fill_holes(myocardium))
    return parts == parts[cavity][0], cavity


def middle_of(lv: Slice, spacing_mm: Spacing) -> tuple[float, float]:
    """Mean (row, column) of an LV with its blood pool, in mm."""
    rows, columns = np.nonzero(lv)
    return float(rows.mean()) * spacing_mm[0], float(columns.mean()) * spacing_mm[1]


def angles_deg(
    points: Float[np.ndarray, "2 *n"] | Int[np.ndarray, "2 *n"], lv: Slice, spacing_mm: Spacing
) -> Float[np.ndarray, "*n"]:
    """Directions in which (row, column) points are seen from the LV's middle, in [0, 360)."""
    row_mm, column_mm = middle_of(lv, spacing_mm)
    return (
        np.rad2deg(
            np.arctan2(points[0] * spacing_mm[0] - row_mm, points[1] * spacing_mm[1] - column_mm)
        )
        % 360
    )


def _outlines(lv: Slice, cavity: Slice, spacing_mm: Spacing) -> tuple[_Grid, Field, Field]:
    """A fine grid, and on it what is positive within the epicardium and beyond the endocardium."""
    rows, columns = np.nonzero(lv)
    first = [int(index.min()) - _MARGIN_PX for index in (rows, columns)]
    sizes = [int(np.ptp(index)) + 2 * _MARGIN_PX for index in (rows, columns)]
    step = min(spacing_mm) / _FINER
    grid = _Grid(step, first[0], first[1], spacing_mm)
    shape = [int(size * mm / step) + 1 for size, mm in zip(sizes, spacing_mm, strict=True)]
    nodes = grid.pixels(np.indices(shape).astype(float))
    levels = []
    for mask in (lv, cavity):
        smooth = ndimage.gaussian_filter(
            np.pad(mask, _MARGIN_PX).astype(np.float64), _SMOOTHING_PX, mode="constant"
        )
        levels.append(ndimage.map_coordinates(smooth, nodes + _MARGIN_PX, order=3) - 0.5)
    return grid, levels[0], -levels[1]


def _laplace(
    within: Field, beyond: Field, inside: Bool[np.ndarray, "nodes_down nodes_right"]
) -> tuple[Field, Float[np.ndarray, "2 nodes_down nodes_right"]]:
    """The potential, and the unit vector along which it rises; that of the nearest node outside."""
    count = int(inside.sum())
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(count)
    rows, columns = np.nonzero(inside)
    distance, neighbour, fixed = [], [], []
    for down, right in _SIDES:
        there = rows + down, columns + right
        to_cavity, to_outside = (
            _way_out(level[inside], level[there]) for level in (beyond, within)
        )
        neighbour.append(number[there])
        distance.append(np.clip(np.minimum(np.minimum(to_cavity, to_outside), 1), _NEAREST, 1))
        # the endocardium's value is 0, the epicardium's 1
        fixed.append((to_outside < to_cavity).astype(float))
    values, entries = np.zeros(count), []
    diagonal = np.zeros(count)
    for side in range(4):
        weight = 2 / (distance[side] * (distance[side] + distance[side ^ 1]))
        free = neighbour[side] >= 0
        entries.append((weight[free], np.flatnonzero(free), neighbour[side][free]))
        values -= np.where(free, 0, weight * fixed[side])
        diagonal -= weight
    entries.append((diagonal, np.arange(count), np.arange(count)))
    weights, here, other = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    matrix = sparse.csc_matrix((weights, (here, other)), shape=(count, count))
    solution = np.asarray(linalg.spsolve(matrix, values))
    potential = np.where(beyond > 0, 1.0, 0.0)
    potential[inside] = solution
    around = [np.where(n >= 0, solution[n], f) for n, f in zip(neighbour, fixed, strict=True)]
    slopes = np.zeros((2, *inside.shape))
    for axis in range(2):
        before, after = 2 * axis, 2 * axis + 1
        a, b = distance[before], distance[after]
        falling, rising = (solution - around[before]) / a, (around[after] - solution) / b
        slopes[axis][inside] = (rising * a + falling * b) / (a + b)
    nearest = np.asarray(
        ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    )
    slopes = slopes[:, nearest[0], nearest[1]]
    size = np.linalg.norm(slopes, axis=0)
    return potential, slopes / np.where(size > 0, size, 1.0)


def _way_out(
    here: Float[np.ndarray, "nodes"], there: Float[np.ndarray, "nodes"]
) -> Float[np.ndarray, "nodes"]:
    """The share of the way to a neighbour after which a level is 0; infinite if it never is."""
    leaves = there <= 0
    return np.where(leaves, here / np.where(leaves, here - there, 1.0), np.inf)


def _middle(potential: Field, lines: int) -> tuple[Float[np.ndarray, "2 lines"], float]:
    """Points equally far apart on the longest contour of one half, and its length; in nodes."""
    curve = max(measure.find_contours(potential, 0.5), key=len)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    wanted = (np.arange(lines) + 0.5) * along[-1] / lines
    return np.stack([np.interp(wanted, along, curve[:, axis]) for axis in (0, 1)]), along[-1]


def _trace(
    starts: Float[np.ndarray, "2 lines"],
    direction: Float[np.ndarray, "2 nodes_down nodes_right"],
    level: Field,
    step_mm: float,
) -> tuple[Float[np.ndarray, "lines"], Float[np.ndarray, "steps 2 lines"]]:
    """Follows a field from each start until a level falls to 0, by the midpoint rule.

    Returns:
        Lengths in mm, NaN where a line did not arrive; the points on the way, NaN beyond the end.
    """
    here, length = starts.copy(), np.zeros(starts.shape[1])
    old = _at(level, here)
    going = old > 0
    way = []
    for _ in range(int(_LONGEST_MM / (_STEP * step_mm))):
        if not going.any():
            break
        middle = here + 0.5 * _STEP * _along(direction, here)
        there = here + _STEP * _along(direction, middle)
        new = _at(level, there)
        arrives = going & (new <= 0)
        share = np.where(arrives, old / np.where(arrives, old - new, 1.0), 1.0)
        length += np.where(going, share * _STEP * step_mm, 0.0)
        going = going & ~arrives
        here, old = np.where(going, there, here), np.where(going, new, old)
        way.append(np.where(going, there, np.nan))
    length[going] = np.nan
    return length, np.stack(way) if way else np.zeros((0, *starts.shape))


def _at(field: Field, points: Float[np.ndarray, "2 lines"]) -> Float[np.ndarray, "lines"]:
    return ndimage.map_coordinates(field, points, order=1, mode="nearest")


def _along(
    direction: Float[np.ndarray, "2 nodes_down nodes_right"], points: Float[np.ndarray, "2 lines"]
) -> Float[np.ndarray, "2 lines"]:
    vector = np.stack([_at(part, points) for part in direction])
    size = np.linalg.norm(vector, axis=0)
    return vector / np.where(size > 0, size, 1.0)
