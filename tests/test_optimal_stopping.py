"""hbnlab.policies.optimal_stopping: an answer now against what it may be worth deeper."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hbnlab.collect import collect_records
from hbnlab.hierarchy import Hierarchy
from hbnlab.inference import predict
from hbnlab.metrics import evaluate, sweep, with_temperatures
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    OptimalStopping,
    StoppingFamily,
    starting_policies,
)
from hbnlab.policies.forest import Forest
from hbnlab.policies.stopping_family import Lookahead, answer_table, expected_worth
from hbnlab.policies.view import ExitView
from hbnlab.records import simulated_records
from hbnlab.records.simulated import PETS

FLAT = Hierarchy(("class",), (("a", "b", "c", "d"),), ((),))
THREE = Hierarchy.from_table(
    [
        ("animal", "pet", "cat"),
        ("animal", "pet", "dog"),
        ("animal", "wild", "fox"),
        ("thing", "car", "van"),
        ("thing", "car", "bus"),
        ("thing", "ship", "raft"),
    ]
)


@pytest.fixture(scope="module")
def val():
    return simulated_records(600, gate=False)


@pytest.fixture(scope="module")
def test():
    return simulated_records(500, gate=False, seed=1)


@pytest.fixture(scope="module")
def family(val):
    return StoppingFamily.fit(val)


def policy_of(family, error_price=3.0, compute_price=0.5, **more):
    return OptimalStopping(
        family=family, error_price=error_price, compute_price=compute_price, **more
    )


# ---------------------------------------------------------------------- what an answer is worth


def test_an_answer_is_worth_its_bits_if_right_and_costs_the_price_if_wrong():
    prob, bits = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([3.0, 3.0, 1.0])
    assert expected_worth(prob, bits, 7.0).tolist() == [3.0, -7.0, -3.0]


def test_a_coarse_class_is_as_probable_as_the_mean_of_its_head_and_the_sum_below(val):
    records = val.subset(torch.arange(50))
    temperatures = torch.full((3, 2), 1.5)
    prob, bits = answer_table(ExitView.from_records(records, 2), 1, temperatures, PETS)
    own, fine = (records.logits[level][:, 1].div(1.5).softmax(dim=-1) for level in (0, 1))
    answer = own.argmax(dim=1)
    summed = torch.stack([fine[:, :3].sum(1), fine[:, 3:5].sum(1), fine[:, 5]], dim=1)
    expected = (own + summed).div(2)[torch.arange(50), answer]
    torch.testing.assert_close(prob[:, 0], expected)
    sizes = torch.tensor([3.0, 2.0, 1.0])[answer]
    torch.testing.assert_close(bits[:, 0], torch.log2(6 / sizes))


def test_a_class_alone_below_another_is_as_probable_as_that_one_and_is_answered(val):
    """Fish and koi say the same, so the finer answer is given."""
    view = ExitView.from_records(val, 2)
    prob, _ = answer_table(view, 2, torch.ones(3, 2), PETS)
    both = (val.prediction[:, 2, 0] == 2) & (val.prediction[:, 2, 1] == 5)
    assert both.sum() > 20
    assert torch.equal(prob[both, 0], prob[both, 1])
    decided = policy_of(StoppingFamily.fit(val), 1e3).decide(val)
    fish = (decided.exit_index == 2) & both
    assert fish.any()
    assert (decided.level_index[fish] == 1).all()


# ---------------------------------------------------------------------- the two prices


def test_computation_that_costs_a_fortune_is_not_bought(family, test):
    decided = policy_of(family, compute_price=1e6).decide(test)
    assert (decided.exit_index == 0).all()


def test_computation_that_is_free_is_bought_where_it_helps(family, test):
    decided = policy_of(family, compute_price=0.0).decide(test)
    assert (decided.exit_index == 2).double().mean() > 0.3


def test_errors_that_cost_nothing_give_fine_answers_and_dear_ones_coarse_answers(family, test):
    free, dear = (policy_of(family, price, 0.0).decide(test) for price in (0.0, 200.0))
    assert free.level_index.double().mean() > dear.level_index.double().mean() + 0.2
    assert evaluate(dear, test).accuracy > evaluate(free, test).accuracy + 0.05


def test_with_one_level_and_nothing_fitted_it_is_a_threshold_on_the_confidence():
    val, test = (simulated_records(300, hierarchy=FLAT, seed=seed) for seed in (0, 1))
    family = StoppingFamily.fit(val)
    policy = policy_of(family, 0.0, 0.8, outlook="best-case")
    steps = [policy._step_price(n) for n in range(2)]
    rule = ConfidenceThreshold([1 - step / 2 - 1e-9 for step in steps])  # a right answer has 2 bits
    expected = rule.decide(with_temperatures(test, family.temperatures))
    decided = policy.decide(test)
    assert torch.equal(decided.exit_index, expected.exit_index)
    assert len(decided.exit_index.unique()) == 3


# ---------------------------------------------------------------------- exact cases


def exact_family(seed: int, samples: int = 60, states: Tensor | None = None):
    """A family with one tree per exit, which tells states apart and forgets none.

    Returns it and the states (sample, early exit). Every image has random probabilities; those in
    state 0 of the first exit gain by depth.
    """
    generator = torch.Generator().manual_seed(seed)
    if states is None:
        first, second = (torch.randint(3, (samples,), generator=generator) for _ in range(2))
        states = torch.stack([first, 3 * first + second], dim=1)
    prob = torch.rand(samples, 3, 2, generator=generator)
    prob += 0.5 * torch.tensor([0.0, 0.2, 0.4])[:, None] * (states[:, :1, None] == 0)
    whole = torch.zeros(1, int(states.max()) + 1, dtype=torch.int64)
    forest = Forest(feature=whole, threshold=whole.double(), left=whole, right=whole, depth=0)
    in_bag = torch.ones(samples, 1, dtype=torch.bool)
    family = StoppingFamily(
        hierarchy=Hierarchy.from_dict({"a": ["x", "y"], "b": ["z", "w"]}),
        temperatures=torch.ones(3, 2),
        shares=(0.1, 0.4, 1.0),
        probabilities=prob.clamp(max=1.0),
        bits=torch.tensor([1.0, 2.0]).expand(samples, 3, 2),
        lookaheads=tuple(Lookahead(forest, states[:, n : n + 1], in_bag) for n in range(2)),
    )
    return family, states


def induced_exits(family: StoppingFamily, states: Tensor, *prices: float) -> Tensor:
    """Where the images leave by backward induction."""
    first, second = (table[0] > 0 for table in family.leaf_values(*prices))
    return exits_of(states, first, second)


def exits_of(states: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Where the images leave that go on in given states."""
    return torch.where(first[states[:, 0]], torch.where(second[states[:, 1]], 2, 1), 0)


def mean_worth(family: StoppingFamily, exits: Tensor, error: float, compute: float) -> float:
    now = expected_worth(family.probabilities, family.bits, error).amax(dim=-1)
    paid = compute * torch.tensor(family.shares)[exits]
    return float((now[torch.arange(len(exits)), exits] - paid).double().mean())


@pytest.mark.parametrize("prices", [(0.0, 0.1), (2.0, 0.5), (9.0, 2.0)])
def test_backward_induction_equals_exhaustive_search(prices):
    """No other choice of the states in which one goes on is worth more: 2^3 x 2^9 choices."""
    family, states = exact_family(0)
    found = mean_worth(family, induced_exits(family, states, *prices), *prices)
    best = max(
        mean_worth(family, exits_of(states, torch.tensor(first), torch.tensor(second)), *prices)
        for first in itertools.product([False, True], repeat=3)
        for second in itertools.product([False, True], repeat=9)
    )
    assert found == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_a_perfect_forecast_gives_the_oracle(seed):
    """Each image is a state of its own: no sequence of exits and levels is worth more."""
    states = torch.arange(40)[:, None].expand(40, 2)
    family, _ = exact_family(seed, 40, states)
    now = expected_worth(family.probabilities, family.bits, 2.0).amax(dim=-1)
    oracle = (now - 0.5 * torch.tensor(family.shares)).amax(dim=1).double().mean()
    exits = induced_exits(family, states, 2.0, 0.5)
    assert mean_worth(family, exits, 2.0, 0.5) == pytest.approx(float(oracle))


@pytest.mark.parametrize("seed", range(4))
def test_on_its_own_table_a_higher_price_never_buys_more(seed):
    family, states = exact_family(seed)

    def errors(price: float) -> float:
        exits, images = induced_exits(family, states, price, 0.3), torch.arange(len(states))
        level = expected_worth(family.probabilities, family.bits, price)[images, exits].argmax(1)
        return 1 - float(family.probabilities[images, exits, level].double().mean())

    def computed(price: float) -> float:
        exits = induced_exits(family, states, 2.0, price)
        return float(torch.tensor(family.shares).double()[exits].mean())

    for of_price in (errors, computed):
        found = [of_price(price) for price in (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 64.0)]
        assert all(one >= next_one - 1e-7 for one, next_one in itertools.pairwise(found))
        assert found[-1] < found[0]


# ---------------------------------------------------------------------- as every policy


def test_it_gains_on_thresholds_at_equal_cost(family, val, test):
    """Worth at its own prices: at least that of every forced exit and of the starting policies."""
    policy = policy_of(family, 3.0, 0.5)

    def worth(some) -> float:
        result = evaluate(some.decide(test), test)
        decided = some.decide(test)
        right = test.correct[torch.arange(len(test)), decided.exit_index, decided.level_index]
        bits = torch.where(
            right, _bits(test, decided), torch.tensor(-3.0, dtype=torch.float64)
        ).mean()
        return float(bits) - 0.5 * result.mean_flops / (2 * test.macs_to(2))

    assert worth(policy) > max(worth(other) for other in starting_policies(val).values())


def _bits(records, decided) -> Tensor:
    tables = [records.hierarchy.information(level) for level in range(2)]
    pairs = zip(decided.level_index.tolist(), decided.prediction.tolist(), strict=True)
    return torch.tensor([float(tables[level][answer]) for level, answer in pairs]).double()


@pytest.mark.parametrize("outlook", ["fitted", "best-case"])
@pytest.mark.parametrize("heads", [None, [[True, False], [True, True], [False, True]]])
def test_inference_that_leaves_early_decides_as_the_records_do(outlook, heads, tiny_network):
    network = tiny_network("gran-hbn", heads=heads).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(120, 3, 32, 32, generator=generator)
    labels = torch.randint(5, (120,), generator=generator)
    records = collect_records(network, (images, labels))
    policy = OptimalStopping.fit(records, error_price=1.0, compute_price=0.2, outlook=outlook)
    decided, found = policy.decide(records), predict(network, images, policy, batch_size=16)
    assert torch.equal(found.exit_index, decided.exit_index)
    assert torch.equal(found.level_index, decided.level_index)
    assert torch.equal(found.prediction, decided.prediction)


def test_three_levels_are_chosen_among():
    val, test = (simulated_records(500, hierarchy=THREE, seed=seed) for seed in (0, 1))
    family = StoppingFamily.fit(val)
    shares = [
        policy_of(family, price, 0.1).decide(test).level_index.bincount(minlength=3).tolist()
        for price in (0.0, 3.0, 300.0)
    ]
    assert shares[0][2] > shares[1][2] > shares[2][2]
    assert shares[2][0] > shares[0][0]


def test_later_exits_never_change_an_earlier_stop(family, test):
    policy = policy_of(family)
    changed = replace(
        test,
        logits=tuple(torch.cat([own[:, :2], -own[:, 2:]], dim=1) for own in test.logits),
    )
    before, after = policy.decide(test), policy.decide(changed)
    early = before.exit_index < 2
    assert 0 < early.sum() < len(test)
    assert torch.equal(after.exit_index[early], before.exit_index[early])
    assert torch.equal(after.level_index[early], before.level_index[early])


def test_images_are_decided_about_one_by_one(family, test):
    policy, order = policy_of(family), torch.randperm(len(test))
    whole, part = policy.decide(test), policy.decide(test.subset(order[:100]))
    assert torch.equal(part.exit_index, whole.exit_index[order[:100]])


def test_a_family_shared_in_a_sweep_decides_as_each_policy_alone(family, test):
    policies = [*policy_of(family).grid(test)[::7], EntropyThreshold([0.5, 0.5])]
    swept = sweep(policies, test)
    assert swept == [evaluate(policy.decide(test), test) for policy in policies]


def test_it_explains_itself_with_the_worth_of_every_level(family, test):
    policy, view = policy_of(family), ExitView.from_records(test, 0)
    levels = policy.step(0, view)
    row = int((levels == -1).nonzero()[0])
    (line,) = policy.explain(view, row, PETS)
    assert line.startswith("coarse now ")
    assert line.endswith("bits for computing: go on to exit 2")
    (last,) = policy.explain(ExitView.from_records(test, 2), row, PETS)
    assert last.startswith("last exit: coarse now ")
    assert "deeper" not in last


def test_another_price_needs_no_new_fit(family, test):
    policy = policy_of(family, 1.0)
    moved = policy.with_setting(policy.adjustable(PETS)[0], 20.0)
    assert moved.family is family
    assert moved.error_price == 20.0
    assert moved.python_line() == "OptimalStopping.fit(val, error_price=20.0, compute_price=0.5)"
    assert policy.decide(test).level_index.sum() > moved.decide(test).level_index.sum()


# ---------------------------------------------------------------------- refused


@pytest.mark.parametrize("name", ["error_price", "compute_price"])
@pytest.mark.parametrize("price", [-1.0, math.nan, math.inf])
def test_a_price_that_is_none_is_refused(name, price, family):
    with pytest.raises(ValueError, match=f"{name} must be finite and 0 or more, got {price}"):
        policy_of(family, **{name: price})


def test_an_unknown_outlook_is_refused(family):
    with pytest.raises(ValueError, match=r"outlook must be one of .*, got 'rosy'"):
        policy_of(family, outlook="rosy")


def test_records_of_another_network_are_refused(family):
    mask = [[True, True], [True, False], [True, True]]
    with pytest.raises(ValueError, match=r"fitted for the head mask .*, got"):
        policy_of(family).decide(simulated_records(10, heads=mask))
    with pytest.raises(ValueError, match="fitted for a tree of"):
        policy_of(family).decide(simulated_records(10, hierarchy=THREE))


def test_a_single_image_is_too_few():
    with pytest.raises(ValueError, match="needs two or more images, got 1"):
        StoppingFamily.fit(simulated_records(1))
