"""A policy that only this file knows, with ``answers`` and ``cells`` alone, works everywhere."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as w
import matplotlib.pyplot as plt
import pytest
import torch
from plot_inputs import images_of
from random_records import DEEP, random_records
from widget_helpers import control, controls_of

from hbnlab import metrics, models, plots
from hbnlab.collect import collect_records
from hbnlab.inference import predict
from hbnlab.policies import ExitView, FineTolerance, Policy, ThresholdPolicy, fit_thresholds
from hbnlab.widgets import ExitInspector, Panel, PolicyExplorer

RECORDS = random_records(60)


@dataclass(frozen=True)
class Ladder(Policy):
    """Give the finest answer that is confident enough; a number and a tuple are its settings."""

    lowest: float
    per_exit: tuple[float, ...] = (0.9, 0.8, 0.7)

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, torch.Tensor]:
        answered, waiting = {}, view.all_images()
        for level in reversed(range(view.num_levels)):
            limit = max(self.lowest, self.per_exit[exit_index])
            sure = view.confidence(exit_index, level) >= limit
            answered[level] = waiting if view.is_last and level == 0 else waiting & sure
            waiting = waiting & ~answered[level]
        return answered

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        return [(n, level) for n, row in enumerate(head_mask) for level in range(len(row))]


class Plain(Policy):
    """No settings at all."""

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, torch.Tensor]:
        return {0: view.all_images()}

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        return [(0, 0)]


class LeadOfTheFirst(ThresholdPolicy):
    """A margin rule that derives from no other; it says what it compares, and how."""

    comparison: ClassVar = ">"
    score: ClassVar = "margin"

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, torch.Tensor]:
        if view.is_last:
            return {0: view.all_images()}
        return {0: view.margin(exit_index, 0) > self.thresholds[exit_index]}

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        return [(exit_index, 0) for exit_index in range(len(head_mask))]


class LargestLogit(ThresholdPolicy):
    """A rule whose score the package does not know; it says only in which direction it goes."""

    comparison: ClassVar = ">"

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, torch.Tensor]:
        if view.is_last:
            return {0: view.all_images()}
        largest = view.logits(exit_index, 0).amax(dim=-1)
        return {0: 100 * largest > self.thresholds[exit_index]}

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        return [(exit_index, 0) for exit_index in range(len(head_mask))]


POLICIES = [Ladder(0.5), Plain(), LeadOfTheFirst([0.5, 0.5]), LargestLogit([200.0, 300.0])]
every_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda one: type(one).__name__)


# ---------------------------------------------------------------------- decide, predict, sweep


@every_policy
def test_it_decides_and_is_swept(policy):
    decided = policy.decide(RECORDS)
    assert metrics.sweep([policy, policy], RECORDS) == [metrics.evaluate(decided, RECORDS)] * 2
    table = metrics.sweep_table([policy, FineTolerance([0.8, 0.6], 0.3)], RECORDS)
    assert list(table["policy"]) == [type(policy).__name__, "FineTolerance"]


@every_policy
def test_inference_leaves_where_it_decides(policy):
    network = models.create("gran-hbn", RECORDS.hierarchy, width=0.05)
    images = torch.randn(6, *network.image_shape, generator=torch.Generator().manual_seed(0))
    labels = RECORDS.hierarchy.label_table(torch.arange(6))
    decided = policy.decide(collect_records(network, (images, labels)))
    predicted = predict(network, images, policy)
    assert predicted.exit_index.tolist() == decided.exit_index.tolist()
    assert predicted.prediction.tolist() == decided.prediction.tolist()


# ---------------------------------------------------------------------- what it says of itself


@every_policy
def test_it_explains_itself_without_saying_more(policy):
    view = ExitView.from_records(RECORDS, 0)
    for row in range(5):
        (line,) = policy.explain(view, row, RECORDS.hierarchy)
        assert (
            line == f"{type(policy).__name__} says: {policy.outcome(view, row, RECORDS.hierarchy)}"
        )
    assert policy.title == re.sub("(?<=[a-z])(?=[A-Z])", " ", type(policy).__name__).lower()


def test_its_numbers_have_plain_sliders():
    settings = Ladder(0.5, (0.9, 2.0, 0.7)).adjustable(RECORDS.hierarchy)
    assert [(one.label, one.low, one.high) for one in settings] == [
        ("lowest", 0.0, 1.0),
        ("per exit, exit 1", 0.0, 1.0),
        ("per exit, exit 2", 0.0, 4.0),
        ("per exit, exit 3", 0.0, 1.0),
    ]
    moved = Ladder(0.5).with_setting(settings[2], 0.25)
    assert moved == Ladder(0.5, (0.9, 0.25, 0.7))
    assert settings[2].value_in(moved) == 0.25
    assert Plain().adjustable(RECORDS.hierarchy) == ()


def test_a_margin_of_its_own_has_sliders_up_to_one():
    for policy in (LeadOfTheFirst([0.5, 0.5]), LargestLogit([0.5, 0.5])):
        settings = policy.adjustable(DEEP)
        assert [(one.label, one.low, one.high) for one in settings] == [
            ("threshold, exit 1", 0.0, 1.0),
            ("threshold, exit 2", 0.0, 1.0),
        ]


@every_policy
def test_it_has_a_grid_of_itself(policy):
    grid = policy.grid(RECORDS)
    assert 1 <= len(grid) <= 180
    assert len(metrics.sweep(grid, RECORDS)) == len(grid)
    assert {one.grid_key(RECORDS.hierarchy) for one in grid} == {policy.grid_key(RECORDS.hierarchy)}
    assert not policy.trade_off(RECORDS)
    assert eval(policy.python_line(), globals()) == policy


def test_values_that_it_refuses_are_left_out_of_its_grid():
    @dataclass(frozen=True)
    class Picky(Plain):
        share: float = 0.5
        count: int = 3

        def __post_init__(self):
            if self.share < 0.5 or self.count < 1:
                raise ValueError("too little")

    grid = Picky().grid(RECORDS)
    assert {one.count for one in grid} == {1, 2, 3, 4, 5, 6}
    assert min(one.share for one in grid) == 0.5
    with pytest.raises(ValueError, match="too little"):
        Picky().with_setting(Picky().adjustable(RECORDS.hierarchy)[0], 0.1)


# ---------------------------------------------------------------------- fitting


def test_thresholds_are_fitted_in_the_direction_that_it_says():
    for policy in (LeadOfTheFirst([0, 0]), LargestLogit([0, 0])):
        fitted = fit_thresholds(policy, RECORDS, (0.5, 0.25, 0.25))
        assert fitted.decide(RECORDS).exit_index.bincount().tolist() == [30, 15, 15]
        assert not fit_thresholds(policy, RECORDS, (0, 0.5, 0.5)).consults(0)


# ---------------------------------------------------------------------- figures and reports


@every_policy
def test_it_is_drawn(policy):
    ax = plots.exits_and_policies(RECORDS, [policy, FineTolerance([0.8, 0.6], 0.3)])
    assert policy.title in ax.get_legend().get_texts()[-1].get_text()
    plots.pareto_fronts({policy.title: metrics.sweep(policy.grid(RECORDS), RECORDS)})
    decided = policy.decide(RECORDS)
    plots.leaving_sheet(images_of(RECORDS), decided, RECORDS.labels, RECORDS.hierarchy)
    plt.close("all")


# ---------------------------------------------------------------------- panels


def _sliders(panel: Panel) -> list[w.FloatSlider]:
    return [one for one in controls_of(panel) if isinstance(one, w.FloatSlider)]


@every_policy
def test_the_inspector_takes_it(policy):
    panel = ExitInspector(RECORDS, images_of(RECORDS), policy)
    decided = policy.decide(RECORDS)
    for index in (0, 20, 59):
        panel.image_index = index
        assert panel.decision.exit_index == decided.exit_index[index]
        assert f"{type(policy).__name__} says: answer {panel.decision.level}" in panel.verdict
    settings = policy.adjustable(RECORDS.hierarchy)
    assert {one.description for one in _sliders(panel)} == {one.label for one in settings}


@every_policy
def test_the_explorer_takes_it(policy):
    explorer = PolicyExplorer(RECORDS, policy)
    assert explorer.evaluation == metrics.evaluate(policy.decide(RECORDS), RECORDS)
    assert list(explorer.candidates.policies) == list(policy.grid(RECORDS))
    settings = policy.adjustable(RECORDS.hierarchy)
    assert len(_sliders(explorer)) == len(settings)
    for setting in settings:
        before, slider = explorer.policy, control(explorer, setting.label, w.FloatSlider)
        slider.value = (setting.low + 3 * setting.high) / 4
        assert explorer.policy == before.with_setting(setting, slider.value)
    assert explorer.best_for_accuracy(0.1) == explorer.policy
    explorer.kind = "entropy threshold"
    explorer.kind = policy.title
    assert type(explorer.policy) is type(policy)


def test_a_whole_number_moves_by_one():
    @dataclass(frozen=True)
    class Later(Plain):
        first: int = 2

    explorer = PolicyExplorer(RECORDS, Later())
    (slider,) = _sliders(explorer)
    assert (slider.min, slider.max, slider.step) == (0, 4, 1)
    slider.value = 3
    assert explorer.policy == Later(3)
