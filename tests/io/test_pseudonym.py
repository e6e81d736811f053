"""Keyed names: those of RFC 2104, stable within a key, and one key whoever comes first."""

import errno
import hashlib
import hmac
import logging
import os
import re
import stat
import threading

import pytest
from synthetic_dicom import SERIES, STUDY, write_stack

from acsnet_jax import files
from acsnet_jax.io import discover, iter_cohort, read_cohort, read_dicom, read_scans
from acsnet_jax.io import pseudonym as pseudonyms
from acsnet_jax.types import InputError

UIDS = f"{STUDY}\0{SERIES}".encode()


def test_a_name_is_a_keyed_hash_of_the_uids(tmp_path):
    folder = write_stack(tmp_path / "in")
    scan = read_dicom(folder, key=tmp_path / "key")
    key = bytes.fromhex((tmp_path / "key").read_text())
    assert len(key) == 32
    assert scan.id == f"scan-{hmac.new(key, UIDS, 'sha256').hexdigest()[:16]}"
    plain = f"scan-{hashlib.sha256(UIDS).hexdigest()[:16]}"
    assert scan.id != plain == read_dicom(folder).id


def test_uids_are_kept_apart():
    key = bytes(32)
    assert pseudonyms.pseudonym(["1.2", "3"], key) != pseudonyms.pseudonym(["1.", "23"], key)


def test_names_are_stable_within_a_key_and_differ_between_two(tmp_path):
    write_stack(tmp_path / "in" / "a")
    write_stack(tmp_path / "in" / "b", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4")
    key = tmp_path / "new" / "folder" / "pseudonym.key"
    ids = [scan.id for scan in read_scans(tmp_path / "in", key=key)]
    assert len(set(ids)) == 2
    assert ids == [scan.id for scan in read_cohort(tmp_path / "in", "dicom", key=str(key))]
    other = [scan.id for scan in read_scans(tmp_path / "in", key=tmp_path / "other.key")]
    assert not set(ids) & set(other)


def test_the_key_is_its_owners_alone(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    before = os.umask(0)
    try:
        with caplog.at_level(logging.INFO):
            pseudonyms.obtain_key(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert f"{tmp_path / 'key'} is their key" in caplog.text
    assert (tmp_path / "key").read_text().strip() not in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("number", [0, errno.EPERM])
def test_all_who_come_at_once_get_one_key(number, tmp_path, monkeypatch):
    """With hard links and, as on some shared disks, without."""

    def no_links(*_):
        raise OSError(number, os.strerror(number))

    if number:
        monkeypatch.setattr(os, "link", no_links)
    for attempt in range(20):
        path, found = tmp_path / str(attempt), []
        gate = threading.Barrier(4)

        def come(path=path, found=found, gate=gate):
            gate.wait()
            found.append(files.create_private(f"{threading.get_ident()}", path))

        threads = [threading.Thread(target=come) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [False, False, False, True]
        assert int(path.read_text()) in {thread.ident for thread in threads}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("00" * 31, 0o600, "a key of 31 bytes, not of 32: give the pseudonym.key of an earlier"),
        ("", 0o600, "a key of 0 bytes"),
        ("x" * 64, 0o600, "no key, 64 hexadecimal digits"),
        ("00" * 32, 0o640, "others may read this key: give it owner-only rights, chmod 600"),
        ("00" * 32, 0o604, "others may read this key"),
        (b"\xff" * 64, 0o600, "cannot be read as text"),
    ],
)
def test_a_bad_key_is_one_line_before_any_scan(text, mode, words, tmp_path):
    write_stack(tmp_path / "in")
    path = tmp_path / "pseudonym.key"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    for read in (discover, read_dicom, lambda root, key: iter_cohort(root, "dicom", key=key)):
        with pytest.raises(InputError, match=re.escape(f"{path}: {words}")) as caught:
            read(tmp_path / "in", key=path)
        assert "\n" not in str(caught.value) and "0000" not in str(caught.value)


def test_a_disk_without_rights_keeps_no_key(tmp_path, monkeypatch):
    monkeypatch.setattr(pseudonyms, "_is_open", lambda path: True)
    with pytest.raises(InputError, match="keeps no rights, so that others could read the key"):
        pseudonyms.obtain_key(tmp_path / "key")
    assert not list(tmp_path.iterdir())


def test_a_key_that_is_named_has_to_be_there(tmp_path):
    assert pseudonyms.key_file(None, tmp_path) == tmp_path / "pseudonym.key"
    assert pseudonyms.key_file("", tmp_path) == tmp_path / "pseudonym.key"
    with pytest.raises(InputError, match=r"typo\.key: no such file: give the pseudonym\.key"):
        pseudonyms.key_file(str(tmp_path / "typo.key"), tmp_path)
    pseudonyms.obtain_key(tmp_path / "shared.key")
    assert pseudonyms.key_file(str(tmp_path / "shared.key"), tmp_path).name == "shared.key"


def test_no_other_format_gets_a_key(tmp_path):
    with pytest.raises(InputError):
        discover(tmp_path, key=tmp_path / "key")
    assert not list(tmp_path.iterdir())
