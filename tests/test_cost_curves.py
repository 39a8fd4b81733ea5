"""Curves of accuracy against FLOPs: heights, mixtures, areas and prices, by hand and by chance."""

import math
import random

import numpy as np
import pytest

from hbnlab.metrics import (
    CostCurve,
    area_between,
    cost_curve,
    evaluate,
    flops_for_accuracy,
    percentile_interval,
    resampled_means,
)
from hbnlab.policies import EntropyThreshold, ForcedExit
from hbnlab.records import simulated_records


def random_curve(seed, number=9):
    draw = random.Random(seed)
    flops = sorted({draw.uniform(0.0, 10.0) for _ in range(number)})
    return CostCurve(tuple(flops), tuple(draw.random() for _ in flops))


SEEDS = pytest.mark.parametrize("seed", range(10))


@SEEDS
def test_heights_are_those_of_numpys_interpolation(seed):
    curve = random_curve(seed)
    for flops in np.linspace(curve.flops[0], 12.0, 40).tolist():
        expected = np.interp(flops, curve.flops, curve.accuracy)
        assert curve.accuracy_at(flops) == pytest.approx(float(expected), abs=1e-12)


def test_a_curve_through_evaluations_holds_their_accuracy_and_what_really_ran():
    records = simulated_records(50)
    policies = [ForcedExit(2, 1), EntropyThreshold([0.4, 0.4]), ForcedExit(0, 1)]
    found = [evaluate(policy.decide(records), records) for policy in policies]
    curve = cost_curve(found)
    expected = sorted((one.mean_flops, one.accuracy) for one in found)
    assert list(zip(curve.flops, curve.accuracy, strict=True)) == expected


def test_of_points_with_equal_flops_the_most_accurate_counts():
    assert CostCurve.through([(2.0, 0.4), (2.0, 0.6), (1.0, 0.5), (2.0, 0.5)]) == CostCurve(
        (1.0, 2.0), (0.5, 0.6)
    )


@SEEDS
def test_a_hull_is_the_best_that_mixtures_of_two_points_reach(seed):
    curve = random_curve(seed)
    points = list(zip(curve.flops, curve.accuracy, strict=True))
    hull = curve.upper_hull()
    for flops in np.linspace(curve.flops[0], curve.flops[-1], 15).tolist():
        best = max(y for x, y in points if x <= flops + 1e-12)
        for x, y in points:
            for end, top in points:
                if x < flops < end:
                    best = max(best, y + (top - y) * (flops - x) / (end - x))
        assert hull.accuracy_at(flops) == pytest.approx(best, abs=1e-9)


@SEEDS
def test_an_area_is_the_mean_difference_of_heights(seed):
    upper, lower = random_curve(seed), random_curve(seed + 100)
    start, end = max(upper.flops[0], lower.flops[0]), lower.flops[-1]
    fine = np.linspace(start, end, 20001)
    gap = [upper.accuracy_at(x) - lower.accuracy_at(x) for x in fine.tolist()]
    assert area_between(upper, lower) == pytest.approx(float(np.mean(gap)), abs=1e-4)


@SEEDS
def test_no_curve_gains_over_itself_and_a_curve_raised_by_a_point_gains_one(seed):
    curve = random_curve(seed)
    raised = CostCurve(curve.flops, tuple(height + 0.01 for height in curve.accuracy))
    assert area_between(curve, curve) == 0
    assert area_between(raised, curve) == pytest.approx(0.01)
    assert area_between(curve, raised) == pytest.approx(-0.01)
    assert area_between(curve.upper_hull(), curve) >= 0


@SEEDS
def test_a_price_is_where_the_curve_first_reaches_the_accuracy(seed):
    curve = random_curve(seed)
    targets = np.linspace(0.0, max(curve.accuracy), 25).tolist()
    prices = [flops_for_accuracy(curve, target) for target in targets]
    assert prices == sorted(prices)
    for target, price in zip(targets, prices, strict=True):
        assert curve.accuracy_at(price) >= target - 1e-9
        before = [x for x, y in zip(curve.flops, curve.accuracy, strict=True) if y >= target]
        assert price <= before[0]
        assert price == curve.flops[0] or curve.accuracy_at(price) == pytest.approx(target)
    assert flops_for_accuracy(curve, max(curve.accuracy) + 1e-6) == math.inf


def test_what_is_no_curve_is_refused():
    with pytest.raises(ValueError, match=r"flops must be one or more rising numbers, got \(\)"):
        CostCurve((), ())
    with pytest.raises(ValueError, match=r"rising numbers, got \(2.0, 1.0\)"):
        CostCurve((2.0, 1.0), (0.5, 0.5))
    with pytest.raises(ValueError, match="one value for each of 2 points, got 1"):
        CostCurve((1.0, 2.0), (0.5,))
    with pytest.raises(ValueError, match=r"flops must be 1.0 or more, got 0.5"):
        CostCurve((1.0, 2.0), (0.5, 0.6)).accuracy_at(0.5)
    late = CostCurve((5.0, 6.0), (0.5, 0.6))
    with pytest.raises(ValueError, match=r"an end at 2.0 FLOPs"):
        area_between(late, CostCurve((1.0, 2.0), (0.5, 0.6)))


def test_means_of_draws_lie_around_the_mean_and_share_their_images():
    import torch

    table = torch.rand(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table = torch.cat([table, 1 - table[:, :1]], dim=1)
    generator = torch.Generator().manual_seed(1)
    draws = resampled_means(table, generator=generator, repeats=300)
    assert torch.allclose(draws[:, 0] + draws[:, 2], torch.ones(300, dtype=torch.float64))
    found = percentile_interval(float(table[:, 0].mean()), draws[:, 0])
    assert found.low < found.estimate < found.high
    error = float(table[:, 0].std()) / 20
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.2)
