"""Which of many evaluated policies are worth choosing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hbnlab.formatting import millions, percent
from hbnlab.metrics.evaluation import Evaluation
from hbnlab.types import Number

_SLACK = 1e-9
"""A typed percentage need not equal the share to the last binary digit."""


def pareto_front(
    evaluations: Sequence[Evaluation], *, gain: str = "accuracy", cost: str = "mean_macs"
) -> list[int]:
    """Indices of the evaluations on the Pareto front: no other gains more and costs no more.

    Args:
        evaluations: of different policies.
        gain: name of the number that should be large.
        cost: name of the number that should be small.

    Returns:
        Indices in order of cost, and so of gain, both rising; of equal evaluations only the first.

    Example:
        >>> from hbnlab.metrics import sweep
        >>> from hbnlab.policies import ForcedExit
        >>> from hbnlab.records import simulated_records
        >>> results = sweep([ForcedExit(e, 0) for e in (2, 1, 0)], simulated_records(100))
        >>> [(result.accuracy, result.mean_macs) for result in results]
        [(0.56, 630.0), (0.63, 320.0), (0.54, 110.0)]
        >>> pareto_front(results)
        [2, 1]
    """

    def worst_first(index: int) -> tuple[float, float]:
        return getattr(evaluations[index], cost), -getattr(evaluations[index], gain)

    kept: list[int] = []
    for index in sorted(range(len(evaluations)), key=worst_first):
        if not kept or worst_first(index)[1] < worst_first(kept[-1])[1]:
            kept.append(index)
    return kept


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What the evaluation of a policy must satisfy.

    Attributes:
        accuracy: lowest share of answers that are right at their own level, in [0, 1].
        specificity: lowest share of answers at the finest level, in [0, 1].
        flops: most FLOPs per image on average, 0 or more.

    Raises:
        ValueError: for a number out of its range.

    Example:
        >>> from hbnlab.metrics import evaluate
        >>> from hbnlab.policies import ForcedExit
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> result = evaluate(ForcedExit(0, level=0).decide(records), records)
        >>> Constraints(accuracy=0.5).is_met(result), Constraints(specificity=0.5).is_met(result)
        (True, False)
    """

    accuracy: Number = 0.0
    specificity: Number = 0.0
    flops: Number = math.inf

    def __post_init__(self) -> None:
        for name in ("accuracy", "specificity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if not self.flops >= 0:
            raise ValueError(f"flops must be 0 or more, got {self.flops}")

    def is_met(self, result: Evaluation) -> bool:
        """Whether an evaluation satisfies all of them."""
        is_cheap = result.mean_flops <= self.flops * (1 + _SLACK)
        return self._is_specific(result) and self._is_accurate(result) and is_cheap

    def alternative(self, results: Sequence[Evaluation]) -> str:
        """The best that these evaluations offer, in a sentence, for when none satisfies all."""
        specific = [result for result in results if self._is_specific(result)]
        if not specific:
            return f"The highest specificity is {percent(max(r.specificity for r in results))}."
        among = " at this specificity" if self.specificity else ""
        words = f"The highest accuracy{among} is {percent(max(r.accuracy for r in specific))}"
        costs = [result.mean_flops for result in specific if self._is_accurate(result)]
        cost = f", the lowest cost {millions(min(costs))} million FLOPs per image" if costs else ""
        return f"{words}{cost}."

    def _is_specific(self, result: Evaluation) -> bool:
        return result.specificity >= self.specificity - _SLACK

    def _is_accurate(self, result: Evaluation) -> bool:
        return result.accuracy >= self.accuracy - _SLACK


def best(
    evaluations: Sequence[Evaluation],
    constraints: Constraints,
    *,
    prefer: Literal["accuracy", "cost"] = "accuracy",
) -> int | None:
    """Index of the best evaluation that satisfies the constraints; None where none does.

    Args:
        evaluations: of different policies, on validation records.
        constraints: what the chosen one must satisfy.
        prefer: ``"accuracy"``: the most accurate; ``"cost"``: the one with the fewest FLOPs. Ties
            go to the most informative, then to the better one by the other criterion.

    Example:
        >>> from hbnlab.metrics import sweep
        >>> from hbnlab.policies import ForcedExit
        >>> from hbnlab.records import simulated_records
        >>> results = sweep([ForcedExit(e, 0) for e in (0, 1, 2)], simulated_records(100))
        >>> best(results, Constraints(accuracy=0.55), prefer="cost")
        1
        >>> best(results, Constraints(specificity=0.5)) is None
        True
    """

    def worth(index: int) -> tuple[float, ...]:
        one = evaluations[index]
        ranks = (one.accuracy, one.information, -one.mean_macs)
        return ranks if prefer == "accuracy" else ranks[::-1]

    found = [index for index, one in enumerate(evaluations) if constraints.is_met(one)]
    return max(found, key=worth, default=None)
