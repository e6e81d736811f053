"""NIfTI: an image, and a label if there is one -> `Scan`; masks -> NIfTI on the user's own grid.

NIfTI arrays are (column, row, slice); a `Scan` holds ``[slices, height, width]``, so an array is
transposed by (2, 1, 0) on its way in and out. Intensities are those of the file, any range.

A cohort of NIfTI files is one of::

    ROOT/images/ID.nii.gz         ROOT/labels/ID.nii.gz
    ROOT/ID_image.nii.gz          ROOT/ID_label.nii.gz
    ROOT/ID.nii.gz                (no labels)
"""

import logging
import math
import pathlib
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence

import nibabel
import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from nibabel.arrayproxy import ArrayProxy
from nibabel.openers import Opener
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from acsnet_jax.files import replacing
from acsnet_jax.io.nifti_grid import (
    check_grids,
    check_slices_last,
    grid_of,
    is_oriented,
    set_codes,
    voxel_geometry,
)
from acsnet_jax.io.stack import (
    SliceOrder,
    build_scan,
    check_finite,
    check_size,
    safe_id,
)
from acsnet_jax.types import InputError, Label, Modality, Provenance, Scan, Tissue

_NIBABEL_ERRORS = (
    ArithmeticError,
    EOFError,
    HeaderDataError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
    WrapStructError,
    zlib.error,
)
_GZIP = b"\x1f\x8b"  # how a compressed file begins
_STARTS = [  # and one that is not: with the size of its header
    struct.pack(f"{order}i", kind.sizeof_hdr)
    for order in "<>"
    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header)
]
_DEFLATE = 1032  # bytes that a compressed byte can stand for at most
_MOST_OFFSET = 2**24  # bytes before the voxels, header extensions included
_MOST_READ = 3 * 2**28  # bytes that reading one file may take

LABEL_ROUNDING = 1e-3
"""Of labels that went through a scaling in float32."""

LABEL_SUFFIXES = ("_label", "_labels", "_gt", "_mask", "_seg", "_segmentation")
"""What a file's name ends in that holds labels."""


def nifti_stem(path: pathlib.Path) -> str:
    """File name without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def is_nifti(path: pathlib.Path) -> bool:
    """Whether the name ends in .nii or .nii.gz, and is no hidden file."""
    return path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith(".")


def nifti_pairs(
    root: pathlib.Path, *, with_labels: bool = True
) -> list[tuple[str, pathlib.Path, pathlib.Path | None]]:
    """(id, image, label or None) of each scan of a folder; layouts as in the module's docstring.

    Raises:
        InputError: the folder holds no image, two of one name or, if ``with_labels``, two labels of
            one image or a label without an image.
    """
    if (root / "images").is_dir():
        images = _by_stem(_nifti_files(root / "images"))
        labels = _by_stem(_nifti_files(root / "labels")) if with_labels else {}
    else:
        files = _nifti_files(root)
        drawn = [path for path in files if nifti_stem(path).endswith(LABEL_SUFFIXES)]
        images = _by_stem([path for path in files if path not in drawn], ("_image",))
        labels = _by_stem(drawn, LABEL_SUFFIXES) if with_labels else {}
    if not images:
        raise InputError(f"{root}: no NIfTI image: expected images/*.nii.gz or *_image.nii.gz")
    if not with_labels:
        return [(name, path, None) for name, path in images.items()]
    orphans = sorted(labels.keys() - images.keys())
    if orphans:
        raise InputError(f"{labels[orphans[0]]}: a label without an image {orphans[0]}: rename it")
    return [(name, path, labels.get(name)) for name, path in images.items()]


def _by_stem(
    paths: Iterable[pathlib.Path], suffixes: Sequence[str] = ()
) -> dict[str, pathlib.Path]:
    """Files by their name, without whichever suffix it ends in.

    Raises:
        InputError: two have one name.
    """
    found: dict[str, pathlib.Path] = {}
    for path in paths:
        stem = nifti_stem(path)
        for suffix in suffixes:
            if stem.endswith(suffix):
                stem = stem.removesuffix(suffix)
                break
        if stem in found:
            raise InputError(
                f"{path}: {found[stem].name} is of the same name {stem}: keep one of them"
            )
        found[stem] = path
    return found


def _nifti_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in folder.glob("*") if p.is_file() and is_nifti(p))


def read_nifti(
    image_path: str | pathlib.Path,
    label_path: str | pathlib.Path | None = None,
    *,
    id: str | None = None,
    label_map: Mapping[int, int] | None = None,
    has_enhancement: bool | None = None,
    modality: Modality = "lge",
    slice_order: SliceOrder = "auto",
    usual_order: SliceOrder = "auto",
    placeholder: bool = False,
) -> Scan:
    """Reads a stack, and its label if given.

    Args:
        image_path: 3-D, or 4-D, of which the first frame is taken.
        label_path: same shape as the image.
        id: the scan's id; None for the file's name.
        label_map: file's value -> `Label` value; None if the file holds `Label` values.
        has_enhancement: whether the labels tell enhancement from viable myocardium. None: whether
            ``label_map`` leads to enhancement or, without a map, the label holds any.
        modality: "lge" or "cine".
        slice_order: the file's order, "auto" to find out from orientation or labelled areas.
        usual_order: the order the data set's owner keeps, used where "auto" cannot tell.
        placeholder: whether affines of image and label are known to tell nothing of the patient.

    Raises:
        InputError: a truncated file, shapes or grids of image and label that differ, an unknown
            label value, a spacing that is not positive, intensities that are not finite, or slices
            that do not lie along the third axis.
    """
    path = pathlib.Path(image_path)
    image, header = _read_image(path)
    check_finite(image, str(path))
    affine = np.asarray(header.get_best_affine(), np.float64)
    spacing, scaled_affine, problems = voxel_geometry(path, header)
    check_slices_last(path, image.shape, spacing)
    if placeholder:
        problems = []
    oriented = not placeholder and is_oriented(header)
    labels = None
    if label_path is not None:
        label_path = pathlib.Path(label_path)
        labels, label_header = _read_labels(label_path, label_map)
        if labels.shape != image.shape:
            raise InputError(
                f"{label_path}: label is {_xyz(labels)}, its image {path.name} is {_xyz(image)} "
                "(columns x rows x slices): give the label of this image"
            )
        if not placeholder:
            check_grids(path, header, label_path, label_header, image.shape)
    if has_enhancement is None:
        has_enhancement = labels is not None and _tells_enhancement(labels, label_map)
    normal = np.cross(scaled_affine[:3, 0], scaled_affine[:3, 1])
    distance = abs(float(scaled_affine[:3, 2] @ normal / np.linalg.norm(normal)))
    return build_scan(
        id=safe_id(id or nifti_stem(path)),
        image=image,
        spacing_mm=(spacing[1], spacing[0]),
        positions_mm=np.arange(len(image)) * distance,
        affine=scaled_affine,
        file_affine=affine,
        oriented=oriented,
        modality=modality,
        labels=labels,
        has_enhancement=has_enhancement,
        problems=problems,
        nifti_grid=grid_of(header),
        provenance=Provenance(format="nifti", modality_basis="as given"),
        slice_order=slice_order,
        usual_order=usual_order,
    )


def holds_enhancement(path: pathlib.Path, label_map: Mapping[int, int] | None) -> bool:
    """Whether ``label_map`` leads to enhancement or, without a map, the file holds any.

    Raises:
        InputError: the file cannot be read, or holds an unknown value.
    """
    if label_map is not None:
        return any(value >= Label.ENHANCEMENT for value in label_map.values())
    return _tells_enhancement(_read_labels(path, None)[0], None)


def _tells_enhancement(
    labels: UInt8[np.ndarray, "slices height width"], label_map: Mapping[int, int] | None
) -> bool:
    known = label_map.values() if label_map is not None else np.unique(labels)
    return any(value >= Label.ENHANCEMENT for value in known)


def _xyz(array: Shaped[np.ndarray, "slices height width"]) -> str:
    return " x ".join(str(n) for n in array.shape[::-1])


def open_nifti(
    path: pathlib.Path, *, first_frame: bool = False
) -> tuple[np.ndarray, nibabel.Nifti1Header]:
    """Scaled array, (column, row, ...), and the header as it stands in the file, unrepaired.

    Args:
        path: the file.
        first_frame: whether of four axes or more the first three are read alone.

    Raises:
        InputError: the file is missing, truncated or not NIfTI, its values are no real numbers, or
            its header claims more than the file can hold, or than a scan can be.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    logger = logging.getLogger("nibabel.global")
    silent, logger.disabled = logger.disabled, True
    try:
        _check_name(path)
        # nibabel repairs a spacing of 0 silently; the raw header still tells it.
        header, repaired = _headers(path)
        shape = repaired.get_data_shape()
        if first_frame:
            shape = shape[:3]
        _check_type(repaired.get_data_dtype(), path)
        _check_claims(shape, repaired, path)
        proxy = ArrayProxy(str(path), repaired)
        further = (0,) * (len(proxy.shape) - len(shape))
        array = np.asanyarray(proxy[(..., *further)] if further else proxy)
    except _NIBABEL_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot read, truncated or not NIfTI: copy it again") from error
    finally:
        logger.disabled = silent
    return array, header


def _headers(path: pathlib.Path) -> tuple[nibabel.Nifti1Header, nibabel.Nifti1Header]:
    """The header as it stands in the file, and as nibabel repairs it.

    Extensions are passed over: they are of any size, and may hold a whole DICOM header.
    """
    with Opener(str(path)) as file:
        start = file.read(nibabel.Nifti2Header.sizeof_hdr)
    sizes = {struct.unpack_from(f"{order}i", start)[0] for order in "<>" if len(start) > 4}
    second = nibabel.Nifti2Header.sizeof_hdr in sizes
    kind = nibabel.Nifti2Header if second else nibabel.Nifti1Header
    block = start[: kind.sizeof_hdr]
    return kind(block, check=False), kind(block)


def _check_name(path: pathlib.Path) -> None:
    """Refuses a name that lies about compression, by which the file is opened."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_GZIP) and path.name.endswith(".nii"):
        raise InputError(f"{path}: the file is compressed: name it .nii.gz")
    if start in _STARTS and path.name.endswith(".gz"):
        raise InputError(f"{path}: the file is not compressed: name it .nii")


def _check_type(dtype: np.dtype, path: pathlib.Path) -> None:
    if dtype.names or dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(
            f"{path}: colour, complex or 128-bit values: convert it to one grey value or one label "
            "a voxel"
        )


def _check_claims(shape: Sequence[int], header: nibabel.Nifti1Header, path: pathlib.Path) -> None:
    """Refuses a header that claims too much, before memory is taken."""
    if not shape or min(shape) < 1:
        raise InputError(f"{path}: needs three axes, has shape {tuple(shape)}")
    check_size(shape, str(path))
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _MOST_OFFSET:
        raise InputError(
            f"{path}: the header claims that voxels begin {offset:g} bytes into the file: correct "
            "its vox_offset, or convert the file again"
        )
    claimed = math.prod(shape) * header.get_data_dtype().itemsize
    compressed = path.name.endswith(".gz")
    held = path.stat().st_size * (_DEFLATE if compressed else 1)
    if claimed > held:
        raise InputError(
            f"{path}: the header claims {' x '.join(map(str, shape))} voxels, more than the file "
            "can hold, truncated? Copy it again or correct the header"
        )
    # nibabel scales in double precision, slope and intercept one after the other, and copies what
    # was inflated
    scaled = header.get_slope_inter() not in ((None, None), (1, 0))
    needed = max(claimed + 16 * math.prod(shape) * scaled, claimed * (1 + compressed))
    if needed > _MOST_READ:
        raise InputError(
            f"{path}: reading its voxels takes {needed >> 20} MiB, more than {_MOST_READ >> 20}: "
            "crop the image, or store it as float32 without a scaling"
        )


def stack_array(array: np.ndarray, path: pathlib.Path) -> Shaped[np.ndarray, "slices height width"]:
    """``[slices, height, width]`` from (column, row[, slice[, frame]]).

    Raises:
        InputError: no such axes.
    """
    while array.ndim > 3:
        array = array[..., 0]
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"{path}: needs three axes, has shape {array.shape}")
    return array.transpose(2, 1, 0)


def _read_image(
    path: pathlib.Path,
) -> tuple[Float32[np.ndarray, "slices height width"], nibabel.Nifti1Header]:
    array, header = open_nifti(path, first_frame=True)
    with np.errstate(over="ignore"):  # What overflows is refused as infinite.
        return np.ascontiguousarray(stack_array(array, path), dtype=np.float32), header


def _read_labels(
    path: pathlib.Path, label_map: Mapping[int, int] | None
) -> tuple[UInt8[np.ndarray, "slices height width"], nibabel.Nifti1Header]:
    array, header = open_nifti(path, first_frame=True)
    return map_labels(stack_array(array, path), path, label_map), header


def map_labels(
    values: Shaped[np.ndarray, "slices height width"],
    path: str | pathlib.Path,
    label_map: Mapping[int, int] | None = None,
    *,
    fix: str = "map it (data.label_map)",
) -> UInt8[np.ndarray, "slices height width"]:
    """`Label` values from a file's own values.

    Args:
        values: the file's own.
        path: of the file, for messages.
        label_map: file's value -> `Label` value; None if the file holds `Label` values.
        fix: what to do about an unknown value, for messages.

    Raises:
        InputError: a value that neither ``label_map`` nor, without one, `Label` knows.
    """
    mapping = {int(v): int(v) for v in Label} if label_map is None else dict(label_map)
    mapping.setdefault(0, int(Label.BACKGROUND))
    labels = np.zeros(values.shape, np.uint8)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.rint(values)
            values = np.where(np.abs(values - whole) <= LABEL_ROUNDING, whole, values)
    for value in np.unique(values):
        here = np.isnan(values) if np.isnan(value) else values == value
        # A plain dict lookup: 2.0 finds 2, 2.5 finds nothing.
        target = mapping.get(value.item())
        if target is None:
            k = int(np.flatnonzero(here.any(axis=(1, 2)))[0])
            raise InputError(
                f"{path}: unknown label value {value:g} in slice {k + 1} of {len(values)} "
                f"(file order), known are {sorted(mapping)}: {fix}"
            )
        labels[here] = target
    return labels


def write_mask(
    path: str | pathlib.Path, array: Shaped[np.ndarray, "slices height width"], scan: Scan
) -> pathlib.Path:
    """Writes values on the scan's grid as the user brought it: own slice order, own affine.

    Args:
        path: ends in .nii or .nii.gz; its folder is made if need be.
        array: values 0..255, apex first, on the scan's grid.
        scan: the scan that they belong to.

    Raises:
        InputError: another shape than the scan's, values that are no bytes, or another ending.
    """
    path = pathlib.Path(path)
    if not is_nifti(path):
        raise InputError(f"{path}: name it .nii.gz or .nii")
    if array.shape != scan.image.shape:
        raise InputError(
            f"{path}: mask is {array.shape}, scan {scan.id} is {scan.image.shape} "
            "(slices, height, width): bring it back to the scan's grid first"
        )
    values = np.zeros(array.shape, np.uint8)
    values[scan.file_order] = array
    if not np.array_equal(values[scan.file_order], array):
        raise InputError(f"{path}: mask values are not whole numbers from 0 to 255")
    image = nibabel.Nifti1Image(values.transpose(2, 1, 0), scan.file_affine)
    set_codes(image, scan)
    return save_nifti(image, path)


def write_segmentation(
    path: str | pathlib.Path, tissue: UInt8[np.ndarray, "slices height width"], scan: Scan
) -> pathlib.Path:
    """As `write_mask`, for `Tissue` values.

    Raises:
        InputError: as `write_mask`, or a value that is no `Tissue`.
    """
    if tissue.max(initial=0) > max(Tissue):
        raise InputError(f"{path}: value {tissue.max()} is no tissue")
    return write_mask(path, tissue, scan)


def save_nifti(image: nibabel.Nifti1Image, path: pathlib.Path) -> pathlib.Path:
    """Saves an image, whole or not at all."""
    with replacing(path) as temporary:
        nibabel.save(image, temporary)
    return path
