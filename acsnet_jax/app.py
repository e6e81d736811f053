"""How every entry point starts and ends: flags, compilation cache, one clear line on bad input."""

import logging
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import jax
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from acsnet_jax.types import InputError

_FLAG_ERRORS = (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError)

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for everything that is written.")


def run(main: Callable[[Any, pathlib.Path], object], default_config: str):
    """Run `main(config, workdir)` with the flags ``--config`` and ``--workdir``.

    Args:
        main: the one library call of the entry point.
        default_config: path of the config that is used without ``--config``, as
            ``configs/NAME.py`` relative to the repository. Its ``config.workdir`` is the default
            of ``--workdir``.

    Bad input (`InputError`, an unknown flag or config key) ends with one line on standard error and
    exit status 1; a defect keeps its traceback.
    """
    root = pathlib.Path(__file__).resolve().parent.parent
    flag = _define_config(str(root / default_config))

    def chapters(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unexpected argument {argv[1]!r}; options begin with --")
        use_compilation_cache()
        config = flag.value
        workdir = pathlib.Path(_WORKDIR.value or config.workdir)
        main(config, workdir)

    def guarded(argv: list[str]) -> None:
        try:
            chapters(argv)
        except (InputError, FloatingPointError) as error:
            _stop(str(error))

    _log_to_console()
    app.run(guarded, flags_parser=_parse_flags)


def _log_to_console() -> None:
    """Our own messages in plain lines; of the libraries (orbax logs every file) only warnings."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("acsnet_jax")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache directory, so that only a first run compiles."""
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "acsnet_jax" / "xla"))
        # small programs too: a hundred of them cost seconds at the start of every process
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _define_config(path: str) -> flags.FlagHolder:
    """The flag ``--config``; its default is read at once, with the changes of the command line."""
    try:
        return config_flags.DEFINE_config_file("config", path, "Config file.", lock_config=True)
    except _FLAG_ERRORS as error:
        _stop(_reason(error))


def _parse_flags(argv: list[str]) -> list[str]:
    """Parse flags; a wrong one, or a wrong config key, is one line."""
    try:
        rest = flags.FLAGS(argv)
        flags.FLAGS.config.lock()  # a file that could not be read is an error only when it is used
    except _FLAG_ERRORS as error:
        _stop(_reason(error))
    return rest


def _reason(error: Exception) -> str:
    """What is wrong with the flags; ml_collections names an unknown key and nothing else."""
    if isinstance(error, AttributeError | KeyError):
        text = error.args[0].args[0] if isinstance(error.args[0], KeyError) else error.args[0]
        name, *hint = str(text).split("\n")
        hint = hint or ["see the config file for those it has"]
        return f"the config has no key {name}; {hint[0]}"
    return str(error)


def _stop(message: str) -> NoReturn:
    """End the program with one line."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(1)
