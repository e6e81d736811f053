import ast
import dataclasses
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from acsnet_jax.config import section
from acsnet_jax.models import Autoencoder, ResUNet
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.optimiser import adam
from acsnet_jax.training.settings import (
    OUTPUTS,
    Optimisation,
    build_model,
    course_of,
    from_config,
    input_size,
    settings_of,
    task_of,
)
from acsnet_jax.training.study import check_pretraining, check_study, task_config
from acsnet_jax.types import InputError
from configs import autoencoder, emidec_cpu, lv, myo, quickstart

TRAINING = {"lv": lv, "myo": myo, "autoencoder": autoencoder}
CONFIGS = pathlib.Path(lv.__file__).parent


@pytest.mark.parametrize("task", TRAINING)
def test_a_training_config_becomes_frozen_settings(task):
    settings = settings_of(TRAINING[task].get_config())
    assert settings.task == task
    for part in (settings, settings.data, settings.spec, settings.augment, settings.optimisation):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, dataclasses.fields(part)[0].name, None)
    hash(task_of(settings))  # `jit` closes over it
    assert task_of(settings) == task_of(settings)  # so that a second run finds its program


def test_the_designs_sizes_are_the_defaults():
    models = {task: settings_of(TRAINING[task].get_config()).model for task in TRAINING}
    assert models["lv"] == ResUNet(filters=(32, 64, 128, 256), bridge=512, outputs=1)
    assert models["myo"] == ResUNet(filters=(64, 128, 256, 512), bridge=1024, outputs=2)
    assert models["autoencoder"] == Autoencoder(size=128, latent=16)
    betas = {task: settings_of(TRAINING[task].get_config()).optimisation.beta for task in TRAINING}
    assert (betas["lv"], betas["myo"]) == (0.6, 0.4)


@pytest.mark.parametrize("study", [quickstart, emidec_cpu])
@pytest.mark.parametrize("task", OUTPUTS)
def test_a_study_holds_three_training_configs(study, task):
    settings = settings_of(task_config(study.get_config(), task))
    assert settings.task == task
    assert isinstance(settings.model, nn.Module)
    # The network takes its own input: nothing is computed here.
    size = input_size(task, settings.spec)
    images = jax.ShapeDtypeStruct((1, size, size, 1), np.float32)
    logits, _ = jax.eval_shape(
        lambda x: settings.model.init_with_output(jax.random.key(0), x, train=False), images
    )
    third = study is emidec_cpu and task == "myo"  # its experts drew no-reflow
    assert logits.shape == (1, size, size, OUTPUTS[task] + third)


def test_a_typo_dies_with_a_suggestion():
    config = lv.get_config().lock()
    with pytest.raises(AttributeError, match="learning_rate"):
        config.optimisation.learning_rte = 1e-4
    with pytest.raises(KeyError, match="patient"):
        config.update({"data": {"patient": 3}})


def test_an_unknown_task_is_bad_input():
    config = lv.get_config()
    config.task = "liver"
    with pytest.raises(InputError, match="'liver'; choose one of lv, myo, autoencoder"):
        settings_of(config)


def test_a_section_becomes_its_dataclass_and_back():
    for default in (InputSpec(myo_spacing_mm=None), Augment(box=0.3), Optimisation(epochs=7)):
        node = section(default)
        assert isinstance(node, ml_collections.ConfigDict)
        assert from_config(type(default), node) == default


def test_sequences_become_tuples():
    spec = InputSpec(mask_size=32)
    model = build_model("autoencoder", {"latent": 4, "filters": [4, 8]}, spec)
    assert model == Autoencoder(size=32, latent=4, filters=(4, 8))
    hash(model)
    assert build_model("myo", {"filters": [4], "bridge": 8}, spec).outputs == 2


def test_a_study_and_one_network_are_told_apart():
    with pytest.raises(InputError, match=r"not of one network.*study's to reproduce"):
        settings_of(quickstart.get_config())
    with pytest.raises(InputError, match=r"not of a study.*one network to train"):
        check_study(myo.get_config())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks.autoencoder.optimisation.batch_size": 0}, r"autoencoder: .*batch_size is 0"),
        ({"networks.myo.pretraining.beta": 3.0}, r"myo: optimisation\.beta is 3"),
        ({"networks.lv.augment.box": -1.0}, r"lv: augment\.box is -1"),
        ({"spec.mask_size": 90}, r"autoencoder: config\.spec\.mask_size is 90"),
        ({"networks.myo.optimisation.warmup": 1.5}, r"myo: optimisation\.warmup is 1\.5"),
        ({"networks.lv.pretraining.warmup": -1.0}, r"lv: optimisation\.warmup is -1"),
        (
            {"networks.autoencoder.optimisation.compute": "bfloat16"},
            r"autoencoder: optimisation\.compute=bfloat16",
        ),
    ],
)
def test_a_study_is_looked_at_whole_before_it_trains(change, message):
    config = emidec_cpu.get_config()
    check_study(config)
    config.update_from_flattened_dict(change)
    with pytest.raises(InputError, match=rf"config\.networks\.{message}"):
        check_study(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule.thresholds": ()}, r"rule\.thresholds is empty"),
        ({"latent.coverage": 0.0}, r"latent\.coverage is 0"),
        ({"latent.population": 0}, r"latent\.population is 0"),
        ({"rule.min_ml": (-1.0,)}, r"rule: min_scar_ml is -1"),
        ({"rule.tolerance": -0.1}, r"rule\.tolerance is -0\.1"),
        ({"inference.scar_threshold": 1.5}, r"inference\.scar_threshold is 1\.5: give 0 to 1"),
        ({"inference.batch": 0}, r"inference\.batch is 0: give at least 1"),
        ({"correction.alphas": 1}, r"correction\.alphas is 1: give at least 2"),
    ],
)
def test_what_is_fitted_and_used_after_the_training_is_looked_at_before_it(change, message):
    config = emidec_cpu.get_config()
    config.update_from_flattened_dict(change)
    with pytest.raises(InputError, match=message):
        check_study(config)


def test_pretraining_without_cine_is_told_before_anything_is_trained():
    config = emidec_cpu.get_config()
    with pytest.raises(InputError, match=r"pretraining\.epochs asks for cine.* another --workdir"):
        check_pretraining(config, [])
    for task in ("lv", "myo"):
        config.networks[task].pretraining.epochs = 0
    check_pretraining(config, [])


def test_an_unknown_field_does_not_pass_silently():
    with pytest.raises(TypeError, match="epoch"):
        from_config(Optimisation, ml_collections.ConfigDict({"epoch": 3}))


def test_each_network_sees_its_own_size():
    spec = InputSpec(lv_size=1, myo_size=2, mask_size=3)
    assert [input_size(task, spec) for task in ("lv", "myo", "autoencoder")] == [1, 2, 3]


def test_the_learning_rate_rises_and_falls():
    """The course is seen through Adam: a constant gradient moves each parameter by the rate."""
    config = lv.get_config()
    config.optimisation.update(learning_rate=0.5, warmup=0.2)
    settings = settings_of(config)
    optimiser, course = adam(), course_of(settings.optimisation, 10)
    assert task_of(settings).optimiser is optimiser
    state = optimiser.init(np.zeros(1, np.float32))
    update = jax.jit(optimiser.update)
    rates = []
    with jax.numpy_dtype_promotion("standard"):  # Optax's Adam mixes integers and floats
        for _ in range(11):
            change, state = update(np.ones(1, np.float32), state, course=course)
            rates.append(-float(change[0]))
    schedule = optax.warmup_cosine_decay_schedule(0.0, 0.5, warmup_steps=2, decay_steps=10)
    np.testing.assert_allclose(rates, np.stack([schedule(step) for step in range(11)]), atol=1e-5)
    # Two steps of warm-up from 0, then a half cosine over eight steps down to 0.
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(9) / 8)) / 2
    np.testing.assert_allclose(rates, [0, 0.25, *cosine], atol=1e-5)


@pytest.mark.parametrize("warmup", [-0.1, 1.0, 5.0])
def test_a_warm_up_is_a_share_of_all_steps(warmup):
    with pytest.raises(InputError, match=f"optimisation.warmup is {warmup}: give a share"):
        course_of(Optimisation(warmup=warmup), 10)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_each_config_begins_with_its_command(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert "python -m experiments." in docstring


def test_stages_1_and_2_may_compute_in_bfloat16_and_predict_in_float32():
    config = myo.get_config()
    config.optimisation.compute = "bfloat16"
    settings = settings_of(config)
    trained, kept = task_of(settings).model, settings.model
    assert isinstance(trained, ResUNet) and isinstance(kept, ResUNet)
    assert (trained.dtype, kept.dtype) == (jnp.bfloat16, jnp.float32)
    config = autoencoder.get_config()
    config.optimisation.compute = "bfloat16"
    with pytest.raises(InputError, match="stages 1 and 2"):
        task_of(settings_of(config))
