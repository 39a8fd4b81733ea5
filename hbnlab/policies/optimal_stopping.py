"""Stopping by value: an answer now against what it may be worth deeper, at two prices."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hbnlab.head_mask import cells_of
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.base import Policy
from hbnlab.policies.settings import Setting
from hbnlab.policies.stopping_family import (
    StoppingFamily,
    answer_table,
    exit_features,
    expected_worth,
)
from hbnlab.policies.view import ExitView
from hbnlab.records import ExitRecords
from hbnlab.types import Number

_P = TypeVar("_P", bound="OptimalStopping")
_OUTLOOKS = ("fitted", "best-case")
_ERROR_PRICES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
_COMPUTE_PRICES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class OptimalStopping(Policy):
    """Answer as soon as no later answer is expected to be worth more than its computation.

    An answer at node v is worth its information I(v) in bits if it is right, and costs the error
    price if it is wrong. At each exit, the policy knows what every level is worth now:
    I p - error price x (1 - p), with p calibrated. It goes on if what it expects to gain deeper,
    minus the compute price of getting there, is above 0; otherwise it answers at the level that
    is worth most, the finer one of two that are worth the same.

    Attributes:
        family: what was fitted on validation records; ``OptimalStopping.fit`` makes it.
        error_price: bits that a wrong answer costs; 0 or more.
        compute_price: bits that the computation of all exits costs; 0 or more.
        outlook: ``"fitted"``: what a later exit is worth is learned from validation records;
            ``"best-case"``: a finest answer that is right is expected at the next exit, so that
            nothing but the temperatures is fitted.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> val, test = simulated_records(400), simulated_records(400, seed=1)
        >>> policy = OptimalStopping.fit(val, error_price=2.0, compute_price=0.5)
        >>> decisions = policy.decide(test)
        >>> free = replace(policy, compute_price=0.0).decide(test)
        >>> bool(decisions.macs.double().mean() < free.macs.double().mean())
        True

    Source:
        Ours: finite-horizon optimal stopping over (exit, level) cells.
    """

    family: StoppingFamily = field(repr=False)
    error_price: Number
    compute_price: Number
    outlook: str = "fitted"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hierarchy", self.family.hierarchy)
        for name in ("error_price", "compute_price"):
            value = float(getattr(self, name))
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be finite and 0 or more, got {value}")
            object.__setattr__(self, name, value)
        if self.outlook not in _OUTLOOKS:
            raise ValueError(f"outlook must be one of {_OUTLOOKS}, got {self.outlook!r}")

    @classmethod
    def fit(
        cls: type[_P],
        records: ExitRecords,
        *,
        error_price: Number,
        compute_price: Number,
        outlook: str = "fitted",
    ) -> _P:
        """Fit on validation records; report on others.

        Other prices need no new fit: ``dataclasses.replace(policy, error_price=...)``.
        """
        return cls(
            family=StoppingFamily.fit(records),
            error_price=error_price,
            compute_price=compute_price,
            outlook=outlook,
        )

    # ------------------------------------------------------------------ the rule

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, Bool[Tensor, " sample"]]:
        """Images for which no later answer is worth its computation, at their best level."""
        values = self._values(exit_index, view)
        stays = ~self._goes_on(exit_index, view, values)
        best = _best_level(values)
        heads = [level for level in range(view.num_levels) if view.has_head(exit_index, level)]
        return {level: stays & (best == level) for level in heads}

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """Every cell that there is."""
        return cells_of(head_mask)

    def check_fits(
        self, head_mask: Sequence[Sequence[bool]], hierarchy: Hierarchy, has_gate: bool
    ) -> None:
        """Validate the cells too: they must be those that it was fitted on."""
        super().check_fits(head_mask, hierarchy, has_gate)
        fitted = (~self.family.temperatures.isnan()).tolist()
        if fitted != [list(row) for row in head_mask]:
            raise ValueError(
                f"{self.title} was fitted for the head mask {fitted}, got {list(head_mask)}"
            )

    def _values(self, exit_index: int, view: ExitView) -> Float[Tensor, "sample level"]:
        """What an answer at each level is worth now, in bits; -inf without a head."""
        family = self.family
        prob, bits = view.remember(
            (family, exit_index),
            lambda: answer_table(view, exit_index, family.temperatures, family.hierarchy),
        )
        return expected_worth(prob, bits, float(self.error_price))

    def _goes_on(
        self, exit_index: int, view: ExitView, values: Float[Tensor, "sample level"]
    ) -> Bool[Tensor, " sample"]:
        if view.is_last:
            return ~view.all_images()
        return self._advantage(exit_index, view, values.amax(dim=-1)) > 0

    def _advantage(
        self, exit_index: int, view: ExitView, now: Float[Tensor, " sample"]
    ) -> Float[Tensor, " sample"]:
        """Expected gain of going on, in bits, with its computation paid."""
        family = self.family
        if self.outlook == "best-case":
            return family.most_bits - self._step_price(exit_index) - now
        leaves = view.remember(
            (family, "leaves", exit_index), lambda: self._leaves(exit_index, view)
        )
        values = self._leaf_values[exit_index].to(leaves.device)
        trees, nodes = values.shape
        places = leaves + torch.arange(trees, device=leaves.device) * nodes
        return values.take(places).mean(dim=1)

    def _leaves(self, exit_index: int, view: ExitView) -> Int[Tensor, "sample tree"]:
        forest = self.family.lookaheads[exit_index].forest.to(view.device)
        return forest.leaves(exit_features(view, exit_index))

    def _step_price(self, exit_index: int) -> float:
        shares = self.family.shares
        return float(self.compute_price) * (shares[exit_index + 1] - shares[exit_index])

    @cached_property
    def _leaf_values(self) -> list[Float[Tensor, "tree node"]]:
        return self.family.leaf_values(float(self.error_price), float(self.compute_price))

    # ------------------------------------------------------------------ explaining itself

    @property
    def title(self) -> str:
        """The name that people read."""
        return "stopping by value" + ("" if self.outlook == "fitted" else ", best case")

    @property
    def point_label(self) -> str:
        """The two prices."""
        return f"error {self.error_price:g}, compute {self.compute_price:g} bits"

    def explain(self, view: ExitView, row: int, hierarchy: Hierarchy) -> list[str]:
        """What each level is worth now, what is expected deeper, and the outcome."""
        values = self._values(view.exit_index, view)
        worth = ", ".join(
            f"{name} now {value:.2f} bits"
            for name, value in zip(hierarchy.level_names, values[row].tolist(), strict=True)
            if value > -math.inf
        )
        outcome = self.outcome(view, row, hierarchy)
        if view.is_last:
            return [f"last exit: {worth}: {outcome}"]
        now = values.amax(dim=-1)
        step = self._step_price(view.exit_index)
        gain = float(self._advantage(view.exit_index, view, now)[row])
        deeper = float(now[row]) + gain + step
        return [f"{worth}; deeper {deeper:.2f} - {step:.2f} bits for computing: {outcome}"]

    def adjustable(self, hierarchy: Hierarchy) -> tuple[Setting, ...]:
        """The two prices."""
        del hierarchy
        return (
            Setting("error_price", None, "error price, bits", 0.0, 80.0),
            Setting("compute_price", None, "compute price, bits", 0.0, 4.0),
        )

    def grid(self: _P, records: ExitRecords) -> Sequence[_P]:
        """The same family over its two prices."""
        self.check_fits(records.head_mask, records.hierarchy, records.has_gate)
        return [
            replace(self, error_price=error, compute_price=compute)
            for error in _ERROR_PRICES
            for compute in _COMPUTE_PRICES
        ]

    def python_line(self) -> str:
        """The expression that fits it again on validation records named ``val``."""
        prices = f"error_price={self.error_price!r}, compute_price={self.compute_price!r}"
        outlook = "" if self.outlook == "fitted" else f", outlook={self.outlook!r}"
        return f"OptimalStopping.fit(val, {prices}{outlook})"

    def settings(self) -> dict[str, Any]:
        """Name, prices and outlook."""
        named = ("error_price", "compute_price", "outlook")
        return {"policy": type(self).__name__} | {name: getattr(self, name) for name in named}


def _best_level(values: Float[Tensor, "sample level"]) -> Int[Tensor, " sample"]:
    """The level that is worth most; of equal ones the finer."""
    return values.shape[1] - 1 - values.flip(1).argmax(dim=1)
