"""Stage 3 from phantom shapes alone, no patient's data: the prior that ships with the package.

    python -m experiments.make_prior --config=configs/prior.py --workdir=DIR

DIR is a bundle in compact form for experiments.check and experiments.correct; they use
acsnet_jax/priors/shapes, made by this command, where none is given. 45 minutes on a shared 2-core
AMD EPYC: held-out shapes are rebuilt at Dice 0.953, 99.9% of them valid, and so are 98.6% of the
mixture's samples; 0.74 MB.

The bounds of delta are not fitted to anybody's masks. They are round numbers with which hearts,
healthy and ill, are plausible, and which real contours on pixels of 1 to 2 mm keep; see each.
"""

import ml_collections

from acsnet_jax.anatomy import Thresholds
from acsnet_jax.config import Config, described, section
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.models import Autoencoder
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.synthesis.shapes import ShapeOptions
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.settings import Optimisation


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/prior",  # the bundle's folder
            "seed": 0,  # of shapes, training and population
            "train": 20_000,  # shapes
            "held_out": 1_000,  # shapes that only tell how well the autoencoder rebuilds
            "components": 6,  # of the Gaussian mixture
            "population": 5_000,  # valid codes; 0.3 MB
            "batch": 1024,  # codes decoded and checked at once
            # With open slices: shapes.open=0.1, thresholds.gap_max_deg=100 and augment.damage=0.
            "shapes": section(ShapeOptions()),
            # 144 mm: room for the largest heart
            "spec": section(InputSpec(myo_spacing_mm=1.5, mask_size=96)),
            "thresholds": section(
                Thresholds(
                    # An ellipse of axes 1 : 1.55 has 0.93; the LV's outline is rounder in every
                    # slice but a few at the outflow tract.
                    circularity_epi=0.93,
                    # 1 : 1.8, since infarcts and trabeculae make the cavity less regular.
                    circularity_endo=0.88,
                    # What the stairs of pixels of 1.5 mm make of a circle, and a millimetre.
                    convexity_defect_mm=2.5,
                    # Healed infarcts thin a wall to some 5 mm, aneurysms to 2 or 3.
                    wall_min_mm=2.0,
                    # Healthy walls have up to 12 mm in diastole; hypertrophy, systole and oblique
                    # cuts double it. At 30 even hypertrophic cardiomyopathy is extreme.
                    wall_max_mm=25.0,
                    # Most experts close the ring in every slice that they draw; a gap is damage.
                    gap_max_deg=0.0,
                )
            ),
            # 0.2 million parameters
            "model": described(
                ml_collections.ConfigDict({"latent": 32, "filters": (8, 16, 32, 64, 96)}),
                Autoencoder,
            ),
            # Shapes come turned and in all sizes; quarter turns and mirrorings are free. A damaged
            # mask is not centred exactly.
            "augment": section(Augment(rotation_deg=0.0, scale=0.0, shift_px=3.0, damage=0.4)),
            "optimisation": section(Optimisation(epochs=20, batch_size=8, learning_rate=2e-3)),
            "correction": section(CorrectionOptions()),
        }
    ).lock()
