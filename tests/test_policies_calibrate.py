import math
from dataclasses import replace

import pytest
import torch
from random_records import random_records

from hbnlab.metrics import evaluate
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    MarginThreshold,
    SemanticGate,
    ThresholdPolicy,
    budget_policies,
    fit_thresholds,
    fit_tolerance,
)

RULES = [
    EntropyThreshold([0, 0]),
    FineTolerance([0, 0], 0.2),
    FineTolerance([0, 0], 0.2, "published-code"),
    SemanticGate([0, 0]),
    ConfidenceThreshold([0, 0]),
    MarginThreshold([0, 0]),
]


@pytest.mark.parametrize("policy", RULES, ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize("shares", [(0.6, 0.25, 0.15), (0, 0.5, 0.5), (1, 0, 0), (0.3, 0.7, 0)])
def test_fitted_thresholds_let_just_the_wished_shares_leave(policy, shares):
    records = random_records(200)
    fitted = fit_thresholds(policy, records, shares)
    counts = fitted.decide(records).exit_index.bincount(minlength=3)
    assert counts.tolist() == [round(200 * share) for share in shares]
    assert fitted.hierarchy == records.hierarchy
    assert replace(fitted, thresholds=policy.thresholds, hierarchy=None) == policy


def test_where_nobody_shall_leave_the_branch_is_not_looked_at():
    records = random_records(50)
    for policy in (EntropyThreshold([1, 1]), ConfidenceThreshold([0, 0])):
        assert not fit_thresholds(policy, records, (0, 0.5, 0.5)).consults(0)


def test_fitting_by_batch_counts_whole_batches():
    records = random_records(100)
    policy = EntropyThreshold([0, 0], per="batch", batch_size=10)
    counts = (
        fit_thresholds(policy, records, (0.35, 0.4, 0.25)).decide(records).exit_index.bincount()
    )
    assert counts.tolist() == [30, 40, 30]


def test_thresholds_fitted_on_validation_hold_roughly_on_other_images():
    validation, test = random_records(2000, seed=1), random_records(2000, seed=2)
    fitted = fit_thresholds(EntropyThreshold([0, 0]), validation, (0.6, 0.25, 0.15))
    shares = evaluate(fitted.decide(test), test).exit_shares
    assert shares == pytest.approx((0.6, 0.25, 0.15), abs=0.04)


def test_more_images_tied_than_may_leave_all_stay():
    records = random_records(10)
    tied = tuple(logits[:1].expand(10, -1, -1).clone() for logits in records.logits)
    fitted = fit_thresholds(EntropyThreshold([0, 0]), replace(records, logits=tied), (0.5, 0.5, 0))
    exits = fitted.decide(replace(records, logits=tied)).exit_index
    assert (exits == 2).all()


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.5, 0.5), (1.5, -0.5, 0), (0.2, 0.2, 0.2)])
def test_shares_that_are_not_one_per_exit_are_refused(shares):
    with pytest.raises(ValueError, match="shares must be 3 numbers, 0 or more, one per exit"):
        fit_thresholds(EntropyThreshold([1, 1]), random_records(), shares)


def test_budget_policies_leave_as_the_budgeted_batch_procedure_does():
    records = random_records(400, num_exits=4)
    confidence = records.confidence[:, :, 1]
    policies = budget_policies(ConfidenceThreshold([0, 0, 0]), records, 39)
    for step, policy in enumerate(policies, start=1):
        weights = torch.tensor([(step / 20) ** k for k in (1, 2, 3, 4)], dtype=torch.float64)
        sizes = (400 * weights / weights.sum()).floor().int().tolist()
        waiting = torch.ones(400, dtype=torch.bool)
        expected = torch.full((400,), 3)
        for exit_index, size in enumerate(sizes[:-1]):
            score = confidence[:, exit_index].masked_fill(~waiting, -1)
            taken = score.argsort(descending=True)[:size]
            expected[taken], waiting[taken] = exit_index, False
        assert torch.equal(policy.decide(records).exit_index, expected)


def test_a_larger_budget_costs_more():
    records = random_records(200)
    policies = budget_policies(EntropyThreshold([0, 0]), records, 20)
    costs = [evaluate(policy.decide(records), records).mean_macs for policy in policies]
    assert costs == sorted(costs)


@pytest.mark.parametrize("rule", ["algorithm-1", "published-code"])
@pytest.mark.parametrize("specificity", [0.0, 0.33, 0.5, 0.9])
def test_a_fitted_tolerance_gives_the_wished_specificity(rule, specificity):
    records = random_records(200)
    fitted = fit_tolerance(FineTolerance([0.0, 0.0], 0.0, rule), records, specificity)
    share = evaluate(fitted.decide(records), records).specificity
    assert specificity - 0.01 < share <= specificity


def test_full_specificity_takes_any_tolerance():
    records = random_records(50)
    fitted = fit_tolerance(FineTolerance([1.0, 1.0], 0.0), records, 1.0)
    assert fitted.fine_tolerance == math.inf
    with pytest.raises(ValueError, match=r"specificity must be in \[0, 1\], got 1.2"):
        fit_tolerance(fitted, records, 1.2)


class _WrongWay(ThresholdPolicy):
    def answers(self, exit_index, view):
        if view.is_last:
            return {1: view.all_images()}
        return {1: view.margin(exit_index, 1) > self.thresholds[exit_index]}

    def cells(self, head_mask):
        return [(exit_index, 1) for exit_index in range(len(head_mask))]


class _SilentFirst(EntropyThreshold):
    def answers(self, exit_index, view):
        return super().answers(exit_index, view) if exit_index else {}


def test_a_policy_that_compares_the_other_way_than_it_says_is_refused():
    words = "comparison of _WrongWay must be the sign of its answers, got '<': at exit 1"
    with pytest.raises(ValueError, match=words):
        fit_thresholds(_WrongWay([0, 0]), random_records(), (0.5, 0.25, 0.25))


def test_an_exit_that_answers_nobody_can_only_have_no_share():
    records = random_records()
    words = "the share of exit 1 must be 0: _SilentFirst answers no image there"
    with pytest.raises(ValueError, match=words):
        fit_thresholds(_SilentFirst([0, 0]), records, (0.5, 0.25, 0.25))
    fitted = fit_thresholds(_SilentFirst([0, 0]), records, (0, 0.5, 0.5))
    assert fitted.decide(records).exit_index.bincount().tolist() == [0, 20, 20]
