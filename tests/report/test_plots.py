import matplotlib.image
import pytest

from acsnet_jax.evaluation.agreement import VolumePair, agree
from acsnet_jax.evaluation.records import evaluate
from acsnet_jax.latent.mixture import Score
from acsnet_jax.pipeline import Inference
from acsnet_jax.report import (
    Panel,
    bland_altman,
    figure2,
    figure3,
    figure5,
    plots,
    training_curves,
)
from acsnet_jax.types import InputError


def check_picture(path):
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 100
    assert pixels[..., :3].std() > 0.01


@pytest.fixture
def cohort(make_segmentation):
    return [
        make_segmentation("a", shift=(1, 0)),
        make_segmentation("b", scar=False),
        make_segmentation("c", shift=(0, 3)),
    ]


def test_figure2(cohort, tmp_path):
    figure2(evaluate(cohort, Inference()).slices, tmp_path / "figure2.png")
    check_picture(tmp_path / "figure2.png")


@pytest.mark.parametrize("examples", [0, 2])
def test_figure3(cohort, tmp_path, examples):
    figure3(
        evaluate(cohort, Inference()).volumes, tmp_path / "figure3.png", examples=cohort[:examples]
    )
    check_picture(tmp_path / "figure3.png")


def test_figure3_without_scar(make_segmentation, tmp_path):
    figure3(
        evaluate([make_segmentation(scar=False)], Inference()).volumes, tmp_path / "figure3.png"
    )
    check_picture(tmp_path / "figure3.png")


def test_figure5(tmp_path):
    scores = [Score(d, p, d + 1 / p, 0.1, 100.0 * p) for d in (4, 16) for p in (1, 2, 6)]
    figure5(scores, tmp_path / "figure5.png", chosen=(16, 6))
    check_picture(tmp_path / "figure5.png")


@pytest.mark.parametrize(("count", "alike"), [(1, False), (2, True), (7, False)])
def test_bland_altman(tmp_path, count, alike):
    volumes = [("a", 10.0, 12.0), ("b", 0.0, 3.0), ("c", 30.0, 24.0), ("d", 20.0, 21.0)]
    pairs = [VolumePair(*one) for one in volumes]
    panels = [Panel(f"panel {k}", pairs, agree("lv", pairs)) for k in range(count)]
    bland_altman(panels, tmp_path / "plot.png", region="LV", alike=alike)
    check_picture(tmp_path / "plot.png")


def test_bland_altman_of_few_patients_or_no_difference(tmp_path):
    same = [VolumePair(name, volume, volume) for name, volume in (("a", 3.0), ("b", 4.0))]
    panels = [Panel("x", pairs, agree("lv", pairs)) for pairs in (same, same[:1])]
    bland_altman(panels, tmp_path / "plot.png")
    check_picture(tmp_path / "plot.png")


def test_training_curves(tmp_path):
    lines = [{"step": 0, "loss": 1.0}, {"step": 10, "loss": 0.5, "dice": 0.7}]
    training_curves({"lv": lines, "myo": lines}, tmp_path / "curves.png")
    check_picture(tmp_path / "curves.png")


def test_training_curves_show_dice_alone_on_its_own_scale(tmp_path, monkeypatch):
    """Epochs and samples a second on the same axis would make Dice a line along its foot."""
    drawn = []
    monkeypatch.setattr(plots.drawing, "save", lambda figure, path: drawn.append(figure))
    line = {"step": 20, "epoch": 1, "loss": 0.5, "samples_per_second": 90.0}
    training_curves({"myo": [{**line, "dice_0": 0.8, "dice_1": 0.6, "dice_2": 0.3}]}, tmp_path)
    loss, dice = drawn[0].axes
    assert [one.get_label() for one in loss.lines] == ["loss"]
    assert [one.get_label() for one in dice.lines] == ["myocardium", "enhancement", "no-reflow"]
    assert dice.get_ylim() == (0, 1)


def test_vector_formats_follow_the_suffix(tmp_path):
    training_curves({"lv": [{"step": 0, "loss": 1.0}]}, tmp_path / "curves.pdf")
    assert (tmp_path / "curves.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("draw", [figure2, figure3, figure5, bland_altman])
def test_nothing_to_draw_is_an_error(draw, tmp_path):
    with pytest.raises(InputError):
        draw([], tmp_path / "nothing.png")
