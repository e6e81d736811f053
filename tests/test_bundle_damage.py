"""A bundle is data: whatever is done to one, it loads as it was, or is refused in one line."""

import io
import json
import os
import shutil
import tracemalloc
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax import bundle as bundles
from acsnet_jax import latent
from acsnet_jax.anatomy import Thresholds
from acsnet_jax.bundle import manifest
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.models import Autoencoder
from acsnet_jax.pipeline import Inference
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.types import InputError, Population

SIZES = {"size": 16, "latent": 3, "filters": (2, 4)}
MUTATIONS = 300


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Stage 3 alone, a few kilobytes."""
    codes = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    masks = jnp.asarray(np.random.default_rng(1).random((24, 16, 16)) > 0.5)
    variables = jax.jit(Autoencoder(**SIZES).init)(jax.random.key(0), jnp.zeros((1, 16, 16, 1)))
    folder = tmp_path_factory.mktemp("whole") / "bundle"
    bundles.save(
        folder,
        {"autoencoder": bundles.Network(SIZES, variables)},
        bundles.Latent(
            Thresholds(0.8, 0.7, 3.0, 2.0, 20.0),
            latent.fit_mixture(codes, 2, seed=0),
            Population(jnp.asarray(codes), latent.pack_masks(masks)),
        ),
        InputSpec(2.0, 32, 2.0, 16, 16, 10.0),
        Inference(),
        CorrectionOptions(),
        training={"scans": 3},
    )
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="module")
def expected(whole):
    return contents(whole)


def contents(folder):
    """All that a bundle's stage 3 is made of, as bytes."""
    corrector = bundles.load_corrector(folder)
    leaves = jax.tree.leaves((corrector.encode, corrector.population, corrector.mixture))
    options = corrector.thresholds, corrector.size, corrector.spacing_mm, corrector.options
    return [np.asarray(leaf).tobytes() for leaf in leaves], options


def refusal(folder):
    """The one line with which a bundle is refused."""
    with pytest.raises(InputError) as caught:
        bundles.load_corrector(folder)
    message = str(caught.value)
    assert str(folder) in message and "\n" not in message
    return message


def edit(path, change):
    """Change a JSON file."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


# What is refused, by name


def test_links_are_refused(folder, tmp_path):
    shutil.move(folder / "latent.npz", tmp_path / "latent.npz")
    (folder / "latent.npz").symlink_to(tmp_path / "latent.npz")
    assert "latent.npz is a symbolic link" in refusal(folder)


@pytest.mark.parametrize("name", ["extra.npz", ".hidden", "run.py"])
def test_extra_files_are_refused(folder, name):
    (folder / name).write_bytes(b"")
    assert f"{name} is not listed in manifest.json" in refusal(folder)


def test_a_listed_file_that_belongs_to_nothing_is_refused(folder):
    shutil.copy(folder / "autoencoder.npz", folder / "lv.npz")
    manifest.write(folder)
    assert "lv.npz belongs to no network" in refusal(folder)


def test_folders_and_pipes_are_refused(folder):
    (folder / "more").mkdir()
    assert "more is no file" in refusal(folder)
    (folder / "more").rmdir()
    os.mkfifo(folder / "more")
    assert "more is no file" in refusal(folder)


@pytest.mark.parametrize("name", ["latent.npz", "autoencoder.npz", "manifest.json"])
def test_missing_files_are_refused(folder, name):
    (folder / name).unlink()
    assert f"{name} is missing" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["../latent.npz", "/etc/passwd", "a/b.npz", "..", "", "a\\b.npz", "manifest.json"]
)
def test_paths_out_of_the_folder_are_refused(folder, name):
    def add(values):
        values["files"][name] = values["files"]["latent.npz"]

    edit(folder / "manifest.json", add)
    assert "no file of a bundle's folder" in refusal(folder)


def test_a_changed_byte_is_noticed(folder):
    path = folder / "bundle.json"
    path.write_text(path.read_text().replace("0.8", "0.7", 1))
    assert "bundle.json was changed or damaged" in refusal(folder)


@pytest.mark.parametrize("size", [-1, 2**40, 1.5, "12", None, True])
def test_absurd_sizes_are_refused(folder, size):
    edit(
        folder / "manifest.json",
        lambda values: values["files"]["latent.npz"].update(bytes=size),
    )
    assert "latent.npz" in refusal(folder)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("shape", [10**6, 10**6], "arrays of more than"),
        ("shape", [-1], "no shape"),
        ("shape", 7, "no shape"),
        ("shape", [25, 3], "other arrays than manifest.json lists"),
        ("dtype", "object", "no dtype that a bundle has"),
        ("dtype", "float64", "other arrays than manifest.json lists"),
    ],
)
def test_declared_arrays_have_to_be_there(folder, field, value, words):
    def change(values):
        values["files"]["latent.npz"]["arrays"]["codes"][field] = value

    edit(folder / "manifest.json", change)
    assert words in refusal(folder)


def rewrite(folder, name, **changes):
    """An array file with other arrays, and a manifest that agrees; None removes one."""
    with np.load(folder / name) as arrays:
        kept = {**arrays, **changes}
    np.savez(folder / name, **{key: value for key, value in kept.items() if value is not None})


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("autoencoder.npz", "params/to_code/bias", None),
        ("autoencoder.npz", "params/to_code/bias", np.zeros(4, np.float32)),
        ("autoencoder.npz", "params/to_code/bias", np.zeros(3, np.int32)),
        ("autoencoder.npz", "params/more", np.zeros(3, np.float32)),
        ("latent.npz", "codes", None),
        ("latent.npz", "codes", np.zeros((24, 4), np.float32)),
        ("latent.npz", "codes", np.float32(1)),
        ("latent.npz", "masks", np.zeros((24, 16, 3), np.uint8)),
        ("latent.npz", "masks", np.zeros((24, 16, 2), np.float32)),
        ("latent.npz", "weights", np.zeros(3, np.float32)),
    ],
)
def test_arrays_have_to_fit_the_networks(folder, file, name, value):
    rewrite(folder, file, **{name: value})
    manifest.write(folder)
    message = refusal(folder)
    assert file in message and "does not fit bundle.json" in message


@pytest.mark.parametrize(
    ("file", "name"), [("autoencoder.npz", "params/to_code/bias"), ("latent.npz", "codes")]
)
def test_numbers_have_to_be_finite(folder, file, name):
    with np.load(folder / file) as arrays:
        value = np.full_like(arrays[name], np.nan)
    rewrite(folder, file, **{name: value})
    manifest.write(folder)
    message = refusal(folder)
    assert file in message and "holds NaN or infinity" in message


def test_a_population_that_decodes_to_nothing_valid_is_refused_by_its_file(folder):
    rewrite(folder, "latent.npz", masks=None)
    manifest.write(folder)
    message = refusal(folder)
    assert "latent.npz: only 0 of 24 codes decode to valid masks" in message


def older(folder):
    """The bundle as format 3 had it, which nothing but the arrays' own headers guards."""
    (folder / "manifest.json").unlink()
    edit(folder / "bundle.json", lambda values: values.update(format=3))
    return folder


def test_pickles_are_refused_with_and_without_a_manifest(folder):
    rewrite(folder, "latent.npz", codes=np.array([{"a": 1}], object))
    assert "changed or damaged" in refusal(folder) or "bytes and not" in refusal(folder)
    with pytest.raises(InputError, match="'codes' holds no plain numbers"):
        manifest.write(folder)
    assert "'codes' holds no plain numbers" in refusal(older(folder))


def bomb(shape, values):
    """An archive whose one array declares a shape and unpacks to as many bytes of zero."""
    content, header = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("codes.npy", header.getvalue() + bytes(values))
    return content.getvalue()


@pytest.mark.parametrize(
    ("shape", "values", "words"),
    [
        ((4,), 10**7, "not its declared size"),
        ((10**9,), 16, "not its declared size"),
        ((-4,), 16, "not its declared size"),
        ((10**6, 3), 12 * 10**6, "does not fit bundle.json"),
    ],
)
def test_archives_that_lie_of_their_size_are_refused(folder, shape, values, words):
    older(folder)
    (folder / "latent.npz").write_bytes(bomb(shape, values))
    assert words in refusal(folder)


def test_an_archive_that_unpacks_to_too_much_is_refused(folder, monkeypatch):
    monkeypatch.setattr(manifest, "MOST_BYTES", 10**5)
    older(folder)
    (folder / "latent.npz").write_bytes(bomb((10**6,), 4 * 10**6))
    assert "would unpack to" in refusal(folder)
    (folder / "latent.npz").write_bytes(bytes(10**5 + 1))
    assert "larger than 100000 bytes" in refusal(folder)


def test_what_is_no_archive_is_refused_before_it_is_in_memory(folder):
    older(folder)
    os.truncate(folder / "latent.npz", 2**30)
    tracemalloc.start()
    assert "latent.npz is damaged" in refusal(folder)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


# bundle.json, whose writer may have been anybody


WRONG = (None, True, -1, 0, 1e300, 10**400, float("nan"), "text", [], [1, [2]], {}, {"a": 1})


def places(values, prefix=()):
    """The keys of every value of a JSON object, as paths."""
    for key, value in values.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from places(value, (*prefix, key))


def put(values, place, value):
    for key in place[:-1]:
        values = values[key]
    values[place[-1]] = value


def check_loads_or_refused(folder):
    try:
        contents(folder)
    except InputError as error:
        assert "\n" not in str(error)
        return False
    return True


def test_wrong_types_are_refused_in_one_line(folder):
    path = folder / "bundle.json"
    text = path.read_text()
    found = [place for place in places(json.loads(text)) if place[0] not in ("training", "version")]
    assert len(found) > 50
    rng = np.random.default_rng(0)
    passed = 0
    for place in found:
        values = json.loads(text)
        put(values, place, WRONG[rng.integers(len(WRONG))])
        path.write_text(json.dumps(values))
        manifest.write(folder)
        passed += check_loads_or_refused(folder)
    assert passed < len(found) / 3  # a threshold of -1, an option of 0


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("thresholds", "wall_min_mm"), float("nan"), "thresholds are not finite numbers"),
        (("thresholds", "wall_min"), 1.0, "thresholds are not finite numbers"),
        (("networks", "autoencoder", "latent"), 10**9, "latent is not within 1 and 16384"),
        (("networks", "autoencoder", "filters"), [2] * 40, "does not fit its input"),
        (("networks", "unknown"), {}, "networks are not some of lv, myo, autoencoder"),
        (("spec", "mask_size"), 10**6, "mask_size is not within"),
        (("spec", "scaling"), "cubic", "InputSpec.scaling is none of its values"),
        (("inference", "turns"), True, "Inference.turns is none of its values"),
        (("correction", "more"), 1, "CorrectionOptions.more is none of its values"),
        (("correction", "al\tphas"), 1, "CorrectionOptions.al phas is none of its values"),
        (("members",), 10**6, "members is not within"),
        (("cleanup",), [], "no section cleanup"),
    ],
)
def test_what_is_wrong_is_named(folder, place, value, words):
    edit(folder / "bundle.json", lambda values: put(values, place, value))
    manifest.write(folder)
    assert words in refusal(folder)


def test_a_format_that_is_a_text_stays_one_line(folder):
    edit(folder / "bundle.json", lambda values: values.update(format="a\nb", version="c\nd"))
    manifest.write(folder)
    assert r"has format a\nb (acsnet_jax c\nd)" in refusal(folder)


@pytest.mark.parametrize("text", ["[]", "3", "", "{", '{"format": "4"}', '{"a":' * 10**5])
@pytest.mark.parametrize("name", ["bundle.json", "manifest.json"])
def test_what_is_no_record_is_refused(folder, name, text):
    (folder / name).write_text(text)
    assert name in refusal(folder)


# Seeded mutations


def flip(path, rng):
    content = bytearray(path.read_bytes())
    for place in rng.integers(len(content), size=rng.integers(1, 5)):
        content[place] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def truncate(path, rng):
    content = path.read_bytes()
    path.write_bytes(content[: rng.integers(len(content))])


def lengthen(path, rng):
    path.write_bytes(path.read_bytes() + rng.bytes(rng.integers(1, 300)))


def swap(path, rng):
    other = rng.choice(sorted(path.parent.glob("*")))
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)


def rename(path, rng):
    path.rename(path.with_name(str(rng.choice(["lv.npz", "a.json", "x", path.name.upper()]))))


def link(path, rng):
    other = rng.choice(sorted(path.parent.glob("*")))
    path.unlink()
    path.symlink_to(other)


def mutate(folder, rng):
    """One of all kinds of damage; returns its name."""
    path = rng.choice(sorted(folder.iterdir()))
    kind = (flip, truncate, lengthen, swap, rename, link, None)[rng.integers(7)]
    if kind is None:
        path = folder / str(rng.choice(["bundle.json", "manifest.json"]))
        values = json.loads(path.read_text())
        found = list(places(values))
        put(values, found[rng.integers(len(found))], WRONG[rng.integers(len(WRONG))])
        path.write_text(json.dumps(values))
        return f"retype {path.name}"
    kind(path, rng)
    return f"{kind.__name__} {path.name}"


def test_mutations_load_equal_or_are_refused(whole, expected, tmp_path):
    equal = 0
    for seed in range(MUTATIONS):
        folder = tmp_path / str(seed)
        shutil.copytree(whole, folder)
        told = mutate(folder, np.random.default_rng(seed))
        try:
            found = contents(folder)
        except InputError as error:
            assert "\n" not in str(error), told
        else:
            assert found == expected, f"seed {seed}: {told}"
            equal += 1
        shutil.rmtree(folder)
    assert equal < MUTATIONS / 10


def test_mutations_of_an_older_bundle_end_in_no_traceback(whole, tmp_path):
    for seed in range(MUTATIONS // 4):
        folder = tmp_path / str(seed)
        shutil.copytree(whole, folder)
        older(folder)
        rng = np.random.default_rng(seed)
        kind = (flip, truncate, lengthen, swap)[rng.integers(4)]
        kind(rng.choice(sorted(folder.iterdir())), rng)
        check_loads_or_refused(folder)
        shutil.rmtree(folder)
