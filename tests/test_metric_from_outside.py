"""A metric that the package does not have, defined here: a function of decisions and records."""

from collections.abc import Callable

import pytest
import torch
from random_records import DEEP, PETS, random_records

from hbnlab.metrics import bootstrap, evaluate, sweep_table
from hbnlab.policies import EntropyThreshold, FineTolerance, ForcedExit, Policy
from hbnlab.records import Decisions, ExitRecords


def information_gained(decisions: Decisions, records: ExitRecords) -> float:
    """Mean bits of the right answers; a wrong answer gains nothing."""
    gained = torch.zeros(len(records))
    for level in range(records.hierarchy.num_levels):
        right = decisions.prediction == records.labels[:, level]
        here = (decisions.level_index == level) & right
        gained[here] = records.hierarchy.information(level)[decisions.prediction[here]].float()
    return float(gained.mean())


POLICIES: dict[str, Callable[[int], Policy]] = {
    "at exit 1": lambda early: ForcedExit(0),
    "entropy": lambda early: EntropyThreshold([0.4] * early),
    "tolerance": lambda early: FineTolerance([0.8] * early, 0.3),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tree", [PETS, DEEP], ids=["two levels", "three levels"])
@pytest.mark.parametrize("num_exits", [2, 3, 7])
def test_it_measures_any_policy_on_any_records(policy, tree, num_exits):
    records = random_records(200, hierarchy=tree, num_exits=num_exits)
    decisions = POLICIES[policy](num_exits - 1).decide(records)
    gained = information_gained(decisions, records)
    assert 0 < gained <= evaluate(decisions, records).information


def test_its_interval_holds_the_estimate():
    records = random_records(200)
    policy = FineTolerance([0.8, 0.8], 0.3)

    def statistic(chosen: torch.Tensor) -> float:
        some = records.subset(chosen)
        return information_gained(policy.decide(some), some)

    found = bootstrap(statistic, 200, generator=torch.Generator().manual_seed(0), repeats=50)
    assert found.low < found.estimate < found.high
    assert found.estimate == pytest.approx(information_gained(policy.decide(records), records))


def test_it_stands_beside_the_others_in_a_table():
    records = random_records(200)
    policies = [FineTolerance([0.8, 0.8], tau) for tau in (-1.0, 0.3, 2.0)]
    table = sweep_table(policies, records)
    table["gained"] = [information_gained(policy.decide(records), records) for policy in policies]
    assert (table["gained"] <= table["information"]).all()
    assert table["gained"].nunique() == 3
