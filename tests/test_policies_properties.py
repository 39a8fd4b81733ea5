"""What must hold for any thresholds, any tolerance and any records."""

from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from random_records import random_records

from hbnlab.metrics import evaluate
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    MarginThreshold,
    Patience,
    SemanticGate,
)

RECORDS = [
    random_records(33, seed=seed, signal=signal) for seed, signal in enumerate([1.0, 3.0, 6.0])
]
records_of = st.sampled_from(RECORDS)
above_zero = st.floats(1e-3, 2.0) | st.just(float("inf"))
thresholds_of = st.tuples(above_zero | st.just(0.0), above_zero | st.just(0.0))
tolerances = st.floats(-2.0, 2.0) | st.sampled_from([-float("inf"), 0.0, float("inf")])
rules = st.sampled_from(["algorithm-1", "published-code"])
batches = st.sampled_from([None, 1, 4, 8, 50])


def _batched(policy, batch_size):
    return policy if batch_size is None else replace(policy, per="batch", batch_size=batch_size)


@given(records_of, thresholds_of, tolerances, tolerances, rules, batches)
@settings(max_examples=100)
def test_raising_the_tolerance_never_lowers_specificity(records, pair, one, other, rule, batch):
    low, high = sorted((one, other))
    values = [
        evaluate(_batched(FineTolerance(pair, tau, rule), batch).decide(records), records)
        for tau in (low, high)
    ]
    assert values[0].specificity <= values[1].specificity


@st.composite
def pairs_of_policies(draw, threshold):
    """A rule twice: with some thresholds, and with thresholds that let at least as many leave."""
    kind = draw(
        st.sampled_from(
            [EntropyThreshold, SemanticGate, FineTolerance, ConfidenceThreshold, MarginThreshold]
        )
    )
    first = draw(st.tuples(threshold, threshold))
    second = draw(st.tuples(threshold, threshold))
    batch = draw(batches)
    patient = [min(a, b) for a, b in zip(first, second, strict=True)]
    eager = [max(a, b) for a, b in zip(first, second, strict=True)]
    if kind.comparison == ">":
        # Their scores end at 1, and there a larger threshold is the more patient one.
        patient, eager = ([1 - min(value, 2.0) / 2 for value in row] for row in (patient, eager))
    more = (draw(tolerances), draw(rules)) if kind is FineTolerance else ()
    return _batched(kind(patient, *more), batch), _batched(kind(eager, *more), batch)


@given(records_of, pairs_of_policies(above_zero | st.just(0.0)))
@settings(max_examples=100)
def test_a_more_eager_threshold_never_sends_an_image_further(records, pair):
    patient, eager = (policy.decide(records) for policy in pair)
    assert (eager.exit_index <= patient.exit_index).all()
    costs = [evaluate(decisions, records).study_macs for decisions in (patient, eager)]
    assert costs[0] >= costs[1]


@given(records_of, pairs_of_policies(above_zero))
@settings(max_examples=100)
def test_a_more_eager_threshold_never_raises_what_really_runs(records, pair):
    # From 0 upwards it may: a branch that was not looked at before is then run for every image.
    costs = [evaluate(policy.decide(records), records).mean_macs for policy in pair]
    assert costs[0] >= costs[1]


POLICIES = [
    EntropyThreshold([0.9, 1.0]),
    FineTolerance([0.9, 0.9], 0.2),
    FineTolerance([0.9, 0.9], 0.2, "published-code"),
    SemanticGate([0.9, 0.9]),
    ConfidenceThreshold([0.7, 0.6]),
    MarginThreshold([0.5, 0.5]),
    Patience(2),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@given(records_of, st.permutations(range(33)))
@settings(max_examples=20)
def test_decisions_by_image_do_not_depend_on_the_order_of_the_images(policy, records, order):
    order = torch.tensor(order)
    before, after = policy.decide(records), policy.decide(records.subset(order))
    assert torch.equal(before.exit_index[order], after.exit_index)
    assert torch.equal(before.level_index[order], after.level_index)
    assert torch.equal(before.prediction[order], after.prediction)


@pytest.mark.parametrize("batch", [None, 8])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@given(records_of, st.sampled_from([0, 1]), st.integers(100, 105))
@settings(max_examples=20)
def test_later_exits_never_change_an_earlier_stop(policy, batch, records, last_kept, seed):
    if not isinstance(policy, Patience):
        policy = _batched(policy, batch)
    other = random_records(33, seed=seed)
    kept = torch.arange(3)[None, :, None] <= last_kept
    mixed = replace(
        records,
        logits=tuple(
            torch.where(kept, ours, theirs)
            for ours, theirs in zip(records.logits, other.logits, strict=True)
        ),
    )
    before, after = policy.decide(records), policy.decide(mixed)
    stopped = before.exit_index <= last_kept
    assert torch.equal(stopped, after.exit_index <= last_kept)
    assert torch.equal(before.exit_index[stopped], after.exit_index[stopped])
    assert torch.equal(before.level_index[stopped], after.level_index[stopped])
    assert torch.equal(before.macs[stopped], after.macs[stopped])
