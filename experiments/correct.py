r"""Correct the masks of any tool, with a bundle or the prior that ships with the package.

python -m experiments.correct --config.input=PATH --config.labels=2,3 --config.bundle=DIR \
    --workdir=OUT
"""

from acsnet_jax import app
from acsnet_jax.jobs.correct import correct

if __name__ == "__main__":
    app.run(correct, "correct")
