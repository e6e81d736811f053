"""Several processes that train together, one a host or one a GPU; off unless it is asked for.

All run the same program on the same files; each reads and computes its share of every batch, and
the first alone writes.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from acsnet_jax.types import InputError

_GRACE_S = 60
"""JAX aborts the process when its own time is up; ours is up earlier."""


def join(timeout_s: int, begin: Callable[[], None]) -> None:
    """Wait for the other processes, before anything is computed.

    JAX finds out by itself who they are under Slurm, Open MPI and Kubernetes, and on Cloud TPUs.
    Elsewhere ``JAX_COORDINATOR_ADDRESS`` (host and port of the first process),
    ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID`` say so. Only the first process keeps its log.

    Args:
        timeout_s: seconds to wait. If one is still missing then, the process ends with one line on
            standard error and exit status 1.
        begin: called in the first process when all are there. If it raises InputError, all stop.

    Raises:
        InputError: nothing says who the others are, a number among them is none, or as ``begin``.
    """
    watch = threading.Timer(timeout_s, _give_up, [timeout_s])
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(
            num_processes=_number("JAX_NUM_PROCESSES"),
            process_id=_number("JAX_PROCESS_ID"),
            initialization_timeout=timeout_s + _GRACE_S,
        )
        # Devices connect at their first exchange; on a CPU they wait 30 s for it. Now all are here.
        multihost_utils.sync_global_devices("joined")
    except ValueError as error:
        raise InputError(
            f"cannot join other processes ({error}): JAX sees no cluster here; set "
            "JAX_COORDINATOR_ADDRESS=HOST:PORT, JAX_NUM_PROCESSES and JAX_PROCESS_ID"
        ) from error
    finally:
        watch.cancel()
    if not is_first():
        logging.getLogger("acsnet_jax").setLevel(logging.WARNING)
    _first_alone(begin)


def _first_alone(begin: Callable[[], None]) -> None:
    refusal = None
    if is_first():
        try:
            begin()
        except InputError as error:
            refusal = error
    if multihost_utils.process_allgather(np.array(refusal is not None)).any():
        raise refusal or InputError("the first process was refused; it says why")


def is_first() -> bool:
    """Whether this is the process that writes; the only one, if there are no others."""
    return jax.process_index() == 0


def _number(name: str) -> int | None:
    """A whole number out of the environment."""
    text = os.environ.get(name)
    if text is not None and not text.isdigit():
        raise InputError(f"{name} is {text!r}; give a whole number")
    return None if text is None else int(text)


def _give_up(timeout_s: int) -> None:
    """End the process, whose main thread waits inside of JAX and cannot be interrupted."""
    first = os.environ.get("JAX_COORDINATOR_ADDRESS", "the first process")
    print(
        f"error: not all processes came within {timeout_s} s; start each with --distributed, let "
        f"all reach {first}, and give slow ones longer with --distributed=SECONDS",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)
