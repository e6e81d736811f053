import dataclasses

import numpy as np
import pytest
from rings import make_corrector

from acsnet_jax.clinical import ScarRule
from acsnet_jax.files import write_arrays
from acsnet_jax.pipeline import Inference
from acsnet_jax.training import folds as fold_networks
from acsnet_jax.training.folds import (
    FoldNetworks,
    check_enhancement,
    deal,
    pretraining_cine,
    ruled,
)
from acsnet_jax.training.scar_fit import scar_case
from acsnet_jax.types import InputError, Label
from configs import crossvalidate


@pytest.fixture
def scans(make_segmentation):
    """Twelve patients; every third has no scar, the others ever more of it."""
    found = []
    for index in range(12):
        scan = make_segmentation(f"P{index:02}").scan
        labels = scan.labels.copy()
        if index % 3 == 0:
            labels[labels == Label.ENHANCEMENT] = Label.MYOCARDIUM
        else:
            labels[:, : 24 + index // 2][labels[:, : 24 + index // 2] == Label.MYOCARDIUM] = (
                Label.ENHANCEMENT
            )
        found.append(scan.replace(labels=labels))
    return found


def test_every_patient_is_in_one_fold_and_every_fold_has_its_share_of_scar(scans):
    folds = deal(scans, 4, 0)
    assert sorted(name for fold in folds for name in fold) == [scan.id for scan in scans]
    healthy = {scan.id for scan in scans if not (scan.labels == Label.ENHANCEMENT).any()}
    assert len(healthy) == 4
    for fold in folds:
        assert len(fold) == 3 and len(healthy & set(fold)) == 1


def test_a_study_goes_on_with_the_data_that_it_began_with_alone(scans, tmp_path):
    corrector = make_corrector()
    config = crossvalidate.get_config()
    config.spec.mask_size, config.spec.myo_spacing_mm = corrector.size, corrector.spacing_mm
    dealt = deal(scans, 3, 0)

    def again(scans=scans, corrector=corrector):
        return FoldNetworks(config, scans, [], corrector, dealt, tmp_path)

    again()
    again()
    labels = scans[1].labels.copy()
    labels[0, 0, 0] = Label.ENHANCEMENT
    image = scans[2].image.copy()
    image[0, 0, 0] += 1
    for changed in (scans[1].replace(labels=labels), scans[2].replace(image=image)):
        with pytest.raises(InputError, match=f"began with other data: lge {changed.id} changed"):
            again([changed if one.id == changed.id else one for one in scans])
    stricter = corrector.thresholds._replace(gap_max_deg=np.float32(1))
    with pytest.raises(InputError, match=r"stage 3 changed since.*--workdir"):
        again(corrector=dataclasses.replace(corrector, thresholds=stricter))
    (tmp_path / "inputs.json").write_text("{")
    with pytest.raises(InputError, match=r"inputs\.json"):
        again()


def test_all_scans_of_a_patient_are_in_one_fold(scans):
    named = [one.replace(id=f"sub-{k // 2}_ses-{k % 2}") for k, one in enumerate(scans)]
    folds = deal(named, 3, 0)
    assert [len(fold) for fold in folds] == [4, 4, 4]
    assert [len({name[:5] for name in fold}) for fold in folds] == [2, 2, 2]
    with pytest.raises(InputError, match="6 labelled patients for 7 folds"):
        deal(named, 7, 0)


def test_pretraining_sees_cine_of_no_patient_of_the_folds(scans):
    lge = [one.replace(id=f"sub-{index}_acq-lge") for index, one in enumerate(scans[:3])]
    cine = [scans[0].replace(id=f"sub-{index}_acq-cine", modality="cine") for index in range(5)]
    assert [one.id for one in pretraining_cine(lge, cine)] == ["sub-3_acq-cine", "sub-4_acq-cine"]


def test_folds_follow_the_seed_and_not_the_order(scans):
    assert deal(scans[::-1], 4, 0) == deal(scans, 4, 0)
    assert deal(scans, 4, 1) != deal(scans, 4, 0)


def test_too_few_folds_or_patients_are_bad_input(scans):
    with pytest.raises(InputError, match="at least 2"):
        deal(scans, 1, 0)
    with pytest.raises(InputError, match="at least 3"):
        deal(scans, 2, 0, least=3)
    with pytest.raises(InputError, match=r"lower --config\.folds"):
        deal(scans[:3], 4, 0)


def test_a_cohort_without_enhancement_is_refused_before_it_is_trained_on(scans):
    check_enhancement(scans)
    with pytest.raises(InputError, match=r"enhancement.*data\.label_map.*--config\.folds=0"):
        check_enhancement([scan.replace(has_enhancement=False) for scan in scans])


def test_patients_whose_scar_nobody_drew_come_last(scans):
    unknown = [scan.replace(has_enhancement=False) for scan in scans[:3]]
    folds = deal([*unknown, *scans[3:]], 3, 0)
    assert all(len({scan.id for scan in unknown} & set(fold)) == 1 for fold in folds)
    assert np.ptp([len(fold) for fold in folds]) == 0


def test_a_rule_that_was_kept_before_peaks_were_asked_for_asks_for_none():
    rule = dataclasses.asdict(ScarRule(0.4, 0, "cross", 2, 25.0, 0.7, min_scar_ml=2.0))
    given = Inference(min_peak_probability=0.8, turns=1)
    assert ruled(given, rule) == Inference(**rule, turns=1)
    del rule["min_peak_probability"]
    assert ruled(given, rule) == Inference(**rule, turns=1)
    del rule["erosions"]
    with pytest.raises(KeyError, match="erosions"):
        ruled(given, rule)


def test_a_case_is_found_again_or_refused(make_segmentation, tmp_path):
    segmentation = make_segmentation()
    scan = segmentation.scan.replace(labelled=np.array([True, True, False, True]))
    probability = np.zeros(scan.image.shape, np.float32)
    case = scar_case(dataclasses.replace(segmentation, scan=scan, scar_probability=probability))
    fields = case._asdict()
    write_arrays(fields, tmp_path / "now.npz")
    found = fold_networks._read_case(tmp_path / "now.npz")
    assert found.judged.tolist() == [True, True, False, True]
    assert found.spacing_mm == case.spacing_mm
    np.testing.assert_array_equal(found.myocardium, case.myocardium)
    for name in ("dark", "judged"):
        write_arrays({k: v for k, v in fields.items() if k != name}, tmp_path / "damaged.npz")
        with pytest.raises(InputError, match=r"damaged\.npz"):
            fold_networks._read_case(tmp_path / "damaged.npz")
