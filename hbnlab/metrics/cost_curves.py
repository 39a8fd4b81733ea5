"""Accuracy against FLOPs as a curve: what a budget buys, and what an accuracy costs."""

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hbnlab.metrics.evaluation import Evaluation
from hbnlab.types import Number


@dataclass(frozen=True)
class CostCurve:
    """Operating points by rising FLOPs, joined by straight lines.

    A point between two of them is reached by giving each image to one or the other at random, so
    the lines promise nothing that cannot be had.

    Attributes:
        flops: per image, strictly rising.
        accuracy: shares in [0, 1], one per point.

    Raises:
        ValueError: without points, or for FLOPs that are not finite or do not rise.

    Example:
        >>> curve = CostCurve((1e6, 3e6), (0.6, 0.8))
        >>> round(curve.accuracy_at(2e6), 3), curve.accuracy_at(9e6)
        (0.7, 0.8)
    """

    flops: tuple[float, ...]
    accuracy: tuple[float, ...]

    def __post_init__(self) -> None:
        rises = all(one < other for one, other in itertools.pairwise(self.flops))
        if not self.flops or not rises or not all(map(math.isfinite, self.flops)):
            raise ValueError(f"flops must be one or more rising numbers, got {self.flops}")
        if len(self.accuracy) != len(self.flops):
            raise ValueError(
                f"accuracy must have one value for each of {len(self.flops)} points, "
                f"got {len(self.accuracy)}"
            )

    @classmethod
    def through(cls, points: Iterable[tuple[float, float]]) -> "CostCurve":
        """The curve through points (FLOPs, accuracy) in any order.

        Of points with equal FLOPs, the most accurate one counts.

        Example:
            >>> CostCurve.through([(3e6, 0.8), (1e6, 0.6), (1e6, 0.5)]).accuracy
            (0.6, 0.8)
        """
        best = dict(sorted(points))  # a later, better point replaces one with the same FLOPs
        return cls(tuple(best), tuple(best.values()))

    def accuracy_at(self, flops: Number) -> float:
        """The height of the curve; beyond its last point, that of the last point.

        Raises:
            ValueError: for fewer FLOPs than the first point takes.
        """
        if flops < self.flops[0]:
            raise ValueError(f"flops must be {self.flops[0]} or more, got {flops}")
        right = bisect.bisect_right(self.flops, flops)
        if right == len(self.flops):
            return self.accuracy[-1]
        step = (flops - self.flops[right - 1]) / (self.flops[right] - self.flops[right - 1])
        return self.accuracy[right - 1] + step * (self.accuracy[right] - self.accuracy[right - 1])

    def upper_hull(self) -> "CostCurve":
        """The curve without the points that another point, or a mixture of two, beats.

        From the first point to the most accurate one, accuracy rises ever more slowly; from there
        on it is flat, to where the curve ends.

        Example:
            >>> CostCurve((1.0, 2.0, 3.0, 4.0), (0.5, 0.55, 0.7, 0.6)).upper_hull()
            CostCurve(flops=(1.0, 3.0, 4.0), accuracy=(0.5, 0.7, 0.7))
        """
        best = itertools.accumulate(self.accuracy, max)
        kept: list[tuple[float, float]] = []
        for x, y in zip(self.flops, best, strict=True):
            while len(kept) > 1 and _slope(kept[-2], kept[-1]) <= _slope(kept[-1], (x, y)):
                kept.pop()
            kept.append((x, y))
        return CostCurve.through(kept)


def cost_curve(evaluations: Sequence[Evaluation]) -> CostCurve:
    """The curve through evaluations: accuracy against the FLOPs that really ran.

    Example:
        >>> from hbnlab.metrics import sweep
        >>> from hbnlab.policies import ForcedExit
        >>> from hbnlab.records import simulated_records
        >>> cost_curve(sweep([ForcedExit(e, level=0) for e in range(3)], simulated_records(100)))
        CostCurve(flops=(220.0, 640.0, 1260.0), accuracy=(0.54, 0.63, 0.56))
    """
    return CostCurve.through((one.mean_flops, one.accuracy) for one in evaluations)


def flops_for_accuracy(curve: CostCurve, target: Number) -> float:
    """The fewest FLOPs per image at which a curve reaches an accuracy; inf where it never does.

    Example:
        >>> curve = CostCurve((1e6, 3e6, 4e6), (0.6, 0.8, 0.75))
        >>> [round(flops_for_accuracy(curve, target)) for target in (0.5, 0.7, 0.8)]
        [1000000, 2000000, 3000000]
        >>> flops_for_accuracy(curve, 0.9)
        inf
    """
    right = next((n for n, height in enumerate(curve.accuracy) if height >= target), None)
    if right is None:
        return math.inf
    if right == 0:
        return curve.flops[0]
    (x, y), (end, top) = ((curve.flops[n], curve.accuracy[n]) for n in (right - 1, right))
    return x + (end - x) * (target - y) / (top - y)


def area_between(upper: CostCurve, lower: CostCurve) -> float:
    """How much higher one curve is than another, on average over the FLOPs that both can spend.

    The area between the two on a linear axis of FLOPs, from where the later of them starts to where
    the lower one ends, divided by the width of that range. So it is a difference of accuracies:
    0.01 is a point gained at a budget drawn at random. Negative where the upper curve is lower.

    Raises:
        ValueError: when the range is empty.

    Example:
        >>> lower = CostCurve((0.0, 4.0), (0.5, 0.9))
        >>> upper = CostCurve((0.0, 2.0, 4.0), (0.5, 0.9, 0.9))
        >>> round(area_between(upper, lower), 3)
        0.1
    """
    start, end = max(upper.flops[0], lower.flops[0]), lower.flops[-1]
    if start >= end:
        raise ValueError(f"lower must end after both curves start, got an end at {end} FLOPs")
    edges = {x for x in (*upper.flops, *lower.flops) if start <= x <= end}
    gaps = [(x, upper.accuracy_at(x) - lower.accuracy_at(x)) for x in sorted(edges)]
    areas = ((b - a) * (one + other) / 2 for (a, one), (b, other) in itertools.pairwise(gaps))
    return math.fsum(areas) / (end - start)


def _slope(left: tuple[float, float], right: tuple[float, float]) -> float:
    return (right[1] - left[1]) / (right[0] - left[0])
