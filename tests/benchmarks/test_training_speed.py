"""The rival of the training benchmark is the same network, and a race counts what it should."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags

from acsnet_jax.losses import segmentation_loss
from acsnet_jax.models import ResUNet
from acsnet_jax.training.settings import Optimisation
from benchmarks import training

torch = pytest.importorskip("torch", reason="needs PyTorch, which races against us")
flop_counter = pytest.importorskip("torch.utils.flop_counter")

from benchmarks import torch_resunet as rival  # noqa: E402

MODEL = ResUNet(filters=(4, 6), bridge=8, outputs=2, dropout=0.0, patch=2)


@functools.cache
def variables():
    """Random parameters and statistics, none of them 0 or 1."""
    shapes = jax.eval_shape(
        lambda: MODEL.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)
    )
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 0.5, leaf.shape), jnp.float32), shapes
    )


def samples():
    rng = np.random.default_rng(1)
    images = rng.uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    targets = (rng.uniform(size=(3, 16, 16, 2)) < 0.3).astype(np.float32)
    return images, targets, np.array([[1, 0], [2, 1], [1, 0.5]], np.float32)


def their_model():
    return rival.copied(
        rival.ResUNet(3, MODEL.filters, MODEL.bridge, 2, 0.0, MODEL.patch), variables()
    )


def channels_first(array):
    return torch.from_numpy(np.moveaxis(array, -1, 1).copy())


def test_both_networks_give_the_same_outputs():
    images, _, _ = samples()
    ours = np.asarray(MODEL.apply(variables(), jnp.asarray(images), train=False))
    with torch.no_grad():
        theirs = their_model().eval()(channels_first(images)).numpy()
    np.testing.assert_allclose(np.moveaxis(theirs, 1, -1), ours, rtol=1e-4, atol=1e-4)


def test_both_have_the_same_number_of_parameters():
    ours = sum(leaf.size for leaf in jax.tree.leaves(variables()["params"]))
    assert sum(tensor.numel() for tensor in their_model().parameters()) == ours


def test_both_have_the_same_loss_and_gradient():
    images, targets, weights = samples()

    def objective(params):
        logits, _ = MODEL.apply(
            {**variables(), "params": params},
            jnp.asarray(images),
            train=True,
            mutable=["batch_stats"],
        )
        losses = segmentation_loss(logits, jnp.asarray(targets), beta=0.4)
        return jnp.mean(losses * weights)

    loss, slopes = jax.value_and_grad(objective)(variables()["params"])
    model = their_model().train()
    logits = model(channels_first(images))
    their_loss = rival.segmentation_loss(
        logits, channels_first(targets), torch.from_numpy(weights), beta=0.4
    )
    their_loss.backward()
    assert their_loss.item() == pytest.approx(float(loss), rel=1e-4)
    first = slopes["ResidualBlock_0"]["Conv_0"]["kernel"]
    theirs = slope(model, "downs.0.convolutions.0.weight")
    np.testing.assert_allclose(theirs, first, rtol=0.02, atol=1e-3 * np.abs(first).max())
    head = slope(model, "head.weight")
    np.testing.assert_allclose(head, slopes["Conv_0"]["kernel"], rtol=1e-3, atol=1e-6)


def slope(model, name):
    """Gradient of a kernel of theirs, as Flax lays it out."""
    gradient = dict(model.named_parameters())[name].grad
    assert gradient is not None
    return gradient.numpy().transpose(2, 3, 1, 0)


def test_their_steps_learn_a_fixed_batch():
    step = rival.training_step(
        their_model(), *samples(), beta=0.4, learning_rate=0.01, half=False, compiled=False
    )
    losses = [step().item() for _ in range(15)]
    assert losses[-1] < 0.9 * losses[0]


def test_flops_are_those_that_pytorch_counts():
    with flop_counter.FlopCounterMode(display=False) as counter, torch.no_grad():
        their_model()(torch.zeros(1, 3, 16, 32))
    assert training.forward_flops(MODEL, 16, 32, 3) == counter.get_total_flops()


@pytest.fixture
def flag_values():
    """The benchmark's defaults, but for short turns."""
    values = flags.FLAGS
    values.unparse_flags()
    values(["test", "--rounds=2", "--seconds=0"])
    yield
    values.unparse_flags()


@pytest.mark.usefixtures("flag_values", "standard_promotion")
def test_a_race_counts_no_late_program_and_compares_within_itself(capsys, monkeypatch):
    monkeypatch.setattr(training, "PHANTOMS", 2)
    settings = training.settings_by("myo_small")
    settings = dataclasses.replace(
        settings,
        spec=dataclasses.replace(settings.spec, myo_size=16, context=1, no_reflow=False),
        optimisation=Optimisation(beta=0.4),
        model=dataclasses.replace(MODEL, dropout=0.1),
    )
    shape = training.make_shape("tiny", settings)
    found = training.race(shape, 16, rival, compiled=False)
    assert [*found["contenders"]] == [
        *("step", "network", "step, no dropout", "augmentation", "eager")
    ]
    for row in found["contenders"].values():
        assert row["compiled_after_first_step"] == 0
        assert row["images_per_second"] * row["seconds"] == pytest.approx(16)
        assert row["best_seconds"] <= row["seconds"]
    assert found["contenders"]["step"]["memory_mib"] > 0
    assert set(found["times_as_fast"]) == {"network over eager", "step over eager"}
    assert set(found["share_of_step"]) == {"augmentation", "dropout"}
    channels = 1 + 2 * settings.spec.context
    assert isinstance(settings.model, ResUNet)
    assert found["gflop_a_step"] == pytest.approx(
        3 * 16 * training.forward_flops(settings.model, 16, 16, channels) / 1e9
    )
    training.show(found)
    assert "network over eager" in capsys.readouterr().out


@pytest.mark.parametrize("name", training.SHAPES)
def test_every_network_that_may_be_named_exists(name):
    settings = training.settings_by(name)
    assert settings.task == name.removesuffix("_small")
    assert isinstance(settings.model, ResUNet)


def test_a_ratio_is_the_median_over_rounds():
    one, other = (training.Contender(lambda: None) for _ in range(2))
    one.times, other.times = [1.0, 2.0, 4.0], [2.0, 6.0, 20.0]
    assert training.ratio(one, other) == 3
