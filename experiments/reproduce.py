"""Run everything: cohort, three networks, latent space, evaluation, report.

python -m experiments.reproduce --config=configs/quickstart.py [--workdir=DIR]
"""

from acsnet_jax import app
from acsnet_jax.jobs.reproduce import reproduce

if __name__ == "__main__":
    app.run(reproduce, "quickstart")
