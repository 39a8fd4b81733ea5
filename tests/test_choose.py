"""hbnlab.policies.choose: an operating point that keeps its promises on new images."""

import math

import pytest
import torch

from hbnlab.metrics import evaluate
from hbnlab.policies import EntropyThreshold, FineTolerance, ForcedExit, choose
from hbnlab.policies.choose import METHODS
from hbnlab.policies.outcomes import QUANTITIES, Outcomes
from hbnlab.records import simulated_records

THRESHOLDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.1)
CANDIDATES = [FineTolerance([t, t], tau) for t in THRESHOLDS for tau in (-0.4, 0.0, 0.4, 1.2)]
CANDIDATES += [ForcedExit(exit_index, level) for exit_index in range(3) for level in (0, 1)]


@pytest.fixture(scope="module")
def population():
    """All the images that there are: what holds on them is true."""
    return simulated_records(20_000, gate=False, signal=4.0, seed=3)


@pytest.fixture(scope="module")
def outcomes(population):
    return Outcomes.of(CANDIDATES, population)


def sample(population, seed: int, count: int):
    generator = torch.Generator().manual_seed(seed)
    return population.subset(torch.randint(len(population), (count,), generator=generator))


# ---------------------------------------------------------------------- the table


def test_the_means_of_the_table_are_what_evaluate_says(population, outcomes):
    names = {"flops": "mean_flops"}
    for row, policy in enumerate(CANDIDATES):
        result = evaluate(policy.decide(population), population)
        for name in QUANTITIES:
            expected = getattr(result, names.get(name, name))
            assert float(outcomes.means(name)[row]) == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------------- choosing


@pytest.mark.parametrize("method", METHODS)
def test_a_choice_keeps_its_constraints_and_says_how_surely(method, population):
    records = sample(population, 0, 4_000)
    limits = {"accuracy": 0.8, "information": 1.2}
    chosen = choose(CANDIDATES, records, at_least=limits, method=method, minimise="flops")
    assert chosen.policy in CANDIDATES
    result = evaluate(chosen.policy.decide(population), population)
    for name, limit in limits.items():
        assert limit <= chosen.bounds[name] <= getattr(result, name)
        assert chosen.p_values[name] <= 0.1
    assert chosen.num_images == (2_000 if method == "pareto-testing" else 4_000)
    assert f"tested on {chosen.num_images} images" in chosen.reason


def test_without_a_confidence_it_is_the_best_of_those_that_keep_the_constraints(population):
    records = sample(population, 1, 500)
    chosen = choose(CANDIDATES, records, at_least={"accuracy": 0.8}, confidence=None)
    results = [evaluate(policy.decide(records), records) for policy in CANDIDATES]
    best = max(result.information for result in results if result.accuracy >= 0.8)
    assert chosen.estimates["information"] == pytest.approx(best, rel=1e-5)
    assert (chosen.bounds, chosen.num_images) == ({}, 0)
    assert "nothing is promised about new ones" in chosen.reason


def test_a_limit_of_flops_is_kept(population):
    records = sample(population, 2, 4_000)
    limit = 400.0
    chosen = choose(CANDIDATES, records, at_most={"flops": limit}, maximise="accuracy")
    assert evaluate(chosen.policy.decide(population), population).mean_flops <= limit
    assert chosen.bounds["flops"] <= limit
    free = choose(CANDIDATES, records, maximise="accuracy")
    assert free.estimates["accuracy"] > chosen.estimates["accuracy"]


def test_accuracy_among_the_answers_of_a_level_is_a_constraint(population):
    records = sample(population, 3, 6_000)
    chosen = choose(CANDIDATES, records, at_least={"accuracy of fine": 0.85})
    decided = chosen.policy.decide(population)
    fine = decided.level_index == 1
    right = decided.prediction[fine] == population.labels[fine, 1]
    assert right.double().mean() >= 0.85
    assert chosen.bounds["accuracy of fine"] >= 0.85


def test_a_level_that_is_never_answered_is_no_evidence(population):
    coarse = [ForcedExit(exit_index, 0) for exit_index in range(3)]
    chosen = choose(coarse, sample(population, 4, 2_000), at_least={"accuracy of fine": 0.01})
    assert chosen.policy is None


def test_too_much_is_refused_with_the_reason(population):
    chosen = choose(CANDIDATES, sample(population, 5, 1_000), at_least={"accuracy": 0.999})
    assert (chosen.policy, chosen.bounds) == (None, {})
    assert chosen.reason == "no candidate keeps all constraints on these images"


def test_too_few_images_are_said_to_be_too_few(population):
    records = sample(population, 6, 30)
    best = max(evaluate(policy.decide(records), records).accuracy for policy in CANDIDATES)
    chosen = choose(CANDIDATES, records, at_least={"accuracy": best})
    assert chosen.policy is None
    assert "15 images cannot show it with confidence 0.9; give more images" in chosen.reason


def test_the_same_seed_makes_the_same_choice(population):
    records = sample(population, 7, 1_000)
    first, again = (choose(CANDIDATES, records, at_least={"accuracy": 0.75}) for _ in range(2))
    assert first.policy == again.policy
    assert first.bounds == again.bounds


# ---------------------------------------------------------------------- promises


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("confidence", [0.9, 0.5])
def test_promises_are_broken_no_more_often_than_said(method, confidence, population, outcomes):
    """200 samples of a population on which the truth is known."""
    limits, repeats = {"accuracy": 0.82, "information": 1.3}, 200
    truth = {name: outcomes.means(name) for name in limits}
    made = broken = 0
    for seed in range(repeats):
        generator = torch.Generator().manual_seed(seed)
        drawn = outcomes.subset(torch.randint(len(population), (800,), generator=generator))
        how = {"confidence": confidence, "method": method, "seed": seed}
        chosen = choose(CANDIDATES, drawn, at_least=limits, **how)
        if chosen.policy is None:
            continue
        made += 1
        row = CANDIDATES.index(chosen.policy)
        broken += any(float(truth[name][row]) < limit for name, limit in limits.items())
    allowed = (1 - confidence) * repeats
    assert broken <= allowed + 2 * math.sqrt(allowed * confidence)
    assert made > 0.5 * repeats


# ---------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"at_least": {"luck": 0.5}}, r"at_least takes \[.*'accuracy of coarse'.*\], got 'luck'"),
        ({"at_least": {"accuracy": 1.5}}, r"accuracy must be in \[0, 1\], got 1.5"),
        ({"at_least": {"information": 9.0}}, r"information must be in \[0, 2.58496\], got 9.0"),
        ({"at_least": {"accuracy": math.nan}}, r"accuracy must be in \[0, 1\], got nan"),
        ({"at_most": {"accuracy": 0.5}}, r"at_most takes \['flops'\], got 'accuracy'"),
        ({"at_most": {"flops": -1.0}}, r"flops must be in \[0, inf\], got -1.0"),
        ({"maximise": "luck"}, "maximise must be one of .*, got 'luck'"),
        ({"minimise": "luck"}, "minimise must be one of .*, got 'luck'"),
        ({"confidence": 1.0}, "confidence must be above 0 and below 1, or None, got 1.0"),
        ({"method": "luck"}, "method must be one of .*, got 'luck'"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(question, message):
    with pytest.raises(ValueError, match=message):
        choose(CANDIDATES, simulated_records(50, gate=False), **question)


def test_candidates_and_images_that_cannot_be_promised_are_refused():
    records = simulated_records(50, gate=False)
    with pytest.raises(ValueError, match="needs at least one candidate, got none"):
        choose([], records)
    by_batch = EntropyThreshold([0.5, 0.5], per="batch", batch_size=8)
    with pytest.raises(ValueError, match="about single images, got a policy by batch"):
        choose([by_batch], records)
    with pytest.raises(ValueError, match="needs two or more images, got 1"):
        choose(CANDIDATES, simulated_records(1, gate=False))
