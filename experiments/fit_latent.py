"""Fit the latent space to a trained autoencoder and write the bundle.

python -m experiments.fit_latent --config=configs/fit_latent.py --config.runs=DIR --workdir=BUNDLE
"""

from acsnet_jax import app
from acsnet_jax.jobs.fit_latent import fit_latent

if __name__ == "__main__":
    app.run(fit_latent, "fit_latent")
