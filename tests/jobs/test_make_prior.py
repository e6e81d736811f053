import numpy as np
import pytest

from acsnet_jax import bundle as bundles
from acsnet_jax import latent
from acsnet_jax.jobs.make_prior import make_prior
from acsnet_jax.types import InputError
from configs import prior as prior_config

pytestmark = pytest.mark.usefixtures("standard_promotion")


def tiny_config():
    """Coarse pixels and bounds that a network of a few seconds can keep."""
    config = prior_config.get_config()
    config.train, config.held_out = 300, 20
    config.spec.update(myo_spacing_mm=4.0, mask_size=32)
    config.shapes.update(apical=0.0, thinned=0.0)
    config.thresholds.update(
        circularity_epi=0.0,
        circularity_endo=0.0,
        convexity_defect_mm=60.0,
        wall_min_mm=-9.0,
        wall_max_mm=90.0,
        gap_max_deg=350.0,
    )
    config.model.update(latent=4, filters=(8, 16))
    config.augment.damage = 0.0
    config.optimisation.update(epochs=25, learning_rate=5e-3)
    config.components, config.population, config.batch = 2, 40, 64
    return config


@pytest.mark.slow
def test_a_prior_is_made_of_nothing_but_shapes(tmp_path):
    folder = tmp_path / "prior"
    make_prior(tiny_config(), folder)
    told = bundles.provenance(folder)
    assert told["training"]["data"]["format"] == "shapes"
    assert told["training"]["masks"]["held-out shapes"]["masks"] == 20
    assert told["thresholds"]["gap_max_deg"] == 350.0
    with np.load(folder / "latent.npz", allow_pickle=False) as arrays:
        assert arrays["codes"].dtype == np.float16 and "masks" not in arrays
    with np.load(folder / "autoencoder.npz", allow_pickle=False) as arrays:
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
    corrector = bundles.load_corrector(folder)
    assert corrector.spacing_mm == 4.0 and corrector.size == 32
    codes, masks = corrector.population
    assert codes.dtype == np.float32 and len(codes) == 40
    np.testing.assert_array_equal(corrector.decode(codes), latent.unpack_masks(masks))
    with pytest.raises(InputError, match="exists already"):
        make_prior(tiny_config(), folder)


def test_shapes_need_a_spacing(tmp_path):
    config = tiny_config()
    config.spec.myo_spacing_mm = None
    with pytest.raises(InputError, match=r"config\.spec\.myo_spacing_mm is not set"):
        make_prior(config, tmp_path / "prior")
