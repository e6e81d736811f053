"""Cohorts larger than memory: pixels beyond a limit lie in files, mapped into memory.

The files have no names: they go with the process, however it ends, and are never mistaken for
results. Arrays are read-only NumPy arrays wherever they lie.
"""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np

from acsnet_jax.training.datasets import Dataset
from acsnet_jax.types import Scan

SHARE = 0.25
"""Of the machine's memory: scans may take as much, and the samples made of them too."""

_GROUP = 16  # scans whose samples are in memory at a time


class Spill:
    """Keeps arrays in memory as long as there is room, then in files.

    Args:
        folder: where the files are opened; on a disk, not on one that is memory itself.
        memory_gb: room in memory, in 2^30 bytes; None for a quarter of the machine's.
    """

    def __init__(self, folder: pathlib.Path, memory_gb: float | None):
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._folder = folder
        self._room = SHARE * machine if memory_gb is None else memory_gb * 2**30

    def scan(self, scan: Scan) -> Scan:
        """The same scan, its image and labels kept."""
        kept = {"image": self.array(scan.image)}
        if scan.labels is not None:
            kept["labels"] = self.array(scan.labels)
        return scan.replace(**kept)

    def array(self, array: np.ndarray) -> np.ndarray:
        """An equal array, in memory or mapped."""
        if array.nbytes <= self._room:
            self._room -= array.nbytes
            return array
        with _growing(self._folder) as file:
            file.append(array)
            return file.mapped()

    def dataset(self, make: Callable[[list[Scan]], Dataset], scans: list[Scan]) -> Dataset:
        """Samples of scans; images and targets in files if they do not fit.

        Args:
            make: samples of some scans, each of which has some.
            scans: all of them.
        """
        samples = sum(int(scan.labelled.sum()) for scan in scans)
        first = make(scans[:1])
        if samples * sum(field[:1].nbytes for field in first) <= self._room:
            return make(scans)
        small: list[Dataset] = []
        with _growing(self._folder) as images, _growing(self._folder) as targets:
            for start in range(0, len(scans), _GROUP):
                part = make(scans[start : start + _GROUP])
                images.append(part.images)
                targets.append(part.targets)
                part = part._replace(scans=part.scans + start)
                small.append(part._replace(images=part.images[:0], targets=part.targets[:0]))
            joined = Dataset(*(np.concatenate(field) for field in zip(*small, strict=True)))
            return joined._replace(images=images.mapped(), targets=targets.mapped())


@contextlib.contextmanager
def _growing(folder: pathlib.Path) -> Iterator["_Growing"]:
    """A file without a name; what is mapped of it stays when it is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        yield _Growing(file)


class _Growing:
    """Arrays in a file, one after the other along their first axis."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._count = 0
        self._row = np.zeros(0)

    def append(self, array: np.ndarray) -> None:
        array.tofile(self._file)
        self._count += len(array)
        self._row = array[:0]

    def mapped(self) -> np.ndarray:
        self._file.flush()
        shape = (self._count, *self._row.shape[1:])
        return np.asarray(np.memmap(self._file, self._row.dtype, "r", shape=shape))
