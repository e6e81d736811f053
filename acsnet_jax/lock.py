"""One run at a time in a working folder: a lock that goes with its process, however it ends.

The kernel holds the lock, on a hidden file in the folder, and releases it when the process is
killed. The file says who holds it, and is removed at the end.
"""

import contextlib
import contextvars
import errno
import fcntl
import logging
import os
import pathlib
import socket
import stat
from collections.abc import Iterator

from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)

LOCK_FILE = ".lock"
"""Name of the file in a working folder; no output."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
_TRIES = 10_000  # of a folder that others make and remove
_MOST = 512  # bytes that name a holder
_HELD: contextvars.ContextVar[frozenset[pathlib.Path]] = contextvars.ContextVar(
    "folders that this thread holds", default=frozenset()
)


@contextlib.contextmanager
def hold(folder: pathlib.Path, *, writes: bool = True) -> Iterator[None]:
    """Hold a folder as long as the block runs; it is made if need be.

    A thread that holds it already goes on. Where files cannot be locked a warning says so, and the
    block runs.

    Args:
        folder: to hold.
        writes: whether a folder that cannot be written to is refused, rather than warned of.

    Raises:
        InputError: another process holds the folder, here or, on a shared disk, on another host;
            a file or a broken link is in its place; or it cannot be made, or written to.
    """
    if _in_the_way(folder):
        raise InputError(
            f"{folder} is a file, or a link that leads nowhere: remove it, "
            "or choose another --workdir"
        )
    place = folder.resolve()
    if place in _HELD.get():
        yield
        return
    ours = not folder.exists()
    file = None
    try:
        file = _open_locked(folder, writes=writes)
    except OSError as error:
        if error.errno not in _NO_LOCKS | _READ_ONLY:
            raise
        _LOG.warning(
            "%s cannot be locked (%s): start no second run in it while this one lasts",
            folder,
            error.strerror,
        )
    outer = _HELD.set(_HELD.get() | {place})
    try:
        yield
    finally:
        _HELD.reset(outer)
        if file is not None:
            _release(file, folder, remove=ours)


def _in_the_way(folder: pathlib.Path) -> bool:
    """Whether anything but a folder stands there; asked at once, as a folder may come and go."""
    try:
        return not stat.S_ISDIR(folder.stat().st_mode)
    except OSError:
        return folder.is_symlink()


def _release(file: int, folder: pathlib.Path, *, remove: bool) -> None:
    """The file goes while it is still locked, and with ``remove`` a folder that is empty too."""
    path = folder / LOCK_FILE
    if _same(file, path):
        path.unlink()
    os.close(file)
    if remove:
        with contextlib.suppress(OSError):  # it holds results
            folder.rmdir()


def _open_locked(folder: pathlib.Path, *, writes: bool) -> int:
    """A descriptor of the lock file, which is locked and says by whom.

    Raises:
        InputError: another process holds it, or none can be written.
        OSError: files cannot be locked there, or none can be written and ``writes`` is False.
    """
    path = folder / LOCK_FILE
    for _ in range(_TRIES):
        try:
            # Not ``exist_ok``, which asks for the folder after it failed: it may be gone by then.
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # the holder has just removed the folder with the lock
        except OSError as error:
            if not writes or error.errno not in _READ_ONLY:
                raise
            raise InputError(
                f"{folder} cannot be written to ({error.strerror}): choose another --workdir"
            ) from error
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, file)
            _lock(file, folder)
            # The last holder may have removed the file between the two calls.
            if _same(file, path):
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                undo.pop_all()
                return file
    raise InputError(
        f"{folder} cannot be made: does a folder above it lead nowhere? Choose another --workdir"
    )


def _lock(file: int, folder: pathlib.Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        told = os.pread(file, _MOST, 0).decode(errors="replace")
        raise InputError(
            f"{folder}: another run writes there ({' '.join(told.split()) or 'just started'}): "
            "wait for its end, or choose another --workdir"
        ) from error


def _same(file: int, path: pathlib.Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
