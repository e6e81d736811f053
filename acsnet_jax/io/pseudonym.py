"""Names for DICOM scans that nobody can trace without the key: a keyed hash of their UIDs.

A plain digest of UIDs hides nothing from whoever knows them, or can list them: a PACS does. The key
is 32 random bytes, 64 hexadecimal digits in a file that its owner alone may read. The same key
gives the same study the same name.

References:
    RFC 2104 (HMAC); DICOM PS3.15, E.1 (pseudonyms).
"""

import hashlib
import hmac
import logging
import pathlib
import secrets
from collections.abc import Sequence

from acsnet_jax.files import create_private, read_text
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)

KEY_FILE = "pseudonym.key"
"""Name of the key in a working folder."""

_BYTES = 32
_DIGITS = 16  # 64 bits: of a million scans, two share a name once in 37 million cohorts
_OTHERS = 0o077


def pseudonym(uids: Sequence[str], key: bytes | None) -> str:
    """``scan-`` and 16 hexadecimal digits.

    Args:
        uids: of the study and its series.
        key: for HMAC-SHA256; None for SHA-256 alone, which whoever knows the UIDs can repeat.
    """
    message = "\0".join(uids).encode()
    digest = hashlib.sha256(message) if key is None else hmac.new(key, message, "sha256")
    return f"scan-{digest.hexdigest()[:_DIGITS]}"


def obtain_key(path: str | pathlib.Path) -> bytes:
    """The key in a file, which is made of random bytes where there is none.

    Of several processes that come at the same time, all get the key of the first one.

    Raises:
        InputError: as `read_key`.
    """
    path = pathlib.Path(path)
    if not path.exists() and create_private(f"{secrets.token_hex(_BYTES)}\n", path):
        if _is_open(path):
            path.unlink()  # a key that others saw is none
            raise InputError(
                f"{path}: this file system keeps no rights, so that others could read the key: "
                "keep it elsewhere, and name it (pseudonym_key=FILE)"
            )
        _LOG.info("new pseudonyms: %s is their key; do not hand it on with results", path)
    return read_key(path)


def read_key(path: str | pathlib.Path) -> bytes:
    """The key in a file.

    Raises:
        InputError: there is none, it is damaged, or others than its owner may read it.
    """
    path = pathlib.Path(path)
    fix = "give the pseudonym.key of an earlier run, restored if need be"
    text = read_text(path, fix=fix).strip()
    if _is_open(path):
        raise InputError(f"{path}: others may read this key: give it owner-only rights, chmod 600")
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise InputError(f"{path}: no key, {2 * _BYTES} hexadecimal digits: {fix}") from error
    if len(key) != _BYTES:
        raise InputError(f"{path}: a key of {len(key)} bytes, not of {_BYTES}: {fix}")
    return key


def key_file(given: str | None, workdir: pathlib.Path) -> pathlib.Path:
    """Where a job's key lies: as given or, made when it is needed, in its working folder.

    Args:
        given: a file that several working folders share; None or "" for none.
        workdir: the job's.

    Raises:
        InputError: as `read_key`, of the file that is given: a new key in a mistyped place would
            give new names to all.
    """
    if not given:
        return workdir / KEY_FILE
    read_key(given)
    return pathlib.Path(given)


def _is_open(path: pathlib.Path) -> bool:
    return bool(path.stat().st_mode & _OTHERS)
