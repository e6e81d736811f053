"""What the report of a scan says in words: of the scan, of its correction, of each slice."""

import numpy as np

from acsnet_jax.types import Certificate, Route, Scan, Segmentation


def scan_facts(scan: Scan) -> dict[str, str]:
    """What the scan is, name to text."""
    slices, height, width = scan.image.shape
    row_mm, column_mm = scan.spacing_mm
    facts = {
        "Modality": {"lge": "LGE", "cine": "cine"}[scan.modality],
        "Slices": f"{slices}, apex first ({scan.provenance.slice_order_basis or 'as given'})",
        "Matrix": f"{width} x {height} pixels",
        "Pixel": f"{column_mm:.2f} x {row_mm:.2f} mm (across x down)",
        "Slice distance": _distance(scan),
    }
    if scan.nominal_spacing:
        facts["Spacing"] = "nominal: lengths, volumes and masses are not measured"
    if scan.provenance.phases > 1:
        facts["Phase"] = f"one of {scan.provenance.phases}, end-diastole"
    facts["Read from"] = scan.provenance.format or "memory"
    if scan.provenance.modality_basis:
        facts["Modality known by"] = scan.provenance.modality_basis
    if scan.labelled.any():
        facts["Expert's contours"] = f"on {int(scan.labelled.sum())} of {slices} slices"
    return facts


def corrections_text(segmentation: Segmentation) -> str:
    """The anatomical correction of the whole stack in a sentence."""
    masks = [one for one in segmentation.certificates if not one.empty]
    if not segmentation.certificates:
        return "The anatomical correction was not run: masks are as the networks drew them."
    counts = {route: sum(one.route is route for one in masks) for route in Route}
    told = ", ".join(f"{count} {route}" for route, count in counts.items() if count)
    valid = sum(one.valid_after for one in masks)
    left_out = sum(not one.kept and one.route is not Route.LOST for one in masks)
    text = f"{len(masks)} slices with a mask: {told or 'none'}; {valid} satisfy every criterion"
    return text + (f"; {left_out} left out as beyond apex or base." if left_out else ".")


def certificate_words(certificate: Certificate) -> str:
    """What became of a slice's mask, in a sentence or two."""
    if certificate.empty:
        return "No myocardium was found on this slice."
    failed = ", ".join(name.replace("_", " ") for name in certificate.failed_before)
    reason = f" (failed: {failed})" if failed else ""
    words = {
        Route.UNTOUCHED: "As the network drew it.",
        Route.CLEANED: f"Islands or extra holes were dropped{reason}.",
        Route.RESAMPLED: f"Drawn again on the grid of the correction{reason}.",
        Route.REDECODED: f"Replaced by the autoencoder's reconstruction{reason}.",
        Route.MOVED: f"Moved {certificate.alpha:.0%} of the way to a plausible shape{reason}.",
        Route.STAND_IN: f"Replaced by the nearest plausible shape that fits this grid{reason}.",
        Route.LOST: f"Lost: nothing plausible was found{reason}. The slice is left out.",
    }[certificate.route]
    if certificate.pixels_changed:
        words += f" {certificate.area_changed_mm2:.0f} mm² changed"
        if certificate.scar_moved_mm3:
            words += f", {certificate.scar_moved_mm3 / 1000:.2f} mL of scar crossed the wall's edge"
        words += "."
    if not certificate.kept and certificate.route is not Route.LOST:
        words += " Left out of the result: beyond apex or base."
    elif certificate.valid_after:
        words += " It satisfies every anatomical criterion."
    elif certificate.route is not Route.LOST:
        words += " It does not satisfy every anatomical criterion."
    return words


def route_words(segmentation: Segmentation, index: int) -> str:
    """How a slice's mask came about, in a word or two."""
    if not segmentation.certificates:
        return "as drawn" if segmentation.kept[index] else "left out"
    certificate = segmentation.certificates[index]
    if certificate.empty:
        return "no LV"
    if not certificate.kept and certificate.route is not Route.LOST:
        return "left out"
    return str(certificate.route)


def slice_words(segmentation: Segmentation, index: int) -> str:
    """What became of a slice's mask, or that nothing was done."""
    if segmentation.certificates:
        return certificate_words(segmentation.certificates[index])
    return "The anatomical correction was not run."


def _distance(scan: Scan) -> str:
    gaps = np.diff(scan.positions_mm)
    if not len(gaps):
        return "one slice: no distance, and no volume"
    if np.ptp(gaps) < 0.05 * gaps.mean():
        return f"{gaps.mean():.1f} mm"
    return f"{gaps.min():.1f} to {gaps.max():.1f} mm"
