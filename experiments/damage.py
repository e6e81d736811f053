r"""Show what the latent correction does to predictions as they are and damaged in known amounts.

python -m experiments.damage --config=configs/damage.py --config.bundle=BUNDLE \
    --config.split=RUN --config.data.format=emidec --config.data.root=DIR --workdir=OUT
"""

from acsnet_jax import app
from acsnet_jax.jobs.damage import study_damage

if __name__ == "__main__":
    app.run(study_damage, "damage")
