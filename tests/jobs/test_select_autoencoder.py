"""The autoencoder chosen inside the training patients of a run: phantoms of a few pixels."""

import json
import logging
import shutil
from typing import Any

import pytest

from acsnet_jax.evaluation import cross_validation
from acsnet_jax.files import write_json
from acsnet_jax.jobs import defaults
from acsnet_jax.jobs.select_autoencoder import select_autoencoder
from acsnet_jax.training.cohort import load
from acsnet_jax.training.settings import settings_of
from acsnet_jax.types import InputError
from configs import quickstart
from configs import select_autoencoder as default

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("standard_promotion")]
EPOCHS = (1, 160)  # of one step: all masks are in a batch


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training run that only just began: its config and its division."""
    config: Any = defaults.training(
        "autoencoder",
        model={"latent": 8, "filters": (8, 16)},
        optimisation={
            "epochs": 3,  # the candidates have theirs
            "batch_size": 32,
            "learning_rate": 1e-2,
            "checkpoint_every": 160,
        },
        data={"patients": 6, "cine_patients": 1, "image_size": 80},
        spec={"myo_spacing_mm": 4.0, "mask_size": 32},
    )
    folder = tmp_path_factory.mktemp("run") / "autoencoder"
    write_json(json.loads(json.dumps(config.to_dict())), folder / "config.json")
    load(settings_of(config).data, folder)
    return folder


def tiny(run) -> Any:
    config = default.get_config()
    config.run = str(run)
    config.candidates.update({"latent": (4,), "epochs": EPOCHS, "damage": (0.0,)})
    config.validation.update({"folds": 2, "strengths": (3,)})
    config.latent.update({"components": 1, "population": 64, "batch": 64, "coverage": 0.9})
    config.correction.alphas = 4
    return config.lock()


@pytest.fixture(scope="module")
def selected(run, standard_promotion, tmp_path_factory):
    """The folder of a whole comparison, and the ids that each of its trainings saw."""
    folder = tmp_path_factory.mktemp("selection")
    seen = []
    train = cross_validation.train_and_evaluate

    def spy(config, workdir, *, cohort):
        assert not cohort.test
        seen.append({scan.id for scan in cohort.train})
        return train(config, workdir, cohort=cohort)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "train_and_evaluate", spy)
        select_autoencoder(tiny(run), folder)
    return folder, seen


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_candidate_is_judged_on_every_fold(selected):
    folder, _ = selected
    assert {path.name for path in (folder / "results").iterdir()} == {
        f"fold{fold}_latent4_epochs{epochs}_damage0.json" for fold in (1, 2) for epochs in EPOCHS
    }
    assert not list((folder / "unfinished").iterdir())
    record = json.loads((folder / "selection.json").read_text())
    assert record["chosen"] == {"latent": 4, "epochs": 160, "damage": 0.0}
    assert record["flags"] == (
        "--config.model.latent=4 --config.optimisation.epochs=160 --config.augment.damage=0"
    )
    short, long = record["candidates"]
    assert long["corrected_dice"]["mean"] > short["corrected_dice"]["mean"]
    assert long["damaged_dice"] == short["damaged_dice"]  # the same masks for all
    assert long["corrected_dice"]["patients"] == record["patients"] == 4
    assert record["folds"] == 2
    table = (folder / "selection.md").read_text()
    assert "| Latent | Epochs |" in table
    assert record["flags"] in table
    rows = (folder / "selection.csv").read_text().splitlines()
    assert [row.split(",")[:4] for row in rows] == [
        ["latent", "epochs", "damage", "chosen"],
        ["4", "1", "0", "0"],
        ["4", "160", "0", "1"],
    ]


def test_patients_that_are_held_out_never_enter_a_fold(run, selected):
    folder, seen = selected
    division = json.loads((run / "split.json").read_text())
    held_out, training = set(division["test"]), set(division["train"])
    assert len(held_out) == 2
    folds = json.loads((folder / "folds.json").read_text())
    assert sorted(name for fold in folds for name in fold["judged"]) == sorted(training)
    for fold in folds:
        assert not set(fold["train"]) & set(fold["judged"])
        cine = set(fold["train"]) - training
        assert len(cine) == 1  # the one cine phantom trains in every fold
        assert "cine" in next(iter(cine))
    assert seen == [set(fold["train"]) for fold in folds for _ in EPOCHS]
    assert not held_out & set().union(*seen)
    for path in (folder / "results").iterdir():
        judged = {scan["scan_id"] for scan in json.loads(path.read_text())["scans"]}
        assert judged <= training
        assert judged == set(folds[int(path.name[4]) - 1]["judged"])


def test_a_comparison_that_stopped_ends_as_one_that_did_not(run, selected, tmp_path, monkeypatch):
    shutil.copytree(selected[0], tmp_path / "again")
    for name in ("selection.json", "selection.csv", "selection.md"):
        (tmp_path / "again" / name).unlink()
    lost = "fold2_latent4_epochs1_damage0"
    (tmp_path / "again" / "results" / f"{lost}.json").unlink()
    trained = []
    train = cross_validation.train_and_evaluate

    def spy(config, workdir, *, cohort):
        trained.append(workdir.name)
        return train(config, workdir, cohort=cohort)

    monkeypatch.setattr(cross_validation, "train_and_evaluate", spy)
    select_autoencoder(tiny(run), tmp_path / "again")
    assert trained == [lost]
    assert files(tmp_path / "again") == files(selected[0])


def test_the_last_line_is_the_choice_and_nothing_is_done_twice(run, selected, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    monkeypatch.setattr(cross_validation, "train_and_evaluate", None)
    before = files(selected[0])
    with caplog.at_level(logging.INFO):
        select_autoencoder(tiny(run), selected[0])
    assert files(selected[0]) == before
    assert caplog.messages[-1].splitlines()[-1] == (
        "chosen: --config.model.latent=4 --config.optimisation.epochs=160 --config.augment.damage=0"
    )


def test_another_config_is_refused_by_its_key(run, selected):
    config = tiny(run)
    config.validation.strengths = (2, 3)
    with pytest.raises(InputError, match=r"\(validation\.strengths differ\)"):
        select_autoencoder(config, selected[0])


def test_the_folder_of_a_whole_study_is_no_run_of_an_autoencoder(tmp_path):
    write_json(quickstart.get_config().to_dict(), tmp_path / "config.json")
    config = default.get_config()
    config.run = str(tmp_path)
    with pytest.raises(InputError, match="is no run of an autoencoder: give one"):
        select_autoencoder(config, tmp_path / "selection")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("config.json", {"seed": 5}, r"\(trained\.seed differ\)"),
        ("config.json", {"task": "lv"}, "is no run of an autoencoder: give one"),
        ("split.json", {"test": ["x"]}, r"\(held_out differ\)"),
    ],
)
def test_another_run_or_division_is_refused(name, change, words, run, selected, tmp_path):
    config = tiny(run)
    shutil.copytree(run, tmp_path / "run")
    shutil.copytree(selected[0], tmp_path / "selection")
    record = json.loads((tmp_path / "run" / name).read_text())
    write_json({**record, **change}, tmp_path / "run" / name)
    kept = json.loads((tmp_path / "selection" / "config.json").read_text())
    config.run = str(tmp_path / "run")
    write_json({**kept, "run": config.run}, tmp_path / "selection" / "config.json")
    with pytest.raises(InputError, match=words):
        select_autoencoder(config, tmp_path / "selection")


def test_a_run_without_division_is_named(run, tmp_path):
    config = tiny(run)
    config.run = str(tmp_path / "deep" / "run")
    with pytest.raises(InputError, match="holds no training run"):
        select_autoencoder(config, tmp_path / "out")
    shutil.copytree(run, tmp_path / "deep" / "run")
    (tmp_path / "deep" / "run" / "split.json").unlink()
    with pytest.raises(InputError, match=r"has no split\.json"):
        select_autoencoder(config, tmp_path / "out")
    shutil.copy(run / "split.json", tmp_path / "deep")  # that of a study around the run
    config.validation.folds = 5
    with pytest.raises(InputError, match=r"4 lge training patient\(s\) for 5 folds"):
        select_autoencoder(config, tmp_path / "out")
