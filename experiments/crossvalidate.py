r"""Cross-validate the whole system: every patient of a cohort held out once.

python -m experiments.crossvalidate --config=configs/crossvalidate.py \
    --config.data.root=DIR --config.data.cine_root=DIR --workdir=DIR
"""

from acsnet_jax import app
from acsnet_jax.jobs.crossvalidate import crossvalidate

if __name__ == "__main__":
    app.run(crossvalidate, "crossvalidate")
