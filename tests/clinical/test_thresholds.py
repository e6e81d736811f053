from typing import Any

import numpy as np
import pytest
from hearts import heart, radius, sector

from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.clinical.remote import Remote, find_remote
from acsnet_jax.clinical.thresholds import (
    NO_ENHANCEMENT,
    RULES,
    ScarByRule,
    scar_by_rules,
    without_specks,
)

SPACING = (1.0, 1.0)


@pytest.fixture
def graded():
    """Remote 100 +- 5 and a scar of three parts: 400, 240 and 180."""
    one = heart(scar=sector(0, 90))
    for first, level in ((30, -160), (60, -60)):
        part = one.enhancement & np.stack([sector(first, first + 30)] * 6)
        one.scan.image[part] += level
    one.scan.image[one.enhancement & np.stack([sector(30, 60)] * 6)] += 0
    return one


def rules_of(one, remote=None, **options) -> Any:
    if remote is None:
        remote = find_remote(one.scan.image, one.myocardium, SPACING, enhancement=one.enhancement)
    return scar_by_rules(one.scan, one.myocardium, one.enhancement, one.core, remote, **options)


def test_thresholds_are_the_textbook_ones(graded):
    drawn = np.zeros_like(graded.myocardium)
    drawn[:, 50, 20:30] = graded.myocardium[:, 50, 20:30]
    values = graded.scan.image[drawn].astype(float)
    remote = Remote(drawn, values.mean(), values.std(), "given")
    found = rules_of(graded, remote)
    scar = graded.scan.image[graded.enhancement]
    expected = {
        "fwhm_paper": scar.max() / 2,
        "fwhm_brightest": scar.max() / 2,
        "fwhm_remote": (values.mean() + scar.max()) / 2,
        "fwhm_remote_p95": (values.mean() + np.percentile(scar, 95)) / 2,
        **{f"sd_{n}": values.mean() + n * values.std() for n in range(2, 7)},
    }
    assert tuple(found) == RULES
    for rule, threshold in expected.items():
        one = found[rule]
        assert isinstance(one, ScarByRule)
        assert one.threshold == pytest.approx(threshold, rel=1e-6)
        if rule != "fwhm_paper":
            marked = one.mask & graded.enhancement
            above = graded.enhancement & (graded.scan.image >= threshold)
            assert not (marked & ~above).any()
            assert np.mean(marked != above) < 3e-4  # specks, which the noise leaves, are dropped


def test_the_offset_of_phase_sensitive_images_moves_every_threshold_alike(graded):
    before = rules_of(graded)
    shifted = graded.scan.replace(image=graded.scan.image + 2048, signal_zero=2048.0)
    remote = find_remote(shifted.image, graded.myocardium, SPACING, enhancement=graded.enhancement)
    after = scar_by_rules(shifted, graded.myocardium, graded.enhancement, graded.core, remote)
    for rule in RULES:
        first, second = before[rule], after[rule]
        assert isinstance(first, ScarByRule) and isinstance(second, ScarByRule)
        assert second.threshold - 2048 == pytest.approx(first.threshold, abs=0.8)
        assert np.mean(first.mask != second.mask) < 1e-4


def test_more_deviations_mark_less(graded):
    found = rules_of(graded)
    sizes = [np.count_nonzero(found[f"sd_{n}"].mask) for n in range(2, 7)]
    assert sizes == sorted(sizes, reverse=True)


def test_scar_is_looked_for_near_the_enhancement_or_in_the_whole_wall(graded):
    far = graded.myocardium & np.stack([sector(180, 220)] * 6)
    graded.scan.image[far] = 420
    near, whole = rules_of(graded)["sd_5"], rules_of(graded, near_mm=None)["sd_5"]
    assert isinstance(near, ScarByRule) and isinstance(whole, ScarByRule)
    assert not (near.mask & far).any()
    assert (whole.mask & far).sum() == far.sum()


def test_specks_are_dropped_by_their_area():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 2:4, 2:4] = mask[0, 10:13, 10:13] = True
    kept = without_specks(mask, (2.0, 1.0), 9.0)
    assert kept.sum() == 9
    assert without_specks(mask, (2.0, 1.0), 8.0).sum() == 13


def test_what_cannot_be_used_says_why(graded):
    assert set(rules_of(heart()).values()) == {NO_ENHANCEMENT}
    found = rules_of(graded, NotAvailable("no remote part"))
    for rule in ("sd_2", "sd_6", "fwhm_remote", "fwhm_remote_p95"):
        assert found[rule] == NotAvailable("no remote part")
    assert isinstance(found["otsu"], ScarByRule)
    graded.scan.image[:] = -1
    silent = rules_of(graded, NotAvailable("no remote part"))
    assert "no signal" in silent["fwhm_brightest"].reason
    assert "one intensity" in silent["otsu"].reason
    assert radius().min() < 1  # the middle of the picture is between pixels
