"""Work in processes of its own, beside the one that computes: reading and writing.

A process rather than a thread, since Python runs one thread at a time, and since pydicom's way to
validate and the filters of warnings belong to a whole process.
"""

import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import loky
from loky.process_executor import TerminatedWorkerError

from acsnet_jax.types import InputError

_OURS = "acsnet_jax"
_LOOK_EVERY_S = 0.5
_MOST = 4
"""Processes, each of which holds some 450 MB."""

T = TypeVar("T")


class Here:
    """This process; a function is called when its result is asked for."""

    def call(self, function: Callable[..., T], *arguments: Any) -> Callable[[], T]:
        """What calls the function."""
        return functools.partial(function, *arguments)


class Aside:
    """Further processes, each of which does one thing after another, begun in the order given.

    Functions, arguments and results are handed over as `multiprocessing` does. Messages to this
    package's loggers are logged here, when a result is asked for. The processes claim no
    accelerator, and end with the block or, if this process is killed, after it.

    Args:
        processes: how many.
    """

    def __init__(self, processes: int = 1) -> None:
        self._processes = processes
        self._executor: loky.ProcessPoolExecutor | None = None

    def __enter__(self) -> "Aside":
        return self

    def __exit__(self, error: object, *_) -> None:
        self._end(kill=error is not None)

    def call(self, function: Callable[..., T], *arguments: Any) -> Callable[[], T]:
        """Begin as soon as a process is free.

        Args:
            function: of a module, or a `functools.partial` of one.
            *arguments: of the function.

        Returns:
            Waits for the result, and raises what the function raised; `InputError` also if a
            process died, which ends what the others do.
        """
        if self._executor is None:
            self._executor = loky.ProcessPoolExecutor(
                self._processes,
                initializer=_follow,
                initargs=(os.getpid(),),
                env={"JAX_PLATFORMS": "cpu"},
            )
        executor = self._executor
        future = executor.submit(_called, function, arguments)

        def result() -> T:
            try:
                said = future.result()
            except TerminatedWorkerError as error:
                if self._executor is executor:
                    self._end(kill=True)
                raise InputError(
                    "a process that reads or writes beside this one died, most likely for want of "
                    "memory; give the same command again with --noconfig.overlap"
                ) from error
            for record in said.records:
                logger = logging.getLogger(record.name)
                if logger.isEnabledFor(record.levelno):
                    logger.handle(record)
            if said.refused is not None:
                raise said.refused
            return said.value

        return result

    def _end(self, *, kill: bool) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=kill)
            self._executor = None


Place = Here | Aside
"""Where functions are called."""


class _Said(NamedTuple):
    """What a call came to, with all that was logged meanwhile."""

    value: Any
    refused: InputError | None
    records: list[logging.LogRecord]


class _Keep(logging.Handler):
    """Keeps messages as plain text, whatever their arguments are."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None
        self.records.append(record)


def _called(function: Callable[..., Any], arguments: tuple) -> _Said:
    """In the other process."""
    logger, keep = logging.getLogger(_OURS), _Keep()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(keep)
    try:
        return _Said(function(*arguments), None, keep.records)
    except InputError as error:
        return _Said(None, error, keep.records)
    finally:
        logger.removeHandler(keep)


def spare_processes() -> int:
    """How many processes can write at once: one for each core that may be used, up to four."""
    return min(loky.cpu_count(), _MOST)


def _follow(parent: int) -> None:
    """In the other process: an interrupt is for the first, and nothing is done after its death."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
