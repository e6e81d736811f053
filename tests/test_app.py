"""Entry points: every key from the command line, one line on bad input, everything explained."""

import errno
import os
import pathlib
import runpy
import subprocess
import sys

import jax
import ml_collections
import pytest

from acsnet_jax import app, cli
from acsnet_jax import config as configs
from acsnet_jax.types import InputError

REPOSITORY = configs.folder("experiments").parent
ENTRY_POINTS = cli.commands()
CONFIGS = {path.stem: path for path in sorted(configs.folder("configs").glob("[!_]*.py"))}


def run(tmp_path, *flags):
    command = [sys.executable, "-m", "experiments.train", f"--workdir={tmp_path / 'run'}", *flags]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_bad_input_is_one_line(tmp_path):
    result = run(tmp_path, "--config.data.format=emidec", "--config.data.root=nowhere")
    assert result.returncode == 1, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "nowhere" in line
    assert "no such folder" in line
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=configs/lv.py", "--config.nope=1"], "the config has no key 'nope'; it has aug"),
        (["--config.data.patiens=1"], "no key 'patiens'; did you mean 'patients'?"),
        (["--config=configs/nope.py"], "configs/nope.py: No such file"),
        (["--config.data.patients=few"], "config.data.patients is 'few'; give a whole number"),
        (["--config.data.format=emdec"], "give phantom or dicom or nifti"),
        (["--confg=lv"], "unknown argument '--confg'; did you mean --config?"),
        (["run"], "unknown argument 'run'; there are --config"),
        (["--config.seed"], "config.seed is 'True'; give a whole number"),
        (["--workdir"], "argument --workdir: expected one argument"),
        (["--workdir="], "--workdir is empty"),
        (["--config=predict"], "predict is no config of this command: it lacks augment, data"),
        (["--config=myo:large"], "get_config() takes no argument: leave out :large"),
        (["--config=crossvalidate:myo"], "myo is no study config"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_wrong_options_are_one_line(arguments, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app.run(lambda config, workdir: None, "lv")
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config.seed=3"], {"seed": 3}),
        (["--config.seed", "3", "--config=myo"], {"seed": 3, "task": "myo"}),
        (["--config.seed=3", "--config.seed=-4"], {"seed": -4}),
        (["--config.augment.dihedral"], {"augment.dihedral": True}),
        (["--noconfig.augment.dihedral", "--config.seed=1"], {"augment.dihedral": False}),
        (["--config.data.root=a=b"], {"data.root": "a=b"}),
        (["--config.spec.myo_spacing_mm=None"], {"spec.myo_spacing_mm": None}),
        (["--config.model.filters=4,8"], {"model.filters": (4, 8)}),
    ],
)
def test_keys_are_set_in_the_order_of_the_command_line(arguments, expected):
    config, workdir = app.read_options(arguments, "lv")
    for key, value in expected.items():
        assert value_of(config, key) == value
    assert workdir == pathlib.Path(config.workdir)
    assert config.is_locked


def test_the_folder_to_write_to_may_be_given():
    _, workdir = app.read_options(["--workdir=there"], "lv")
    assert workdir == pathlib.Path("there")


def value_of(config, key):
    for part in key.split("."):
        config = config[part]
    return config


def main_of(name, monkeypatch):
    """What an entry point runs, and the name of its config."""
    called = []
    with monkeypatch.context() as patch:
        patch.setattr(app, "run", lambda *arguments, **_: called.append(arguments))
        runpy.run_path(str(ENTRY_POINTS[name]), run_name="__main__")
    return called[0]


def another(config, key):
    """The text of a value that a key may be set to, and does not have."""
    *parents, name = key.split(".")
    node = value_of(config, ".".join(parents)) if parents else config
    fields = configs._fields(node)
    allowed = configs._allowed(fields[name] if name in fields else configs._type_of(node, name))
    now = node.get(name)
    for choice in allowed.choices:
        if choice != now:
            return str(choice), choice
    if allowed.kind is bool:
        return str(not now), not now
    if allowed.kind is str:
        return "some=text", "some=text"
    if allowed.kind is int:
        return "7", 7
    if allowed.kind is tuple or configs.typing.get_origin(allowed.kind) is tuple:
        return "5,6", (5, 6)
    return "0.375", 0.375


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_key_of_every_entry_point_can_be_set(name, monkeypatch):
    main, default = main_of(name, monkeypatch)
    assert callable(main)
    config = configs.load(default)
    keys = [line.key for line in configs.explain(config, {}) if line.value]
    wanted = {key: another(config, key) for key in keys}
    changed, _ = app.read_options([f"--config.{k}={v[0]}" for k, v in wanted.items()], default)
    for key, (_, value) in wanted.items():
        found = value_of(changed, key)
        assert found == value, key
        assert type(found) is type(value), key
    with pytest.raises(InputError):
        app.read_options([f"--config.{keys[-1]}.deeper=1"], default)


@pytest.mark.parametrize("name", ["predict", "evaluate", "damage", "correct"])
def test_what_a_bundle_carries_can_be_replaced(name, monkeypatch):
    _, default = main_of(name, monkeypatch)
    text = app.explained(configs.load(default), default)
    for key in ("correction.scope", "correction.alphas"):
        assert f"\n{key} = " in text
    if name != "correct":
        assert "\ninference.turns = (the bundle's)" in text
        config, _ = app.read_options(["--config.inference.turns=1"], default)
        assert config.inference.to_dict() == {"turns": 1}
        assert config.correction.to_dict() == {}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_key_of_every_config_is_explained(name):
    config = configs.load(name)
    comments = configs.comments_of(CONFIGS[name], app._shared())
    lines = configs.explain(config, comments)
    assert {line.key.split(".")[0] for line in lines} == set(config)
    unexplained = [line.key for line in lines if len(line.explanation) < 4]
    # What a network's own part of a study is called needs no words.
    unexplained = [key for key in unexplained if key.split(".")[0] != "networks"]
    assert not unexplained
    assert not [line.key for line in lines if "\n" in line.explanation]


def test_print_config_shows_every_number_and_runs_nothing(capsys, monkeypatch):
    arguments = ["--config=configs/myo.py", "--config.optimisation.epochs=3", "--print_config"]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app.run(lambda config, workdir: pytest.fail("it ran"), "lv")
    assert not stopped.value.code
    lines = capsys.readouterr().out.splitlines()
    config, _ = app.read_options(arguments[:2], "lv")
    count = len(flat(config.to_dict()))
    shown = dict(line.split("  # ")[0].split(" = ") for line in lines if " = " in line)
    assert len(shown) == count
    assert shown["optimisation.epochs"].strip() == "3"
    assert shown["model.bridge"].strip() == "1024"
    assert any(line.endswith("# passes over the training samples") for line in lines)


def flat(values, prefix=""):
    found = {}
    for key, value in values.items():
        found |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found


def test_help_tells_of_the_config(capsys):
    with pytest.raises(SystemExit) as stopped:
        app.read_options(["--help"], "lv")
    assert not stopped.value.code
    text = capsys.readouterr().out
    for word in ("--config.KEY", "--workdir", "--print_config lists every key", "default: lv"):
        assert word in text


def test_a_config_of_ones_own_is_explained_too(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import ml_collections\n"
        "def get_config():\n"
        "    return ml_collections.ConfigDict({\n"
        "        'mine': 1,  # as I like it\n"
        "    })\n"
    )
    assert app.explained(configs.load(str(path)), str(path)).splitlines()[1] == (
        "mine = 1  # as I like it"
    )
    assert isinstance(configs.load(str(path)), ml_collections.ConfigDict)


def test_a_message_is_joined_to_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        app._stop("the file\n  is bad")
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: the file is bad\n"


@pytest.fixture
def cache_dir():
    """Gives the setting back as it was."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.usefixtures("cache_dir")
def test_the_compilation_cache_lies_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    app.use_compilation_cache()
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "acsnet_jax" / "xla")
    monkeypatch.setenv("XDG_CACHE_HOME", "elsewhere")
    app.use_compilation_cache()  # what is set already stays
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "acsnet_jax" / "xla")


@pytest.mark.usefixtures("cache_dir")
def test_without_that_variable_it_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    app.use_compilation_cache()
    expected = tmp_path / ".cache" / "acsnet_jax" / "xla"
    assert jax.config.values["jax_compilation_cache_dir"] == str(expected)


@pytest.mark.parametrize(
    ("arguments", "patience"), [([], None), (["--distributed"], 300), (["--distributed=7"], 7)]
)
def test_other_processes_are_joined_where_it_is_asked_for(arguments, patience, monkeypatch):
    done = []
    monkeypatch.setattr(sys, "argv", ["train.py", "--workdir=there", *arguments])

    def join(patience, begin):
        begin()
        done.append(patience)

    app.run(lambda _, workdir: done.append(workdir), "lv", join=join)
    assert done == [*([] if patience is None else [patience]), pathlib.Path("there")]


@pytest.mark.parametrize(
    ("argument", "join", "words"),
    [
        ("--distributed=soon", print, "--distributed=soon: give the seconds to wait"),
        ("--distributed", None, "unknown argument '--distributed'"),
    ],
)
def test_what_cannot_be_joined_is_one_line(argument, join, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", argument])
    with pytest.raises(SystemExit):
        app.run(lambda *_: None, "lv", join=join)
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_too_little_memory_of_the_device_is_one_line_and_another_fault_is_not(monkeypatch, capsys):
    def fail(message):
        def main(*_):
            raise jax.errors.JaxRuntimeError(message)

        return main

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit):
        app.run(fail("RESOURCE_EXHAUSTED: Out of memory allocating 14005185767552 bytes."), "lv")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: RESOURCE_EXHAUSTED") and "smaller batch_size" in line
    with pytest.raises(jax.errors.JaxRuntimeError, match="a defect"):
        app.run(fail("INTERNAL: a defect"), "lv")


def test_a_full_disk_is_one_line_and_another_fault_is_not(monkeypatch, capsys):
    def fail(number):
        def main(*_):
            raise OSError(number, os.strerror(number), "metrics.jsonl")

        return main

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit):
        app.run(fail(errno.ENOSPC), "lv")
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in line and "metrics.jsonl" in line and "make room" in line
    with pytest.raises(SystemExit):
        app.run(fail(errno.EACCES), "lv")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: metrics.jsonl: Permission denied: give the right")
    with pytest.raises(OSError, match="Input/output"):
        app.run(fail(errno.EIO), "lv")
