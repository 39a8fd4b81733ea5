"""What a policy is wished to be worth, and what can be had where none is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hbnlab.formatting import millions, percent
from hbnlab.metrics import Evaluation
from hbnlab.types import Number

_SLACK = 1e-9
"""A percentage that was typed need not be the share in binary to the last digit."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a policy shall be worth.

    Attributes:
        accuracy: share right at the level of the answer, at least; in [0, 1].
        specificity: share answered finely, at least; in [0, 1].
        flops: that an image takes on average, at most; from 0 up.
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
        """Whether a policy is worth all of it."""
        is_cheap = result.mean_flops <= self.flops * (1 + _SLACK)
        return self._is_specific(result) and self._is_accurate(result) and is_cheap

    def alternative(self, results: Sequence[Evaluation]) -> str:
        """What can be had among policies of which none is worth it, in a sentence."""
        specific = [result for result in results if self._is_specific(result)]
        if not specific:
            return f"The highest specificity is {percent(max(r.specificity for r in results))}."
        among = ", of those that answer so many finely," if self.specificity else ""
        words = f"The highest accuracy{among} is {percent(max(r.accuracy for r in specific))}"
        able = [result.mean_flops for result in specific if self._is_accurate(result)]
        cost = f", the lowest cost {millions(min(able))} million FLOPs an image" if able else ""
        return f"{words}{cost}."

    def _is_specific(self, result: Evaluation) -> bool:
        return result.specificity >= self.specificity - _SLACK

    def _is_accurate(self, result: Evaluation) -> bool:
        return result.accuracy >= self.accuracy - _SLACK
