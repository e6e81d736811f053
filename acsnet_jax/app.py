"""How every entry point starts and ends: its options, compilation cache, one line on bad input."""

import argparse
import contextlib
import difflib
import errno
import inspect
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import jax
from absl import logging as absl_logging

from acsnet_jax import config as configs
from acsnet_jax import lock
from acsnet_jax.config import Config
from acsnet_jax.types import InputError

_OPTIONS = ("--config", "--workdir", "--print_config", "--help")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_MEMORY = "RESOURCE_EXHAUSTED"  # how XLA begins
_PATIENCE_S = 300


def run(
    main: Callable[[Config, pathlib.Path], object],
    default_config: str,
    *,
    join: Callable[[int, Callable[[], None]], None] | None = None,
    writes: bool = True,
) -> None:
    """Run `main(config, workdir)` as the command line says.

    Args:
        main: the one library call of the entry point.
        default_config: name of the config that is used without ``--config``, one that ships. Its
            ``config.workdir`` is the default of ``--workdir``.
        join: waits for the other processes of a program that runs as several, for a number of
            seconds, and calls what it is given besides in the first of them; called where
            ``--distributed``, or ``--distributed=SECONDS``, says so.
        writes: whether it cannot do without a folder to write to.

    One run at a time writes to a folder (`acsnet_jax.lock`): a second one is refused. Bad input
    (`InputError`, an unknown option or config key) ends with one line on standard error and exit
    status 1, as do a full disk, a file that may not be read or written, and more than the device
    has memory for; a defect keeps its traceback.
    """
    _log_to_console()
    try:
        arguments, patience = sys.argv[1:], None
        if join is not None:
            arguments, patience = _take_distributed(arguments)
        config, workdir = read_options(arguments, default_config)
        use_compilation_cache()
        with contextlib.ExitStack() as held:

            def begin() -> None:
                held.enter_context(lock.hold(workdir, writes=writes))

            if join is not None and patience is not None:
                join(patience, begin)
            else:
                begin()
            main(config, workdir)
    except (InputError, FloatingPointError) as error:
        _stop(str(error))
    except jax.errors.JaxRuntimeError as error:
        if str(error).startswith(_NO_MEMORY):
            _stop(
                f"{str(error).splitlines()[0]} Compute fewer images or masks at once: give a "
                "smaller batch_size or batch, or correction.memory_mb"
            )
        raise
    except OSError as error:
        if error.errno in _FULL:
            _stop(f"{error}; make room and give the same command again")
        if error.errno in _FORBIDDEN and error.filename:
            _stop(f"{error.filename}: {error.strerror}: give the right to, or another path")
        raise


def _take_distributed(arguments: Sequence[str]) -> tuple[list[str], int | None]:
    """Arguments without ``--distributed``, and its seconds; None where it is not among them.

    Raises:
        InputError: its seconds are no whole number.
    """
    rest, patience = [], None
    for argument in arguments:
        option, equals, text = argument.partition("=")
        if option != "--distributed":
            rest.append(argument)
        elif equals and not text.isdigit():
            raise InputError(f"{argument}: give the seconds to wait for the others, as in =600")
        else:
            patience = int(text) if equals else _PATIENCE_S
    return rest, patience


def read_options(arguments: Sequence[str], default_config: str) -> tuple[Config, pathlib.Path]:
    """The config and the folder to write to; prints and leaves on ``--help``, ``--print_config``.

    Args:
        arguments: ``--config=FILE``, ``--config.KEY=VALUE`` (or with a space), ``--workdir=DIR``.
        default_config: name of the config that is used without ``--config``.

    Raises:
        InputError: an unknown option, key or file, or a value of the wrong type.
    """
    parser = _parser(default_config)
    options, rest = parser.parse_known_args([*arguments])
    if options.workdir == "":
        raise InputError("--workdir is empty: name a folder, or leave the option out")
    config = configs.load(options.config)
    known = config if options.config == default_config else configs.load(default_config)
    if lacking := sorted({*known} - {*config}):
        raise InputError(
            f"{options.config} is no config of this command: it lacks {', '.join(lacking)}; "
            f"{default_config} is one"
        )
    for key, text in _overrides(rest):
        configs.override(config, key, text)
    if options.print_config:
        print(explained(config, options.config), end="")
        sys.exit(0)
    given = options.workdir
    return config, pathlib.Path(config.workdir if given is None else given)


def explained(config: Config, name: str) -> str:
    """The whole config as text, one line a key: what it is set to, and what it means.

    Args:
        config: with all changes.
        name: of its file, whose comments explain what no dataclass does.
    """
    path = configs.find(name.partition(":")[0])
    lines = configs.explain(config, configs.comments_of(path, _shared()))
    width = max(len(f"{line.key} = {line.value}") for line in lines if len(line.value) < 40)
    text = [f"# {path}"]
    for line in lines:
        if line.value:
            text.append(f"{f'{line.key} = {line.value}':<{width}}  # {line.explanation}")
        else:
            text.append(f"\n# {line.key}: {line.explanation}")
    return "\n".join(text) + "\n"


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache directory, so that only a first run compiles."""
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "acsnet_jax" / "xla"))
        # small programs too: a hundred of them cost seconds at the start of every process
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _shared() -> pathlib.Path:
    """The file whose dictionaries several configs share."""
    return pathlib.Path(__file__).parent / "jobs" / "defaults.py"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        raise InputError(message)


def _parser(default_config: str) -> _Parser:
    main = sys.modules["__main__"]
    doc = inspect.cleandoc(main.__doc__ or "")
    if main.__spec__ is None:  # a file, which the command acsnet runs
        called = f"acsnet {pathlib.Path(sys.argv[0]).stem}"
        doc = doc.replace("python -m experiments.", "acsnet ")
    else:
        called = f"python -m {main.__spec__.name}"
    parser = _Parser(
        prog=called,
        description=doc,
        epilog="--print_config lists every key with its value and its meaning.",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        default=default_config,
        metavar="FILE",
        help="config file, or the name of one that ships (default: %(default)s)",
    )
    parser.add_argument("--config.KEY", metavar="VALUE", help="set one key of the config")
    parser.add_argument("--workdir", metavar="DIR", help="folder for everything that is written")
    parser.add_argument(
        "--print_config", action="store_true", help="print the whole config, explained, and stop"
    )
    return parser


def _overrides(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of key and text out of ``--config.KEY=VALUE``; a key alone is True, --noconfig False.

    Raises:
        InputError: any other argument.
    """
    found = []
    waiting = list(arguments)
    while waiting:
        option, equals, text = waiting.pop(0).partition("=")
        name = option.removeprefix("--no") if option.startswith("--noconfig.") else option
        if not name.removeprefix("--").startswith("config.") or not option.startswith("--"):
            close = difflib.get_close_matches(option, _OPTIONS, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_OPTIONS)}"
            raise InputError(f"unknown argument {option!r}; {hint}")
        if not equals:
            follows = name == option and waiting and not waiting[0].startswith("--")
            text = waiting.pop(0) if follows else str(name == option)
        found.append((name.removeprefix("--").removeprefix("config."), text))
    return found


def _log_to_console() -> None:
    """Our own messages in plain lines; of the libraries (orbax logs every file) only warnings."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("acsnet_jax")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _stop(message: str) -> NoReturn:
    """End the program with one line."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(1)
