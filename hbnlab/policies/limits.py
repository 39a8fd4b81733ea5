"""Constraints on what new images get on average, and how surely a candidate keeps them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from hbnlab.policies.guarantees import binomial_p_value, hoeffding_bentkus_p_value, upper_bound
from hbnlab.policies.outcomes import SHARES, Outcomes
from hbnlab.types import Number


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One constraint: a quantity on average over new images, or among those answered at a level.

    Attributes:
        name: one of ``QUANTITIES``, or ``"accuracy of LEVEL"``.
        value: that the quantity must not go under, or over for FLOPs.
        scale: the most that the quantity can be, by which losses are divided.
        level: of the answers that alone count; None = all.
    """

    name: str
    value: float
    scale: float
    level: int | None = None

    @property
    def largest_loss(self) -> float:
        """The limit of the mean loss, in [0, 1]."""
        share = self.value / self.scale
        return share if self.name == "flops" else 1 - share

    def p_values(self, outcomes: Outcomes) -> np.ndarray:
        """For each candidate, the p-value of breaking the constraint."""
        return self._p_values(outcomes, self.largest_loss)

    def bound(self, outcomes: Outcomes, row: int, error: float) -> float:
        """What can be promised of one candidate: a bound of the quantity itself."""
        one = outcomes.candidate(row)
        loss = upper_bound(lambda limit: float(self._p_values(one, limit)[0]), error)
        return self.scale * (loss if self.name == "flops" else 1 - loss)

    def holds(self, outcomes: Outcomes) -> Bool[Tensor, " policy"]:
        """Whether the constraint is kept on these images."""
        means = self.means(outcomes)
        return means <= self.value if self.name == "flops" else means >= self.value

    def means(self, outcomes: Outcomes) -> Float[Tensor, " policy"]:
        """The quantity itself on these images; NaN where no answer counts."""
        if self.level is None:
            return outcomes.means(self.name)
        here = outcomes.levels == self.level
        right = (outcomes.values["accuracy"] * here).double().sum(dim=1)
        return right / here.sum(dim=1)

    def _p_values(self, outcomes: Outcomes, largest_loss: float) -> np.ndarray:
        images = outcomes.num_images
        if self.level is not None:
            here = outcomes.levels == self.level
            wrong = ((1 - outcomes.values["accuracy"]) * here).double().sum(dim=1)
            counts = here.sum(dim=1)
            return binomial_p_value(wrong.round().numpy(), counts.numpy(), largest_loss)
        mean = outcomes.means(self.name)
        if self.name in SHARES:
            errors = ((1 - mean) * images).round()
            return binomial_p_value(errors.numpy(), images, largest_loss)
        share = mean / self.scale
        loss = share if self.name == "flops" else 1 - share
        return hoeffding_bentkus_p_value(loss.clamp(0, 1).numpy(), images, largest_loss)


def limits_of(
    at_least: Mapping[str, Number], at_most: Mapping[str, Number], outcomes: Outcomes
) -> list[Limit]:
    """The constraints of a question.

    Raises:
        ValueError: for an unknown quantity, or a value out of its range.
    """
    of_level = {f"accuracy of {name}": level for level, name in enumerate(outcomes.level_names)}
    most = {**outcomes.most, **dict.fromkeys(of_level, 1.0)}
    known = {"at_least": [name for name in most if name != "flops"], "at_most": ["flops"]}
    limits = []
    for where, asked in (("at_least", at_least), ("at_most", at_most)):
        for name, value in asked.items():
            if name not in known[where]:
                raise ValueError(f"{where} takes {known[where]}, got {name!r}")
            highest = math.inf if name == "flops" else most[name]
            if not 0 <= value <= highest or math.isinf(value):
                raise ValueError(f"{name} must be in [0, {highest:g}], got {value}")
            value = min(value, most[name])
            level = of_level.get(name)
            limits.append(Limit(name=name, value=value, scale=most[name], level=level))
    return limits
