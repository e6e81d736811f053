"""Everything on the embedded phantom cohort, with networks small enough for two CPU cores.

    python -m experiments.reproduce --config=configs/quickstart.py

takes some seven minutes on two cores and ends with the path of an HTML report. What it reaches on
ten held-out phantoms stands in docs/results.md; it is there to show the way, not to find scar.
"""

from acsnet_jax.config import Config
from acsnet_jax.jobs import defaults


def get_config() -> Config:
    return defaults.study(
        workdir="runs/quickstart",
        folds=3,  # that the rule for scar can be fitted
        data={"patients": 40, "cine_format": "phantom", "cine_patients": 8, "image_size": 128},
        spec={
            "lv_spacing_mm": 3.0,  # stage 1 only has to find the heart
            "lv_size": 80,
            "myo_spacing_mm": 2.0,
            "myo_size": 64,
            "mask_size": 64,
        },
        networks={
            "lv": {
                "model": {"patch": 2, "filters": (16, 32), "bridge": 64, "dropout": 0.0},
                "optimisation": {
                    "epochs": 9,
                    "beta": 0.6,
                    "optimiser": "muon",
                    "learning_rate": 3e-3,
                },
            },
            "myo": {
                "model": {"patch": 2, "filters": (24, 48), "bridge": 96, "dropout": 0.0},
                "optimisation": {
                    "epochs": 18,
                    "beta": 0.4,
                    "optimiser": "muon",
                    "learning_rate": 4e-3,
                },
            },
            "autoencoder": {
                "model": {"latent": 16, "filters": (8, 16, 32, 64, 64)},
                "optimisation": {"epochs": 24, "batch_size": 8, "learning_rate": 2e-3},
            },
        },
        latent={
            "population": 5_000,
            "batch": 256,
            # A small network opens rings in mid-ventricle, where transmural scar is as bright as
            # blood, and the volume checks end a stack above its first open slice.
            "gap_max_deg": 0.0,
        },
        inference={"turns": 1},  # phantoms are oriented
        correction={},
        targets={
            "scar_dice": 0.51,  # paper, table 1
            "scar_volume_error": 0.342,  # paper, table 2
            "scar_missed": 0.05,  # a scar that no slice shows changes a patient's treatment
            "scar_false_alarms": 0.2,
            "lv_dice": 0.92,
            "myocardium_dice": 0.80,
        },
    )
