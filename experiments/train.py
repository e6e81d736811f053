"""Train one of the three networks.

python -m experiments.train --config=configs/myo.py [--workdir=DIR]
"""

from acsnet_jax import app
from acsnet_jax.training.loop import train_and_evaluate

if __name__ == "__main__":
    app.run(train_and_evaluate, "lv")
