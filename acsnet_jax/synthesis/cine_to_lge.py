"""LGE-like scans from labelled cine scans: pseudo-enhancement, speckle, histogram matching.

Arrays are ``[slices, height, width]``, apex first. Intensities end in the unit of the LGE
reference, whose window and zero they take over: what is done to a real LGE scan later is then done
to them, too. Host side, numpy and SciPy, seeded.

References:
    Paper, Methods ("For each cine scan, we randomly sample an LGE scan ...") and figure 4.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float32, Float64

from acsnet_jax.ops.host import boundary, component_sizes, label_components
from acsnet_jax.preprocess import intensity
from acsnet_jax.synthesis.infarct import Scar, sample_scar
from acsnet_jax.types import ConversionRecord, InputError, Label, Scan, Spacing

_SMALLEST_PATCH = 4  # pixels; what erosion leaves smaller than this is no scar


@dataclasses.dataclass(frozen=True)
class ConversionOptions:
    """What the paper leaves open of the conversion.

    Attributes:
        scar_probability: share of scans that get any pseudo-enhancement.
        second_scar_probability: share of those that get two scars.
        erosion: range of the share of the scar's border that erosion takes away, drawn per scan.
        blur_mm: range of the standard deviation of the Gaussian that softens the scar's edge.
        brightness: range of the scar's intensity: 0 is the scan's median myocardium, 1 its median
            blood pool, above 1 is brighter than blood.
        speckle: range of the standard deviation of the multiplicative noise.
    """

    scar_probability: float = 0.8
    second_scar_probability: float = 0.15
    erosion: tuple[float, float] = (0.0, 0.6)
    blur_mm: tuple[float, float] = (0.8, 1.8)
    brightness: tuple[float, float] = (0.85, 1.25)
    speckle: tuple[float, float] = (0.03, 0.08)


class ConversionSteps(NamedTuple):
    """What each step of figure 4 makes; all ``[slices, height, width]``.

    Attributes:
        equalised: step 1, the given image as its window shows it, after CLAHE ([0, 1]) if asked.
        pseudo_scar: step 2, the sampled scar within the myocardium.
        eroded: step 3, the scar after random erosion; it is what the labels call enhancement.
        weight: step 3, the eroded scar after the Gaussian filter, [0, 1].
        overlaid: step 4, the image with the bright enhancement, before noise.
        speckled: step 4, with speckle noise.
        matched: step 5, with the histogram of the LGE reference, in its range; padding is 0, or
            what the reference's window shows black.
    """

    equalised: Float32[np.ndarray, "slices height width"]
    pseudo_scar: Bool[np.ndarray, "slices height width"]
    eroded: Bool[np.ndarray, "slices height width"]
    weight: Float32[np.ndarray, "slices height width"]
    overlaid: Float32[np.ndarray, "slices height width"]
    speckled: Float32[np.ndarray, "slices height width"]
    matched: Float32[np.ndarray, "slices height width"]


def cine_to_lge(
    scan: Scan,
    reference: Scan,
    *,
    seed: int,
    apply_clahe: bool = True,
    options: ConversionOptions | None = None,
) -> Scan:
    """An LGE-like scan with pseudo-enhancement labels from a labelled cine scan.

    Args:
        scan: a cine scan with labels of myocardium and blood pool.
        reference: the LGE scan whose histogram is wanted. It must come from the training cohort.
        seed: the same seed, scan and reference give the same result.
        apply_clahe: equalise the cine first; False if the caller has done so.
        options: `ConversionOptions` by default.

    Returns:
        The scan with the reference's intensities, window and zero; its modality stays "cine", its
        labels tell `Label.ENHANCEMENT`, and its provenance names reference and seed.

    Raises:
        InputError: as `conversion_steps`.
    """
    steps = conversion_steps(
        scan,
        reference,
        rng=np.random.default_rng(seed),
        apply_clahe=apply_clahe,
        options=options,
    )
    labels = _required_labels(scan).copy()
    labels[steps.eroded] = Label.ENHANCEMENT
    record = ConversionRecord(reference=reference.id, seed=seed, clahe=apply_clahe)
    return scan.replace(
        image=steps.matched,
        labels=labels,
        has_enhancement=True,
        window=reference.window,
        signal_zero=reference.signal_zero,
        provenance=dataclasses.replace(scan.provenance, cine_to_lge=record),
    )


def conversion_steps(
    scan: Scan,
    reference: Scan,
    *,
    rng: np.random.Generator,
    apply_clahe: bool = True,
    options: ConversionOptions | None = None,
) -> ConversionSteps:
    """The five steps of figure 4, one by one.

    Args:
        scan: a cine scan with labels of myocardium and blood pool.
        reference: the LGE scan whose histogram is wanted.
        rng: the only source of randomness.
        apply_clahe: equalise the cine first; False if the caller has done so.
        options: `ConversionOptions` by default.

    Raises:
        InputError: the scan is no cine, has no labels or no labelled myocardium and blood pool, or
            the reference is no LGE.
    """
    options = options or ConversionOptions()
    if reference.modality != "lge":
        raise InputError(f"cine to LGE: reference {reference.id} is {reference.modality}, not lge")
    labels = _required_labels(scan)
    myocardium = labels >= Label.MYOCARDIUM
    shown = intensity.apply_window(scan.image, scan.window)
    inside = intensity.inside_picture(shown)

    equalised = intensity.clahe(shown, inside=inside) if apply_clahe else shown
    pseudo_scar = sample_pseudo_scar(labels, scan.spacing_mm, rng=rng, options=options)
    eroded = _erode(pseudo_scar, rng=rng, options=options)
    weight = _soften(eroded, scan.spacing_mm, rng=rng, options=options)

    dark = float(np.median(equalised[myocardium]))
    blood = float(np.median(equalised[labels == Label.BLOOD_POOL]))
    bright = np.float32(dark + rng.uniform(*options.brightness) * (blood - dark))
    # A scar never darkens what it covers: where its blur reaches into blood, the blood stays.
    overlaid = equalised + weight * np.maximum(bright - equalised, 0)

    sigma = rng.uniform(*options.speckle)
    noise = rng.normal(1, sigma, overlaid.shape).astype(np.float32)
    speckled = np.maximum(overlaid * noise, 0)
    # The histogram is that of the whole range: it is windowed where the networks' inputs are made.
    reference_shown = intensity.apply_window(reference.image, reference.window)
    matched = intensity.match_histogram(
        speckled,
        reference.image,
        inside=inside,
        reference_inside=intensity.inside_picture(reference_shown),
    )
    if reference.window is not None:
        matched[~inside] = reference.window.low  # Padding stays black when it is windowed.
    return ConversionSteps(equalised, pseudo_scar, eroded, weight, overlaid, speckled, matched)


def sample_pseudo_scar(
    labels: np.ndarray,
    spacing_mm: Spacing,
    *,
    rng: np.random.Generator,
    options: ConversionOptions,
) -> Bool[np.ndarray, "slices height width"]:
    """Step 2: a scar in one or two coronary territories, coherent through the slices.

    Where the septum lies is not labelled, so the territories are turned by one random angle a scan.

    Args:
        labels: `Label` values, ``[slices, height, width]``, apex first.
        spacing_mm: (row, column) distance of pixel centres.
        rng: the only source of randomness.
        options: probabilities.
    """
    chosen = np.zeros(labels.shape, bool)
    if rng.uniform() >= options.scar_probability:
        return chosen
    count = 2 if rng.uniform() < options.second_scar_probability else 1
    scars = [sample_scar(rng) for _ in range(count)]
    septum_deg = float(rng.uniform(0, 360))
    outlined = np.flatnonzero((labels >= Label.MYOCARDIUM).any(axis=(1, 2)))
    for order, k in enumerate(outlined):
        level = (order + 0.5) / len(outlined)
        chosen[k] = _slice_scar(labels[k], spacing_mm, scars, septum_deg, level)
    return chosen


def _slice_scar(
    labels: np.ndarray, spacing_mm: Spacing, scars: list[Scar], septum_deg: float, level: float
) -> Bool[np.ndarray, "height width"]:
    myocardium = labels >= Label.MYOCARDIUM
    blood_pool = labels == Label.BLOOD_POOL
    if not blood_pool.any():
        return np.zeros_like(myocardium)
    rows, columns = np.nonzero(myocardium)
    inwards = _distance_mm(~blood_pool, spacing_mm)[rows, columns]
    outwards = _distance_mm(labels > 0, spacing_mm)[rows, columns]
    # Pixel centres lie half a pixel off the borders that the distances are measured to.
    half_pixel = 0.25 * sum(spacing_mm)
    depth = (inwards - half_pixel) / (inwards + outwards - 2 * half_pixel)

    middle_row, middle_column = np.argwhere(labels > 0).mean(axis=0)
    down = (rows - middle_row) * spacing_mm[0]
    right = (columns - middle_column) * spacing_mm[1]
    angle_deg = np.rad2deg(np.arctan2(down, right)) - septum_deg
    extent = np.max([scar.extent(angle_deg, np.asarray(level)) for scar in scars], axis=0)
    scarred = np.zeros_like(myocardium)
    scarred[rows, columns] = depth < extent
    return scarred


def _distance_mm(
    mask: Bool[np.ndarray, "height width"], spacing_mm: Spacing
) -> Float64[np.ndarray, "height width"]:
    """From each pixel to the nearest one outside the mask."""
    return np.asarray(scipy.ndimage.distance_transform_edt(mask, sampling=spacing_mm))


def _erode(
    mask: Bool[np.ndarray, "slices height width"],
    *,
    rng: np.random.Generator,
    options: ConversionOptions,
) -> Bool[np.ndarray, "slices height width"]:
    """Step 3: take away a random share of the border, in patches rather than single pixels."""
    share = rng.uniform(*options.erosion)
    field = rng.normal(size=mask.shape)
    field = scipy.ndimage.gaussian_filter(field, (0.5, 1.5, 1.5))
    threshold = np.quantile(field, 1 - share)
    result = np.zeros_like(mask)
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        kept = mask[k] & ~(boundary(mask[k]) & (field[k] >= threshold))
        labels = label_components(kept)
        large = 1 + np.flatnonzero(component_sizes(labels) >= _SMALLEST_PATCH)
        result[k] = np.isin(labels, large)
    return result


def _soften(
    mask: Bool[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    *,
    rng: np.random.Generator,
    options: ConversionOptions,
) -> Float32[np.ndarray, "slices height width"]:
    """Step 3: the Gaussian filter, in plane."""
    blur_mm = rng.uniform(*options.blur_mm)
    sigma = (0.0, blur_mm / spacing_mm[0], blur_mm / spacing_mm[1])
    return scipy.ndimage.gaussian_filter(mask.astype(np.float32), sigma)


def _required_labels(scan: Scan) -> np.ndarray:
    if scan.modality != "cine":
        raise InputError(f"cine to LGE: scan {scan.id} is {scan.modality}, not cine")
    labels = scan.labels
    if labels is None:
        raise InputError(f"cine to LGE: scan {scan.id} has no labels; give one with myocardium")
    for label in (Label.MYOCARDIUM, Label.BLOOD_POOL):
        if not (labels == label).any():
            raise InputError(
                f"cine to LGE: scan {scan.id} has no pixel labelled {label.name}; "
                "both contours are needed"
            )
    return labels
