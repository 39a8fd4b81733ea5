"""The rules that the policy explorer knows, and the policies of each that make up its curve."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.metrics import Evaluation, entropy_gap, sweep
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    MarginThreshold,
    Policy,
    SemanticGate,
    batch_means,
)
from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.records import ExitRecords
from hbnlab.widgets.limits import threshold_limits

_MOST_POLICIES = 180
_LEAST_VALUES, _MOST_VALUES = 3, 13
_TOLERANCES = 7
_LINE_TOLERANCES = 25


@dataclass(frozen=True)
class RuleKind:
    """One rule, all but its numbers.

    Attributes:
        name: what people read.
        policy: its class.
        score: what is compared with the thresholds, a table of the records.
        settings: what sets it apart from other rules of its class.
    """

    name: str
    policy: type[ThresholdPolicy]
    score: str
    settings: Mapping[str, Any]

    @property
    def has_tolerance(self) -> bool:
        """Whether the rule has a fine tolerance."""
        return issubclass(self.policy, FineTolerance)

    def make(
        self, thresholds: Sequence[float], fine_tolerance: float, setting: "Setting"
    ) -> ThresholdPolicy:
        """The policy with these numbers, of which it takes those that it has."""
        numbers: dict[str, Any] = dict(self.settings)
        numbers["per"] = "sample" if setting.batch_size is None else "batch"
        numbers["batch_size"] = setting.batch_size
        if self.has_tolerance:
            numbers["fine_tolerance"] = fine_tolerance
        if issubclass(self.policy, FineTolerance | SemanticGate):
            numbers["coarse_level"] = setting.coarse_level
        return self.policy(tuple(thresholds), **numbers)

    def describes(self, policy: Policy) -> bool:
        """Whether a policy is of this rule."""
        return type(policy) is self.policy and all(
            getattr(policy, name) == value for name, value in self.settings.items()
        )


class Setting(NamedTuple):
    """What policies of a cloud have in common beside their rule.

    Attributes:
        batch_size: images that decide together; None = each for itself.
        coarse_level: level of the coarse answers.
    """

    batch_size: int | None = None
    coarse_level: int = 0

    @classmethod
    def of(cls, policy: ThresholdPolicy) -> "Setting":
        """That of a policy."""
        return cls(policy.batch_size, getattr(policy, "coarse_level", 0))


@dataclass(frozen=True)
class Cloud:
    """Policies of one rule, and what each is worth."""

    policies: tuple[ThresholdPolicy, ...]
    results: tuple[Evaluation, ...]


_KINDS = (
    RuleKind("fine tolerance", FineTolerance, "entropy", {"rule": "algorithm-1"}),
    RuleKind(
        "fine tolerance, published code", FineTolerance, "entropy", {"rule": "published-code"}
    ),
    RuleKind("semantic gate", SemanticGate, "entropy", {}),
    RuleKind("entropy", EntropyThreshold, "entropy", {"level": None}),
    RuleKind("confidence", ConfidenceThreshold, "confidence", {"level": None}),
    RuleKind("margin", MarginThreshold, "margin", {"level": None}),
)


class Rulebook:
    """The rules that fit some records, and clouds of policies of each, worked out once.

    Args:
        records: what the policies decide about.

    Attributes:
        kinds: the rules that the records have the heads for, by name.
    """

    def __init__(self, records: ExitRecords) -> None:
        self._records = records
        self._clouds: dict[tuple[str, Setting], Cloud] = {}
        self.kinds = {kind.name: kind for kind in _KINDS if self._fits(kind)}

    def checked(self, policy: Policy) -> ThresholdPolicy:
        """A policy that can be explored.

        Raises:
            ValueError: for one that does not fit the records, or is of no rule in ``kinds``.
        """
        records = self._records
        policy.check_fits(records.heads_grid, records.hierarchy, records.has_gate)
        found = any(kind.describes(policy) for kind in self.kinds.values())
        if not found or not isinstance(policy, ThresholdPolicy):
            raise ValueError(
                f"a policy of one of the rules {list(self.kinds)} is expected, got {policy!r}"
            )
        return policy

    def kind_of(self, policy: ThresholdPolicy) -> RuleKind:
        """The rule that a checked policy is of."""
        return next(kind for kind in self.kinds.values() if kind.describes(policy))

    def cloud(self, kind: RuleKind, setting: Setting) -> Cloud:
        """Policies from nobody leaves early to everybody does, and from all coarse to all fine.

        Thresholds and tolerances are quantiles of what they are compared with, rounded, in all
        combinations; where these were too many, all exits take the same quantile.
        """
        key = (kind.name, setting)
        if key not in self._clouds:
            policies = tuple(self._policies(kind, setting))
            self._clouds[key] = Cloud(policies, tuple(sweep(policies, self._records)))
        return self._clouds[key]

    def line(self, policy: ThresholdPolicy) -> list[FineTolerance]:
        """The policy under all tolerances that matter, from coarse to fine; none of other rules."""
        if not isinstance(policy, FineTolerance):
            return []
        low, *_, high = self._tolerances(self.kind_of(policy), Setting.of(policy))
        step = (high - low) / (_LINE_TOLERANCES - 1)
        return [replace(policy, fine_tolerance=low + n * step) for n in range(_LINE_TOLERANCES)]

    def start(self, kind: RuleKind, setting: Setting) -> ThresholdPolicy:
        """A policy to begin with: thresholds that most scores pass, the median tolerance."""
        quartile = 3 if kind.policy.larger_leaves_more else 1
        thresholds = [column[quartile] for column in self._thresholds(kind, 5, setting)]
        tolerances = self._tolerances(kind, setting)
        return kind.make(thresholds, tolerances[len(tolerances) // 2], setting)

    def under(self, kind: RuleKind, policy: ThresholdPolicy) -> ThresholdPolicy:
        """A policy of another rule: with the same numbers where these are compared with the same.

        Where they are not, and for a tolerance that there has not been, those of ``start``.
        """
        setting = Setting.of(policy)
        start = self.start(kind, setting)
        if kind.score != self.kind_of(policy).score:
            return start
        tolerant = next((p for p in (policy, start) if isinstance(p, FineTolerance)), None)
        tolerance = 0.0 if tolerant is None else float(tolerant.fine_tolerance)
        return kind.make(policy.thresholds, tolerance, setting)

    def _fits(self, kind: RuleKind) -> bool:
        records, rule = self._records, self._eager(kind, Setting())
        try:
            rule.check_fits(records.heads_grid, records.hierarchy, records.has_gate)
        except ValueError:
            return False
        return True

    def _eager(self, kind: RuleKind, setting: Setting) -> ThresholdPolicy:
        """A policy of the rule that looks at every branch."""
        return kind.make([0.5] * (self._records.num_exits - 1), 0.0, setting)

    def _policies(self, kind: RuleKind, setting: Setting) -> list[ThresholdPolicy]:
        tolerances = self._tolerances(kind, setting)
        exits, most = self._records.num_exits - 1, _MOST_POLICIES // len(tolerances)
        number = min(_MOST_VALUES, int(most ** (1 / max(1, exits)) + 1e-9))
        if number >= _LEAST_VALUES:
            rows = itertools.product(*self._thresholds(kind, number, setting))
        else:
            number = min(_MOST_VALUES, most)
            rows = zip(*self._thresholds(kind, number, setting), strict=True)
        return [kind.make(row, tau, setting) for row in rows for tau in tolerances]

    def _thresholds(self, kind: RuleKind, number: int, setting: Setting) -> list[list[float]]:
        """For each exit but the last so many thresholds: nobody leaves, quantiles, everybody."""
        low, high = threshold_limits(kind.policy, self._records.hierarchy)
        cells = list(self._eager(kind, setting).cells(self._records.heads_grid))
        table = getattr(self._records, kind.score)
        columns = []
        for exit_index in range(self._records.num_exits - 1):
            here = [table[:, e, level] for e, level in cells if e == exit_index]
            scores = torch.cat([_by_batch(column, setting.batch_size) for column in here])
            columns.append(_values(scores, number, low, high))
        return columns

    def _tolerances(self, kind: RuleKind, setting: Setting) -> list[float]:
        """Tolerances from all coarse to all fine; a single one for rules that have none."""
        if not kind.has_tolerance:
            return [0.0]
        size = 1 if setting.batch_size is None else setting.batch_size
        gaps = [
            entropy_gap(self._records, n, coarse_level=setting.coarse_level, batch_size=size)
            for n in range(self._records.num_exits)
        ]
        gap = torch.cat(gaps)
        low, high = round(float(gap.min()) - 0.01, 2), round(float(gap.max()) + 0.01, 2)
        return _values(gap, _TOLERANCES, low, high)


def _values(scores: Float[Tensor, " score"], number: int, low: float, high: float) -> list[float]:
    """Low, quantiles of the scores between, and high, rising, each with two digits that count."""
    shares = torch.linspace(0, 1, number, dtype=torch.float64)[1:-1]
    between = torch.quantile(scores.double(), shares.to(scores.device)).tolist()
    return [low, *(float(f"{value:.2g}") for value in between), high]


def _by_batch(scores: Float[Tensor, " sample"], batch_size: int | None) -> Float[Tensor, " score"]:
    """The scores that the rule compares: of images, or the means of batches."""
    return scores if batch_size is None else batch_means(scores, batch_size)[::batch_size]
