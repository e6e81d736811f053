"""The held-out patients that a system is judged on, divided as its training was."""

import dataclasses
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from acsnet_jax.files import write_text
from acsnet_jax.io.pseudonym import KEY_FILE
from acsnet_jax.preprocess.orient import TURNS, turned_scan
from acsnet_jax.training.cohort import Cohort, CohortOptions, load, read_division
from acsnet_jax.training.cohort import split as held_out_of
from acsnet_jax.types import InputError, Scan

_LOG = logging.getLogger(__name__)


def load_held_out(
    data: CohortOptions, workdir: pathlib.Path, *, split: str = "", turn: int = 0
) -> Cohort:
    """A cohort whose division is known, its held-out scans turned.

    The division is that of ``split.json`` in `split` or, without it, in `workdir`; without both it
    is drawn from the seed. Names of DICOM scans are those of `split`, if it has their key.

    Args:
        data: where scans come from.
        workdir: ``split.json`` is written there.
        split: folder of a training run; "" for none.
        turn: 1 to 7 stores every held-out scan turned or mirrored, to see what it changes.

    Raises:
        InputError: bad data, no such turn, `split` has no ``split.json``, or `workdir` has one
            that divides otherwise than `split`, or than what ``data`` asks for.
    """
    if turn not in TURNS:
        raise InputError(f"config.turn is {turn}: give one of {TURNS[0]} to {TURNS[-1]}")
    workdir.mkdir(parents=True, exist_ok=True)
    ours = workdir / "split.json"
    if split:
        path = pathlib.Path(split) / "split.json"
        if not path.is_file():
            raise InputError(f"{path} is missing: give the folder of a training run")
        if not ours.exists():
            write_text(path.read_text(encoding="utf-8"), ours)
        elif read_division(ours) != read_division(path):
            raise InputError(
                f"{ours} holds out other patients than {path}: use another --workdir, or remove it"
            )
    elif ours.exists():
        known = read_division(ours)
        drawn = held_out_of([*known.train, *known.test], data.test_fraction, data.seed)
        if drawn != {*known.test}:
            raise InputError(
                f"{ours} holds out other patients than config.data.test_fraction and seed do: use "
                f"another --workdir or remove it, or keep to it with --config.split={workdir}"
            )
    if split and not data.pseudonym_key and (pathlib.Path(split) / KEY_FILE).exists():
        data = dataclasses.replace(data, pseudonym_key=str(pathlib.Path(split) / KEY_FILE))
    cohort = load(data, workdir)
    if turn:
        turned = [turned_scan(scan, turn) for scan in cohort.test]
        cohort = dataclasses.replace(cohort, test=turned)
    return cohort


def scans_seen(provenance: Mapping[str, Any]) -> list[str] | None:
    """Fingerprints of the scans that a system was trained on; None where its bundle does not tell.

    Args:
        provenance: what its bundle says of itself.
    """
    training = provenance.get("training")
    seen = training.get("seen") if isinstance(training, Mapping) else None
    return seen if isinstance(seen, list) else None


def trained_on(scans: Sequence[Scan], provenance: Mapping[str, Any]) -> list[str]:
    """Ids of scans that a system has seen; the log says so, since its figures of them are no test.

    Args:
        scans: to judge the system by.
        provenance: what its bundle says of itself. Bundles of earlier versions do not say what they
            were trained on; the log says that.
    """
    seen = scans_seen(provenance)
    if seen is None:
        _LOG.warning(
            "the bundle does not tell what it was trained on: make sure that it has seen none of "
            "these scans, as with --config.split and the folder of its training run"
        )
        return []
    known = [scan.id for scan in scans if scan.fingerprint in seen]
    if known:
        _LOG.warning(
            "the bundle was trained on %d of these %d scans (%s%s): figures of them are too good; "
            "give --config.split with the folder of its training run, or a cohort it has not seen",
            len(known),
            len(scans),
            ", ".join(known[:5]),
            ", ..." if len(known) > 5 else "",
        )
    return known
