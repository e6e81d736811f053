"""Make the prior that ships with the package, or one like it.

python -m experiments.make_prior --config=configs/prior.py --workdir=DIR
"""

from acsnet_jax import app
from acsnet_jax.jobs.make_prior import make_prior

if __name__ == "__main__":
    app.run(make_prior, "prior")
