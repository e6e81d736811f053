"""Configs and entry points lie beside the package in the repository, and inside it in a wheel."""

from setuptools import find_packages, setup

INSIDE = {"acsnet_jax.configs": "configs", "acsnet_jax.experiments": "experiments"}

setup(packages=[*find_packages(include=["acsnet_jax*"]), *INSIDE], package_dir=INSIDE)
