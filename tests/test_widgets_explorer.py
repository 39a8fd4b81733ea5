"""PolicyExplorer, driven from Python: one policy among others of its kind."""

import math
from collections.abc import Callable
from dataclasses import replace

import ipywidgets as w
import pytest
from random_records import DEEP, random_records
from widget_helpers import RECORDS, RULES, START, check_says, control, status_of, text_of

from hbnlab import metrics
from hbnlab.policies import (
    EntropyThreshold,
    FineTolerance,
    Patience,
    SemanticGate,
)
from hbnlab.widgets import PolicyExplorer
from hbnlab.widgets.planes import Planes
from hbnlab.widgets.rules import python_line


def test_the_explorer_measures_the_policy_that_it_shows():
    explorer = PolicyExplorer(RECORDS)
    for policy in RULES[:6] + RULES[7:11]:
        explorer.policy = policy
        decided = metrics.evaluate(policy.decide(RECORDS), RECORDS)
        assert explorer.evaluation == decided
        page = text_of(explorer.to_html())
        assert f"{100 * decided.accuracy:.1f} %" in page
        assert f"{decided.information:.2f} bits" in page
        assert explorer.python_line == python_line(policy)
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


def test_another_rule_keeps_the_numbers_that_mean_the_same():
    explorer = PolicyExplorer(RECORDS, START)
    explorer.rule = "fine tolerance, published code"
    assert explorer.policy == replace(START, rule="published-code")
    explorer.rule = "semantic gate"
    assert explorer.policy == SemanticGate([0.8, 0.6])
    with pytest.raises(ValueError, match="a rule with a fine tolerance is needed"):
        _ = explorer.fine_tolerance
    explorer.rule = "confidence"
    assert all(0 < threshold < 1 for threshold in explorer.thresholds)
    control(explorer, "rule").value = "entropy"
    assert explorer.rule == "entropy"
    with pytest.raises(ValueError, match="rule must be one of"):
        explorer.rule = "dice"


def test_only_rules_that_the_heads_allow_are_offered():
    without_gate = random_records(20, gate=False)
    assert "semantic gate" in PolicyExplorer(RECORDS).rules
    assert "semantic gate" not in PolicyExplorer(without_gate).rules
    sem = random_records(20, heads=[[True, False], [True, False], [False, True]])
    assert PolicyExplorer(sem).rules == ("entropy", "confidence", "margin")


def test_a_rule_is_offered_where_any_coarse_level_has_the_heads():
    records = random_records(20, hierarchy=DEEP, heads=[[False, True, True]] * 3)
    explorer = PolicyExplorer(records)
    assert explorer.rule == "fine tolerance"
    assert isinstance(explorer.policy, FineTolerance)
    assert explorer.policy.coarse_level == 1
    assert {policy.coarse_level for policy in explorer.cloud.policies} == {1}
    explorer.rule = "semantic gate"
    assert explorer.policy.coarse_level == 1


def test_the_coarse_level_is_kept_while_another_rule_has_none():
    start = FineTolerance([0.8, 0.6], 0.3, coarse_level=1)
    explorer = PolicyExplorer(random_records(20, hierarchy=DEEP), start)
    explorer.rule = "entropy"
    explorer.rule = "fine tolerance"
    assert explorer.policy.coarse_level == 1


def test_a_policy_that_fits_only_while_a_threshold_is_0_is_answered_in_words():
    heads = [[True, False, True], [True, True, True], [True, True, True]]
    records = random_records(20, hierarchy=DEEP, heads=heads)
    policy = FineTolerance([0, 0.5], 0.2, coarse_level=1)
    assert len(policy.decide(records)) == 20
    check_says(PolicyExplorer(records, policy), "every threshold is moved here, and then")
    explorer = PolicyExplorer(records)
    before = explorer.policy
    with pytest.raises(ValueError, match="every threshold is moved here"):
        explorer.policy = policy
    assert explorer.policy == before


def test_the_explorer_stays_as_it_is_where_another_policy_cannot_be_worked_out(monkeypatch):
    explorer = PolicyExplorer(RECORDS, START)
    page, result = explorer.to_html(), explorer.evaluation

    def cloud(*_: object) -> None:
        raise ValueError("there is no cloud")

    monkeypatch.setattr(explorer._rulebook, "cloud", cloud)
    with pytest.raises(ValueError, match="there is no cloud"):
        explorer.batch_size = 8
    assert explorer.policy == START
    assert (explorer.evaluation, explorer.to_html()) == (result, page)
    control(explorer, "decide by").set_state({"index": 1})
    assert explorer.policy == START
    assert control(explorer, "decide by").value == "image"
    assert "there is no cloud" in status_of(explorer)


@pytest.mark.parametrize(
    ("rule", "values"), [("entropy", 13), ("confidence", 13), ("margin", 13), ("fine tolerance", 5)]
)
def test_thresholds_for_batches_are_as_close_as_the_means_of_batches(rule, values):
    explorer = PolicyExplorer(random_records(2000), START)
    explorer.batch_size, explorer.rule = 100, rule
    policies = explorer.cloud.policies
    for exit_index in (0, 1):
        assert len({policy.thresholds[exit_index] for policy in policies}) == values


def test_no_policy_is_in_the_cloud_twice():
    # All confidences are 1, and so are their quantiles.
    explorer = PolicyExplorer(random_records(40, signal=1000.0))
    explorer.rule = "confidence"
    policies = explorer.cloud.policies
    assert len(set(policies)) == len(policies) == 4
    explorer.best_for_budget(1e6)
    assert explorer.message.startswith("Of 4 policies")


@pytest.mark.parametrize("batch_size", [None, 8])
def test_the_cloud_goes_from_one_extreme_to_the_other(batch_size):
    explorer = PolicyExplorer(RECORDS, START)
    explorer.batch_size = batch_size
    cloud = explorer.cloud
    assert list(cloud.results) == metrics.sweep(cloud.policies, RECORDS)
    assert {policy.batch_size for policy in cloud.policies} == {batch_size}
    specificities = {result.specificity for result in cloud.results}
    assert {0.0, 1.0} <= specificities
    first = [result.exit_shares[0] for result in cloud.results]
    assert {0.0, 1.0} <= set(first)


def test_the_best_for_an_accuracy_is_the_cheapest_that_reaches_it():
    explorer = PolicyExplorer(RECORDS)
    results = explorer.cloud.results
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
    results = explorer.cloud.results
    flops = sorted(result.mean_flops for result in results)[len(results) // 3]
    explorer.best_for_budget(flops)
    able = [result for result in results if result.mean_flops <= flops]
    assert explorer.evaluation.accuracy == max(result.accuracy for result in able)
    assert explorer.evaluation.mean_flops <= flops


WISHES: dict[str, tuple[Callable[[PolicyExplorer], object], str]] = {
    "percent": (lambda e: e.best_for_accuracy(94), r"accuracy must be in \[0, 1\], got 94"),
    "NaN": (lambda e: e.best_for_accuracy(math.nan), "accuracy must be .* got nan"),
    "specificity": (
        lambda e: e.best_for_budget(1e6, specificity=-0.1),
        r"specificity must be in \[0, 1\], got -0.1",
    ),
    "FLOPs": (lambda e: e.best_for_budget(-1), "flops must be 0 or more, got -1"),
    "NaN FLOPs": (lambda e: e.best_for_budget(math.nan), "flops must be 0 or more, got nan"),
}


@pytest.mark.parametrize("name", WISHES)
def test_a_wish_out_of_range_is_refused(name):
    ask, words = WISHES[name]
    explorer = PolicyExplorer(RECORDS, START)
    with pytest.raises(ValueError, match=words):
        ask(explorer)
    assert explorer.policy == START


def test_a_policy_is_found_at_the_very_percentage_that_it_has():
    explorer = PolicyExplorer(random_records(30), START)
    best = max(result.accuracy for result in explorer.cloud.results)
    for typed in (best, best + 1e-12, math.nextafter(best, 1.0)):
        assert explorer.best_for_accuracy(typed) is not None


def test_what_can_be_had_is_said_in_view_of_both_wishes():
    explorer = PolicyExplorer(RECORDS, START)
    results = explorer.cloud.results
    fine = [result for result in results if result.specificity >= 0.9]
    most, least = max(r.accuracy for r in fine), min(r.mean_flops for r in fine)
    assert most < max(result.accuracy for result in results)
    assert explorer.best_for_accuracy(1.0, specificity=0.9) is None
    assert f"of those that answer so many finely, is {100 * most:.1f} %" in explorer.message
    assert "lowest cost" not in explorer.message
    assert explorer.best_for_budget(1.0, specificity=0.9) is None
    assert f"the lowest cost {least / 1e6:.3g} million" in explorer.message


def test_where_no_policy_is_specific_enough_the_highest_specificity_is_said():
    explorer = PolicyExplorer(RECORDS, SemanticGate([0.5, 0.4]))
    most = max(result.specificity for result in explorer.cloud.results)
    assert most < 1
    assert explorer.best_for_accuracy(0.1, specificity=1.0) is None
    assert explorer.message.endswith(f"The highest specificity is {100 * most:.1f} %.")


def test_a_wish_that_nothing_fulfils_is_answered_in_words():
    explorer = PolicyExplorer(RECORDS, START)
    assert explorer.best_for_budget(1.0) is None
    assert explorer.policy == START
    assert explorer.message.startswith("None of ")
    most = max(result.accuracy for result in explorer.cloud.results)
    assert f"{100 * most:.1f} %" in explorer.message


def test_the_buttons_look_for_what_stands_beside_them():
    explorer = PolicyExplorer(RECORDS, START)
    control(explorer, "accuracy of at least (%)").value = 60
    control(explorer, "and finely at least (%)").value = 30
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


def test_a_policy_that_the_explorer_does_not_know_is_answered_in_words():
    check_says(PolicyExplorer(RECORDS, Patience(2)), "of one of the rules")


def test_a_policy_of_another_level_than_the_explorer_takes_is_answered_in_words():
    policy = EntropyThreshold([0.5, 0.4], level=1)
    check_says(PolicyExplorer(RECORDS, policy), "level=None, the finest head of each exit")


def test_an_explorer_with_a_problem_says_so_when_it_is_asked_for_the_best():
    explorer = PolicyExplorer(random_records(1))
    assert explorer.message == ""
    for search in (explorer.best_for_accuracy, explorer.best_for_budget):
        with pytest.raises(ValueError, match="At least 2 images"):
            search(0.5)
