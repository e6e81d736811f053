import dataclasses

import numpy as np
import pytest

from acsnet_jax.synthesis.infarct import Scar, sample_scar


@pytest.fixture
def scar():
    return Scar(
        territory="LAD",
        centre_deg=60.0,
        half_width_deg=40.0,
        level=0.5,
        half_height=0.4,
        depth=0.8,
        ripples=(),
    )


def test_a_smooth_scar_is_an_ellipse_of_full_depth_in_its_middle(scar):
    angle_deg = np.array([60.0, 100.0, 60.0, 20.0, 60.0])
    level = np.array([0.5, 0.5, 0.9, 0.5, 0.1])
    np.testing.assert_allclose(scar.eccentricity(angle_deg, level), [0, 1, 1, 1, 1])
    np.testing.assert_allclose(scar.extent(angle_deg, level), [0.8, 0, 0, 0, 0], atol=1e-12)


def test_angles_are_periodic(scar):
    angle_deg = np.linspace(-180, 180, 73)
    level = np.array(0.4)
    turned = scar.extent(angle_deg + 360, level)
    np.testing.assert_allclose(turned, scar.extent(angle_deg, level), atol=1e-12)


def test_depth_falls_from_the_middle_to_the_border(scar):
    extent = scar.extent(np.linspace(60, 110, 50), np.array(0.5))
    assert np.all(np.diff(extent) <= 0)


@pytest.mark.parametrize(("territory", "centre_deg"), [("LAD", 60), ("RCA", -60), ("LCx", 180)])
def test_sampled_scars_lie_in_their_territory(territory, centre_deg):
    rng = np.random.default_rng(0)
    angle_deg = np.arange(-180.0, 180.0)
    for _ in range(50):
        scar = sample_scar(rng, territory=territory)
        assert scar.territory == territory
        extent = scar.extent(angle_deg[:, None], np.linspace(0, 1, 11))
        assert extent.min() >= 0
        assert 0.3 < extent.max() <= scar.depth
        scarred = np.deg2rad(angle_deg[(extent > 0).any(axis=1)])
        mean = np.rad2deg(np.angle(np.exp(1j * scarred).mean()))
        assert abs((mean - centre_deg + 180) % 360 - 180) < 45


def test_sampling_follows_the_generator():
    first, again, other = (sample_scar(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    for field in dataclasses.fields(first):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(first, field.name, 0.0)
