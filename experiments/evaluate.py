r"""Evaluate a bundle on held-out patients: tables, figures, report.

python -m experiments.evaluate --config=configs/evaluate.py --config.bundle=BUNDLE \
    --config.split=RUN --config.data.format=emidec --config.data.root=DIR --workdir=OUT
"""

from acsnet_jax import app
from acsnet_jax.jobs.evaluate import evaluate

if __name__ == "__main__":
    app.run(evaluate, "evaluate")
