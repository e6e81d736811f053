import dataclasses

import pytest

from acsnet_jax.evaluation.headline import Number, Targets, headline_numbers
from acsnet_jax.evaluation.records import evaluate
from acsnet_jax.evaluation.validity import Validity
from acsnet_jax.pipeline import Inference

RAW = Inference(erosions=0, min_scar_mm2=0.0)
NOTHING_LOST = Validity(8, 8, 0, 0, 8, {})


def numbers(segmentations, validity=NOTHING_LOST, **targets):
    found = headline_numbers(evaluate(segmentations, RAW), validity, Targets(**targets))
    return {number.name: number for number in found}


@pytest.mark.parametrize(
    ("value", "target", "higher", "met"),
    [
        (0.9, 0.88, True, True),
        (0.8, 0.88, True, False),
        (9.0, 12.0, False, True),
        (13.0, 12.0, False, False),
        (1.0, None, True, None),
        (None, 1.0, True, False),
    ],
)
def test_an_aim_is_met_or_missed(value, target, higher, met):
    assert Number("x", value, target, "%", higher).met is met


def test_a_number_in_words():
    number = Number("x", 6.32, 5.0, "%", False, 1, half_width=2.0, note="3 of 4")
    assert number.line() == "x: 6.3 ± 2.0 %; aim ≤ 5.0 %: missed; 3 of 4"
    assert Number("x", None).line() == "x: n/a"
    assert Number("x", 0.5).line() == "x: 0.50"
    assert Number("bias", 2.0, digits=1, signed=True).shown == "+2.0"
    assert Number("bias", -2.0, digits=1, signed=True, half_width=1.0).shown == "-2.0 ± 1.0"


def test_scar_comes_first_and_every_number_says_of_what(make_segmentation):
    found = headline_numbers(evaluate([make_segmentation()], RAW), NOTHING_LOST, Targets())
    names = [number.name for number in found]
    assert names[0].startswith("Infarct") and names.index("Infarct Dice") < names.index("LV Dice")
    assert all("of" in number.note for number in found)


def test_a_missed_scar_is_not_hidden_by_a_good_wall(make_segmentation):
    scarred, healthy = make_segmentation("a"), make_segmentation("b", scar=False)
    missed = dataclasses.replace(scarred, enhancement=healthy.enhancement, core=healthy.core)
    found = numbers([missed, healthy], scar_dice=0.5, scar_volume_error=0.3, scar_missed=0.1)
    assert found["Myocardium Dice"].value == 1.0
    assert found["Infarct Dice"].value == 0.0 and found["Infarct Dice"].met is False
    assert "0.500" in found["Infarct Dice"].note  # over all slices, empty pairs as 1
    assert found["Infarct volume error"].value == 100.0
    assert found["Infarct volume error"].met is False
    assert found["Infarct volume error"].note == "1 of 2 patients, those with scar"
    assert found["Infarct missed"].value == 100.0 and found["Infarct missed"].met is False
    assert found["Infarct missed"].note.startswith("1 of 1 patients with scar; 4 of 4 slices")
    bias = found["Infarct volume bias"].value
    assert bias is not None and bias < 0
    assert found["Infarct false alarms"].value == 0.0


def test_a_scar_that_is_made_up_is_a_false_alarm(make_segmentation):
    scarred, healthy = make_segmentation("a"), make_segmentation("b", scar=False)
    alarm = dataclasses.replace(healthy, enhancement=scarred.enhancement, core=scarred.core)
    found = numbers([alarm], scar_false_alarms=0.2)
    assert found["Infarct false alarms"].value == 100.0
    assert found["Infarct false alarms"].met is False
    assert found["Infarct volume error"].value is None
    assert found["Infarct missed"].shown == "n/a"
    assert found["Infarct volume bias"].shown.startswith("+")


def test_valid_slices_stand_beside_lost_ones(make_segmentation):
    validity = Validity(
        6, 6, 1, 1, 8, {("a", 0): "never found", ("a", 3): "lost by the correction"}
    )
    found = numbers([make_segmentation()], validity)["Output slices that satisfy delta"]
    assert found.value == pytest.approx(100 * 6 / 7) and found.met is False
    assert found.note.startswith("6 of 7;")
    assert "expert slices lost: 2 of 8 (1 never found, 1 lost by the correction)" in found.note
    assert "1 of 6 output slices have no expert label" in found.note
    nothing = numbers([make_segmentation()], Validity(0, 0, 0, 0, 8, {}))
    assert nothing["Output slices that satisfy delta"].met is False
