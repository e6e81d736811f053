"""Compare two tools with the same expert: paired differences, intervals, Bland-Altman plots.

python -m experiments.compare --config.a=DIR --config.b=DIR --config.reference=DIR --workdir=OUT
"""

from acsnet_jax import app
from acsnet_jax.jobs.compare import compare

if __name__ == "__main__":
    app.run(compare, "compare")
