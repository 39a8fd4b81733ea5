import math
import re
from dataclasses import replace

import pytest
import torch
from random_records import DEEP, PETS, random_records

from hbnlab.entropy import entropy
from hbnlab.metrics import evaluate, sweep
from hbnlab.policies import (
    Comparison,
    ConfidenceThreshold,
    EntropyThreshold,
    ExitView,
    FineTolerance,
    ForcedExit,
    MarginThreshold,
    Patience,
    SemanticGate,
    batch_means,
    starting_policies,
)
from hbnlab.trees import CIFAR100

SEM = [[True, False], [True, False], [False, True]]
INF = math.inf


# ---------------------------------------------------------------------- the study's rules


def _literal(entropies, thresholds, tau, rule, batch_size):
    """Both rules for one policy, batch by batch and exit by exit, on lists of plain numbers."""
    answers = []
    for start in range(0, len(entropies), batch_size):
        batch = entropies[start : start + batch_size]
        for branch in range(3):
            h_coarse = sum(row[branch][0] for row in batch) / len(batch)
            h_fine = sum(row[branch][1] for row in batch) / len(batch)
            if branch == 2:
                answer = "fine" if h_fine - tau < h_coarse else "coarse"
            elif h_fine < thresholds[branch] and h_fine - tau < h_coarse:
                answer = "fine"
            elif h_coarse < thresholds[branch] and (
                rule == "algorithm-1" or h_coarse < h_fine - tau
            ):
                answer = "coarse"
            else:
                continue
            answers += [(branch, answer)] * len(batch)
            break
    return answers


@pytest.mark.parametrize("rule", ["algorithm-1", "published-code"])
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_fine_tolerance_equals_a_literal_loop_of_the_rule(rule, per):
    records = random_records(1100, hierarchy=CIFAR100, signal=4.0, seed=1)
    entropies = [
        [[float(entropy(records.logits[level][i, e])) for level in (0, 1)] for e in range(3)]
        for i in range(len(records))
    ]
    size = 1 if per == "sample" else 64
    batch_size = None if per == "sample" else size
    table = torch.stack([batch_means(column, size) for column in records.entropy.flatten(1).T])
    # Near the medians, but not on them: a mean that is a threshold would be a tie but for rounding.
    coarse, fine = 1e-3 + table.view(3, 2, -1).median(dim=2).values.T
    pairs = [coarse[:2], fine[:2], [coarse[0], fine[1]]]
    gap = table[5] - table[4]
    taus = torch.linspace(float(gap.min()) - 0.1, float(gap.max()) + 0.1, 50).tolist()
    policies = [([float(t) for t in pair], tau) for pair in pairs for tau in taus]
    cells_seen = set()
    for thresholds, tau in policies:
        policy = FineTolerance(thresholds, tau, rule, per=per, batch_size=batch_size)
        decisions = policy.decide(records)
        names = zip(decisions.exit_index.tolist(), decisions.level_index.tolist(), strict=True)
        ours = [(exit_index, ("coarse", "fine")[level]) for exit_index, level in names]
        assert ours == _literal(entropies, thresholds, tau, rule, size)
        cells_seen |= set(ours)
    assert len(policies) == 150
    assert len(cells_seen) == 6  # the comparison saw every cell


def _two_entropies(fine, coarse):
    """Records of one image whose first exit has these entropies; the second is as unsure as can be.

    Four fine classes under two coarse ones, for entropies up to ln 2 of either.
    """
    from hbnlab.hierarchy import Hierarchy

    tree = Hierarchy.from_dict({"a": ["p", "q"], "b": ["r", "s"]})
    records = random_records(1, hierarchy=tree, num_exits=2)
    logits = [tensor.clone() for tensor in records.logits]
    for level, wished in ((0, coarse), (1, fine)):
        low, high = 0.0, 60.0
        for _ in range(60):
            gap = (low + high) / 2
            row = torch.full((tree.num_classes[level],), -1e9)
            row[:2] = torch.tensor([gap, 0.0])
            low, high = (gap, high) if float(entropy(row)) > wished else (low, gap)
        logits[level][0, 0] = row
        logits[level][0, 1] = 0.0
    return replace(records, logits=tuple(logits))


def test_the_two_rules_part_where_the_coarse_head_is_sure_and_the_tolerance_too_wide():
    records = _two_entropies(fine=0.6, coarse=0.4)
    algorithm = FineTolerance([0.5], 0.3, "algorithm-1").decide(records)
    code = FineTolerance([0.5], 0.3, "published-code").decide(records)
    assert (int(algorithm.exit_index), int(algorithm.level_index)) == (0, 0)
    assert int(code.exit_index) == 1


def test_comparisons_are_strict():
    records = random_records(30)
    table = records.entropy
    policy = EntropyThreshold([float(table[4, 0, 1]), 0.0])
    assert int(policy.decide(records).exit_index[4]) == 2
    tau = float(table[4, 2, 1] - table[4, 2, 0])
    assert int(FineTolerance([0, 0], tau).decide(records).level_index[4]) == 0
    just_above = math.nextafter(tau, INF) + 1e-6
    assert int(FineTolerance([0, 0], just_above).decide(records).level_index[4]) == 1


def test_the_limits_of_the_tolerance_are_all_fine_and_all_coarse():
    records = random_records()
    for rule in ("algorithm-1", "published-code"):
        for thresholds in ([INF, 0], [0, 0], [0, INF]):
            finely = FineTolerance(thresholds, INF, rule).decide(records)
            coarsely = FineTolerance(thresholds, -INF, rule).decide(records)
            assert (finely.level_index == 1).all()
            assert (coarsely.level_index == 0).all()


def test_a_rule_at_one_exit_sends_every_image_there():
    records = random_records()
    for exit_index in range(3):
        decisions = FineTolerance.at_exit(exit_index, 3, 0.3).decide(records)
        assert (decisions.exit_index == exit_index).all()
        gap = records.entropy[:, exit_index, 1] - records.entropy[:, exit_index, 0]
        assert torch.equal(decisions.level_index == 1, gap < 0.3)
    with pytest.raises(ValueError, match=r"exit_index must be in 0\.\.2, got 3"):
        FineTolerance.at_exit(3, 3, 0.0)


def test_a_batch_of_one_is_an_image():
    records = random_records()
    for policy in (
        FineTolerance([1.0, 1.2], 0.2),
        EntropyThreshold([1.0, 1.2]),
        SemanticGate([1.0, 1.2]),
        ConfidenceThreshold([0.7, 0.7]),
    ):
        alone = policy.decide(records)
        batched = replace(policy, per="batch", batch_size=1).decide(records)
        assert torch.equal(alone.exit_index, batched.exit_index)
        assert torch.equal(alone.level_index, batched.level_index)


def test_a_whole_batch_leaves_together_and_the_last_one_counts_its_own_images():
    records = random_records(70)
    policy = EntropyThreshold([1.1, 1.3], per="batch", batch_size=32)
    exits = policy.decide(records).exit_index
    for start in range(0, 70, 32):
        batch = exits[start : start + 32]
        assert len(batch.unique()) == 1
        means = records.entropy[start : start + 32, :, 1].mean(0)
        assert int(batch[0]) == next(n for n, t in enumerate([1.1, 1.3, INF]) if means[n] < t)


def test_batch_means_of_a_batch_are_the_same_alone_and_among_others():
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    together = batch_means(values, 64)
    alone = torch.cat([batch_means(chunk, 64) for chunk in values.split(64)])
    assert torch.equal(together, alone)
    assert float(together[-1]) == pytest.approx(float(values[960:].mean()), abs=1e-6)


# ---------------------------------------------------------------------- the other rules


def test_entropy_threshold_takes_the_finest_head_that_each_exit_has():
    records = random_records(heads=SEM)
    decisions = EntropyThreshold([INF, 0]).decide(records)
    assert (decisions.exit_index == 0).all()
    assert (decisions.level_index == 0).all()
    decisions = EntropyThreshold([0, 0]).decide(records)
    assert (decisions.level_index == 1).all()
    assert torch.equal(decisions.prediction, records.prediction[:, 2, 1])


def test_the_gate_chooses_the_level_and_a_tie_is_coarse():
    records = random_records(4)
    gate = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [-1.0, 2.0]])
    records = replace(records, gate_logits=gate)
    for thresholds in ([INF, INF], [0, INF], [0, 0]):
        assert SemanticGate(thresholds).decide(records).level_index.tolist() == [1, 0, 0, 1]


def test_the_gate_leaves_on_the_entropy_of_its_own_level():
    records = random_records(100)
    thresholds = [0.8, 0.9]
    decisions = SemanticGate(thresholds).decide(records)
    for i in range(100):
        level = int(records.gate_logits[i, 1] > records.gate_logits[i, 0])
        leaves = [n for n in (0, 1) if records.entropy[i, n, level] < thresholds[n]]
        assert int(decisions.exit_index[i]) == (leaves[0] if leaves else 2)
        assert int(decisions.level_index[i]) == level


def test_by_batch_half_of_the_votes_make_the_gate_fine():
    fine, coarse = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    gate = torch.cat([fine, coarse, coarse, coarse])
    records = replace(random_records(4), gate_logits=gate)
    decisions = SemanticGate([0, 0], per="batch", batch_size=2).decide(records)
    assert decisions.level_index.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("rule", [ConfidenceThreshold, MarginThreshold])
def test_rules_of_confidence_leave_above_their_threshold(rule):
    records = random_records(60)
    table = records.confidence if rule is ConfidenceThreshold else records.margin
    decisions = rule([0.6, 0.5]).decide(records)
    first = torch.where(
        table[:, 0, 1] > 0.6, 0, torch.where(table[:, 1, 1] > 0.5, 1, torch.full((60,), 2))
    )
    assert torch.equal(decisions.exit_index, first)
    assert (rule([0, 0]).decide(records).exit_index == 0).all()
    assert (rule([1, 1]).decide(records).exit_index == 2).all()


def test_patience_counts_exits_in_a_row_that_agree():
    records = random_records(300, num_exits=4)
    classes = records.prediction[:, :, 1].tolist()
    for k in (1, 2, 3, 4):
        decisions = Patience(k).decide(records)
        for row, exit_index in zip(classes, decisions.exit_index.tolist(), strict=True):
            runs = [n for n in range(k - 1, 4) if len(set(row[n - k + 1 : n + 1])) == 1]
            assert exit_index == (runs[0] if runs else 3)


def test_a_forced_exit_answers_every_image_there_and_pays_for_no_other_branch():
    records = random_records(heads=[[True, True], [True, False], [False, True]])
    decisions = ForcedExit(1).decide(records)
    assert (decisions.exit_index == 1).all()
    assert torch.equal(decisions.prediction, records.prediction[:, 1, 0])
    assert (decisions.macs == 100 + 200 + 20).all()
    assert (ForcedExit(0, level=0).decide(records).level_index == 0).all()


def test_a_deeper_tree_answers_at_the_coarse_level_asked_for():
    records = random_records(60, hierarchy=DEEP)
    for coarse_level in (0, 1):
        for policy in (
            FineTolerance([0.9, 0.9], 0.2, coarse_level=coarse_level),
            SemanticGate([0.9, 0.9], coarse_level=coarse_level),
        ):
            assert set(policy.decide(records).level_index.tolist()) == {coarse_level, 2}
    assert set(EntropyThreshold([1, 1], level=1).decide(records).level_index.tolist()) == {1}


@pytest.mark.parametrize("policy", [FineTolerance([0, 1], 0.1), EntropyThreshold([0, 1], level=1)])
def test_an_exit_that_is_not_looked_at_may_lack_the_heads(policy):
    records = random_records(heads=[[True, False], [True, True], [True, True]])
    decisions = policy.decide(records)
    assert (decisions.exit_index > 0).all()
    assert sweep([policy, policy], records) == [evaluate(decisions, records)] * 2


# ---------------------------------------------------------------------- costs


def test_what_a_policy_never_looks_at_is_not_paid_for():
    records = random_records()
    assert EntropyThreshold([0, 1]).macs_to_exits(records) == [100, 320, 650]
    assert EntropyThreshold([1, 0]).macs_to_exits(records) == [110, 310, 640]
    assert FineTolerance([0, 0], 0).macs_to_exits(records) == [100, 300, 630]
    assert SemanticGate([0, 0]).macs_to_exits(records) == [110, 310, 640]
    assert ConfidenceThreshold([1, 0]).macs_to_exits(records) == [100, 320, 650]
    assert Patience(3).macs_to_exits(records) == [records.macs_to(n) for n in range(3)]


def test_decisions_carry_the_cost_of_the_exit_taken():
    records = random_records()
    policy = EntropyThreshold([0.8, 1.0])
    decisions = policy.decide(records)
    costs = torch.tensor(policy.macs_to_exits(records))
    assert torch.equal(decisions.macs, costs[decisions.exit_index])
    assert len(decisions.exit_index.unique()) == 3


# ---------------------------------------------------------------------- the view


POLICIES = [
    EntropyThreshold([0.9, 1.0]),
    EntropyThreshold([0.0, 1.0]),
    FineTolerance([0.9, 0.9], 0.2),
    FineTolerance([0.9, 0.9], 0.2, "published-code"),
    SemanticGate([0.9, 0.9]),
    SemanticGate([0.0, 0.9]),
    ConfidenceThreshold([0.7, 0.6]),
    MarginThreshold([0.5, 0.5]),
    Patience(2),
    ForcedExit(1, 0),
]


def _run_exit_by_exit(policy, records, chunk):
    """Decide as inference does: chunk by chunk, with the logits of the survivors alone."""
    exits, levels = torch.full((len(records),), -1), torch.full((len(records),), -1)
    for alive in torch.arange(len(records)).split(chunk):
        rows: list[list[torch.Tensor | None]] = []
        gate = records.gate_logits[alive]
        for exit_index in range(records.num_exits):
            if not len(alive):
                break
            is_last = exit_index == records.num_exits - 1
            runs = policy.consults(exit_index) or is_last
            rows.append([lg[alive, exit_index] if runs else None for lg in records.logits])
            if not runs:
                continue
            view = ExitView(rows, gate, is_last=is_last, batch_size=policy.view_batch_size)
            level = policy.step(exit_index, view)
            leaves = level >= 0
            exits[alive[leaves]], levels[alive[leaves]] = exit_index, level[leaves]
            alive, gate = alive[~leaves], gate[~leaves]
            rows = [[None if lg is None else lg[~leaves] for lg in row] for row in rows]
    return exits, levels


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_deciding_survivors_exit_by_exit_equals_deciding_from_records(policy, chunk):
    records = random_records(65, hierarchy=CIFAR100, signal=5.0)
    decisions = policy.decide(records)
    exits, levels = _run_exit_by_exit(policy, records, chunk)
    assert torch.equal(exits, decisions.exit_index)
    assert torch.equal(levels, decisions.level_index)


@pytest.mark.parametrize("rule", ["algorithm-1", "published-code"])
def test_batches_decided_exit_by_exit_equal_those_from_records(rule):
    records = random_records(150, hierarchy=CIFAR100, signal=5.0)
    for tau in (0.2, 0.4, 0.6):
        policy = FineTolerance([2.2, 2.3], tau, rule, per="batch", batch_size=16)
        decisions = policy.decide(records)
        exits, levels = _run_exit_by_exit(policy, records, 16)
        assert torch.equal(exits, decisions.exit_index)
        assert torch.equal(levels, decisions.level_index)


def test_a_view_holds_nothing_behind_its_exit():
    view = ExitView.from_records(random_records(), 1)
    assert view.entropy(1, 0).shape == (40,)
    with pytest.raises(ValueError, match="a policy at exit 2 sees no other exits"):
        view.entropy(2, 0)
    assert not view.is_last


def test_a_view_says_what_was_not_computed():
    view = ExitView.from_records(random_records(heads=SEM, gate=False), 0)
    with pytest.raises(ValueError, match="nothing was computed at exit 1, level 2 of 2"):
        view.entropy(0, 1)
    with pytest.raises(ValueError, match="the gate is asked for"):
        view.gate_is_fine()
    with pytest.raises(ValueError, match="at least one exit, got none"):
        ExitView([], is_last=True)


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize("rule", [EntropyThreshold, SemanticGate, ConfidenceThreshold])
def test_thresholds_that_are_nan_or_negative_are_refused(rule):
    with pytest.raises(ValueError, match="0 or more, got nan at exit 2"):
        rule([0.5, math.nan])
    with pytest.raises(ValueError, match=r"0 or more, got -0\.5 at exit 1"):
        rule([-0.5, 1])


@pytest.mark.parametrize(
    "policy",
    [
        EntropyThreshold([1]),
        SemanticGate([1, 1, 1]),
        FineTolerance([1, 1, 1], 0.1),
        MarginThreshold([0.5]),
    ],
)
def test_thresholds_of_the_wrong_number_are_refused_with_both_numbers(policy):
    count = len(policy.thresholds)
    with pytest.raises(ValueError, match=f"of 3 exits takes 2, got {count}"):
        policy.decide(random_records())


def test_settings_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="fine_tolerance must be a number, got nan"):
        FineTolerance([1], math.nan)
    with pytest.raises(ValueError, match=r"rule must be .* got 'paper'"):
        FineTolerance([1], 0.1, "paper")
    with pytest.raises(ValueError, match="per must be 'sample' or 'batch', got 'image'"):
        EntropyThreshold([1], per="image")
    for settings in ({"per": "batch"}, {"batch_size": 64}):
        with pytest.raises(ValueError, match="must be given for per='batch' and only there"):
            EntropyThreshold([1], **settings)
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        EntropyThreshold([1], per="batch", batch_size=0)
    with pytest.raises(ValueError, match="agreeing must be 1 or more, got 0"):
        Patience(0)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (FineTolerance([1, 1], 0.1), "FineTolerance asks for exit 1, level 'fine'"),
        (FineTolerance([0, 1], 0.1), "FineTolerance asks for exit 2, level 'fine'"),
        (EntropyThreshold([1, 1], level=1), "EntropyThreshold asks for exit 1, level 'fine'"),
        (EntropyThreshold([1, 1], level=5), "asks for exit 1, level 5"),
        (ForcedExit(2, 0), "ForcedExit asks for exit 3, level 'coarse'"),
        (Patience(2), "Patience asks for exit 1, level 'fine'"),
    ],
)
def test_a_policy_that_asks_for_a_missing_cell_is_refused_with_both_named(policy, message):
    with pytest.raises(ValueError, match=message) as caught:
        policy.decide(random_records(heads=SEM))
    assert "the cells are: exit 1 coarse, exit 2 coarse, exit 3 fine" in str(caught.value)


def test_other_things_that_records_lack_are_refused():
    with pytest.raises(ValueError, match="asks for a gate, and the network has none"):
        SemanticGate([1, 1]).decide(random_records(gate=False))
    with pytest.raises(ValueError, match=r"coarse_level must be .* got 1"):
        FineTolerance([1, 1], 0.1, coarse_level=1).decide(random_records())
    with pytest.raises(ValueError, match=r"exit_index must be in 0\.\.2, got 3"):
        ForcedExit(3).decide(random_records())


def test_a_policy_fitted_for_another_tree_is_refused():
    policy = EntropyThreshold([1, 1], hierarchy=PETS)
    policy.decide(random_records())
    with pytest.raises(ValueError, match=r"fitted for a tree of 3 coarse > 6 fine .* 2 kingdom > "):
        policy.decide(random_records(hierarchy=DEEP))


def test_a_rule_that_leaves_an_image_without_an_answer_is_refused():
    class Silent(ForcedExit):
        def answers(self, exit_index, view):
            del exit_index, view
            return {}

    with pytest.raises(ValueError, match="Silent left 40 of 40 without an answer"):
        Silent(0).decide(random_records())


def test_numbers_of_any_kind_make_equal_policies():
    assert EntropyThreshold([1, 2]) == EntropyThreshold((1.0, 2.0))
    assert hash(FineTolerance([1, 2], 0)) == hash(FineTolerance((1.0, 2.0), 0.0))


# ---------------------------------------------------------------------- explaining itself


def _lines(policy, records, exit_index, row):
    return policy.explain(ExitView.from_records(records, exit_index), row, records.hierarchy)


class _Eager(FineTolerance):
    def answers(self, exit_index, view):
        return {1: view.all_images()}


class _EagerEntropy(EntropyThreshold):
    def answers(self, exit_index, view):
        return {1: view.all_images()}


@pytest.mark.parametrize("policy", [_Eager([0.3, 0.3], 0.1), _EagerEntropy([0.3, 0.3])])
def test_an_overridden_rule_is_not_explained_in_the_words_of_the_parent(policy):
    assert _lines(policy, random_records(), 0, 0) == [f"{type(policy).__name__} says: answer fine"]


def test_who_overrides_the_rule_may_explain_it_too():
    class Eagerly(_Eager):
        def answers(self, exit_index, view):
            return {1: view.all_images()}

        def explain(self, view, row, hierarchy):
            return ["at once"]

    class Child(Eagerly):
        pass

    assert _lines(Child([0.3, 0.3], 0.1), random_records(), 0, 0) == ["at once"]


def test_a_score_of_the_parent_is_not_named_in_the_explanation_of_another():
    class OfMargin(EntropyThreshold):
        score, comparison, question = "margin", ">", "margin above"

    (line,) = _lines(OfMargin([0.3, 0.3]), random_records(), 0, 0)
    assert line.startswith("fine margin above the threshold? ")


def test_every_policy_says_its_title_and_its_line_of_python():
    titles = {policy.title: policy.python_line() for policy in POLICIES}
    assert titles == {
        "entropy threshold": "EntropyThreshold([0.0, 1.0])",
        "fine tolerance": "FineTolerance([0.9, 0.9], 0.2)",
        "fine tolerance, published code": ("FineTolerance([0.9, 0.9], 0.2, rule='published-code')"),
        "semantic gate": "SemanticGate([0.0, 0.9])",
        "confidence threshold": "ConfidenceThreshold([0.7, 0.6])",
        "margin threshold": "MarginThreshold([0.5, 0.5])",
        "patience": "Patience(2)",
        "forced exit": "ForcedExit(1, level=0)",
    }


def test_a_batch_size_is_taken_by_policies_that_decide_by_batch():
    assert SemanticGate([1, 1]).with_batch_size(8) == SemanticGate(
        [1, 1], per="batch", batch_size=8
    )
    assert SemanticGate([1, 1]).with_batch_size(8).with_batch_size(None) == SemanticGate([1, 1])
    assert Patience(2).with_batch_size(None) == Patience(2)
    with pytest.raises(ValueError, match="a policy of patience decides image by image"):
        Patience(2).with_batch_size(8)


@pytest.mark.parametrize(
    "kind", [EntropyThreshold, SemanticGate, ConfidenceThreshold, MarginThreshold]
)
def test_any_policy_with_thresholds_can_be_held_to_one_exit(kind):
    records = random_records()
    for exit_index in range(3):
        policy = kind.at_exit(exit_index, 3)
        assert (policy.decide(records).exit_index == exit_index).all()
    by_batch = kind.at_exit(0, 3, per="batch", batch_size=4)
    assert by_batch == kind.at_exit(0, 3).with_batch_size(4)


def test_numbers_are_taken_over_where_they_mean_the_same():
    tolerant = FineTolerance([0.8, 0.6], 0.3)
    start = FineTolerance([0.1, 0.1], 0.0, "published-code")
    assert start.with_numbers_of(tolerant) == FineTolerance([0.8, 0.6], 0.3, "published-code")
    assert start.with_numbers_of(EntropyThreshold([0.5, 0.5])) == replace(
        start, thresholds=[0.5, 0.5]
    )
    assert SemanticGate([1, 1]).with_numbers_of(tolerant) == SemanticGate([0.8, 0.6])
    for other in (ConfidenceThreshold([0.5, 0.5]), Patience(2)):
        assert start.with_numbers_of(other) == start
        assert Patience(3).with_numbers_of(other) == Patience(3)
        assert Patience(3).typical(random_records()) == Patience(3)


def test_a_grid_that_would_need_missing_heads_is_refused():
    heads = [[True, False, True], [True, True, True], [True, True, True]]
    records = random_records(20, hierarchy=DEEP, heads=heads)
    policy = FineTolerance([0, 0.5], 0.2, coarse_level=1)
    assert len(policy.decide(records)) == 20
    with pytest.raises(
        ValueError, match="a grid moves every threshold, and then FineTolerance asks"
    ):
        policy.grid(records)


def test_a_grid_has_every_extreme_and_a_line_of_its_own():
    records = random_records()
    for policy in starting_policies(records).values():
        results = sweep(policy.grid(records), records)
        assert {0.0, 1.0} <= {result.exit_shares[0] for result in results}
        assert len(results) <= 180
    line = sweep(FineTolerance([0.8, 0.6], 0.3).trade_off(records), records)
    specificities = [result.specificity for result in line]
    assert specificities == sorted(specificities)
    assert specificities[0] == 0
    assert len(line) == 25


def test_policies_to_start_from_are_those_that_the_heads_allow():
    assert "semantic gate" in starting_policies(random_records(20))
    assert "semantic gate" not in starting_policies(random_records(20, gate=False))
    sem = starting_policies(random_records(20, heads=SEM))
    assert list(sem) == ["entropy threshold", "confidence threshold", "margin threshold"]
    deep = random_records(20, hierarchy=DEEP, heads=[[False, True, True]] * 3)
    assert starting_policies(deep)["fine tolerance"].coarse_level == 1
    assert starting_policies(random_records(20), batch_size=5)["semantic gate"].batch_size == 5


EXPLAINED = [
    *POLICIES,
    FineTolerance([0.8, INF], -0.1),
    FineTolerance([0.0, 0.6], INF, "published-code"),
    SemanticGate([0.5, 0.4]),
    EntropyThreshold([0.5, 0.4], level=0),
]


@pytest.mark.parametrize("policy", EXPLAINED, ids=repr)
def test_an_explanation_ends_with_what_the_policy_does(policy):
    records = random_records(60)
    decisions = policy.decide(records)
    for exit_index in policy.consulted_exits(3):
        view = ExitView.from_records(records, exit_index)
        for row in range(60):
            last = policy.explain(view, row, records.hierarchy)[-1]
            here = exit_index == decisions.exit_index[row]
            name = records.hierarchy.level_names[decisions.level_index[row]]
            if exit_index <= decisions.exit_index[row]:
                assert last.endswith(
                    f"answer {name}" if here else f"go on to exit {exit_index + 2}"
                )


@pytest.mark.parametrize("policy", EXPLAINED, ids=repr)
def test_every_comparison_of_an_explanation_is_true_as_it_is_written(policy):
    records = random_records(60)
    pattern = re.compile(r"([-\d.]+)(?: - ([-\d.]+))? ([<>]) (\S+): (yes|no)")
    for exit_index in policy.consulted_exits(3):
        view = ExitView.from_records(records, exit_index)
        for line in (x for i in range(60) for x in policy.explain(view, i, records.hierarchy)):
            for first, second, sign, limit, verdict in pattern.findall(line):
                value = round(float(first) - float(second or 0), 7)
                edge = float(limit.replace("∞", "inf"))
                assert (value < edge if sign == "<" else value > edge) == (verdict == "yes"), line


def test_a_comparison_takes_as_many_digits_as_show_its_verdict():
    near = Comparison("entropy under the threshold", (torch.tensor(0.50004),), 0.5)
    assert near.line() == "entropy under the threshold? 0.50004 < 0.50000: no"
    equal = Comparison("gap under the tolerance", (torch.tensor(0.75), torch.tensor(0.25)), 0.5)
    assert equal.line("go on") == "gap under the tolerance? 0.75 - 0.25 < 0.50: no, go on"


def test_policies_that_have_no_numbers_have_no_sliders_and_one_policy_in_their_grid():
    for policy in (Patience(2), ForcedExit(1, 0)):
        assert policy.adjustable(PETS) == ()
        assert policy.grid(random_records()) == [policy]
    with pytest.raises(ValueError, match="ForcedExit asks for exit 2, level 'fine'"):
        ForcedExit(1, 1).grid(random_records(heads=SEM))


def test_the_sliders_of_the_tolerance_go_beyond_every_gap():
    *thresholds, tolerance = FineTolerance([0.8, 0.6], 0.3).adjustable(PETS)
    assert [setting.label for setting in thresholds] == ["threshold, exit 1", "threshold, exit 2"]
    assert (tolerance.label, tolerance.low, tolerance.high) == ("fine tolerance", -1.1, 1.8)
    moved = FineTolerance([0.8, 0.6], 0.3).with_setting(tolerance, -0.5)
    assert moved == FineTolerance([0.8, 0.6], -0.5)
    assert moved.point_label == "tolerance -0.5"
    assert FineTolerance([0.8, INF], INF).python_line() == (
        'FineTolerance([0.8, float("inf")], float("inf"))'
    )
