"""A cohort and its folds, for the networks that are set beside ours."""

import json

import pytest

from acsnet_jax.synthesis.phantom import make_cohort


@pytest.fixture
def cohort():
    """Four phantoms."""
    return make_cohort(4, 0, modality="lge", size=96)


@pytest.fixture
def folds(tmp_path, cohort):
    """Two folds of them."""
    path = tmp_path / "folds.json"
    path.write_text(json.dumps([[scan.id for scan in part] for part in (cohort[:2], cohort[2:])]))
    return path
