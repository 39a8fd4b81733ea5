"""PolicyExplorer, driven from Python: one policy among others of its kind."""

import math
from collections.abc import Callable
from dataclasses import replace

import ipywidgets as w
import pytest
from random_records import DEEP, random_records
from widget_helpers import (
    RECORDS,
    RULES,
    START,
    FirstCoarse,
    check_says,
    control,
    status_of,
    text_of,
)

from hbnlab import metrics
from hbnlab.policies import (
    EntropyThreshold,
    FineTolerance,
    Patience,
    SemanticGate,
)
from hbnlab.widgets import PolicyExplorer
from hbnlab.widgets.planes import Planes


def test_the_explorer_measures_the_policy_that_it_shows():
    explorer = PolicyExplorer(RECORDS)
    for policy in RULES[:6] + RULES[7:11]:
        explorer.policy = policy
        decided = metrics.evaluate(policy.decide(RECORDS), RECORDS)
        assert explorer.evaluation == decided
        page = text_of(explorer.to_html())
        assert f"{100 * decided.accuracy:.1f} %" in page
        assert f"{decided.information:.2f} bits" in page
        assert explorer.python_line == policy.python_line()
        assert control(explorer, "Python line").value == explorer.python_line


def test_the_numbers_of_the_explorer_can_be_set():
    explorer = PolicyExplorer(RECORDS, START)
    explorer.thresholds = [0.5, 0.25]
    explorer.fine_tolerance = 0.4
    explorer.batch_size = 8
    assert explorer.policy == FineTolerance([0.5, 0.25], 0.4, per="batch", batch_size=8)
    assert control(explorer, "decide by").value == "batch"
    control(explorer, "batch size").value = 5
    assert explorer.batch_size == 5
    control(explorer, "decide by").value = "image"
    assert explorer.batch_size is None
    control(explorer, "decide by").value = "batch"
    assert explorer.batch_size == 5
    explorer.batch_size = None
    control(explorer, "threshold, exit 1", w.FloatSlider).value = 0.7
    assert explorer.thresholds == (0.7, 0.25)


def test_another_kind_keeps_the_numbers_that_mean_the_same():
    explorer = PolicyExplorer(RECORDS, START)
    explorer.kind = "fine tolerance, published code"
    assert explorer.policy == replace(START, rule="published-code")
    explorer.kind = "semantic gate"
    assert explorer.policy == SemanticGate([0.8, 0.6])
    with pytest.raises(ValueError, match="a policy with a fine tolerance is needed"):
        _ = explorer.fine_tolerance
    explorer.kind = "confidence threshold"
    assert all(0 < threshold < 1 for threshold in explorer.thresholds)
    control(explorer, "policy").value = "entropy threshold"
    assert explorer.kind == "entropy threshold"
    with pytest.raises(ValueError, match="kind must be one of"):
        explorer.kind = "dice"


def test_only_kinds_that_the_heads_allow_are_offered():
    without_gate = random_records(20, gate=False)
    assert "semantic gate" in PolicyExplorer(RECORDS).kinds
    assert "semantic gate" not in PolicyExplorer(without_gate).kinds
    sem = random_records(20, heads=[[True, False], [True, False], [False, True]])
    assert PolicyExplorer(sem).kinds == (
        "entropy threshold",
        "confidence threshold",
        "margin threshold",
    )


def test_a_kind_is_offered_where_any_coarse_level_has_the_heads():
    records = random_records(20, hierarchy=DEEP, heads=[[False, True, True]] * 3)
    explorer = PolicyExplorer(records)
    assert explorer.kind == "fine tolerance"
    assert isinstance(explorer.policy, FineTolerance)
    assert explorer.policy.coarse_level == 1
    assert {policy.coarse_level for policy in explorer.candidates.policies} == {1}
    explorer.kind = "semantic gate"
    assert explorer.policy.coarse_level == 1


def test_the_coarse_level_is_kept_while_another_kind_has_none():
    start = FineTolerance([0.8, 0.6], 0.3, coarse_level=1)
    explorer = PolicyExplorer(random_records(20, hierarchy=DEEP), start)
    explorer.kind = "entropy threshold"
    explorer.kind = "fine tolerance"
    assert explorer.policy.coarse_level == 1


def test_a_policy_that_fits_only_while_a_threshold_is_0_is_answered_in_words():
    heads = [[True, False, True], [True, True, True], [True, True, True]]
    records = random_records(20, hierarchy=DEEP, heads=heads)
    policy = FineTolerance([0, 0.5], 0.2, coarse_level=1)
    assert len(policy.decide(records)) == 20
    check_says(PolicyExplorer(records, policy), "a grid moves every threshold, and then")
    explorer = PolicyExplorer(records)
    before = explorer.policy
    with pytest.raises(ValueError, match="a grid moves every threshold"):
        explorer.policy = policy
    assert explorer.policy == before


def test_the_explorer_stays_as_it_is_where_another_policy_cannot_be_worked_out(monkeypatch):
    explorer = PolicyExplorer(RECORDS, START)
    page, result = explorer.to_html(), explorer.evaluation

    def grid(*_: object) -> None:
        raise ValueError("there is no grid")

    monkeypatch.setattr(FineTolerance, "grid", grid)
    with pytest.raises(ValueError, match="there is no grid"):
        explorer.batch_size = 8
    assert explorer.policy == START
    assert (explorer.evaluation, explorer.to_html()) == (result, page)
    control(explorer, "decide by").set_state({"index": 1})
    assert explorer.policy == START
    assert control(explorer, "decide by").value == "image"
    assert "there is no grid" in status_of(explorer)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("entropy threshold", 13),
        ("confidence threshold", 13),
        ("margin threshold", 13),
        ("fine tolerance", 5),
    ],
)
def test_thresholds_for_batches_are_as_close_as_the_means_of_batches(kind, values):
    explorer = PolicyExplorer(random_records(2000), START)
    explorer.batch_size, explorer.kind = 100, kind
    policies = explorer.candidates.policies
    for exit_index in (0, 1):
        assert len({policy.thresholds[exit_index] for policy in policies}) == values


def test_no_policy_is_in_the_cloud_twice():
    # All confidences are 1, and so are their quantiles.
    explorer = PolicyExplorer(random_records(40, signal=1000.0))
    explorer.kind = "confidence threshold"
    policies = explorer.candidates.policies
    assert len(set(policies)) == len(policies) == 4
    explorer.best_for_budget(1e6)
    assert explorer.message.startswith("Of 4 policies")


@pytest.mark.parametrize("batch_size", [None, 8])
def test_the_cloud_goes_from_one_extreme_to_the_other(batch_size):
    explorer = PolicyExplorer(RECORDS, START)
    explorer.batch_size = batch_size
    cloud = explorer.candidates
    assert list(cloud.evaluations) == metrics.sweep(cloud.policies, RECORDS)
    assert {policy.batch_size for policy in cloud.policies} == {batch_size}
    specificities = {result.specificity for result in cloud.evaluations}
    assert {0.0, 1.0} <= specificities
    first = [result.exit_shares[0] for result in cloud.evaluations]
    assert {0.0, 1.0} <= set(first)


def test_the_best_for_an_accuracy_is_the_cheapest_that_reaches_it():
    explorer = PolicyExplorer(RECORDS)
    results = explorer.candidates.evaluations
    accuracy = sorted(result.accuracy for result in results)[len(results) // 2]
    found = explorer.best_for_accuracy(accuracy, specificity=0.4)
    able = [r for r in results if r.accuracy >= accuracy and r.specificity >= 0.4]
    assert found == explorer.policy
    assert explorer.evaluation.mean_macs == min(result.mean_macs for result in able)
    assert explorer.evaluation in able
    assert "report it on other records" in explorer.message
    explorer.fine_tolerance = 0.1
    assert explorer.message == ""


def test_the_best_for_a_budget_is_the_most_accurate_within_it():
    explorer = PolicyExplorer(RECORDS)
    results = explorer.candidates.evaluations
    flops = sorted(result.mean_flops for result in results)[len(results) // 3]
    explorer.best_for_budget(flops)
    able = [result for result in results if result.mean_flops <= flops]
    assert explorer.evaluation.accuracy == max(result.accuracy for result in able)
    assert explorer.evaluation.mean_flops <= flops


BAD_CONSTRAINTS: dict[str, tuple[Callable[[PolicyExplorer], object], str]] = {
    "percent": (lambda e: e.best_for_accuracy(94), r"accuracy must be in \[0, 1\], got 94"),
    "NaN": (lambda e: e.best_for_accuracy(math.nan), "accuracy must be .* got nan"),
    "specificity": (
        lambda e: e.best_for_budget(1e6, specificity=-0.1),
        r"specificity must be in \[0, 1\], got -0.1",
    ),
    "FLOPs": (lambda e: e.best_for_budget(-1), "flops must be 0 or more, got -1"),
    "NaN FLOPs": (lambda e: e.best_for_budget(math.nan), "flops must be 0 or more, got nan"),
}


@pytest.mark.parametrize("name", BAD_CONSTRAINTS)
def test_a_constraint_out_of_range_is_refused(name):
    ask, words = BAD_CONSTRAINTS[name]
    explorer = PolicyExplorer(RECORDS, START)
    with pytest.raises(ValueError, match=words):
        ask(explorer)
    assert explorer.policy == START


def test_a_policy_is_found_at_the_very_percentage_that_it_has():
    explorer = PolicyExplorer(random_records(30), START)
    best = max(result.accuracy for result in explorer.candidates.evaluations)
    for typed in (best, best + 1e-12, math.nextafter(best, 1.0)):
        assert explorer.best_for_accuracy(typed) is not None


def test_what_can_be_had_is_said_in_view_of_both_constraints():
    explorer = PolicyExplorer(RECORDS, START)
    results = explorer.candidates.evaluations
    fine = [result for result in results if result.specificity >= 0.9]
    most, least = max(r.accuracy for r in fine), min(r.mean_flops for r in fine)
    assert most < max(result.accuracy for result in results)
    assert explorer.best_for_accuracy(1.0, specificity=0.9) is None
    assert f"at this specificity is {100 * most:.1f} %" in explorer.message
    assert "lowest cost" not in explorer.message
    assert explorer.best_for_budget(1.0, specificity=0.9) is None
    assert f"the lowest cost {least / 1e6:.3g} million" in explorer.message


def test_where_no_policy_is_specific_enough_the_highest_specificity_is_said():
    explorer = PolicyExplorer(RECORDS, SemanticGate([0.5, 0.4]))
    most = max(result.specificity for result in explorer.candidates.evaluations)
    assert most < 1
    assert explorer.best_for_accuracy(0.1, specificity=1.0) is None
    assert explorer.message.endswith(f"The highest specificity is {100 * most:.1f} %.")


def test_constraints_that_no_policy_meets_are_answered_in_words():
    explorer = PolicyExplorer(RECORDS, START)
    assert explorer.best_for_budget(1.0) is None
    assert explorer.policy == START
    assert explorer.message.startswith("None of ")
    most = max(result.accuracy for result in explorer.candidates.evaluations)
    assert f"{100 * most:.1f} %" in explorer.message


def test_the_buttons_look_for_what_stands_beside_them():
    explorer = PolicyExplorer(RECORDS, START)
    control(explorer, "accuracy of at least (%)").value = 60
    control(explorer, "specificity of at least (%)").value = 30
    control(explorer, "best for this accuracy").click()
    assert explorer.evaluation.accuracy >= 0.6
    assert explorer.evaluation.specificity >= 0.3
    control(explorer, "best for this budget").click()
    assert "million FLOPs" in explorer.message


def test_what_is_typed_into_the_line_to_copy_does_not_stay():
    explorer = PolicyExplorer(RECORDS, START)
    line = control(explorer, "Python line")
    line.value = "something else"
    assert line.value == "FineTolerance([0.8, 0.6], 0.3)"
    assert explorer.policy == START


def test_a_point_outside_the_axes_makes_them_grow():
    result = metrics.sweep([START], RECORDS)[0]
    planes = Planes(RECORDS)
    planes.lay([result])
    inside = planes.at(result, []).png
    assert planes.at(replace(result, accuracy=0.0), []).png != inside
    assert planes.at(result, []).png != inside
    assert planes.at(result, []).png == planes.at(result, []).png


@pytest.mark.parametrize(
    "policy", [Patience(2), FirstCoarse(), EntropyThreshold([0.5, 0.4], level=0)], ids=repr
)
def test_the_explorer_takes_any_policy_that_fits(policy):
    explorer = PolicyExplorer(RECORDS, policy)
    assert explorer.evaluation == metrics.evaluate(policy.decide(RECORDS), RECORDS)
    assert explorer.kind == policy.title
    assert policy.title in explorer.kinds
    assert {type(one) for one in explorer.candidates.policies} == {type(policy)}
    explorer.kind = "fine tolerance"
    explorer.policy = policy
    assert control(explorer, "policy").value == policy.title
    assert explorer.best_for_budget(1e9) in explorer.candidates.policies


def test_a_policy_from_outside_can_be_chosen_again_by_its_title():
    explorer = PolicyExplorer(RECORDS)
    explorer.policy = FirstCoarse()
    explorer.kind = "margin threshold"
    control(explorer, "policy").value = "first coarse"
    assert explorer.policy == FirstCoarse()
    with pytest.raises(ValueError, match="decides image by image, got batch_size=4"):
        explorer.batch_size = 4


def test_an_explorer_with_a_problem_says_so_when_it_is_asked_for_the_best():
    explorer = PolicyExplorer(random_records(1))
    assert explorer.message == ""
    for search in (explorer.best_for_accuracy, explorer.best_for_budget):
        with pytest.raises(ValueError, match="At least 2 images"):
            search(0.5)
