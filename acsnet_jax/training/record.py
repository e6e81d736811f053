"""Scalars of a run: JSON lines for programs, TensorBoard for people."""

import json
import pathlib
from collections.abc import Mapping

import numpy as np
from tensorboardX import SummaryWriter

from acsnet_jax.files import read_text, write_text
from acsnet_jax.types import InputError


class Record:
    """Appends to ``metrics.jsonl`` and to TensorBoard files in `workdir`.

    A resumed run drops the lines after the checkpoint that it resumes from, so that every step
    stands there once.
    """

    def __init__(self, workdir: pathlib.Path, *, resume_step: int = 0):
        self._path = workdir / "metrics.jsonl"
        kept = [row for row in read(workdir) if row["step"] <= resume_step]
        write_text("".join(json.dumps(row) + "\n" for row in kept), self._path)
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(workdir), purge_step=resume_step + 1)

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()
        self._board.close()

    def scalars(self, step: int, values: Mapping[str, float | int]) -> None:
        """Write one line; it is on disk when this returns."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Show an ``[height, width, 3]`` uint8 picture in TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")


def read(workdir: pathlib.Path) -> list[dict[str, int | float]]:
    """The lines of ``metrics.jsonl``, without a last line that a killed run left unfinished.

    Raises:
        InputError: a line is damaged, the file is none, or far larger than a run makes it.
    """
    path = workdir / "metrics.jsonl"
    if not path.exists():
        return []
    if not path.is_file():
        raise InputError(f"{path} is no file: remove it")
    lines = read_text(path, fix="restore it").split("\n")[:-1]
    return [
        _row(line, f"{path}, line {number}: not what was written there: remove the line")
        for number, line in enumerate(lines, start=1)
    ]


def _row(line: str, refusal: str) -> dict[str, int | float]:
    try:
        row = json.loads(line)
        int(row["step"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(refusal) from error
    return row
