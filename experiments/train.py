"""Train one of the three networks.

python -m experiments.train --config=configs/myo.py [--workdir=DIR]

With --distributed, or --distributed=SECONDS, this is one of several processes that train together
and wait so long for each other (docs/cluster.md).
"""

from acsnet_jax import app
from acsnet_jax.training import distributed
from acsnet_jax.training.loop import train_and_evaluate

if __name__ == "__main__":
    app.run(train_and_evaluate, "lv", join=distributed.join)
