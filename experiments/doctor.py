"""Check this installation: packages, devices, compiler, decoders, folders, bundle, one tiny run.

python -m experiments.doctor --config.bundle=DIR --workdir=DIR
"""

from acsnet_jax import installation

if __name__ == "__main__":
    installation.require_packages()  # before one of them is imported

    try:
        from acsnet_jax import app
        from acsnet_jax.jobs.doctor import doctor
    except ImportError as error:
        installation.stop(error)

    app.run(doctor, "doctor", writes=False)
