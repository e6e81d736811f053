r"""Choose latent dimension, epochs and damage of the autoencoder inside the training patients.

python -m experiments.select_autoencoder --config=configs/select_autoencoder.py \
    --config.run=RUNS/autoencoder --workdir=DIR
"""

from acsnet_jax import app
from acsnet_jax.jobs.select_autoencoder import select_autoencoder

if __name__ == "__main__":
    app.run(select_autoencoder, "select_autoencoder")
