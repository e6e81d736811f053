"""Cohorts and prediction input: a root folder and a format -> scans, one loader each.

A loader reads one scan when it is called, so that one bad scan can be reported without losing the
others.
"""

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Literal

from tqdm import tqdm

from acsnet_jax.io import acdc, dicom, emidec, nifti, store, sunnybrook
from acsnet_jax.io.pseudonym import obtain_key
from acsnet_jax.io.stack import SliceOrder, check_choice, in_order
from acsnet_jax.types import InputError, Modality, Scan

Format = Literal["dicom", "nifti", "sunnybrook", "acdc", "emidec", "store"]
Loader = Callable[[], Scan]

_DIRECTORY = "DICOMDIR"


def iter_cohort(
    root: str | pathlib.Path,
    fmt: Format,
    *,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    label_map: Mapping[int, int] | None = None,
    key: str | pathlib.Path | None = None,
) -> list[tuple[str, Loader]]:
    """(name, loader) of each scan of a cohort; nothing is read yet.

    Args:
        root: the cohort's folder.
        fmt: its format.
        modality: overrides what the format says or the reader guesses.
        slice_order: the files' order, "auto" to find out.
        label_map: file's value -> `Label` value; "nifti" only.
        key: as of `discover`; "dicom" only.

    Returns:
        The name is the scan's id or, for "dicom", the folder's; then a function without arguments
        that returns the scan or raises `InputError`.

    Raises:
        InputError: no such folder, unknown format, no scan in it, or a bad key.
    """
    root = pathlib.Path(root)
    check_choice("format", fmt, Format)
    check_choice("slice_order", slice_order, SliceOrder)
    if modality is not None:
        check_choice("modality", modality, Modality)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder: give the root of the {fmt} cohort")
    options: dict = {"slice_order": slice_order}
    if modality is not None:
        options["modality"] = modality
    if fmt == "store":
        return [
            (p.name, functools.partial(_stored, p, modality, slice_order))
            for p in store.stored_scans(root)
        ]
    if fmt == "emidec":
        cases = emidec.emidec_cases(root)
        return [(p.name, functools.partial(emidec.read_emidec, p, **options)) for p in cases]
    if fmt == "acdc":
        folders = acdc.acdc_patients(root)
        return [(p.name, functools.partial(acdc.read_acdc, p, **options)) for p in folders]
    if fmt == "sunnybrook":
        read = functools.partial(sunnybrook.read_sunnybrook, root, **options)
        patients = sunnybrook.sunnybrook_patients(root)
        return [(name, functools.partial(read, name)) for name, _ in patients]
    if fmt == "nifti":
        return _nifti_loaders(root, label_map, options)
    return _dicom_loaders(root, key, options)


def _nifti_loaders(
    root: pathlib.Path, label_map: Mapping[int, int] | None, options: dict
) -> list[tuple[str, Loader]]:
    """Whether enhancement was drawn, all patients tell together: one without scar has no label."""
    pairs = nifti.nifti_pairs(root)
    labels = [label for _, _, label in pairs if label is not None]

    def tells(label: pathlib.Path) -> bool:
        try:
            return nifti.holds_enhancement(label, label_map)
        except InputError:  # its own loader says what is wrong with it
            return False

    @functools.cache
    def told() -> bool:
        return any(map(tells, labels))

    def read(name: str, image: pathlib.Path, label: pathlib.Path | None) -> Scan:
        known = label is not None and told()
        return nifti.read_nifti(
            image, label, id=name, label_map=label_map, has_enhancement=known, **options
        )

    return [(pair[0], functools.partial(read, *pair)) for pair in pairs]


def read_cohort(
    root: str | pathlib.Path,
    fmt: Format,
    *,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    label_map: Mapping[int, int] | None = None,
    key: str | pathlib.Path | None = None,
    progress: bool = False,
    keep: Callable[[Scan], Scan] | None = None,
) -> list[Scan]:
    """All scans of a cohort; arguments as of `iter_cohort`.

    Args:
        root: the cohort's folder.
        fmt: its format.
        modality: overrides what the format says or the reader guesses.
        slice_order: the files' order, "auto" to find out.
        label_map: file's value -> `Label` value; "nifti" only.
        key: as of `discover`; "dicom" only.
        progress: whether to show a progress bar.
        keep: gets each scan as soon as it is read, and gives that which takes its place, such as
            one whose pixels lie on disk.

    Raises:
        InputError: at the first scan that cannot be read, or if two scans have one id.
    """
    loaders = iter_cohort(
        root, fmt, modality=modality, slice_order=slice_order, label_map=label_map, key=key
    )
    return _read_all(loaders, str(root), progress=progress, keep=keep)


def discover(
    path: str | pathlib.Path,
    *,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    series: int | str | None = None,
    key: str | pathlib.Path | None = None,
) -> list[tuple[str, Loader]]:
    """(name, loader) of each scan at ``path``, whatever its format; nothing is decoded yet.

    Args:
        path: a NIfTI or DICOM file; a folder of NIfTI files, of DICOM files (with subfolders), or
            of DICOM folders, one a study; a scan of a store, or a store; a patient or a cohort in
            the layout of EMIDEC or ACDC. Labels come along from a store, EMIDEC and ACDC; NIfTI
            files named as labels are left out elsewhere.
        modality: None to guess (DICOM), to keep (store), or for "lge" (NIfTI).
        slice_order: the files' order, "auto" to find out.
        series: DICOM SeriesNumber or SeriesInstanceUID.
        key: file of the key of DICOM scans' ids, made where there is none. Without one an id is a
            plain digest, which whoever knows the UIDs can repeat.

    Raises:
        InputError: nothing there that can be read, or a bad key.
    """
    path = pathlib.Path(path)
    check_choice("slice_order", slice_order, SliceOrder)
    if modality is not None:
        check_choice("modality", modality, Modality)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    options: dict = {"slice_order": slice_order}
    if modality is not None:
        options["modality"] = modality
    if path.is_file() and nifti.is_nifti(path):
        name = nifti.nifti_stem(path)
        return [(name, functools.partial(nifti.read_nifti, path, **options))]
    if path.is_dir():
        if store.is_stored_scan(path):
            return [(path.name, functools.partial(_stored, path, modality, slice_order))]
        if any(path.glob("*/scan.json")):
            return iter_cohort(path, "store", modality=modality, slice_order=slice_order)
        if any(path.glob("Case_*/Images")):
            return iter_cohort(path, "emidec", modality=modality, slice_order=slice_order)
        if any(path.glob("patient*/patient*_frame*.nii*")):
            return iter_cohort(path, "acdc", modality=modality, slice_order=slice_order)
        if any(path.glob("Images/Case_*.nii*")):
            return [(path.name, functools.partial(emidec.read_emidec, path, **options))]
        if any(path.glob("patient*_frame*.nii*")):
            return [(path.name, functools.partial(acdc.read_acdc, path, **options))]
        if (path / "images").is_dir() or any(nifti.is_nifti(p) for p in path.iterdir()):
            return [
                (name, functools.partial(nifti.read_nifti, image, id=name, **options))
                for name, image, _ in nifti.nifti_pairs(path, with_labels=False)
            ]
    return _dicom_loaders(path, key, {"series": series, **options})


def read_scans(
    path: str | pathlib.Path,
    *,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    series: int | str | None = None,
    key: str | pathlib.Path | None = None,
    progress: bool = False,
) -> list[Scan]:
    """Scans to predict on; arguments as of `discover`.

    Args:
        path: a file or folder.
        modality: as of `discover`.
        slice_order: as of `discover`.
        series: as of `discover`.
        key: as of `discover`.
        progress: whether to show a progress bar.

    Raises:
        InputError: at the first scan that cannot be read, or if two scans have one id.
    """
    loaders = discover(path, modality=modality, slice_order=slice_order, series=series, key=key)
    return _read_all(loaders, str(path), progress=progress)


def _read_all(
    loaders: list[tuple[str, Loader]],
    where: str,
    *,
    progress: bool,
    keep: Callable[[Scan], Scan] | None = None,
) -> list[Scan]:
    scans: dict[str, Scan] = {}
    for _, load in tqdm(loaders, desc="reading", unit="scan", disable=not progress):
        scan = load()
        if scan.id in scans:
            raise InputError(f"{where}: two scans have the id {scan.id}: rename or remove one")
        scans[scan.id] = scan if keep is None else keep(scan)
    return list(scans.values())


def _stored(folder: pathlib.Path, modality: Modality | None, slice_order: SliceOrder) -> Scan:
    scan = in_order(store.read_scan(folder), slice_order)
    return scan if modality is None else scan.replace(modality=modality)


def _relative(path: pathlib.Path, root: pathlib.Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def _dicom_loaders(
    root: pathlib.Path, key: str | pathlib.Path | None, options: dict
) -> list[tuple[str, Loader]]:
    folders = _dicom_folders(root)
    if key is not None:
        obtain_key(key)  # a bad one is one error, not one a scan
    read = functools.partial(dicom.read_dicom, key=key, **options)
    return [(_relative(p, root), functools.partial(read, p)) for p in folders]


def _dicom_folders(path: pathlib.Path) -> list[pathlib.Path]:
    """``path`` itself if it holds one study, else its subfolders, one a study.

    Subfolders of one study (a folder a series) belong together; the StudyInstanceUID tells. The
    directory of a medium (DICOMDIR) lies above all of its studies, and is of none.
    """
    if path.is_file() or any(
        p.is_file() and p.name.upper() != _DIRECTORY and dicom.is_dicom(p) for p in path.iterdir()
    ):
        return [path]
    studies: dict[pathlib.Path, str] = {}
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")):
        study = dicom.study_uid(folder)
        if study is not None:
            studies[folder] = study
    if not studies:
        raise InputError(f"{path}: no DICOM or NIfTI file in this folder")
    if len(studies) == 1:
        return _dicom_folders(next(iter(studies)))
    return [path] if len(set(studies.values())) == 1 else list(studies)
