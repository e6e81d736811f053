"""The plain U-Net learns, keeps patients of a fold out of its training, and resumes."""

import dataclasses
import json

import numpy as np
import pytest

from acsnet_jax.io import read_labels
from acsnet_jax.types import InputError
from benchmarks import plain_folds

torch = pytest.importorskip("torch", reason="needs PyTorch, in which the network is written")

from benchmarks import torch_unet  # noqa: E402


def discs(count=8, size=32):
    """Bright cavities in grey rings on noise, with labels; the upper half of a wall is infarct."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    radius = np.hypot(rows, columns)
    labels = np.zeros((count, size, size), np.uint8)
    labels[:, (radius < 10)] = 2
    labels[:, (radius < 10) & (rows < 0)] = 3
    labels[:, radius < 6] = 1
    means = np.array([0.0, 2.0, -1.0, 1.0], np.float32)
    return (means[labels] + rng.normal(0, 0.2, labels.shape)).astype(np.float32), labels


def test_a_loss_of_a_perfect_prediction_is_nearly_nothing():
    labels = torch.from_numpy(discs()[1]).long()
    perfect = 50.0 * torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    assert torch_unet.loss_of(perfect, labels).item() == pytest.approx(0, abs=1e-3)
    assert torch_unet.loss_of(-perfect, labels).item() > 1


def test_image_and_labels_are_moved_alike():
    torch.manual_seed(0)
    _, labels = discs()
    labels[:, :8, :8] = 1  # no symmetry
    moved, drawn = torch_unet.augment(
        torch.from_numpy(labels).float()[:, None], torch.from_numpy(labels)
    )
    assert not torch.equal(drawn, torch.from_numpy(labels).long())
    for image, label in zip(moved[:, 0], drawn, strict=True):
        means = [image[label == value].mean() for value in (0, 1, 3)]
        assert means == sorted(means)  # intensities were the labels


def test_it_learns_and_averages_over_poses():
    images, labels = discs()
    recipe = torch_unet.Recipe(filters=(8, 16), epochs=30, batch_size=4, learning_rate=0.01)
    model = torch_unet.train(images, labels, recipe, name="discs")
    found = torch_unet.probabilities(model, images, mirrored=True)
    assert found.shape == (4, *images.shape)
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-5)
    assert (found.argmax(0) == labels)[labels > 0].mean() > 0.9
    turned = torch_unet.probabilities(model, np.rot90(images, 1, (1, 2)).copy(), mirrored=True)
    np.testing.assert_allclose(np.rot90(found, 1, (2, 3)), turned, atol=1e-4)


OPTIONS = plain_folds.Options(filters=(2, 4), epochs=1, spacing_mm=4.0, size=32, mirror=False)


def test_every_patient_is_predicted_by_a_network_that_never_saw_it(
    cohort, folds, tmp_path, monkeypatch
):
    names, out, seen = [scan.id for scan in cohort], tmp_path / "out", []
    cross = plain_folds.cross

    def spy(network, training, held_out, options, folder):
        seen.append(({scan.id for scan in training}, {scan.id for scan in held_out}))
        cross(network, training, held_out, options, folder)

    monkeypatch.setattr(plain_folds, "cross", spy)
    plain_folds.run_folds(cohort, folds, out, OPTIONS)
    assert seen == [(set(names[2:]), set(names[:2])), (set(names[:2]), set(names[2:]))]
    for index, scan in enumerate(cohort):
        stack = read_labels(out / "labels" / f"fold_{index // 2}" / f"{scan.id}.nii.gz")
        assert stack.values.shape == scan.image.shape
        assert stack.spacing_mm == pytest.approx(scan.spacing_mm)
        assert set(np.unique(stack.values)) <= {0, 1, 2, 3}
    rows = (out / "challenge_patients.csv").read_text().splitlines()
    assert len(rows) == 1 + 4 * 4
    assert {"challenge.md", "table1.csv", "table2.md"} <= {path.name for path in out.iterdir()}

    plain_folds.run_folds(cohort, folds, out, OPTIONS)  # nothing is trained again
    assert len(seen) == 2
    with pytest.raises(InputError, match="seed differ"):
        plain_folds.run_folds(cohort, folds, out, dataclasses.replace(OPTIONS, seed=1))


def test_a_file_holds_what_was_predicted(cohort, folds, tmp_path, monkeypatch):
    """Experts' labels, written and read again, score 1 everywhere."""
    out = tmp_path / "out"
    monkeypatch.setattr(torch_unet, "train", lambda *_, **__: None)
    monkeypatch.setattr(
        plain_folds, "predict", lambda network, model, scan, options: np.minimum(scan.labels, 3)
    )
    plain_folds.run_folds(cohort, folds, out, OPTIONS)
    lines = [line.split(",") for line in (out / "challenge_patients.csv").read_text().splitlines()]
    assert {line[lines[0].index("dice")] for line in lines[1:]} == {"1"}


def test_a_size_that_cannot_be_halved_is_refused(cohort, folds, tmp_path):
    with pytest.raises(InputError, match="multiple of 2"):
        plain_folds.run_folds(cohort, folds, tmp_path, dataclasses.replace(OPTIONS, size=33))


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([["a"]], "two folds"),
        ([["a"], []], "two folds"),
        ([["a"], ["a"]], "more than one place"),
        ([["a"], ["c"]], "not a labelled scan"),
    ],
)
def test_bad_folds_are_refused(tmp_path, folds, message):
    path = tmp_path / "folds.json"
    path.write_text(json.dumps(folds))
    with pytest.raises(InputError, match=message):
        plain_folds.read_folds(path, ["a", "b"])
