"""Which trainings a cross-validation asks for, and what of them each held-out fold uses."""

import dataclasses
import itertools
from typing import Any
from unittest import mock

import ml_collections
import pytest

from acsnet_jax.clinical import Calibration, ScarRule
from acsnet_jax.evaluation import nested
from acsnet_jax.pipeline import Bundle, Inference
from acsnet_jax.training import loop
from acsnet_jax.training.folds import FoldNetworks
from acsnet_jax.types import InputError
from configs import crossvalidate


class Networks(FoldNetworks):
    """Stands in for the trained ones of `folds` folds; notes what is asked for."""

    def __init__(self, folder, folds, **config):
        self.folder, self.dealt = folder, [[] for _ in range(folds)]
        self.config = ml_collections.ConfigDict(config)
        self.trained, self.fitted, self.judged, self.members = [], [], [], []

    def train(self, left_out):
        self.trained.append(left_out)

    def cases(self, left_out, fold) -> Any:
        assert left_out in self.trained and fold in left_out
        return [(left_out, fold)]

    def rule_scores(self, cases):
        self.fitted.append(cases)
        return [dataclasses.asdict(ScarRule(scar_threshold=0.25))]

    def calibrate(self, judged, inference):
        assert inference.scar_threshold == 0.25
        self.judged.append(judged)
        return Calibration(0.9, {})

    def inference(self, train):
        return Inference()

    def bundle(self, members, inference, *, calibration=None):
        self.members.append(members)
        return mock.Mock(spec=Bundle)

    def of(self, *folds):
        return []


@pytest.mark.parametrize("config", [{}, {"pairs": "all"}])
def test_every_pair_of_folds_is_left_out(tmp_path, config):
    networks = Networks(tmp_path, 4, **config)
    folds = nested.cross_validate_system(networks)
    assert networks.trained == [
        (0,), (1,), (2,), (3,), (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)
    ]  # fmt: skip
    assert [fold.inference.scar_threshold for fold in folds] == [0.25] * 4
    for held_out, cases in enumerate(networks.fitted):
        assert [fold for _, fold in cases] == [x for x in range(4) if x != held_out]
        assert all(left_out == tuple(sorted((held_out, fold))) for left_out, fold in cases)
    assert networks.judged == networks.fitted
    nested.unseeing_bundle(networks, 2)
    assert networks.members == [[(2,), (0, 2), (1, 2), (2, 3)]]


def test_neighbours_are_left_out_together(tmp_path):
    networks = Networks(tmp_path, 5, pairs="neighbours")
    nested.cross_validate_system(networks)
    pairs = [(0, 1), (0, 4), (1, 2), (2, 3), (3, 4)]
    assert networks.trained == [(0,), (1,), (2,), (3,), (4,), *pairs]
    assert networks.fitted[0] == networks.judged[0] == [((0, 1), 1), ((0, 4), 4)]
    assert networks.fitted[2] == networks.judged[2] == [((1, 2), 1), ((2, 3), 3)]
    for fold in range(5):  # nothing that it uses saw it
        nested.unseeing_bundle(networks, fold)
        assert len(networks.members[fold]) == 3
        assert all(fold in left_out for left_out in networks.members[fold])
        assert all(fold in left_out for left_out, _ in networks.fitted[fold])


def test_of_three_folds_all_are_neighbours(tmp_path):
    networks = Networks(tmp_path, 3, pairs="neighbours")
    nested.cross_validate_system(networks)
    assert networks.trained[3:] == list(itertools.combinations(range(3), 2))


def test_other_pairs_are_refused():
    for known in nested.PAIRS:
        nested.check_pairs(known)
    with pytest.raises(InputError, match=r"config\.pairs is 'some'; give one of all, neighbours"):
        nested.check_pairs("some")


def test_a_run_of_before_pairs_could_be_chosen_goes_on_with_all(tmp_path):
    config = crossvalidate.get_config()
    old = ml_collections.ConfigDict(config.to_dict())
    del old.pairs
    loop.write_config(old, tmp_path)
    loop.write_config(config, tmp_path)
    config.pairs = "neighbours"
    with pytest.raises(InputError, match=r"\(pairs differ\)"):
        loop.write_config(config, tmp_path)
