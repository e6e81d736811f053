"""Corrected label files in a folder: each written once, with its certificates, and found again."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from acsnet_jax.correction.corrector import Corrector
from acsnet_jax.correction.labels import Corrected, FileSummary, LabelFileOptions, summarise_file
from acsnet_jax.files import AGAIN, read_record, write_json
from acsnet_jax.io.masks import LabelStack, write_labels
from acsnet_jax.types import Certificate, InputError, Route


@dataclasses.dataclass(frozen=True)
class Results:
    """``NAME.nii.gz`` and ``NAME.json`` of each label file.

    Attributes:
        folder: where they lie.
        settings: what a result depends on, as JSON gives it back.
    """

    folder: pathlib.Path
    settings: dict[str, Any]

    @classmethod
    def of(cls, folder: pathlib.Path, options: LabelFileOptions, corrector: Corrector) -> "Results":
        """The results of one corrector and its options."""
        codes = np.asarray(corrector.population.codes)
        settings = {
            **dataclasses.asdict(options),
            **dataclasses.asdict(corrector.options),
            "thresholds": {name: float(x) for name, x in corrector.thresholds._asdict().items()},
            "population_sha256": hashlib.sha256(codes.tobytes()).hexdigest(),
        }
        return cls(folder, json.loads(json.dumps(settings)))

    def masks(self, name: str) -> pathlib.Path:
        """Path of a corrected label file."""
        return self.folder / f"{name}.nii.gz"

    def certificates(self, name: str) -> pathlib.Path:
        """Path of its certificates."""
        return self.folder / f"{name}.json"

    def write(
        self, name: str, corrected: Corrected, stack: LabelStack, *, digest: str
    ) -> FileSummary:
        """The mask, then its certificates, which say that the file is finished.

        Args:
            name: of the file.
            corrected: its labels.
            stack: as it was brought.
            digest: SHA-256 of the file as it was brought.
        """
        write_labels(self.masks(name), corrected.values, stack)
        record = {
            "settings": self.settings,
            "input_sha256": digest,
            "spacing_mm": stack.spacing_mm,
            "slice_distance_mm": stack.distance_mm,
            "certificates": [one._asdict() for one in corrected.certificates],
        }
        write_json(record, self.certificates(name))
        return summarise_file(name, corrected.certificates, stack.distance_mm)

    def find(self, name: str, *, digest: str) -> FileSummary | None:
        """The summary of an earlier run; None if there was none, or the file was another one.

        Args:
            name: of the file.
            digest: SHA-256 of the file as it is now.

        Raises:
            InputError: it had other settings.
        """
        path = self.certificates(name)
        if not (path.is_file() and self.masks(name).is_file()):
            return None

        def parse(found: dict[str, Any]) -> FileSummary | None:
            if found.get("input_sha256", digest) != digest:
                return None
            if found["settings"] != self.settings:
                raise InputError(
                    f"{path} was made with other settings: choose another --workdir, or remove it"
                )
            certificates = [
                Certificate(**{**one, "route": Route(one["route"])})
                for one in found["certificates"]
            ]
            return summarise_file(name, certificates, found["slice_distance_mm"])

        return read_record(path, parse, fix=AGAIN)

    def check_apart(self, given: pathlib.Path, files: Mapping[str, pathlib.Path]) -> None:
        """Refuse to write over the input, or where a second run would take output for input.

        Raises:
            InputError: the folder lies in the input folder, or an output is an input.
        """
        root, target = given.resolve(), self.folder.resolve()
        inputs = {path.resolve() for path in files.values()}
        outputs = {self.masks(name).resolve() for name in files}
        if target.is_relative_to(root) or inputs & outputs:
            raise InputError(
                f"{self.folder} would mix with the masks in {given}: choose another --workdir"
            )


def total_text(summaries: Sequence[FileSummary]) -> str:
    """What the correction of many files comes to, in one line."""
    names = ("slices", "empty", "valid_before", "changed", "left_out", "lost", "valid_after")
    slices, empty, before, changed, left_out, lost, after = (
        sum(getattr(one, name) for one in summaries) for name in names
    )
    return (
        f"{len(summaries)} files, {slices - empty} slices with a mask: {before} valid before, "
        f"{changed} corrected, {left_out} left out, {lost} lost, {after} valid after"
    )
