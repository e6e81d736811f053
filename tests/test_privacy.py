"""Canaries: what a header says of a person, and what files are called, is looked for everywhere.

Every current text, date and time of the DICOM dictionary is planted, private and nested ones too,
but for those that the reader goes by; prepare, predict, check and correct are run on the files.
What trains and evaluates gets scans, of which every field is looked at. Headers reach nothing but
the two DICOM objects, and of those only what the standard wants alike in a study. Names of files
and folders reach the console, since a message has to say which file is bad, and no file that is
written.
"""

import base64
import gzip
import io
import logging
import re
import shutil
import sys
import warnings
import zipfile

import nibabel
import numpy as np
import PIL.Image
import pydicom.config
import pytest
from nibabel.nifti1 import Nifti1Extension
from PIL.PngImagePlugin import PngInfo
from pydicom.datadict import DicomDictionary  # pyright: ignore[reportPrivateImportUsage]
from test_pipeline import bundle, make_scan

from acsnet_jax import app
from acsnet_jax import bundle as bundles
from acsnet_jax.io import (
    read_labels,
    read_nifti,
    read_scans,
    write_labels,
    write_mask,
    write_scan,
)
from acsnet_jax.jobs.check import check
from acsnet_jax.jobs.correct import correct
from acsnet_jax.jobs.predict import predict
from acsnet_jax.jobs.prepare import prepare
from acsnet_jax.synthesis.phantom import write_dicom

__all__ = ["bundle"]  # the cascade's fixture

pytestmark = pytest.mark.usefixtures("standard_promotion")

TEXT, DATE, TIME, WEIGHT = "QVXZJK", "19031207", "031207.987654", "93.71842"
UIDS = "1.2.826.0.1.7531902468"
PLACE = "QVXPLM"
HEADER = (TEXT, DATE, TIME, WEIGHT, UIDS)
COPIED = {
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    "FrameOfReferenceUID",
}
"""What derived DICOM repeats by design: Patient and General Study, type 1 and 2, and the frame."""

# What the reader goes by keeps its meaning: the images are to be segmented.
MEANT = {
    *("SpecificCharacterSet", "ImageType", "Modality", "PhotometricInterpretation"),
    *("VOILUTFunction", "RescaleType"),
}
TEXTS = {"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
OTHERS = {"DA": DATE, "DT": f"{DATE}031207.987654", "TM": TIME}


def planted_value(tag, vr):
    """Where it stands is part of a canary, so that a test that fails says which attribute."""
    return OTHERS.get(vr, f"{TEXT}{tag:08X}")


def item(**attributes):
    dataset = pydicom.Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def plant(path):
    """Fill a DICOM file with canaries, in place."""
    dataset = pydicom.dcmread(path)
    with pydicom.config.disable_value_validation():
        for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
            if vr in {*TEXTS, *OTHERS} and tag >> 16 > 2 and not retired and keyword not in MEANT:
                dataset.add_new(tag, vr, planted_value(tag, vr))
        dataset.SeriesDescription = f"{TEXT} late enhancement of {TEXT}"
        dataset.PatientWeight = WEIGHT
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            digits = "".join(filter(str.isdigit, dataset[keyword].value))[-12:]
            dataset[keyword].value = f"{UIDS}.{int(digits)}"
        inner = item(
            RequestedProcedureDescription=TEXT, PatientName=TEXT, ScheduledProcedureStepID=TEXT
        )
        dataset.RequestAttributesSequence = [inner]
        dataset.OtherPatientIDsSequence = [item(PatientID=TEXT, IssuerOfPatientID=TEXT)]
        block = dataset.private_block(0x0029, f"{TEXT} PRIVATE", create=True)
        block.add_new(0x10, "LO", f"{TEXT} private")
        block.add_new(0x11, "UN", f"{TEXT} unknown".encode())
        block.add_new(0x12, "OB", TEXT.encode("utf-16"))
        block.add_new(0x13, "SQ", [item(PatientName=TEXT, PatientComments=TEXT)])
        dataset.file_meta.SourceApplicationEntityTitle = TEXT
        dataset.file_meta.ImplementationVersionName = TEXT
        dataset.preamble = TEXT.encode().ljust(128, b"\0")
        dataset.save_as(path)


def planted_study(folder, scan):
    write_dicom(scan, folder)
    for path in sorted(folder.iterdir()):
        plant(path)
        path.rename(folder / f"{PLACE}_{path.name}")
    return folder


def edited(folder, **attributes):
    """All files of a study changed; a value is (VR, value), or None to drop it."""
    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            for keyword, value in attributes.items():
                if value is None:
                    del dataset[keyword]
                else:
                    dataset.add_new(keyword, *value)
            dataset.save_as(path)


HEADERS = {
    "spacing": {"PixelSpacing": ("LO", TEXT)},
    "position": {"ImagePositionPatient": ("LO", [TEXT] * 3)},
    "orientation": {"ImageOrientationPatient": ("LO", TEXT)},
    "nowhere": {"ImagePositionPatient": None},
    "rows": {"Rows": ("LO", TEXT)},
    "frames": {"NumberOfFrames": ("LO", TEXT)},
    "slope": {"RescaleSlope": ("LO", TEXT)},
    "trigger": {"TriggerTime": ("LO", TEXT)},
    "window": {"WindowCenter": ("LO", TEXT)},
    "thickness": {"SliceThickness": ("LO", TEXT)},
    "lut": {"ModalityLUTSequence": ("SQ", [item(LUTExplanation=TEXT, ModalityLUTType=TEXT)])},
    "characters": {"SpecificCharacterSet": ("CS", TEXT)},
    "number": {"SeriesNumber": ("LO", TEXT)},
    "uids": {"SeriesInstanceUID": ("UI", TEXT), "StudyInstanceUID": ("UI", f"{TEXT}.1")},
    "colours": {"PhotometricInterpretation": ("CS", TEXT)},
    "function": {"VOILUTFunction": ("CS", TEXT)},
    "inversion": {"InversionTime": ("LO", TEXT), "SeriesDescription": ("LO", TEXT)},
    "localizer": {"ImageType": ("CS", [TEXT, "LOCALIZER"])},
    "class": {"SOPClassUID": ("UI", TEXT)},
}
"""Headers with text where it does not belong."""

FILES = ("cut", "twice", "gap", "not", "syntax", "identity", "two")
"""Files damaged as a whole."""

REFUSED = {*HEADERS, *FILES} - {
    *("thickness", "characters", "number", "uids", "function", "class", "identity"),
}
"""What a reader refuses; the others it never asks for, or can do without."""


def damaged_studies(root, source, names):
    """Studies that readers complain of, with canaries where the complaint is about."""
    for number, name in enumerate(names):
        study = root / f"{PLACE}_{name}"
        shutil.copytree(source, study)
        uids = {f"{level}InstanceUID": ("UI", f"{UIDS}.{number}") for level in ("Study", "Series")}
        edited(study, **{**uids, **HEADERS.get(name, {})})
        if name in FILES:
            damage(study, name)


def damage(study, name):
    second, third = sorted(study.iterdir())[1:3]
    content = second.read_bytes()
    if name == "cut":
        second.write_bytes(content[: len(content) // 4])
    elif name == "twice":
        (study / f"{PLACE}_copy.dcm").write_bytes(content)
    elif name == "gap":
        third.unlink()
    elif name == "not":
        second.write_bytes(TEXT.encode() * 50)
    elif name == "syntax":
        second.write_bytes(
            content.replace(b"1.2.840.10008.1.2.1\0", TEXT.encode().ljust(20, b"\0"))
        )
    elif name == "identity":
        study_id = b"\x20\0\x10\0"
        for path in study.iterdir():
            path.write_bytes(path.read_bytes().replace(study_id + b"SH", study_id + b"ZZ"))
    else:
        other = study.with_name("other")
        shutil.copytree(study, other)
        edited(other, SeriesInstanceUID=("UI", f"{UIDS}.1000"))
        for path in other.iterdir():
            path.rename(study / f"other_{path.name}")
        other.rmdir()


# Finding them


def encodings(word):
    """A canary as it may be hidden: plain, wide, in base64 at each of three offsets."""
    forms = [word.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-32-le")]
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + word.encode())
        # the digits that no neighbour has a bit of
        forms.append(coded[-(-8 * offset // 6) : 8 * (offset + len(word)) // 6])
    return forms


def contents(path):
    """(name, bytes) of a file and of all that is packed in it."""
    data = path.read_bytes()
    yield path.name, data
    if path.suffix == ".gz":
        yield f"{path.name} unpacked", gzip.decompress(data)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f"{path.name}/{name}", archive.read(name)
    if path.suffix == ".png":
        with PIL.Image.open(path) as picture:
            yield f"{path.name} text", repr(picture.info).encode()
    if path.suffix == ".html":
        for number, found in enumerate(re.findall(rb"base64,([A-Za-z0-9+/=]+)", data)):
            unpacked = base64.b64decode(found)
            yield f"{path.name} picture {number}", unpacked
            with PIL.Image.open(io.BytesIO(unpacked)) as picture:
                yield f"{path.name} text {number}", repr(picture.info).encode()
    if path.suffix == ".dcm":
        yield f"{path.name} as text", str(pydicom.dcmread(path)).encode()


def leaks(data, words):
    """The surroundings of the first of each canary, in each encoding."""
    places = [data.find(form) for word in words for form in encodings(word)]
    return [data[max(place - 20, 0) : place + 40] for place in places if place >= 0]


def leaks_in(folder, words):
    """(where, what) of every canary in names and contents of files."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found += [(name, leak) for leak in leaks(name.encode(), words)]
        if path.is_file():
            found += [(part, leak) for part, data in contents(path) for leak in leaks(data, words)]
    return found


def test_a_canary_is_found_wherever_it_hides(tmp_path):
    secret = f"name of {TEXT} here"
    (tmp_path / "plain").write_text(secret)
    (tmp_path / "wide").write_bytes(secret.encode("utf-16"))
    for offset in range(3):
        coded = base64.b64encode(b"x" * offset + secret.encode())
        (tmp_path / f"coded{offset}").write_bytes(coded)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(secret.encode()))
    np.savez_compressed(tmp_path / "packed.npz", name=np.array(secret))
    info = PngInfo()
    info.add_text("comment", secret, zip=True)
    PIL.Image.new("L", (2, 2)).save(tmp_path / "picture.png", pnginfo=info)
    picture = base64.b64encode((tmp_path / "picture.png").read_bytes()).decode()
    (tmp_path / "page.html").write_text(f'<img src="data:image/png;base64,{picture}">')
    (tmp_path / f"{TEXT}.txt").touch()
    found = {where.split("/")[0].split(" ")[0] for where, _ in leaks_in(tmp_path, [TEXT])}
    assert found == {path.name for path in tmp_path.iterdir()}
    assert not leaks_in(tmp_path, [UIDS, PLACE])


# Commands


@pytest.fixture
def console(capfd, caplog, monkeypatch):
    """Runs a job as its entry point does; everything that a user would see, and the exit status."""
    caplog.set_level(logging.WARNING)

    def run(main, config, *options):
        monkeypatch.setattr(sys, "argv", ["acsnet", *map(str, options)])
        capfd.readouterr()
        caplog.clear()
        status = 0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                app.run(main, config)
            except SystemExit as stopped:
                status = stopped.code
        said = "".join(capfd.readouterr()) + caplog.text
        return status, said + "\n".join(str(warning.message) for warning in caught)

    return run


@pytest.fixture
def system(bundle, monkeypatch, tmp_path):
    """A trained system of closed forms, as a folder."""
    monkeypatch.setattr(bundles, "load", lambda *_, **__: bundle)
    monkeypatch.setattr(bundles, "load_corrector", lambda *_, **__: bundle.corrector)
    (tmp_path / "system").mkdir()
    return tmp_path / "system"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A study full of canaries."""
    scan = make_scan(oriented=True, shape=(60, 40), spacing=(3.0, 4.5))
    return planted_study(tmp_path_factory.mktemp("planted") / "source", scan)


@pytest.fixture
def studies(source, tmp_path):
    root = tmp_path / f"{PLACE}_patients"
    shutil.copytree(source, root / f"{PLACE}_good")
    return root


def test_canaries_are_planted(studies):
    raw = next(studies.rglob("*.dcm")).read_bytes()
    dataset = pydicom.dcmread(next(studies.rglob("*.dcm")))
    for keyword in (
        *("PatientName", "PatientID", "PatientSex", "InstitutionName", "ReferringPhysicianName"),
        *("StudyDescription", "SeriesDescription", "ProtocolName", "PatientComments"),
        *("OperatorsName", "ImageComments", "AccessionNumber", "StationName", "PatientAddress"),
    ):
        assert TEXT in str(dataset[keyword].value), keyword
    assert dataset.PatientBirthDate == DATE and raw.count(TEXT.encode()) > 1000
    assert all(leaks(raw, [word]) for word in HEADER)


def test_nothing_of_a_header_is_in_a_scan(studies):
    (scan,) = read_scans(studies)
    assert {plane.path.parent.name for plane in scan.planes} == {f"{PLACE}_good"}
    assert not leaks(repr(scan.replace(planes=())).encode(), [*HEADER, PLACE])


def test_prediction_without_dicom_tells_nobody(studies, system, tmp_path, console):
    out = tmp_path / "out"
    series = pydicom.dcmread(next(studies.rglob("*.dcm"))).SeriesInstanceUID
    options = [f"--config.bundle={system}", f"--config.input={studies}", f"--workdir={out}"]
    options += ["--config.dicom=False", f"--config.series={series}"]
    status, said = console(predict, "predict", *options)
    assert not status, said
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    assert folder.name.startswith("scan-") and not list(out.rglob("*.dcm"))
    assert not leaks_in(out, [*HEADER, PLACE]) and not leaks(said.encode(), HEADER)
    assert (out / "pseudonym.key").read_text().strip() not in said
    status, again = console(predict, "predict", *options)
    assert not status and "is there already" in again


def leaks_beside_identity(path):
    """Canaries in a DICOM object but for what stands there by design; UIDs are what refers."""
    dataset = pydicom.dcmread(path)
    assert str(dataset.PatientName).startswith(TEXT) and dataset.PatientBirthDate == DATE
    for keyword in COPIED & set(dataset.dir()):
        del dataset[keyword]
    bare = io.BytesIO()
    dataset.save_as(bare)
    texts = [TEXT, DATE, TIME, WEIGHT, PLACE]
    return leaks(bare.getvalue(), texts) + leaks(str(dataset).encode(), texts)


def test_preparation_tells_nobody(studies, tmp_path, console):
    store = tmp_path / "store"
    options = ["--config.data.format=dicom", f"--config.data.root={studies}"]
    status, said = console(prepare, "prepare", *options, f"--workdir={store}")
    assert not status, said
    assert len(list(store.glob("scan-*/image.nii.gz"))) == 1 and (store / "pseudonym.key").exists()
    assert not leaks(said.encode(), [*HEADER, PLACE])
    assert not leaks_in(store, [*HEADER, PLACE])

    shared = f"--config.data.pseudonym_key={store / 'pseudonym.key'}"
    status, _ = console(prepare, "prepare", *options, shared, f"--workdir={tmp_path / 'again'}")
    assert not status and not (tmp_path / "again" / "pseudonym.key").exists()
    names = [sorted(p.name for p in x.glob("scan-*")) for x in (store, tmp_path / "again")]
    assert names[0] == names[1]


def test_messages_of_preparation_tell_nobody(studies, source, tmp_path, console):
    damaged_studies(studies, source, [*HEADERS, *FILES])
    out = tmp_path / "out"
    options = ["--config.data.format=dicom", f"--config.data.root={studies}", f"--workdir={out}"]
    status, said = console(prepare, "prepare", *options)
    assert status == 1
    assert set(re.findall(rf"^{PLACE}_(\w+): LEFT OUT: ", said, re.MULTILINE)) == REFUSED
    assert not leaks(said.encode(), HEADER) and not leaks_in(out, [*HEADER, PLACE])


def test_other_commands_tell_nobody(source, system, tmp_path, console):
    studies = tmp_path / "in"
    damaged_studies(studies, source, ["thickness", "characters", "uids", "identity", "spacing"])
    for main, name, options in (
        (predict, "predict", [f"--config.bundle={system}"]),
        (check, "check", []),
        (correct, "correct", []),
    ):
        out = tmp_path / name
        given = [*options, f"--config.input={studies}", f"--workdir={out}"]
        status, said = console(main, name, *given)
        assert status == 1 and "error: " in said and not leaks(said.encode(), HEADER)
        if main is predict:
            assert "SliceThickness is not a number" in said and "is missing or no UID" in said
            assert "cannot read the DICOM header again" in said
            assert "1 of 5 scans could not be segmented" in said
            objects = sorted(out.rglob("*.dcm"))
            assert [path.name for path in objects] == ["measurements.dcm", "segmentation.dcm"]
            assert not [leak for path in objects for leak in leaks_beside_identity(path)]
        for path in out.rglob("*.dcm"):
            path.unlink()  # names the patient, as another test shows
        assert not leaks_in(out, [*HEADER, PLACE])


def test_nothing_else_of_a_nifti_header_is_written(tmp_path):
    image = nibabel.Nifti1Image(np.ones((8, 8, 3), np.uint8), np.diag([2.0, 2.0, 8.0, 1.0]))
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[name] = f"{TEXT} {name}"
    image.header.extensions.append(Nifti1Extension("comment", f"{TEXT} comment".encode()))
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert leaks_in(tmp_path, [TEXT])
    scan = read_nifti(tmp_path / "a.nii.gz")
    assert not leaks(repr(scan).encode(), [TEXT])
    write_scan(scan, tmp_path / "out")
    write_mask(tmp_path / "out" / "mask.nii.gz", scan.image > 0, scan)
    stack = read_labels(tmp_path / "a.nii.gz")
    write_labels(tmp_path / "out" / "labels.nii.gz", stack.values, stack)
    assert not leaks_in(tmp_path / "out", [TEXT])
