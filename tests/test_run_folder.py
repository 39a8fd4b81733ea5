"""The policies that a network is tested with, and how the command line shows them."""

import pytest
import torch
from plot_inputs import tree_of
from random_records import random_records

from hbnlab.cli import console_tables
from hbnlab.metrics import evaluate
from hbnlab.policies import ForcedExit
from hbnlab.run_folder import (
    AS_LAST_EXIT,
    BUDGETS,
    budgeted_policies,
    entropy_curves,
    examine,
)

CURVE = 39
SEM_HEADS = [[True, False], [True, False], [False, True]]


def records_of(num_exits, num_levels=2, **how):
    return random_records(80, num_exits=num_exits, hierarchy=tree_of(num_levels), **how)


@pytest.mark.parametrize("num_exits", [2, 4, 7])
@pytest.mark.parametrize("num_levels", [1, 2, 3])
def test_every_level_has_a_curve_whose_policies_answer_there(num_exits, num_levels):
    val = records_of(num_exits, num_levels)
    curves = entropy_curves(val)
    assert list(curves) == list(range(num_levels))
    for level, curve in curves.items():
        assert len(curve) == CURVE
        assert set(curve[0].decide(val).level_index.tolist()) == {level}


def test_a_level_without_a_head_at_every_exit_has_no_curve_and_one_exit_has_none_at_all():
    assert entropy_curves(random_records(80, heads=SEM_HEADS)) == {}
    assert list(entropy_curves(random_records(80, heads=[[False, True]] * 3))) == [1]
    assert entropy_curves(records_of(1)) == {}
    assert budgeted_policies(records_of(1), []) == {}


@pytest.mark.parametrize("num_exits", [2, 4, 7])
def test_a_policy_for_a_budget_is_the_most_accurate_that_keeps_it_on_validation_images(num_exits):
    val = records_of(num_exits)
    curve = entropy_curves(val)[1]
    results = {policy: evaluate(policy.decide(val), val) for policy in curve}
    last = evaluate(ForcedExit(num_exits - 1, 1).decide(val), val)
    policies = budgeted_policies(val, curve)
    assert len(set(policies.values())) == len(policies)
    for share in BUDGETS:
        policy = policies.get(f"entropy threshold, {round(100 * share)} % of FLOPs")
        affordable = [r for r in results.values() if r.mean_flops <= share * last.mean_flops]
        if policy is not None:
            assert results[policy].accuracy == max(one.accuracy for one in affordable)
    as_last = results[policies[AS_LAST_EXIT]]
    as_accurate = [one for one in results.values() if one.accuracy >= last.accuracy]
    if as_accurate:
        assert as_last.mean_flops == min(one.mean_flops for one in as_accurate)
    else:
        assert as_last.accuracy == max(one.accuracy for one in results.values())


def test_where_no_policy_is_as_accurate_as_the_last_exit_the_most_accurate_stands_for_it():
    val = random_records(80)
    for level, logits in enumerate(val.logits):
        logits[:, :2] = -logits[:, :2].abs()
        logits[torch.arange(80), 2, val.labels[:, level]] = 50.0
    curve = entropy_curves(val)[1]
    policy = budgeted_policies(val, curve)[AS_LAST_EXIT]
    best = max(evaluate(one.decide(val), val).accuracy for one in curve)
    assert evaluate(policy.decide(val), val).accuracy == best < 1


# ---------------------------------------------------------------------- what is printed


@pytest.fixture
def printed(tiny_network, tiny_splits):
    def of(name, **how):
        tested = examine(tiny_network(name, **how), tiny_splits, progress=False)
        return tested, console_tables.report(tested.report).splitlines()

    return of


@pytest.mark.parametrize("trunk", ["alexnet", "residual"])
def test_one_table_shows_every_exit_for_all_and_every_policy_from_cheap_to_expensive(
    printed, trunk
):
    tested, lines = printed("gran-hbn", trunk=trunk)
    rows = lines[3 : 3 + len(tested.report["cells"]) + len(tested.policies)]
    for exit_index, level in tested.records.cells:
        name = f"= exit {exit_index + 1} for all, {('coarse', 'fine')[level]} "
        assert sum(row.startswith(name) for row in rows) == 1
    assert all(sum(row.startswith(f"{name} ") for row in rows) == 1 for name in tested.policies)
    at = lines[2].index("MFLOPs") + len("MFLOPs")
    costs = [float(row[:at].split()[-1]) for row in rows]
    assert costs == sorted(costs)


def test_one_exit_for_all_costs_what_really_runs(printed):
    tested, lines = printed("gran-hbn")
    result = evaluate(ForcedExit(2, 1).decide(tested.records), tested.records)
    (row,) = [line for line in lines if line.startswith("= exit 3 for all, fine")]
    assert f"{result.mean_flops / 1e6:.2f}" in row.split()


def test_a_gain_is_the_difference_to_one_exit_for_all_at_no_more_flops(printed):
    tested, lines = printed("branchy", trunk="residual")
    for row in tested.report["policies"]:
        (line,) = [line for line in lines if line.startswith(f"{row['name']} ")]
        affordable = [
            cell["accuracy"]
            for cell in tested.report["cells"]
            if cell["pruned_flops"] <= row["mean_flops"]
        ]
        assert line.endswith(f"{100 * (row['accuracy'] - max(affordable)):+.1f}")


def test_a_sentence_compares_the_last_exit_with_a_policy_that_is_to_be_as_good(printed):
    tested, lines = printed("gran-hbn", trunk="residual")
    row = next(row for row in tested.report["policies"] if row["name"] == AS_LAST_EXIT)
    last = tested.report["cells"][-1]
    sentence = " ".join(lines[-2:])
    assert f"Exit 4 for all gets {100 * last['accuracy']:.1f} % of the fine classes" in sentence
    assert f"deciding per image gets {100 * row['accuracy']:.1f} %" in sentence
    assert f"{100 * row['mean_flops'] / last['pruned_flops']:.0f} % of them" in sentence


def test_a_network_with_one_exit_is_told_without_gains(printed):
    for trunk in ("alexnet", "residual"):
        _, lines = printed("plain", trunk=trunk)
        assert lines[3].startswith("= exit 1 for all, fine")
        assert not any(AS_LAST_EXIT in line for line in lines)
