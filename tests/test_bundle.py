import dataclasses
import functools
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax import bundle as bundles
from acsnet_jax import latent
from acsnet_jax.anatomy import Thresholds
from acsnet_jax.clinical import Calibration, Scale
from acsnet_jax.correction.corrector import CorrectionOptions
from acsnet_jax.models import Autoencoder, ResUNet
from acsnet_jax.pipeline import Inference
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.types import InputError, Population

SPEC = InputSpec(2.0, 32, 2.0, 16, 16, 10.0, "percentile", window=False)
OPTIONS = CorrectionOptions(alphas=8)
SIZES = {
    "lv": {"filters": (2, 4), "bridge": 4, "outputs": 1, "dropout": 0.1},
    "myo": {"filters": (2, 4), "bridge": 4, "outputs": 2, "dropout": 0.1},
    "autoencoder": {"size": 16, "latent": 3, "filters": (2, 4)},
}


@pytest.fixture(scope="module")
def parts():
    networks = {}
    for index, (name, sizes) in enumerate(SIZES.items()):
        model = Autoencoder(**sizes) if name == "autoencoder" else ResUNet(**sizes)
        make = jax.jit(functools.partial(model.init, train=False))
        variables = make(jax.random.key(index), jnp.zeros((1, 16, 16, 1)))
        networks[name] = bundles.Network(sizes, variables)
    codes = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    masks = jnp.asarray(np.random.default_rng(1).random((40, 16, 16)) > 0.5)
    space = bundles.Latent(
        Thresholds(0.8, 0.7, 3.0, 2.0, 20.0),
        latent.fit_mixture(codes, 2, seed=0),
        Population(jnp.asarray(codes), latent.pack_masks(masks)),
    )
    return networks, space


def save(folder, parts):
    networks, space = parts
    bundles.save(folder, networks, space, SPEC, Inference(turns=1), OPTIONS, training={"scans": 3})
    return folder


def test_stage_2_may_tell_no_reflow(tmp_path, parts):
    networks, space = parts
    sizes = {**SIZES["myo"], "outputs": 3}
    make = jax.jit(functools.partial(ResUNet(**sizes).init, train=False))
    three = bundles.Network(sizes, make(jax.random.key(0), jnp.zeros((1, 16, 16, 1))))
    spec = dataclasses.replace(SPEC, no_reflow=True)
    networks = {**networks, "myo": three}
    for name, told in (("told", spec), ("untold", SPEC)):
        bundles.save(tmp_path / name, networks, space, told, Inference(), OPTIONS, training={})
    loaded = bundles.load(tmp_path / "told")
    assert loaded.spec == spec
    assert loaded.delineate(jnp.zeros((2, 16, 16))).shape == (2, 16, 16, 3)
    with pytest.raises(InputError, match=r"networks\.myo does not fit"):
        bundles.load(tmp_path / "untold")


def test_networks_may_see_patches(tmp_path, parts):
    networks, space = parts
    sizes = {**SIZES["lv"], "patch": 2}
    make = jax.jit(functools.partial(ResUNet(**sizes).init, train=False))
    network = bundles.Network(sizes, make(jax.random.key(0), jnp.zeros((1, 16, 16, 1))))
    networks = {**networks, "lv": network}
    for size in (32, 36):
        spec = dataclasses.replace(SPEC, lv_size=size)
        folder = tmp_path / str(size)
        bundles.save(folder, networks, space, spec, Inference(), OPTIONS, training={})
    assert bundles.load(tmp_path / "32").localise(jnp.zeros((2, 32, 32))).shape == (2, 32, 32)
    with pytest.raises(InputError, match=r"networks\.lv does not fit its input of 36 pixels"):
        bundles.load(tmp_path / "36")


def test_what_is_saved_is_loaded(tmp_path, parts):
    networks, space = parts
    loaded = bundles.load(save(tmp_path / "bundle", parts))
    assert loaded.spec == SPEC
    assert loaded.inference == Inference(turns=1)
    images = jnp.asarray(np.random.default_rng(2).uniform(0, 255, (2, 16, 16)), jnp.float32)
    model = ResUNet(**SIZES["myo"])
    direct = jnp.asarray(model.apply(networks["myo"].variables, images[..., None], train=False))
    np.testing.assert_allclose(loaded.delineate(images), jax.nn.sigmoid(direct), rtol=1e-5)
    assert loaded.localise(images).shape == (2, 16, 16)
    codes = loaded.corrector.encode(images / 255)
    assert codes.shape == (2, 3)
    assert loaded.corrector.decode(codes).dtype == bool
    np.testing.assert_array_equal(loaded.corrector.population.codes, space.population.codes)
    np.testing.assert_array_equal(loaded.corrector.population.masks, space.population.masks)
    for ours, theirs in zip(loaded.corrector.mixture, space.mixture, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    jax.tree.map(np.testing.assert_allclose, loaded.corrector.thresholds, space.thresholds)


def test_options_can_be_replaced(tmp_path, parts):
    loaded = bundles.load(
        save(tmp_path / "bundle", parts), inference={"batch": 3}, correction={"scope": "all"}
    )
    assert loaded.inference == Inference(turns=1, batch=3)
    assert loaded.corrector.options == CorrectionOptions(alphas=8, scope="all")


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [("alphas", 1, "at least 2"), ("neighbours", 0, "at least 1"), ("neighbours", 999, "at most")],
)
def test_options_that_no_search_can_have_are_refused(tmp_path, parts, option, value, wanted):
    folder = save(tmp_path / "bundle", parts)
    with pytest.raises(InputError, match=rf"correction\.{option} is {value}.*give {wanted}"):
        bundles.load_corrector(folder, correction={option: value})


def test_intervals_are_calibrated_for_the_options_that_the_bundle_has(
    tmp_path, parts, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    networks, space = parts
    known = Calibration(0.9, {"lv_volume_ml": {"all": Scale(1.0, 2.0, 20)}})
    given = (networks, space, SPEC, Inference(turns=1), OPTIONS)
    bundles.save(tmp_path / "bundle", *given, training={}, calibration=known)
    for same in ({}, {"turns": 1, "batch": 3}):
        assert bundles.load(tmp_path / "bundle", inference=same).calibration == known
    assert not caplog.records
    others: list[dict] = [{"inference": {"turns": 8}}, {"correction": {"scope": "all"}}]
    for other in others:
        assert bundles.load(tmp_path / "bundle", **other).calibration is None
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [
        f"intervals were calibrated with another {name}" for name in ("turns", "scope")
    ]


def test_stage_3_stands_alone(tmp_path, parts):
    networks, space = parts
    alone = {"autoencoder": networks["autoencoder"]}
    save(tmp_path / "bundle", (alone, space))
    loaded = bundles.load_corrector(tmp_path / "bundle")
    assert (loaded.size, loaded.spacing_mm) == (SPEC.mask_size, SPEC.myo_spacing_mm)
    whole = bundles.load(save(tmp_path / "whole", parts)).corrector
    codes = loaded.population.codes[:3]
    np.testing.assert_array_equal(loaded.decode(codes), whole.decode(codes))
    with pytest.raises(InputError, match="stage 3 alone, without lv and myo"):
        bundles.load(tmp_path / "bundle")


def test_nothing_is_pickled(tmp_path, parts):
    folder = save(tmp_path / "bundle", parts)
    assert sorted(path.suffix for path in folder.iterdir()) == [*[".json"] * 2, *[".npz"] * 4]
    for path in folder.glob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays)


def test_an_existing_bundle_is_not_overwritten(tmp_path, parts):
    folder = save(tmp_path / "bundle", parts)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="exists already"):
        save(folder, parts)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_bundle_of_another_format_is_refused(tmp_path, parts):
    path = save(tmp_path / "bundle", parts) / "bundle.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "format": 99, "version": "9.0"}))
    with pytest.raises(InputError, match=r"format 99 \(acsnet_jax 9.0\).*newer.*update acsnet_jax"):
        bundles.load(path.parent)
    path.write_text(json.dumps({**record, "format": 1}))
    with pytest.raises(InputError, match=r"format 1 .*train it anew"):
        bundles.load(path.parent)


def as_older(folder, form, **changes):
    """The bundle as an older version wrote it: no manifest, and no ensembles in format 2."""
    record = json.loads((folder / "bundle.json").read_text())
    if form == 2:
        del record["members"]
    (folder / "bundle.json").write_text(json.dumps({**record, **changes, "format": form}))
    (folder / "manifest.json").unlink()
    return folder


@pytest.mark.parametrize("form", [2, 3])
def test_older_formats_load_and_can_be_sealed(tmp_path, parts, form, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    folder = as_older(save(tmp_path / "bundle", parts), form)
    arrays = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    digest = bundles.digest(folder)
    with caplog.at_level(logging.INFO):
        before = bundles.load(folder)
    assert f"of format {form}, without checksums" in caplog.text
    bundles.seal(folder)
    caplog.clear()
    after = bundles.load(folder)
    assert not caplog.text
    jax.tree.map(np.testing.assert_array_equal, after.delineate, before.delineate)
    assert (after.spec, after.inference) == (before.spec, before.inference)
    assert {path.name: path.read_bytes() for path in folder.glob("*.npz")} == arrays
    assert bundles.digest(folder) != digest  # bundle.json tells the format
    with pytest.raises(InputError, match="nothing is left to do"):
        bundles.seal(folder)


@pytest.mark.parametrize("name", ["bundle.json", "manifest.json", "lv.npz", "latent.npz"])
def test_damage_is_named(tmp_path, parts, name):
    path = save(tmp_path / "bundle", parts) / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=name):
        bundles.load(path.parent)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match="no bundle"):
        bundles.load(tmp_path)


def test_compact_form_refuses_what_it_would_not_hold(tmp_path, parts):
    networks, space = parts

    def save_compact(spec, networks):
        bundles.save(
            tmp_path / "b", networks, space, spec, Inference(), OPTIONS, training={}, compact=True
        )

    with pytest.raises(InputError, match="half precision does not hold params/"):
        save_compact(SPEC, networks)
    with pytest.raises(InputError, match=r"one spec\.myo_spacing_mm"):
        save_compact(dataclasses.replace(SPEC, myo_spacing_mm=None), networks)
    assert not (tmp_path / "b").exists()
