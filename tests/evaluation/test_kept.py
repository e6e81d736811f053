import dataclasses

import numpy as np

from acsnet_jax.evaluation.kept import read_segmentation, write_segmentation


def test_a_segmentation_comes_back_whole(make_segmentation, certificates, tmp_path):
    probability = np.random.default_rng(0).random((4, 48, 48)).astype(np.float32)
    given = dataclasses.replace(
        make_segmentation(shift=(1, 0)),
        kept=np.array([True, False, True, True]),
        certificates=tuple(certificates),
        scar_probability=probability,
        no_reflow=probability > 0.9,
    )
    path = tmp_path / "deep" / "one.npz"
    write_segmentation(given, path)
    found = read_segmentation(given.scan, path)
    for name in ("myocardium", "blood_pool", "enhancement", "core", "kept", "no_reflow"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    assert found.certificates == given.certificates
    assert found.scar_probability is not None
    np.testing.assert_allclose(found.scar_probability, probability, atol=5e-4)
    assert [x.name for x in path.parent.iterdir()] == ["one.npz"]


def test_what_has_no_probabilities_comes_back_without(make_segmentation, tmp_path):
    given = make_segmentation()
    write_segmentation(given, tmp_path / "one.npz")
    found = read_segmentation(given.scan, tmp_path / "one.npz")
    assert found.scar_probability is None and found.certificates == ()
    assert found.no_reflow is None
