"""What every layer shares: scans, label values, array aliases and result tuples.

This module imports nothing of the package, so that every other module may import it.
"""

import dataclasses
import enum
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Float32, Float64, Int, Shaped, UInt8

Modality = Literal["lge", "cine"]
Spacing = tuple[float, float]
"""(row, column) distance of pixel centres in mm."""

SpacingLike = ArrayLike | Sequence[ArrayLike]
"""One (row, column) spacing, or one a mask, ``[*batch, 2]``, in mm."""

Mask = Bool[Array | np.ndarray, "*batch height width"]

MaskStack = Bool[np.ndarray, "slices height width"]
"""Masks of the slices of a stack, on the host."""


class InputError(ValueError):
    """Bad input from outside. The message is one line: the file, the slice, and the fix.

    Entry points print it without a traceback and exit with status 1.
    """

    def __str__(self) -> str:
        """The message; a name out of a damaged file may hold what cannot be printed."""
        return "".join(one if one.isprintable() else " " for one in super().__str__())


def check_least(settings: object, prefix: str, **least: int) -> None:
    """Refuse settings below what makes sense.

    Args:
        settings: whose attributes are looked at.
        prefix: of their names in the message, such as "correction.".
        least: the smallest value of each attribute.

    Raises:
        InputError: an attribute is smaller, or not a number.
    """
    for name, bound in least.items():
        given = getattr(settings, name)
        if not given >= bound:
            raise InputError(f"{prefix}{name} is {given}: give at least {bound}")


def check_bool(*masks: Shaped[Array | np.ndarray, "..."]) -> None:
    """Refuse labels in the place of masks, of which operators on masks would make nonsense.

    Raises:
        InputError: an array is not of type bool.
    """
    for mask in masks:
        if mask.dtype != np.bool_:
            raise InputError(
                f"masks are {mask.dtype}, not bool: say what is foreground, as in mask > 0"
            )


class NoVentricleError(InputError):
    """No left ventricle was found in a scan, which is a result where results are counted."""


class Label(enum.IntEnum):
    """Pixel values of expert labels. LV = all above 0, enhancement = ENHANCEMENT and NO_REFLOW."""

    BACKGROUND = 0
    BLOOD_POOL = 1
    MYOCARDIUM = 2
    ENHANCEMENT = 3
    NO_REFLOW = 4


class Tissue(enum.IntEnum):
    """Pixel values of a predicted ``segmentation.nii.gz``."""

    BACKGROUND = 0
    BLOOD_POOL = 1
    VIABLE = 2
    GRAY_ZONE = 3
    CORE_SCAR = 4


VoiFunction = Literal["linear", "linear_exact", "sigmoid"]


@dataclasses.dataclass(frozen=True)
class Window:
    """How the owner of a scan shows its intensities; in the unit of ``Scan.image``.

    Attributes:
        centre: WindowCenter.
        width: WindowWidth, above 1.
        function: VOILUTFunction, which says what becomes of the values between.

    References:
        DICOM PS3.3, C.11.2.1.
    """

    centre: float
    width: float
    function: VoiFunction = "linear"

    @property
    def low(self) -> float:
        """The intensity that is shown black."""
        return self.centre - self.width / 2

    @property
    def high(self) -> float:
        """The intensity that is shown white; the standard's linear window spans width - 1."""
        return self.centre + self.width / 2 - (self.function == "linear")


@dataclasses.dataclass(frozen=True)
class NiftiGrid:
    """What a NIfTI header says of its grid, but for the sform's rows; values as they stand there.

    What is written for the scan's owner repeats them: viewers overlay only what agrees.
    """

    pixdim: tuple[float, ...]
    quatern_b: float
    quatern_c: float
    quatern_d: float
    qoffset_x: float
    qoffset_y: float
    qoffset_z: float
    qform_code: int
    sform_code: int
    xyzt_units: int


@dataclasses.dataclass(frozen=True)
class PhantomRecord:
    """How a synthetic patient was made.

    Attributes:
        seed: number of the cohort.
        patient: number within the cohort.
        rv_insertions_deg: angles of the anterior and the inferior insertion of the right ventricle
            about the middle of the LV, from right over down in the standard view.
        scar_territories: coronary artery of each infarct that the labels show.
    """

    seed: int
    patient: int
    rv_insertions_deg: tuple[float, float]
    scar_territories: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ConversionRecord:
    """How a cine scan was made LGE-like.

    Attributes:
        reference: id of the scan whose histogram it has.
        seed: of the pseudo-scar.
        clahe: whether the cine was equalised first.
    """

    reference: str
    seed: int
    clahe: bool


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a scan comes from, for whoever asks later; nothing is computed from it.

    Attributes:
        format: the reader that read it, or "phantom".
        modality_basis: what the modality rests on.
        slice_order_basis: what the order of the slices rests on.
        series_number: DICOM's, if it is a number.
        phases: temporal phases at a position, of which one was read.
        trigger_ms: of the phase that was read, one a slice in file order; empty if no file tells.
        frame: number of the frame that was read, where the format numbers them (ACDC).
        rescale: the different (slope, intercept) that were applied.
        inverted: whether bright and dark were exchanged (MONOCHROME1).
        cine_to_lge: for a converted cine scan.
        phantom: for a synthetic patient.
        pathology: what the data set's owner says of the patient, such as "infarct"; tables of
            results group by it. Empty where nothing is said.
    """

    format: str = ""
    modality_basis: str = ""
    slice_order_basis: str = ""
    series_number: int | None = None
    phases: int = 1
    trigger_ms: tuple[float | None, ...] = ()
    frame: int | None = None
    rescale: tuple[tuple[float, float], ...] = ()
    inverted: bool = False
    cine_to_lge: ConversionRecord | None = None
    phantom: PhantomRecord | None = None
    pathology: str = ""


class DicomPlane(NamedTuple):
    """Where a slice lies in its owner's files.

    Attributes:
        path: a DICOM file; what it is called may name the patient, and is written nowhere.
        frame: index in the file, from 0.
    """

    path: pathlib.Path
    frame: int


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """One short-axis stack, ordered apex to base, with what an expert drew on it.

    Attributes:
        id: pseudonymous id, safe as a folder name; never a patient's name or number.
        image: intensities, ``[slices, height, width]``, rescaled as the file says (modality LUT, or
            slope and intercept) and never windowed; any range.
        spacing_mm: (row, column) distance of pixel centres.
        positions_mm: ``[slices]``, strictly increasing position of each slice along the stack's
            normal, apex first. Differences are slice distances (not SliceThickness).
        affine: 4x4, voxel ``(column, row, slice)`` of this array to patient space (RAS+, mm): the
            affine of a NIfTI file that holds ``image.transpose(2, 1, 0)``.
        oriented: whether ``affine`` tells the patient's orientation. False where the owner's header
            is a placeholder (EMIDEC, ACDC); then only the picture shows how the patient lies.
        modality: "lge" or "cine".
        labels: ``[slices, height, width]`` of `Label` values, or None.
        labelled: ``[slices]``, which slices an expert outlined; all False without labels. Other
            slices are predicted, but neither trained nor evaluated on.
        has_enhancement: whether the labels tell enhancement from viable myocardium.
        file_order: ``[slices]``, index of each slice in the source's own order, to write results
            on the grid that the user brought.
        file_affine: 4x4 affine of the source's own order; equals ``affine`` if that is apex first.
        window: how the header shows ``image``, for the networks' inputs; one for the whole stack.
        signal_zero: the intensity of ``image`` that stands for no signal, where the reader knows it
            (phase-sensitive images); None is taken as 0.
        problems: what a user should know, one line each.
        endocardium_only: indices (apex first) of slices with a blood pool and no myocardium drawn.
        nominal_spacing: whether distances in mm are a convention rather than measured.
        nifti_grid: the grid as the owner's NIfTI header has it; None for other formats.
        provenance: where the scan comes from; no patient's identity.
        planes: the files it was read from, one plane a slice, for DICOM that is written beside
            them; empty for other formats, and in a store.
    """

    id: str
    image: Float32[np.ndarray, "slices height width"]
    spacing_mm: Spacing
    positions_mm: Float64[np.ndarray, "slices"]
    affine: Float64[np.ndarray, "4 4"]
    oriented: bool
    modality: Modality
    labels: UInt8[np.ndarray, "slices height width"] | None
    labelled: Bool[np.ndarray, "slices"]
    has_enhancement: bool
    file_order: Int[np.ndarray, "slices"]
    file_affine: Float64[np.ndarray, "4 4"]
    window: Window | None = None
    signal_zero: float | None = None
    problems: tuple[str, ...] = ()
    endocardium_only: tuple[int, ...] = ()
    nominal_spacing: bool = False
    nifti_grid: NiftiGrid | None = None
    provenance: Provenance = Provenance()
    planes: tuple[DicomPlane, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the intensities and where they lie, to tell a scan from a later one."""
        parts = (self.image, np.asarray(self.spacing_mm), self.positions_mm)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Of the intensities alone, each slice's sorted: the same however a scan is turned.

        16 hexadecimal digits, from which no picture can be made.
        """
        ordered = np.sort(self.image.reshape(len(self.image), -1), axis=1)
        return hashlib.sha256(ordered.tobytes()).hexdigest()[:16]

    def replace(self, **changes) -> "Scan":
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)


class Population(NamedTuple):
    """Latent codes that all decode to valid masks (paper, Stage 3; rejection sampling).

    Attributes:
        codes: ``[size, latent]``.
        masks: ``[size, height, width // 8]``, the decoded masks, eight pixels a byte along the
            width, most significant bit first (`numpy.packbits`).
    """

    codes: Float[Array, "size latent"]
    masks: UInt8[Array, "size height packed"]


class Correction(NamedTuple):
    """Result of the latent correction, one entry a mask; on the device or on the host.

    Attributes:
        mask: the corrected masks; each satisfies delta or is empty.
        alpha: the step towards the neighbour, in [0, 1]; 0 where nothing moved.
        neighbour: index of the neighbour in the population; -1 where none was used.
        distance: Euclidean distance to the neighbour in latent space; NaN where none was used.
        valid_before: whether the given mask satisfied delta.
        failed_before: ``[*batch, criteria]``, which criteria the given mask failed, in the order of
            `acsnet_jax.anatomy.CRITERIA`; no criteria if the caller gave no `failures` function.
        pixels_changed: number of pixels that differ from the given mask.
        empty: whether the given mask was empty; it then stays empty.
    """

    mask: Bool[Array | np.ndarray, "*batch height width"]
    alpha: Float[Array | np.ndarray, "*batch"]
    neighbour: Int[Array | np.ndarray, "*batch"]
    distance: Float[Array | np.ndarray, "*batch"]
    valid_before: Bool[Array | np.ndarray, "*batch"]
    failed_before: Bool[Array | np.ndarray, "*batch criteria"]
    pixels_changed: Int[Array | np.ndarray, "*batch"]
    empty: Bool[Array | np.ndarray, "*batch"]


class Route(enum.StrEnum):
    """How a mask that stage 3 delivers came about."""

    UNTOUCHED = "untouched"
    CLEANED = "cleaned"
    """Without its islands and extra holes, which alone sufficed."""
    RESAMPLED = "resampled"
    """Drawn again by its outline on the grid of stage 3, without islands and extra holes."""
    REDECODED = "re-decoded"
    """Encoded and decoded, with no step towards a neighbour."""
    MOVED = "moved"
    """By a step alpha towards a neighbour in latent space."""
    STAND_IN = "stand-in"
    """A member of the population, where nothing nearer was valid on the delivered grid."""
    LOST = "lost"
    """Nothing valid was found; the slice is left out."""


class Certificate(NamedTuple):
    """What stage 3 did to one slice, on the grid on which it is written.

    ``_asdict()`` is ready for JSON. Of a slice that the volume checks leave out, it describes the
    mask that the correction gave it.

    Attributes:
        scan_id: pseudonymous id.
        slice_index: index in the stack, apex first; of a mask file, in its own order.
        route: how the delivered mask came about.
        empty: there was no mask to correct.
        valid_before: whether the given mask satisfied every criterion on this grid.
        valid_after: whether the delivered mask does, checked on that very array.
        failed_before: names of the criteria that the given mask failed.
        neighbour: index in the population; None where none was used.
        latent_distance: Euclidean distance to the neighbour; None where none was used.
        alpha: step towards the neighbour, in [0, 1].
        pixels_changed: between the given and the delivered mask.
        area_changed_mm2: the same in mm^2.
        scar_moved_mm3: volume of enhancement, as it was before the correction, that left the
            myocardium or came into it through the correction; None where none is known.
        kept: whether the mask is in the output: not empty, not lost, and not left out by the volume
            checks as a slice beyond apex or base.
    """

    scan_id: str
    slice_index: int
    route: Route
    empty: bool
    valid_before: bool
    valid_after: bool
    failed_before: tuple[str, ...]
    neighbour: int | None
    latent_distance: float | None
    alpha: float
    pixels_changed: int
    area_changed_mm2: float
    scar_moved_mm3: float | None
    kept: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """What the cascade says of one scan, on the scan's own grid, apex first.

    Attributes:
        scan: the scan that was segmented.
        myocardium: ``[slices, height, width]``, viable and enhanced.
        blood_pool: ``[slices, height, width]``.
        enhancement: ``[slices, height, width]``, inside ``myocardium``.
        core: ``[slices, height, width]``, core scar, inside ``enhancement``; gray zone is the rest.
        no_reflow: ``[slices, height, width]``, dark cores inside ``enhancement``, where a network
            tells them; None where they are left to the picture.
        marked_no_reflow: all that the network calls so, wherever it lies, for a rule to be fitted.
        kept: ``[slices]``, False for slices that are empty, lost, or beyond apex or base; their
            masks are empty.
        certificates: what stage 3 did to each slice; empty if the cascade ran without it.
        scar_probability: ``[slices, height, width]``, of enhancement, in [0, 1], also outside of
            the myocardium; None for a segmentation from elsewhere.
        myocardium_probability: the same of the myocardium, before the correction.
        spread: standard deviation of features over draws of the segmentation, by their names, see
            `acsnet_jax.clinical.spread_of`; empty if nothing was drawn.
    """

    scan: Scan
    myocardium: Bool[np.ndarray, "slices height width"]
    blood_pool: Bool[np.ndarray, "slices height width"]
    enhancement: Bool[np.ndarray, "slices height width"]
    core: Bool[np.ndarray, "slices height width"]
    kept: Bool[np.ndarray, "slices"]
    certificates: tuple[Certificate, ...] = ()
    scar_probability: Float32[np.ndarray, "slices height width"] | None = None
    myocardium_probability: Float32[np.ndarray, "slices height width"] | None = None
    spread: Mapping[str, float] = dataclasses.field(default_factory=dict)
    no_reflow: Bool[np.ndarray, "slices height width"] | None = None
    marked_no_reflow: Bool[np.ndarray, "slices height width"] | None = None

    @property
    def lv(self) -> Bool[np.ndarray, "slices height width"]:
        """Myocardium and blood pool."""
        return self.myocardium | self.blood_pool

    @property
    def tissue(self) -> UInt8[np.ndarray, "slices height width"]:
        """`Tissue` values."""
        tissue = np.zeros(self.myocardium.shape, np.uint8)
        tissue[self.blood_pool] = Tissue.BLOOD_POOL
        tissue[self.myocardium] = Tissue.VIABLE
        tissue[self.enhancement] = Tissue.GRAY_ZONE
        tissue[self.core] = Tissue.CORE_SCAR
        return tissue
