"""Check the masks of any tool against the anatomical criteria.

python -m experiments.check --config.input=PATH --config.labels=2,3 --workdir=OUT
"""

from acsnet_jax import app
from acsnet_jax.jobs.check import check

if __name__ == "__main__":
    app.run(check, "check")
