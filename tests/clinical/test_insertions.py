import numpy as np
import pytest
from hearts import heart, radius, sector

from acsnet_jax.clinical import assess
from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.clinical.insertions import (
    Insertions,
    find_insertions,
    find_septum,
    given_insertions,
    likely_insertions,
)
from acsnet_jax.preprocess.orient import TURNS, turned_affine
from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.types import InputError, Label

# The radiological view: right is the patient's left and back, down the feet.
STANDARD = np.eye(4)
STANDARD[:3, :3] = np.array([[-0.7, -0.7, 0.0], [0.2, -0.2, -0.95], [0.7, -0.7, 0.3]]).T


def gap(a, b):
    return abs((a - b + 180) % 360 - 180)


def with_ventricle(first_deg, last_deg, **changes):
    """A heart beside which blood is seen along an arc."""
    one = heart(**changes)
    beside = sector(first_deg, last_deg) & (radius() > 31) & (radius() < 48)
    one.scan.image[:, beside] = 300
    return one


@pytest.mark.parametrize(("first", "last"), [(120, 230), (300, 400), (10, 130)])
def test_the_septum_is_found_where_blood_lies_beside_the_wall(first, last):
    one = with_ventricle(first, last)
    septum = find_septum(one.scan.image, one.myocardium, one.blood_pool, (1.0, 1.0))
    assert not isinstance(septum, NotAvailable)
    assert gap(septum.first_deg, first) <= 4
    assert gap(septum.last_deg, last) <= 4
    assert gap(septum.middle_deg, (first + last) / 2) <= 3


def test_nothing_beside_the_wall_is_no_septum():
    one = heart()
    assert isinstance(
        find_septum(one.scan.image, one.myocardium, one.blood_pool, (1.0, 1.0)), NotAvailable
    )
    dark = one.scan.image.copy()
    dark[one.blood_pool] = 0
    found = find_septum(dark, one.myocardium, one.blood_pool, (1.0, 1.0))
    assert isinstance(found, NotAvailable) and "brighter" in found.reason


def test_orientation_tells_which_end_is_anterior():
    one = with_ventricle(125, 230, affine=STANDARD, oriented=True)
    found = find_insertions(one.scan, one.myocardium, one.blood_pool)
    assert isinstance(found, Insertions)
    assert found.basis == "picture"
    assert gap(found.anterior_deg, 230) <= 4  # up and left
    assert gap(found.inferior_deg, 125) <= 4  # down and left
    assert found.turn == -1


@pytest.mark.parametrize("first", range(0, 360, 45))
@pytest.mark.parametrize("width", [60, 120])
def test_transmural_scar_is_no_blood_of_the_right_ventricle(first, width):
    """Bright through the whole wall, it has to lie within the outline beyond which is looked."""
    scar = sector(first, first + width)
    one = with_ventricle(125, 230, affine=STANDARD, oriented=True, scar=scar)
    found = assess(one).insertions
    assert isinstance(found, Insertions) and found.basis == "picture"
    assert gap(found.anterior_deg, 230) <= 4 and gap(found.inferior_deg, 125) <= 4


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_or_mirrored_stack_has_its_insertions_turned(turn):
    likely = likely_insertions(turned_affine(STANDARD, (100, 100), turn))
    # In the turned picture, both insertions point to the same places in the patient.
    affine = turned_affine(STANDARD, (100, 100), turn)
    for angle, standard in zip(likely[:2], likely_insertions(STANDARD)[:2], strict=True):
        ways = [
            frame[:3, 0] * np.cos(np.deg2rad(a)) + frame[:3, 1] * np.sin(np.deg2rad(a))
            for frame, a in ((affine, angle), (STANDARD, standard))
        ]
        np.testing.assert_allclose(ways[0], ways[1], atol=1e-6)


def test_without_a_ventricle_in_the_picture_geometry_guesses():
    one = heart(affine=STANDARD, oriented=True)
    found = find_insertions(one.scan, one.myocardium, one.blood_pool)
    assert isinstance(found, Insertions)
    assert found.basis == "geometry"
    assert 180 < found.anterior_deg < 270 and 90 < found.inferior_deg < 180


def test_a_ventricle_where_none_can_be_is_not_believed():
    one = with_ventricle(-50, 60, affine=STANDARD, oriented=True)
    found = find_insertions(one.scan, one.myocardium, one.blood_pool)
    assert isinstance(found, Insertions)
    assert found.basis == "geometry"


def test_an_unknown_orientation_is_not_guessed():
    one = with_ventricle(125, 230)
    found = find_insertions(one.scan, one.myocardium, one.blood_pool)
    assert isinstance(found, NotAvailable)
    assert "give the insertions" in found.reason


def test_given_insertions_are_taken_and_checked():
    assert given_insertions(-130.0, 110.0) == Insertions(230.0, 110.0, "given")
    assert given_insertions(230.0, 110.0).turn == -1
    assert given_insertions(310.0, 70.0).turn == 1
    for inferior in (235.0, 50.0):
        with pytest.raises(InputError, match="septum"):
            given_insertions(230.0, inferior)


def test_phantoms_are_read_within_half_a_segment():
    errors = []
    for patient in range(6):
        scan = make_scan(3, patient, modality="lge")
        assert scan.labels is not None and scan.provenance.phantom is not None
        found = find_insertions(
            scan,
            scan.labels >= Label.MYOCARDIUM,
            scan.labels == Label.BLOOD_POOL,
            enhancement=scan.labels >= Label.ENHANCEMENT,
        )
        assert isinstance(found, Insertions)
        truth = scan.provenance.phantom.rv_insertions_deg
        errors += [gap(a, b) for a, b in zip(found[:2], truth, strict=True)]
    assert np.median(errors) < 25
    assert max(errors) < 45
