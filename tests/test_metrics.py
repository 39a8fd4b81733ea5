"""Evaluation of decisions, sweeps and the table of cells."""

import math
from dataclasses import replace

import pytest
import torch
from random_records import DEEP, PETS, random_records

from hbnlab.hierarchy import Hierarchy
from hbnlab.metrics import (
    Constraints,
    Evaluation,
    answer_values,
    best,
    by_lot,
    cell_table,
    evaluate,
    pareto_front,
    sweep,
    sweep_table,
    top_k_accuracy,
)
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    ForcedExit,
    MarginThreshold,
    Patience,
    SemanticGate,
)
from hbnlab.records import Decisions
from hbnlab.trees import CIFAR100

INF = math.inf


def _by_hand(decisions, records):
    """Every number, image by image with names of classes."""
    tree, rows = records.hierarchy, []
    columns = (decisions.exit_index, decisions.level_index, decisions.prediction, decisions.macs)
    for i, (exit_index, level, answer, macs) in enumerate(zip(*columns, strict=True)):
        under = tree.leaves(int(level), int(answer))
        truth = int(records.labels[i, -1])
        coarse = {int(tree.ancestors(0)[leaf]) for leaf in under}
        rows.append(
            (
                truth in under,
                int(records.labels[i, 0]) in coarse,
                int(level) == tree.finest,
                math.log2(tree.num_classes[-1] / len(under)),
                int(macs),
                records.macs_to(int(exit_index)),
            )
        )
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("hierarchy", [PETS, DEEP, CIFAR100])
def test_an_evaluation_equals_counting_by_hand(hierarchy):
    records = random_records(60, hierarchy=hierarchy)
    decisions = FineTolerance([1.2, 1.2], 0.3).decide(records)
    found = evaluate(decisions, records)
    fields = ("accuracy", "hierarchical_accuracy", "specificity", "information", "mean_macs")
    assert [getattr(found, name) for name in (*fields, "study_macs")] == pytest.approx(
        _by_hand(decisions, records)
    )
    assert found.mean_flops == 2 * found.mean_macs
    assert sum(found.exit_shares) == pytest.approx(1)
    for exit_index in range(3):
        for level in range(hierarchy.num_levels):
            here = (decisions.exit_index == exit_index) & (decisions.level_index == level)
            assert found.shares[exit_index][level] == int(here.sum()) / 60


def test_values_by_image_have_the_evaluation_as_their_mean():
    records = random_records(60)
    decisions = FineTolerance([0.9, 0.9], 0.3).decide(records)
    found = evaluate(decisions, records)
    for name, values in answer_values(decisions, records).items():
        assert float(values.mean()) == pytest.approx(getattr(found, name))


def test_a_coarse_answer_of_cifar100_carries_4_32_bits_and_a_fine_one_6_64():
    records = random_records(20, hierarchy=CIFAR100)
    for level, bits in ((0, math.log2(20)), (1, math.log2(100))):
        found = evaluate(ForcedExit(0, level).decide(records), records)
        assert found.information == pytest.approx(bits)


def test_specificity_by_batch_gives_a_short_last_batch_the_weight_of_a_whole_one():
    records = random_records(10)
    gate = torch.tensor([[0.0, 1.0]] * 8 + [[1.0, 0.0]] * 2)
    decisions = SemanticGate([INF, INF]).decide(replace(records, gate_logits=gate))
    found = evaluate(decisions, records, batch_size=8)
    assert found.specificity == 0.8
    assert found.batch_specificity == 0.5
    assert evaluate(decisions, records).batch_specificity is None
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        evaluate(decisions, records, batch_size=0)


def test_an_evaluation_turns_into_plain_values():
    import json

    records = random_records()
    found = evaluate(ForcedExit(1).decide(records), records, batch_size=8)
    read = json.loads(json.dumps(found.to_dict()))
    assert read["mean_flops"] == 2 * read["mean_macs"] == 640
    assert read["study_flops"] == 2 * records.macs_to(1)
    assert read["shares"][1][1] == read["batch_specificity"] == 1


# ---------------------------------------------------------------------- sweeps


def _many_policies():
    pairs = [(0.5, 1.0), (0, 0.9), (INF, 0), (1, 1)]
    taus = [-INF, -0.2, 0.0, 0.1, 0.4, INF]
    tolerances = [
        FineTolerance(pair, tau, rule, **batch)
        for pair in pairs
        for tau in taus
        for rule in ("algorithm-1", "published-code")
        for batch in ({}, {"per": "batch", "batch_size": 16})
    ]
    gates = [SemanticGate(pair) for pair in pairs]
    scores = [rule(pair) for rule in (ConfidenceThreshold, MarginThreshold) for pair in pairs]
    entropies = [EntropyThreshold(pair, level) for pair in pairs for level in (None, 0)]
    return [*tolerances, Patience(2), *gates, ForcedExit(1), *scores, *entropies, ForcedExit(1, 0)]


def test_a_sweep_equals_evaluating_each_policy_alone():
    records = random_records(50)
    policies = _many_policies()
    alone = [evaluate(p.decide(records), records, batch_size=16) for p in policies]
    assert sweep(policies, records, batch_size=16) == alone


def test_a_sweep_of_a_network_of_one_exit():
    records = random_records(30, num_exits=1)
    policies = [EntropyThreshold([]), EntropyThreshold([], level=0), EntropyThreshold([])]
    policies += [FineTolerance([], tau) for tau in (-0.5, 0.0, 0.5)]
    alone = [evaluate(policy.decide(records), records) for policy in policies]
    assert sweep(policies, records) == alone


def test_a_sweep_of_nothing_is_nothing():
    assert sweep([], random_records()) == []


def test_a_sweep_refuses_what_decide_refuses():
    with pytest.raises(ValueError, match="of 3 exits takes 2, got 1"):
        sweep([EntropyThreshold([1, 1]), EntropyThreshold([1])], random_records())


class _TwoLevelsAtOnce(ForcedExit):
    def answers(self, exit_index, view):
        return {level: view.all_images() for level in range(view.num_levels)}


class _NobodyAnswered(ForcedExit):
    def answers(self, exit_index, view):
        return {}


class _NoSuchHead(ForcedExit):
    def answers(self, exit_index, view):
        return {1: view.all_images()}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (_TwoLevelsAtOnce(1), "each image at one level, _TwoLevelsAtOnce answered 50 of 50 at two"),
        (_NobodyAnswered(0), "answer every image, _NobodyAnswered left 50 of 50 without an answer"),
        (_NoSuchHead(0), "nothing was computed at exit 1, level 2 of 2"),
    ],
)
def test_decide_and_sweep_refuse_answers_at_two_levels_or_none(policy, words):
    records = random_records(50, heads=[[True, False], [True, True], [True, True]])
    with pytest.raises(ValueError, match=words):
        policy.decide(records)
    with pytest.raises(ValueError, match=words):
        sweep([policy], records)


def test_a_sweep_table_has_settings_and_results_side_by_side():
    records = random_records()
    policies = [FineTolerance([1, 1], tau) for tau in (0.0, 0.4)] + [EntropyThreshold([1, 1])]
    table = sweep_table(policies, records)
    assert list(table["policy"]) == ["FineTolerance", "FineTolerance", "EntropyThreshold"]
    assert list(table["fine_tolerance"][:2]) == [0.0, 0.4]
    found = [evaluate(policy.decide(records), records) for policy in policies]
    assert list(table["accuracy"]) == [result.accuracy for result in found]
    assert list(table["share exit 2 fine"]) == [result.shares[1][1] for result in found]
    assert "hierarchy" not in table


# ---------------------------------------------------------------------- cells, ranks, selection


def test_the_table_of_cells_has_a_row_for_each_head():
    records = random_records(80, heads=[[True, False], [True, True], [False, True]])
    rows = cell_table(records)
    assert [(row["exit"], row["level"]) for row in rows] == [
        (1, "coarse"),
        (2, "coarse"),
        (2, "fine"),
        (3, "fine"),
    ]
    for row in rows:
        cell = records.cell(row["exit"] - 1, row["level"])
        assert row["accuracy"] == pytest.approx(float(cell.correct.double().mean()))
        assert row["specificity"] == (row["level"] == "fine")
        lifted = PETS.ancestors(0, cell.level_index)[cell.prediction]
        right = float((lifted == records.labels[:, 0]).double().mean())
        assert row["hierarchical_accuracy"] == pytest.approx(right)
        assert row["entropy"] == pytest.approx(float(cell.entropy.mean()))
        assert row["flops"] == 2 * records.macs_to(row["exit"] - 1)
    assert [row["pruned_flops"] for row in rows] == [220, 640, 640, 1260]


def test_top_k_counts_the_truth_among_the_first_k():
    from sklearn.metrics import top_k_accuracy_score

    records = random_records(150, hierarchy=CIFAR100)
    cell = records.cell(0, "fine")
    for k in (1, 2, 5, 50):
        expected = top_k_accuracy_score(
            cell.labels.numpy(), cell.logits.numpy(), k=k, labels=range(100)
        )
        assert top_k_accuracy(records, 0, "fine", k) == pytest.approx(expected)
    assert top_k_accuracy(records, 0, "fine", 1) == pytest.approx(
        float(cell.correct.double().mean())
    )
    assert top_k_accuracy(records, 0, "fine", 100) == 1
    with pytest.raises(ValueError, match=r"k must be in 1\.\.100, got 101"):
        top_k_accuracy(records, 0, "fine", 101)


def test_top_1_is_the_accuracy_even_when_all_logits_tie():
    records = random_records()
    flat = replace(records, logits=tuple(torch.zeros_like(x) for x in records.logits))
    assert top_k_accuracy(flat, 0, 1, 1) == pytest.approx(
        float(flat.correct[:, 0, 1].double().mean())
    )


def _evaluation(**values):
    plain = {"num_images": 10, "accuracy": 0.5, "hierarchical_accuracy": 0.5, "specificity": 0.5}
    plain |= {"information": 1.0, "mean_macs": 1.0, "study_macs": 1.0, "shares": ((0.5, 0.5),)}
    return Evaluation(**(plain | values))


def test_of_points_those_stay_that_no_other_beats():
    points = [(2, 0.5), (1, 0.5), (1, 0.4), (3, 0.5), (0.5, 0.1), (4, 0.9), (1, 0.5)]
    found = [_evaluation(mean_macs=float(cost), information=gain) for cost, gain in points]
    assert pareto_front(found, gain="information") == [4, 1, 5]
    found = [_evaluation(specificity=1 - cost / 5, accuracy=gain) for cost, gain in points]
    assert pareto_front(found, cost="coarse_share") == [4, 1, 5]


def test_the_best_meets_the_constraints_and_is_first_by_what_is_preferred():
    points = [(0.5, 0.5, 1.0), (0.7, 0.2, 2.0), (0.8, 0.6, 4.0), (0.8, 0.6, 3.0)]
    names = ("accuracy", "specificity", "mean_macs")
    found = [_evaluation(**dict(zip(names, point, strict=True))) for point in points]
    assert best(found, Constraints()) == 3
    assert best(found, Constraints(), prefer="cost") == 0
    assert best(found, Constraints(accuracy=0.6), prefer="cost") == 1
    assert best(found, Constraints(accuracy=0.6, specificity=0.5), prefer="cost") == 3
    assert best(found, Constraints(flops=4.0)) == 1
    impossible = Constraints(accuracy=0.9, specificity=0.55)
    assert best(found, impossible) is None
    words = "The highest accuracy at this specificity is 80.0 %."
    assert impossible.alternative(found) == words
    assert best([], Constraints()) is None


def test_constraints_out_of_range_are_refused():
    for name, value in {"accuracy": 94, "specificity": -0.1}.items():
        with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got {value}"):
            Constraints(**{name: value})
    with pytest.raises(ValueError, match="flops must be 0 or more, got nan"):
        Constraints(flops=math.nan)


def test_the_pareto_front_keeps_what_nothing_beats():
    records = random_records(80)
    found = sweep([EntropyThreshold([t / 10, t / 10]) for t in range(1, 16)], records)
    kept = pareto_front(found)
    for number, one in enumerate(found):
        better = [
            other
            for other in found
            if (other.accuracy >= one.accuracy and other.mean_macs < one.mean_macs)
            or (other.accuracy > one.accuracy and other.mean_macs <= one.mean_macs)
        ]
        first = all(
            (one.accuracy, one.mean_macs) != (o.accuracy, o.mean_macs) for o in found[:number]
        )
        assert (number in kept) == (not better and first)
    costs = [found[number].mean_macs for number in kept]
    assert costs == sorted(costs)
    assert pareto_front([]) == []


# ---------------------------------------------------------------------- bad input


def _decisions(**changes):
    columns = {"exit_index": [0, 1], "level_index": [0, 1], "prediction": [2, 5], "macs": [1, 1]}
    return Decisions(**{name: torch.tensor(v) for name, v in (columns | changes).items()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exit_index": [0, 3]}, r"exit_index of decisions must be in 0\.\.2, got 0\.\.3"),
        ({"level_index": [-1, 1]}, r"level_index of decisions must be in 0\.\.1, got -1\.\.1"),
        ({"level_index": [1, 1]}, "got exit 1, level 1 at image 0; the cells are: exit 1 coarse"),
        ({"prediction": [3, 5]}, r"class of level 0 must be in 0\.\.2, got 3 at image 0"),
        ({"prediction": [2, -1]}, r"class of level 1 must be in 0\.\.5, got -1 at image 1"),
    ],
)
def test_decisions_outside_the_records_are_refused(changes, message):
    records = random_records(2, heads=[[True, False], [True, True], [True, True]])
    evaluate(_decisions(), records)
    with pytest.raises(ValueError, match=message):
        evaluate(_decisions(**changes), records)


def test_decisions_about_other_images_are_refused():
    with pytest.raises(ValueError, match="must be those of the records' 3 images, got 2"):
        evaluate(_decisions(), random_records(3))


def test_information_of_an_uneven_tree_depends_on_the_answer():
    tree = Hierarchy.from_dict({"a": ["p", "q", "r"], "b": ["s"]})
    records = random_records(2, hierarchy=tree)
    columns = {"exit_index": [0, 0], "level_index": [0, 0], "prediction": [0, 1], "macs": [1, 1]}
    decisions = Decisions(**{name: torch.tensor(values) for name, values in columns.items()})
    bits = [math.log2(4 / 3), 2]
    assert evaluate(decisions, records).information == pytest.approx(sum(bits) / 2)
    assert answer_values(decisions, records)["information"].tolist() == pytest.approx(bits)


# ---------------------------------------------------------------------- one exit for all


def test_by_lot_is_the_best_exit_that_costs_no_more():
    records = random_records(400)
    policy = EntropyThreshold([0.8, 0.8], level=1)
    result = evaluate(policy.decide(records), records)
    exits = [evaluate(ForcedExit(e, 1).decide(records), records) for e in range(3)]
    affordable = [one.accuracy for one in exits if one.mean_flops <= result.mean_flops]
    found = by_lot(result, records)
    assert found.accuracy == max(affordable)
    assert exits[found.exit_index].accuracy == found.accuracy
    assert exits[found.exit_index].mean_flops == found.flops <= result.mean_flops


def test_by_lot_gives_as_many_answers_at_each_level_as_the_policy():
    records = random_records(400)
    result = evaluate(FineTolerance([INF, INF], 0.3).decide(records), records)
    coarse, fine = (evaluate(ForcedExit(0, lv).decide(records), records) for lv in (0, 1))
    mixed = result.coarse_share * coarse.accuracy + result.specificity * fine.accuracy
    assert by_lot(result, records).accuracy == pytest.approx(mixed)


def test_a_policy_that_sends_all_images_to_one_exit_gains_nothing():
    records = random_records(400)
    for exit_index, level in records.cells:
        result = evaluate(ForcedExit(exit_index, level).decide(records), records)
        assert by_lot(result, records).accuracy >= result.accuracy


def test_by_lot_needs_an_exit_with_the_heads_for_the_answers():
    records = random_records(400, heads=[[True, False], [True, False], [False, True]])
    decisions = EntropyThreshold([0.8, 0.8]).decide(records)
    assert by_lot(evaluate(decisions, records), records) is None
    only_coarse = evaluate(ForcedExit(1).decide(records), records)
    assert by_lot(only_coarse, records).exit_index in (0, 1)
