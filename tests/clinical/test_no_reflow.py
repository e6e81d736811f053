import numpy as np
import pytest
from hearts import heart, radius, sector

from acsnet_jax.clinical.no_reflow import find_no_reflow
from acsnet_jax.clinical.remote import Remote, find_remote

SPACING = (1.0, 1.0)


def searched(one, enhancement):
    remote = find_remote(one.scan.image, one.myocardium, SPACING, enhancement=one.enhancement)
    assert isinstance(remote, Remote)
    return find_no_reflow(one.scan.image, one.myocardium, enhancement, remote, SPACING)


def with_core(dark):
    """An infarct of 100 degrees that holds a dark core."""
    one = heart(scar=sector(0, 100))
    core = np.stack([dark] * 6) & one.enhancement
    one.scan.image[core] -= 300
    return one, core


INNER = sector(30, 70) & (radius() < 25)
OUTER = sector(30, 70) & (radius() > 25)
MIDDLE = sector(30, 70) & (radius() > 23) & (radius() < 27)


@pytest.mark.parametrize("dark", [INNER, OUTER, MIDDLE], ids=["blood", "epicardium", "scar"])
@pytest.mark.parametrize("marked", [True, False])
def test_a_dark_core_is_found_whether_the_enhancement_holds_it_or_not(dark, marked):
    one, core = with_core(dark)
    enhancement = one.enhancement if marked else one.enhancement & ~core
    found = searched(one, enhancement)
    assert (found & core).sum() >= 0.97 * core.sum()  # a pixel's noise may be bright
    assert not (found & ~core).any()


def test_what_viable_myocardium_reaches_is_none():
    one, _ = with_core(sector(60, 110) & (radius() < 25))  # open at the infarct's border
    assert not searched(one, one.enhancement).any()


def test_bright_tissue_and_specks_are_none():
    assert not searched(heart(scar=sector(0, 100)), heart(scar=sector(0, 100)).enhancement).any()
    one, _ = with_core(sector(40, 45) & (radius() < 23))
    assert not searched(one, one.enhancement).any()


def test_a_healthy_wall_between_two_scars_is_none():
    one = heart(scar=sector(0, 100) & ~sector(30, 70))
    assert not searched(one, one.enhancement).any()
    assert not searched(heart(), heart().enhancement).any()


OPENING = sector(150, 190)
DISC = radius() < 12


@pytest.mark.parametrize(
    ("wall", "scar"),
    [
        (~OPENING, sector(0, 100)),  # a piece of wall between scar and opening
        (DISC, sector(0, 200)),  # an apex without a cavity
        (True, radius() < 27),  # scar all around the cavity, and the rim outside of it
    ],
    ids=["opening", "apex", "rim"],
)
def test_healthy_wall_that_scar_cuts_off_is_none(wall, scar):
    one = heart()
    remote = find_remote(one.scan.image, one.myocardium, SPACING, enhancement=one.enhancement)
    assert isinstance(remote, Remote)
    inside = DISC if wall is DISC else one.myocardium[0] & wall
    scar = inside & scar
    image = np.where(scar, 400.0, np.where(inside, 100.0, 20.0))[None]
    assert not find_no_reflow(image, inside[None], scar[None], remote, SPACING).any()


def test_a_core_that_scar_surrounds_is_found_in_an_open_wall():
    one, core = with_core(MIDDLE)
    open_wall = one.myocardium & ~OPENING
    remote = find_remote(one.scan.image, one.myocardium, SPACING, enhancement=one.enhancement)
    assert isinstance(remote, Remote)
    found = find_no_reflow(one.scan.image, open_wall, one.enhancement & ~core, remote, SPACING)
    assert (found & core).sum() >= 0.97 * core.sum()
