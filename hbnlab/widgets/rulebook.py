"""The rules that the policy explorer knows, and the policies of each that make up its curve."""

import itertools
import math
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
    ThresholdPolicy,
    TwoLevelPolicy,
    batch_means,
)
from hbnlab.records import ExitRecords
from hbnlab.widgets.limits import threshold_limits

_MOST_POLICIES = 180
_LEAST_VALUES, _MOST_VALUES = 3, 13
_TOLERANCES = 7
_LINE_TOLERANCES = 25
_LEAST_DIGITS, _MOST_DIGITS = 2, 6


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

    @property
    def has_coarse_level(self) -> bool:
        """Whether the rule chooses between the finest level and a coarser one."""
        return issubclass(self.policy, TwoLevelPolicy)

    def make(
        self, thresholds: Sequence[float], fine_tolerance: float, setting: "Setting"
    ) -> ThresholdPolicy:
        """The policy with these numbers, of which it takes those that it has."""
        numbers: dict[str, Any] = dict(self.settings)
        numbers["per"] = "sample" if setting.batch_size is None else "batch"
        numbers["batch_size"] = setting.batch_size
        if self.has_tolerance:
            numbers["fine_tolerance"] = fine_tolerance
        if self.has_coarse_level:
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
        level = policy.coarse_level if isinstance(policy, TwoLevelPolicy) else 0
        return cls(policy.batch_size, level)


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
        kinds: the rules that the records have the heads for, at one coarse level at least, by name.
    """

    def __init__(self, records: ExitRecords) -> None:
        self._records = records
        self._clouds: dict[tuple[str, Setting], Cloud] = {}
        self.kinds = {kind.name: kind for kind in _KINDS if self._coarse_levels(kind)}

    def checked(self, policy: Policy) -> ThresholdPolicy:
        """A policy that can be explored.

        Raises:
            ValueError: for one that does not fit the records, or would not with other thresholds,
                or is of no rule in ``kinds``.
        """
        self._check_fits(policy)
        kind = next((kind for kind in self.kinds.values() if kind.describes(policy)), None)
        if kind is None or not isinstance(policy, ThresholdPolicy):
            raise ValueError(f"{self._expected(policy)} is expected, got {policy!r}")
        try:
            self._check_fits(self._eager(kind, Setting.of(policy)))
        except ValueError as error:
            raise ValueError(f"every threshold is moved here, and then {error}") from error
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
        cloud = self.cloud(self.kind_of(policy), Setting.of(policy))
        known = [one.fine_tolerance for one in cloud.policies if isinstance(one, FineTolerance)]
        low, high = min(known), max(known)
        step = (high - low) / (_LINE_TOLERANCES - 1)
        return [replace(policy, fine_tolerance=low + n * step) for n in range(_LINE_TOLERANCES)]

    def start(self, kind: RuleKind, setting: Setting) -> ThresholdPolicy:
        """A policy to begin with: thresholds that most scores pass, the median tolerance."""
        quartile = 3 if kind.policy.comparison == "<" else 1
        thresholds = [column[quartile] for column in self._thresholds(kind, 5, setting)]
        tolerances = self._tolerances(kind, setting)
        return kind.make(thresholds, tolerances[len(tolerances) // 2], setting)

    def setting(self, kind: RuleKind, batch_size: int | None, coarse_level: int) -> Setting:
        """A setting for a rule: at this coarse level if it has the heads, else at the first."""
        levels = self._coarse_levels(kind)
        return Setting(batch_size, coarse_level if coarse_level in levels else levels[0])

    def under(self, kind: RuleKind, policy: ThresholdPolicy, coarse_level: int) -> ThresholdPolicy:
        """A policy of another rule: with the same numbers where these are compared with the same.

        Where they are not, and for a tolerance that there has not been, those of ``start``.
        """
        setting = self.setting(kind, policy.batch_size, coarse_level)
        start = self.start(kind, setting)
        if kind.score != self.kind_of(policy).score:
            return start
        tolerant = next((p for p in (policy, start) if isinstance(p, FineTolerance)), None)
        tolerance = 0.0 if tolerant is None else float(tolerant.fine_tolerance)
        return kind.make(policy.thresholds, tolerance, setting)

    def _check_fits(self, policy: Policy) -> None:
        records = self._records
        policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)

    def _expected(self, policy: Policy) -> str:
        """What would be explored in the place of a policy that is not."""
        for kind in self.kinds.values():
            if type(policy) is kind.policy and "level" in kind.settings:
                return f"level=None, the finest head of each exit, for {type(policy).__name__}"
        return f"a policy of one of the rules {list(self.kinds)}"

    def _coarse_levels(self, kind: RuleKind) -> list[int]:
        """The coarse levels that the rule has the heads for; [0] stands for none needed."""
        levels = range(self._records.hierarchy.finest) if kind.has_coarse_level else [0]
        return [level for level in levels if self._fits(kind, level)]

    def _fits(self, kind: RuleKind, coarse_level: int) -> bool:
        try:
            self._check_fits(self._eager(kind, Setting(coarse_level=coarse_level)))
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
        made = (kind.make(row, tau, setting) for row in rows for tau in tolerances)
        return list(dict.fromkeys(made))

    def _thresholds(self, kind: RuleKind, number: int, setting: Setting) -> list[list[float]]:
        """For each exit but the last so many thresholds: nobody leaves, quantiles, everybody."""
        low, high = threshold_limits(kind.policy, self._records.hierarchy)
        cells = list(self._eager(kind, setting).cells(self._records.head_mask))
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
        # The sum with 0 makes -0.0 the 0.0 that people write.
        low, high = round(float(gap.min()) - 0.01, 2) + 0.0, round(float(gap.max()) + 0.01, 2)
        return _values(gap, _TOLERANCES, low, high)


def _values(scores: Float[Tensor, " score"], number: int, low: float, high: float) -> list[float]:
    """Low, quantiles of the scores between, and high, rising; equal ones where scores are.

    Quantiles are rounded to the digits that it takes to tell them apart, two at least.
    """
    shares = torch.linspace(0, 1, number, dtype=torch.float64)[1:-1]
    between = torch.quantile(scores.double(), shares.to(scores.device)).tolist()
    return [low, *(min(max(value, low), high) for value in _rounded(between)), high]


def _rounded(values: Sequence[float]) -> list[float]:
    """Rising values, none of which is moved by more than a quarter of the way to the next."""
    known = [-math.inf, *sorted(set(values)), math.inf]
    steps = {
        here: min(here - before, after - here)
        for before, here, after in zip(known, known[1:], known[2:], strict=False)
    }
    return [_shortest(value, steps[value] / 4) for value in values]


def _shortest(value: float, error: float) -> float:
    """The value with two digits that count, or with more up to six where it were too far off."""
    for digits in range(_LEAST_DIGITS, _MOST_DIGITS):
        number = float(f"{value:.{digits}g}")
        if abs(number - value) <= error:
            return number
    return float(f"{value:.{_MOST_DIGITS}g}")


def _by_batch(scores: Float[Tensor, " sample"], batch_size: int | None) -> Float[Tensor, " score"]:
    """The scores that the rule compares: of images, or the means of batches."""
    return scores if batch_size is None else batch_means(scores, batch_size)[::batch_size]
