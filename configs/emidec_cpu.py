"""Everything on EMIDEC, with ACDC's cine scans made LGE-like, on two CPU cores.

    python -m experiments.reproduce --config=configs/emidec_cpu.py --workdir=runs/emidec \
        --config.data.root=EMIDEC --config.data.cine_root=ACDC

It is the paper's cascade with a quarter of its filters or less, and coarser pixels in stage 1.
Stages 1 and 2 see neighbouring slices and are pretrained on cine. EMIDEC patients lie in any of
eight ways, so training turns and mirrors them, and predictions are averaged over all eight. What it
is worth: configs/crossvalidate.py holds every patient out once, with ensembles of these networks.
It took two hours on a 2-core AMD EPYC: half an hour for stage 3, and then a quarter of an hour for
each of five folds of 45 patients. What came out stands in docs/results.md.
"""

from acsnet_jax.config import Config
from acsnet_jax.jobs import defaults


def get_config() -> Config:
    return defaults.study(
        workdir="runs/emidec_cpu",
        folds=5,
        data={"format": "emidec", "cine_format": "acdc"},
        spec={
            "lv_spacing_mm": 2.5,  # stage 1 only has to find the heart
            "lv_size": 112,
            "myo_spacing_mm": 1.5,
            "myo_size": 80,  # 120 mm; a larger heart gets a larger window, see pipeline.delineate
            "mask_size": 96,  # 144 mm: room for the largest heart, and half the work of 128
            "context": 1,  # a scar goes on in the next slice, and so does a wall
            "scaling": "percentile",  # EMIDEC is phase-sensitive: its zero is not 0
            "no_reflow": True,  # EMIDEC's experts drew it, and it is infarct; see docs/training.md
        },
        networks={
            "lv": {
                "model": {"filters": (8, 16, 32, 64), "bridge": 128, "dropout": 0.0},
                "pretraining": {"epochs": 12, "beta": 0.6, "learning_rate": 2e-3},
                "optimisation": {"epochs": 12, "beta": 0.6, "learning_rate": 2e-3},
            },
            "myo": {
                "model": {"patch": 2, "filters": (24, 48, 96), "bridge": 192, "dropout": 0.0},
                "pretraining": {"epochs": 17, "beta": 0.4, "learning_rate": 4e-3},
                "optimisation": {
                    "epochs": 240,
                    "beta": 0.4,
                    "optimiser": "muon",  # also for the pretraining
                    "learning_rate": 4e-3,
                    "checkpoint_every": 10,  # under a minute
                },
            },
            "autoencoder": {
                "model": {"latent": 32, "filters": (16, 32, 64, 64, 128)},
                "augment": {"damage": 0.3},  # gaps are always damage here, see gap_max_deg
                # many small steps: a code has to say where a wall of four pixels lies
                "optimisation": {
                    "epochs": 240,
                    "batch_size": 8,
                    "learning_rate": 2e-3,
                    "checkpoint_every": 10,
                },
            },
        },
        latent={
            "population": 20_000,
            "gap_max_deg": 0.0,  # EMIDEC's experts close the ring in every slice
        },
        inference={},
        correction={},
        targets={
            "scar_dice": 0.51,  # paper, table 1
            "scar_volume_error": 0.3,  # a little better than the paper's table 2
            "scar_missed": 0.05,  # a scar that no slice shows changes a patient's treatment
            "scar_false_alarms": 0.2,
            "lv_dice": 0.94,
            "myocardium_dice": 0.84,
            "lv_volume_error": 0.05,
        },
    )
