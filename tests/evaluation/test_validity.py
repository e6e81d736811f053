import dataclasses

import numpy as np
import pytest
from rings import make_corrector

from acsnet_jax.evaluation.validity import validity_of, why_lost
from acsnet_jax.types import Route


@pytest.fixture(scope="module")
def corrector():
    return make_corrector()


@pytest.fixture
def emptied(make_segmentation, certificates):
    """Slice 0 was never found, 1 lost by the correction, 2 cut by the volume checks, 3 is there."""
    whole = make_segmentation()
    there, _, empty = certificates
    lost = there._replace(route=Route.LOST, valid_before=False, valid_after=False)
    kept = np.array([False, False, False, True])
    return dataclasses.replace(
        whole,
        myocardium=kept[:, None, None] & whole.myocardium,
        kept=kept,
        certificates=(empty, lost, there, there._replace(kept=True)),
    )


def test_lost_slices_have_a_reason(emptied, corrector):
    found = validity_of([emptied], corrector)
    assert found.lost == {
        ("one", 0): "never found",
        ("one", 1): "lost by the correction",
        ("one", 2): "cut by the volume checks",
    }
    assert (found.returned, found.given_up, found.expert) == (1, 1, 4)
    assert found.share == pytest.approx(found.valid / 2)  # what is given up is no valid slice
    assert "lost: 3 of 4 (1 never found, 1 lost by the correction, 1 cut by" in found.text()


def test_without_a_correction_nothing_was_found(emptied):
    assert why_lost(dataclasses.replace(emptied, certificates=()), 2) == "never found"


def test_returning_nothing_is_not_valid(make_segmentation, corrector):
    whole = make_segmentation()
    nothing = dataclasses.replace(whole, myocardium=np.zeros_like(whole.myocardium))
    found = validity_of([nothing, whole], corrector)
    assert (found.returned, found.expert, len(found.lost)) == (4, 8, 4)
    assert validity_of([whole], corrector).text().startswith("expert slices lost: 0 of 4;")


def test_only_labelled_slices_can_be_lost(emptied, corrector):
    labelled = np.array([True, False, False, False])
    fewer = dataclasses.replace(emptied, scan=emptied.scan.replace(labelled=labelled))
    found = validity_of([fewer], corrector)
    assert (found.expert, len(found.lost), found.unlabelled) == (1, 1, 1)
    assert found.given_up == 1  # though nobody labelled it
