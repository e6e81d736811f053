"""Validate a cohort, print one table, and write the uniform store.

python -m experiments.prepare --config.data.root=DIR --config.data.format=emidec --workdir=STORE
"""

from acsnet_jax import app
from acsnet_jax.jobs.prepare import prepare

if __name__ == "__main__":
    app.run(prepare, "prepare")
