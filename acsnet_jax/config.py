"""Configs: sections made of dataclasses, changed from the command line, explained key by key.

A config is a locked ConfigDict that a file's ``get_config()`` returns. A section of it is made from
a frozen dataclass and remembers which: the dataclass's annotations say what a key may be set to,
and the ``Attributes`` of its docstring what it means. A key that belongs to no dataclass keeps the
type of its value, and is explained by the comment beside it, or above it, in the config file.
"""

import ast
import dataclasses
import difflib
import importlib.util
import inspect
import itertools
import math
import pathlib
import tokenize
import traceback
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import ml_collections
from ml_collections import config_dict

from acsnet_jax.types import InputError

Config = Any
"""A locked ConfigDict; its attributes get their types when they become a dataclass."""

_WHAT = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
_MOST_BYTES = 2**20
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What the code of a config raises when its author slips."""

_WORDS = {"true": True, "1": True, "false": False, "0": False}


def folder(name: Literal["configs", "experiments"]) -> pathlib.Path:
    """Where the configs or the entry points lie: inside the installed package, or beside it."""
    package = pathlib.Path(__file__).resolve().parent
    return package / name if (package / name).is_dir() else package.parent / name


def find(name: str) -> pathlib.Path:
    """The path of a config: a file, or one that ships with the package.

    Args:
        name: a path; or of a config that ships, its name ("myo", whatever else is called so) or
            ``configs/myo.py``.

    Raises:
        InputError: there is none.
    """
    path = pathlib.Path(name)
    shipped = folder("configs") / f"{path.stem}.py"
    if path.is_file() and not (name == path.stem and shipped.is_file()):
        return path
    if path.parent.name in ("", "configs") and path.suffix in ("", ".py") and shipped.is_file():
        return shipped
    names = sorted(path.stem for path in folder("configs").glob("[!_]*.py"))
    raise InputError(f"{name}: No such file, and no config that ships: {', '.join(names)}")


def load(name: str) -> Config:
    """What ``get_config()`` of a config file returns, locked.

    Args:
        name: see `find`. What follows a colon is given to ``get_config`` as its argument.

    Raises:
        InputError: no such file, an error in it, or it has no ``get_config``.
    """
    name, _, argument = name.partition(":")
    path = find(name)
    spec = importlib.util.spec_from_file_location(f"{path.stem}_config", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file; a config is one that defines get_config()")
    module = importlib.util.module_from_spec(spec)
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path} is larger than {_MOST_BYTES} bytes; a config is a Python file")
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise InputError(f"{path} has no get_config(); define one that returns a ConfigDict")
        if argument and not inspect.signature(module.get_config).parameters:
            raise InputError(f"{path}: get_config() takes no argument: leave out :{argument}")
        config = module.get_config(*([argument] if argument else []))
    except InputError:
        raise
    except _MISTAKES as error:
        raise InputError(
            f"{path}, line {_line(error, path)}: {type(error).__name__}: {error}: correct it"
        ) from error
    if not isinstance(config, ml_collections.ConfigDict):
        raise InputError(f"{path}: get_config() returns no ConfigDict; make it return one")
    return config.lock()


def _line(error: Exception, path: pathlib.Path) -> int:
    """Where a file raised, or cannot be compiled."""
    if isinstance(error, SyntaxError):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    return [1, *(frame.lineno or 1 for frame in frames if frame.filename == str(path))][-1]


def section(settings: Any) -> ml_collections.ConfigDict:
    """A config section with all fields of an instance of a dataclass or NamedTuple."""
    cls = type(settings)
    node = ml_collections.ConfigDict()
    for key, annotation in _annotations(cls).items():
        value, allowed = getattr(settings, key), _allowed(annotation)
        if allowed.none and isinstance(allowed.kind, type):  # None and a value may take turns
            value = config_dict.FieldReference(value, field_type=allowed.kind)
        node[key] = value
    return described(node, cls)


def overrides(cls: type, **values: Any) -> ml_collections.ConfigDict:
    """A section of the fields of a dataclass that replace those of a bundle; none but ``values``.

    Others may be added from the command line.
    """
    unknown = values.keys() - _annotations(cls).keys()
    assert not unknown, f"{cls.__name__} has no {', '.join(sorted(unknown))}"
    node = described(ml_collections.ConfigDict(values), cls)
    object.__setattr__(node, "_open", True)  # past ConfigDict, whose attributes are its keys
    return node


def described(node: ml_collections.ConfigDict, cls: type) -> ml_collections.ConfigDict:
    """The same section, remembering the class whose fields its keys are."""
    object.__setattr__(node, "_cls", cls)
    return node


def override(config: ml_collections.ConfigDict, key: str, text: str) -> None:
    """Set a key to what the command line says.

    Args:
        config: is changed, also if it is locked.
        key: dotted, such as ``data.root``.
        text: of the value: that of a field's annotation, such as 0.5, emidec, "8,16" or None.

    Raises:
        InputError: no such key, or no such value of it.
    """
    *parents, name = key.split(".")
    node = config
    for parent in parents:
        _check_key(node, parent, key)
        inner = node.get(parent)
        if not isinstance(inner, ml_collections.ConfigDict):
            raise InputError(f"config.{key}: {parent} is a value, and has no keys")
        node = inner
    _check_key(node, name, key)
    if isinstance(inner := node.get(name), ml_collections.ConfigDict):
        keys = ", ".join(_keys(inner))
        raise InputError(f"config.{key} is a section; set one of its keys: {keys}")
    fields = _fields(node)
    annotation = fields[name] if name in fields else _type_of(node, name)
    value = _parse(f"config.{key}", text, _allowed(annotation))
    with config.unlocked(), node.ignore_type():
        node[name] = value


class Line(NamedTuple):
    """One key of a config.

    Attributes:
        key: dotted.
        value: as Python would write it; of a field that is not set, "(the bundle's)".
        explanation: one line; empty if there is none.
    """

    key: str
    value: str
    explanation: str


def explain(config: ml_collections.ConfigDict, comments: Mapping[str, str]) -> list[Line]:
    """Every key of a config with its value and what it means; sections as lines without a value.

    Args:
        config: any.
        comments: explanations of the keys that belong to no dataclass, see `comments_of`.
    """
    return list(_explain(config, comments, ""))


def comments_of(*paths: pathlib.Path) -> dict[str, str]:
    """What Python files say of the keys of their dictionaries.

    The comment of a key is that at the end of its line, or else the whole lines above it.

    Args:
        paths: of source files; an earlier one has the last word.
    """
    found: dict[str, str] = {}
    for path in reversed(paths):
        with tokenize.open(path) as file:
            tokens = list(tokenize.generate_tokens(file.readline))
        comments = {
            token.start[0]: (token.string.lstrip("# "), not token.line[: token.start[1]].strip())
            for token in tokens
            if token.type == tokenize.COMMENT
        }
        for token, following in itertools.pairwise(tokens):
            if token.type == tokenize.STRING and following.string == ":":
                text = _beside(comments, token.start[0])
                if text:
                    found[ast.literal_eval(token.string)] = text
    return found


def _beside(comments: Mapping[int, tuple[str, bool]], line: int) -> str:
    """The comment at the end of a line, or the lines of comment above it."""
    text, alone = comments.get(line, ("", True))
    if not alone:
        return text
    above = []
    while comments.get(line - 1, ("", False))[1]:
        line -= 1
        above.insert(0, comments[line][0])
    return " ".join(above)


def _explain(node: Any, comments: Mapping[str, str], prefix: str) -> Iterator[Line]:
    meanings = _meanings(getattr(node, "__dict__", {}).get("_cls"))
    keys = sorted(_keys(node), key=lambda key: isinstance(node.get(key), ml_collections.ConfigDict))
    for key in keys:  # values first
        text = meanings.get(key) or comments.get(key, "")
        value = node.get(key)
        if isinstance(value, ml_collections.ConfigDict):
            cls = value.__dict__.get("_cls")
            about = text if cls is None else (inspect.getdoc(cls) or "").split("\n")[0]
            yield Line(f"{prefix}{key}", "", about)
            yield from _explain(value, comments, f"{prefix}{key}.")
        else:
            yield Line(f"{prefix}{key}", repr(value) if key in node else "(the bundle's)", text)


def _meanings(cls: type | None) -> dict[str, str]:
    """The ``Attributes`` of a class's docstring, each in one line without its full stop."""
    if cls is None:
        return {}
    inherited = [_meanings(base) for base in cls.__bases__ if dataclasses.is_dataclass(base)]
    doc = inspect.getdoc(cls)
    _, found, rest = (doc or "").partition("\nAttributes:\n")
    meanings: dict[str, str] = {}
    key = ""
    for line in rest.split("\n") if found else []:
        text = line.strip()
        if text == line:  # the next part of the docstring, or the end
            break
        if line.removeprefix("    ") == text:
            key, _, text = text.partition(":")
        meanings[key] = f"{meanings.get(key, '')} {text.strip()}".strip()
    own = {key: text.removesuffix(".") for key, text in meanings.items()}
    return {key: text for one in (*inherited, own) for key, text in one.items()}


def _annotations(cls: type) -> dict[str, Any]:
    """Fields of a dataclass or NamedTuple and what they may hold."""
    bases = reversed(cls.__mro__)
    return {name: x for base in bases for name, x in inspect.get_annotations(base).items()}


def _fields(node: ml_collections.ConfigDict) -> dict[str, Any]:
    """Annotations of a section's keys; none of one that no class describes."""
    cls = node.__dict__.get("_cls")
    return {} if cls is None else _annotations(cls)


def _keys(node: ml_collections.ConfigDict) -> list[str]:
    """Keys that are set, or may be, in the order of the class or of the alphabet."""
    fields = [*_fields(node)]
    if not node.__dict__.get("_open"):
        fields = [key for key in fields if key in node]
    return [*fields, *(key for key in node if key not in fields)]


def _check_key(node: ml_collections.ConfigDict, name: str, key: str) -> None:
    keys = _keys(node)
    if name not in keys:
        close = difflib.get_close_matches(name, keys, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(keys)}"
        raise InputError(f"config.{key}: the config has no key {name!r}; {hint}")


class _Allowed(NamedTuple):
    """What a key may be set to: choices, values of a kind (a type, or tuple[...]), or None."""

    choices: tuple[Any, ...]
    kind: Any
    none: bool


def _allowed(annotation: Any) -> _Allowed:
    """An annotation taken apart; of several kinds the first that is known counts."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        parts = [_allowed(part) for part in typing.get_args(annotation)]
        kinds = [part.kind for part in parts if part.kind is not None]
        choices = tuple(choice for part in parts for choice in part.choices)
        return _Allowed(choices, kinds[0] if kinds else None, any(part.none for part in parts))
    if origin is Literal:
        return _Allowed(typing.get_args(annotation), None, False)
    if annotation is type(None):
        return _Allowed((), None, True)
    return _Allowed((), annotation, False)


def _type_of(node: ml_collections.ConfigDict, name: str) -> Any:
    """The type of a value that no class describes; it may be None if it is."""
    kind = node.get_type(name)
    return kind | None if node[name] is None else kind


def _parse(key: str, text: str, allowed: _Allowed) -> Any:
    """A value out of its text."""
    if allowed.none and text == "None":
        return None
    for choice in allowed.choices:
        if str(choice) == text:
            return choice
    try:
        if allowed.kind is not None:
            return _convert(text, allowed.kind)
    except (SyntaxError, ValueError):
        pass
    what = [str(choice) for choice in allowed.choices]
    what += [_what(allowed.kind)] if allowed.kind is not None else []
    what += ["None"] if allowed.none else []
    raise InputError(f"{key} is {text!r}; give {' or '.join(what)}")


def _convert(text: str, kind: Any) -> Any:
    """A value of a kind.

    Raises:
        ValueError: the text says none.
    """
    if kind is bool:
        if text.lower() not in _WORDS:
            raise ValueError(text)
        return _WORDS[text.lower()]
    if kind is str:
        return text
    if kind is int:
        return int(text)
    if kind is tuple:  # of what, nobody says
        return tuple(ast.literal_eval(f"({text.strip(' ()')},)"))
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)
        parts = [part.strip(" '\"") for part in text.strip(" ()").split(",")]
        values = tuple(_convert(part, inner[0]) for part in parts if part)
        if Ellipsis not in inner and len(values) != len(inner):
            raise ValueError(text)
        return values
    number = float(text)  # a float, or an ArrayLike, as thresholds are
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _what(kind: Any) -> str:
    """Words for a kind."""
    if kind is tuple or typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)
        return f"values such as 1,2 (each {_what(inner[0])})" if inner else "values such as 1,2"
    return _WHAT.get(kind, "a number")
