"""Configs: made of dataclasses, changed key by key, explained."""

import dataclasses
import importlib
import pathlib
from typing import Literal, NamedTuple

import ml_collections
import pytest
from ml_collections import config_dict

from acsnet_jax import config as configs
from acsnet_jax.config import Config, comments_of, described, explain, override, overrides, section
from acsnet_jax.types import InputError

SHIPPED = sorted(pathlib.Path(__file__).parent.parent.glob("configs/[a-z]*.py"))


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of a test.

    Of several paragraphs.

    Attributes:
        kind: which: "a" or
            "b".
        turns: how often
        spacing_mm: distance; None for any.
        sizes: of all.
        pair: of two.
        on: or off.
        root: a folder.
    """

    kind: Literal["a", "b"] = "a"
    turns: Literal[1, 8] = 8
    spacing_mm: float | None = 1.5
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (1.0, 2.0)
    on: bool = True
    root: str | None = None


class Bounds(NamedTuple):
    """Of a test.

    Attributes:
        low: bound.

    Returns:
        high: none.
    """

    low: float


def make() -> Config:
    return ml_collections.ConfigDict(
        {
            "plain": 3,
            "share": 0.5,
            "name": "",
            "unset": config_dict.placeholder(float),
            "loose": (1, 2),
            "settings": section(Settings()),
            "bounds": section(Bounds(0.5)),
            "replaced": overrides(Settings, kind="b"),
        }
    ).lock()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("plain", "4", 4),
        ("share", "1", 1.0),
        ("share", "1e-3", 1e-3),
        ("name", "None", "None"),
        ("name", "a=b c", "a=b c"),
        ("unset", "-5", -5.0),
        ("unset", "None", None),
        ("loose", "(3, 4.5)", (3, 4.5)),
        ("settings.kind", "b", "b"),
        ("settings.turns", "1", 1),
        ("settings.spacing_mm", "None", None),
        ("settings.spacing_mm", "2", 2.0),
        ("settings.sizes", "3,4,5", (3, 4, 5)),
        ("settings.sizes", "(3, 4)", (3, 4)),
        ("settings.sizes", "3", (3,)),
        ("settings.sizes", "", ()),
        ("settings.pair", "3,4", (3.0, 4.0)),
        ("settings.on", "false", False),
        ("settings.on", "True", True),
        ("settings.root", "DIR", "DIR"),
        ("settings.root", "None", None),
        ("bounds.low", "1", 1.0),
        ("replaced.turns", "1", 1),
        ("replaced.kind", "a", "a"),
        ("replaced.root", "None", None),
    ],
)
def test_a_key_is_set_to_a_value_of_its_type(key, text, value):
    config = make()
    override(config, key, text)
    node = config
    for part in key.split("."):
        node = node[part]
    assert node == value
    assert type(node) is type(value)
    assert config.is_locked


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_take_no_key_that_they_do_not_know(path):
    config = importlib.import_module(f"configs.{path.stem}").get_config()
    assert config.is_locked
    with pytest.raises(AttributeError):
        config.no_such_key = 1


def test_a_number_may_become_none_and_a_number_again():
    config = make()
    for text, value in (("None", None), ("2.5", 2.5), ("None", None)):
        override(config, "settings.spacing_mm", text)
        assert config.settings.spacing_mm == value
    config.settings.spacing_mm = 1.0
    config.settings.spacing_mm = None
    assert config.settings.to_dict()["spacing_mm"] is None


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("plain", "0.5", "config.plain is '0.5'; give a whole number"),
        ("plain", "None", "give a whole number"),
        ("share", "nan", "give a number"),
        ("share", "much", "give a number"),
        ("unset", "x", "give a number or None"),
        ("settings.kind", "c", "config.settings.kind is 'c'; give a or b"),
        ("settings.kind", "None", "give a or b"),
        ("settings.turns", "2", "give 1 or 8"),
        ("settings.spacing_mm", "wide", "give a number or None"),
        ("settings.sizes", "1,x", r"give values such as 1,2 \(each a whole number\)"),
        ("settings.pair", "1,2,3", r"such as 1,2 \(each a number\)"),
        ("settings.on", "maybe", "give True or False"),
        ("loose", "1,x", "give values such as 1,2"),
        ("replaced.turns", "3", "give 1 or 8"),
        ("settings", "{}", "config.settings is a section; set one of its keys: kind, turns"),
        ("nope", "1", "the config has no key 'nope'; it has bounds, loose"),
        ("settings.knd", "a", "no key 'knd'; did you mean 'kind'"),
        ("replaced.turn", "1", "no key 'turn'; did you mean 'turns'"),
        ("plain.x", "1", "plain is a value, and has no keys"),
        ("setting.kind", "a", "no key 'setting'; did you mean 'settings'"),
    ],
)
def test_any_other_value_or_key_is_bad_input(key, text, words):
    config = make()
    before = config.to_dict()
    with pytest.raises(InputError, match=words) as error:
        override(config, key, text)
    assert "\n" not in str(error.value)
    assert config.to_dict() == before


def test_only_what_replaces_is_in_a_section_of_overrides():
    config = make()
    assert config.replaced.to_dict() == {"kind": "b"}
    override(config, "replaced.sizes", "7")
    assert config.replaced.to_dict() == {"kind": "b", "sizes": (7,)}
    assert dataclasses.replace(Settings(), **config.replaced.to_dict()).sizes == (7,)
    with pytest.raises(AssertionError, match="has no knd"):
        overrides(Settings, knd="a")


def test_a_section_remembers_its_class_inside_another():
    inner = described(ml_collections.ConfigDict({"turns": 8}), Settings)
    config = ml_collections.ConfigDict({"outer": {"inner": inner}})
    with pytest.raises(InputError, match="give 1 or 8"):
        override(config, "outer.inner.turns", "9")
    with pytest.raises(InputError, match="no key 'kind'"):  # only what is there can be set
        override(config, "outer.inner.kind", "a")


SOURCE = """
def get_config():
    return {
        "plain": 3,  # how many
        # How
        # much.
        "share": 0.5,
        "name": "x # no comment",
        "seed": {"loose": 0},  # one line
        "tall": call(
            # inside
            1
        ),
    }
"""


def test_comments_explain_the_keys_of_a_file(tmp_path):
    path = tmp_path / "file.py"
    path.write_text(SOURCE)
    other = tmp_path / "other.py"
    other.write_text('x = {"plain": 1,  # not this\n "name": 2}  # but that\n')
    assert comments_of(path, other) == {
        "plain": "how many",
        "share": "How much.",
        "seed": "one line",
        "loose": "one line",
        "name": "but that",
    }


def test_every_key_is_explained_values_first():
    lines = explain(make(), {"plain": "how many", "kind": "not this", "settings": "nor this"})
    found = {line.key: line for line in lines}
    assert found["plain"] == ("plain", "3", "how many")
    assert found["settings"] == ("settings", "", "Of a test.")
    assert found["settings.kind"] == ("settings.kind", "'a'", 'which: "a" or "b"')
    assert found["settings.root"].explanation == "a folder"
    assert found["bounds.low"] == ("bounds.low", "0.5", "bound")
    assert found["replaced.kind"].value == "'b'"
    assert found["replaced.turns"] == ("replaced.turns", "(the bundle's)", "how often")
    assert found["share"].explanation == ""
    sections = [line.key for line in lines if not line.value]
    assert sections == ["bounds", "replaced", "settings"]
    keys = [line.key for line in lines]
    assert keys.index("unset") < keys.index("bounds")


def test_a_name_that_ships_is_not_taken_for_a_file_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "predict").touch()
    (tmp_path / "predict.py").touch()
    assert configs.find("predict") == configs.folder("configs") / "predict.py"
    assert configs.find("predict.py") == pathlib.Path("predict.py")


def test_a_config_is_found_by_path_or_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = configs.folder("configs") / "lv.py"
    for name in ("lv", "lv.py", "configs/lv.py", str(shipped)):
        assert configs.find(name) == shipped
    (tmp_path / "configs").mkdir()
    mine = tmp_path / "configs" / "lv.py"
    mine.write_text("def get_config(word='none'):\n    return {'word': word}\n")
    assert configs.find("configs/lv.py").resolve() == mine
    for name in ("nope", "configs/nope.py", "mine/lv.py", "lv.txt"):
        with pytest.raises(InputError, match=r"No such file.*ships: autoencoder, check"):
            configs.find(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def get_config(:\n", "line 1: SyntaxError"),
        ("\nimport nothing_of_this_name\n", "line 2: ModuleNotFoundError"),
        ("def get_config():\n    return word\n", "line 2: NameError: name 'word' is not defined"),
        ("\0", "SyntaxError"),
        ("raise ValueError('a\\nb')\n", "line 1: ValueError: a b: correct it"),
        ("\udcff", "SyntaxError"),
        ("#" * 2**21, "is larger than"),
    ],
)
def test_an_error_in_a_config_file_is_one_line_that_names_it(tmp_path, text, words):
    path = tmp_path / "mine.py"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as caught:
        configs.load(str(path))
    message = str(caught.value)
    assert words in message and message.startswith(str(path)) and "\n" not in message


def test_a_config_file_may_take_an_argument(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import ml_collections\n"
        "def get_config(word='none'):\n"
        "    return ml_collections.ConfigDict({'word': word})\n"
    )
    assert configs.load(str(path)).word == "none"
    assert configs.load(f"{path}:tiny").word == "tiny"
    with pytest.raises(AttributeError):
        configs.load(str(path)).other = 1
    path.write_text("config = {}\n")
    with pytest.raises(InputError, match=r"has no get_config\(\)"):
        configs.load(str(path))
    path.write_text("def get_config():\n    return {'word': 1}\n")
    with pytest.raises(InputError, match=r"mine\.py: get_config\(\) returns no ConfigDict"):
        configs.load(str(path))
    text = tmp_path / "mine.txt"
    text.write_text("config")
    with pytest.raises(InputError, match="is no Python file"):
        configs.load(str(text))
