import json
import os
import pathlib

import pytest

from acsnet_jax.files import (
    read_arrays,
    read_json,
    read_record,
    read_text,
    replacing,
    replacing_folder,
    write_arrays,
    write_json,
    write_text,
)
from acsnet_jax.types import InputError


def names(folder):
    """Everything in a folder, hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "text.txt"
    write_text("old", path)

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["text.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("text", ["{", "[]", '{"a": null}', '{"a": [1]}', '{"b": 1}'])
def test_a_damaged_record_is_refused_with_the_fix(tmp_path, text):
    path = tmp_path / "record.json"
    write_text(text, path)
    with pytest.raises(InputError, match=r"record\.json.*: make it again$"):
        read_record(path, lambda values: values["a"] + 1, fix="make it again")
    write_json({"a": 2}, path)
    assert read_record(path, lambda values: values["a"] + 1, fix="make it again") == 3


def test_damaged_arrays_are_refused_with_the_fix(tmp_path):
    path = tmp_path / "kept.npz"
    refused = pytest.raises(InputError, match=r"kept\.npz.*: make it again$")
    with refused:
        read_arrays(path, dict, fix="make it again")
    write_arrays({"a": [1, 2]}, path)
    assert read_arrays(path, lambda arrays: arrays["a"].sum(), fix="make it again") == 3
    with refused:
        read_arrays(path, lambda arrays: arrays["b"], fix="make it again")
    content = path.read_bytes()
    for damaged in (content[:-20], content[:60] + b"\0\0\0\0" + content[64:], b""):
        path.write_bytes(damaged)
        with refused:
            read_arrays(path, lambda arrays: arrays["a"].sum(), fix="make it again")


def test_json_is_read_back_and_folders_are_made(tmp_path):
    values = {"volume_ml": 1.5, "names": ["a", "b"], "nothing": None}
    write_json(values, tmp_path / "new" / "values.json")
    assert json.loads((tmp_path / "new" / "values.json").read_text()) == values


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"volume_ml": float("nan")}, tmp_path / "values.json")
    assert not list(tmp_path.iterdir())


def test_a_temporary_file_keeps_its_suffixes_and_lies_in_the_same_folder(tmp_path):
    with replacing(tmp_path / "image.nii.gz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffixes[-2:] == [".nii", ".gz"]
        temporary.write_text("whole")
    assert names(tmp_path) == ["image.nii.gz"]


def test_what_a_link_points_at_is_replaced(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_text("new", link)
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_folder_appears_whole(tmp_path):
    folder = tmp_path / "deep" / "folder"
    with replacing_folder(folder) as temporary:
        (temporary / "one").write_text("1")
        assert not folder.exists()
        assert temporary.parent == folder.parent
    assert names(folder.parent) == ["folder", "folder/one"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "folder"
    for name in ("one", "two"):
        with replacing_folder(folder) as temporary:
            (temporary / name).write_text(name)
    assert names(tmp_path) == ["folder", "folder/two"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("there", [True, False])
def test_a_failed_folder_leaves_what_was_there_and_nothing_else(tmp_path, error, there):
    folder = tmp_path / "folder"
    if there:
        folder.mkdir()
        (folder / "old").write_text("old")
    before = names(tmp_path)

    def fail():
        with replacing_folder(folder) as temporary:
            (temporary / "half").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == before


def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").write_text("old")
    before = names(tmp_path)
    rename = pathlib.Path.replace

    def refuse(path, target):
        if (path / "new").exists():
            raise PermissionError("no")
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", refuse)

    def fail():
        with replacing_folder(folder) as temporary:
            (temporary / "new").write_text("new")

    with pytest.raises(PermissionError):
        fail()
    assert names(tmp_path) == before


def test_a_file_is_no_folder_to_replace(tmp_path):
    path = tmp_path / "name"
    path.write_text("precious")

    def write():
        with replacing_folder(path):
            pass

    with pytest.raises(InputError, match="is a file"):
        write()
    assert path.read_text() == "precious"


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"a": ', b"\xff\xfe", b"1" * 5000])
def test_json_that_is_none_is_named(tmp_path, content):
    path = tmp_path / "values.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"values\.json: .*prepare it again") as caught:
        read_json(path, fix="prepare it again")
    assert "\n" not in str(caught.value)


def test_text_is_limited(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone")
    assert read_text(path) == "one"
    os.truncate(path, 2**31)
    with pytest.raises(InputError, match=r"a\.txt: larger than 16 MiB"):
        read_text(path)
    with pytest.raises(InputError, match="no such file"):
        read_text(tmp_path)
