import numpy as np
import pytest
from hearts import heart, ring, sector

from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.clinical.remote import Remote, find_remote, given_remote
from acsnet_jax.types import InputError


def found(image, wall, **options):
    remote = find_remote(image, wall, (1.0, 1.0), **options)
    assert isinstance(remote, Remote)
    return remote


def test_the_darkest_sector_away_from_enhancement_is_remote():
    scar = sector(0, 120)
    one = heart(scar=scar)
    image = one.scan.image.copy()
    dark = np.stack([sector(180, 260)] * 6) & one.myocardium
    image[dark] -= 40
    remote = found(image, one.myocardium, enhancement=one.enhancement)
    assert remote.mask.any(axis=(1, 2)).all()
    assert (remote.mask & dark).sum() == remote.mask.sum()
    assert not (remote.mask & one.enhancement).any()
    assert remote.mean == pytest.approx(60, abs=1)
    assert remote.sd == pytest.approx(5, abs=0.5)  # the noise of the picture
    assert remote.basis == "found"


def test_it_keeps_off_the_outlines():
    one = heart()
    remote = found(one.scan.image, one.myocardium)
    inner = ring(29.5, 20.5)[0]
    assert not (remote.mask & ~np.stack([inner] * 6)).any()


def test_a_wall_full_of_scar_has_no_remote_part():
    one = heart(scar=sector(0, 330))
    remote = find_remote(one.scan.image, one.myocardium, (1.0, 1.0), enhancement=one.enhancement)
    assert isinstance(remote, NotAvailable)
    assert "free of enhancement" in remote.reason


def test_remote_without_spread_is_not_available():
    one = heart()
    remote = find_remote(np.ones_like(one.scan.image), one.myocardium, (1.0, 1.0))
    assert isinstance(remote, NotAvailable)
    assert "spread is 0" in remote.reason


def test_a_reader_can_give_it():
    one = heart()
    drawn = one.myocardium & np.stack([sector(10, 50)] * 6)
    remote = given_remote(one.scan.image, drawn)
    assert isinstance(remote, Remote)
    assert remote.basis == "given"
    assert remote.mean == one.scan.image[drawn].astype(float).mean()
    for bad in (np.zeros_like(drawn), drawn[:3]):
        with pytest.raises(InputError):
            given_remote(one.scan.image, bad)
