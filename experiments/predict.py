r"""Segment scans with a trained bundle.

python -m experiments.predict --config=configs/predict.py --config.bundle=DIR \
    --config.input=PATH --workdir=OUT
"""

from acsnet_jax import app
from acsnet_jax.jobs.predict import predict

if __name__ == "__main__":
    app.run(predict, "predict")
