"""The study's policy for exits with fine and coarse heads: how unsure a fine answer may be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

from hbnlab.entropy import max_entropy, within_tolerance
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.explanation import Comparison
from hbnlab.policies.grid import MOST_POLICIES, next_hundredth, quantiles
from hbnlab.policies.settings import Setting
from hbnlab.policies.thresholds import TwoLevelPolicy
from hbnlab.policies.view import ExitView
from hbnlab.records import ExitRecords
from hbnlab.types import Number

_P = TypeVar("_P", bound="FineTolerance")

_RULES = ("algorithm-1", "published-code")
_GRID_TOLERANCES = 7
_LINE_TOLERANCES = 25


@dataclass(frozen=True)
class FineTolerance(TwoLevelPolicy):
    """Answer finely while the fine entropy exceeds the coarse one by less than the tolerance.

    With H_f and H_c the entropies of the finest and the coarse head of exit n, T_n its threshold
    and tau the tolerance, at every exit but the last:

    - fine if H_f < T_n and H_f - H_c < tau;
    - else coarse if H_c < T_n; ``"published-code"`` asks for H_f - H_c > tau as well, so that an
      image with H_f - tau < H_c < T_n <= H_f goes on instead;
    - else on to the next exit.

    At the last exit: fine if H_f - H_c < tau, else coarse. All comparisons are strict. A larger
    tolerance means more fine answers: -inf gives none, +inf only fine ones at the last exit.

    Attributes:
        fine_tolerance: tau in nats; not NaN.
        rule: ``"algorithm-1"`` as printed in the paper, or ``"published-code"`` as its code does.
        coarse_level: level of the coarse answers, for trees of more than two levels.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> decisions = FineTolerance([0.8, 0.6], 0.3).decide(simulated_records(100))
        >>> decisions.exit_index.bincount().tolist(), decisions.level_index.bincount().tolist()
        ([84, 10, 6], [74, 26])

    Source:
        Algorithm 1 of Sanati et al., "Exploiting class-granular classifications", and its public
        code. The paper decides by image (``per="sample"``), the code by batch means of the
        entropies (``per="batch"``). Two bullets and the prose of the paper give opposite signs to
        tau; algorithm and code agree with the bullets, as here.
    """

    fine_tolerance: Number
    rule: str = "algorithm-1"
    coarse_level: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "fine_tolerance", float(self.fine_tolerance))
        if math.isnan(self.fine_tolerance):
            raise ValueError(f"fine_tolerance must be a number, got {self.fine_tolerance}")
        if self.rule not in _RULES:
            raise ValueError(f"rule must be one of {_RULES}, got {self.rule!r}")

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, Bool[Tensor, " sample"]]:
        """Images answered finely and images answered coarsely."""
        fine_level = view.num_levels - 1
        fine = view.entropy(exit_index, fine_level)
        coarse = view.entropy(exit_index, self.coarse_level)
        tolerable = within_tolerance(fine, coarse, self.fine_tolerance)
        if view.is_last:
            return {fine_level: tolerable, self.coarse_level: ~tolerable}
        threshold = self.thresholds[exit_index]
        answered_finely = tolerable & (fine < threshold)
        answered_coarsely = (coarse < threshold) & ~answered_finely
        if self.rule == "published-code":
            answered_coarsely = answered_coarsely & (fine - coarse > self.fine_tolerance)
        return {fine_level: answered_finely, self.coarse_level: answered_coarsely}

    # ------------------------------------------------------------------ explaining itself

    @property
    def title(self) -> str:
        """The name that people read; the variant of the published code is named."""
        variant = ", published code" if self.rule == "published-code" else ""
        return f"{super().title}{variant}"

    @property
    def point_label(self) -> str:
        """The tolerance."""
        return f"tolerance {self.fine_tolerance:.2g}"

    def explain(self, view: ExitView, row: int, hierarchy: Hierarchy) -> list[str]:
        """The fine entropy, the gap and, where these fail, the coarse entropy."""
        outcome, exit_index = self.outcome(view, row, hierarchy), view.exit_index
        fine_name, coarse_name = hierarchy.level_names[-1], hierarchy.level_names[self.coarse_level]
        fine = view.entropy(exit_index, hierarchy.finest)[row]
        coarse = view.entropy(exit_index, self.coarse_level)[row]
        gap, tau = f"{fine_name} entropy minus {coarse_name} entropy", self.fine_tolerance
        tolerable = Comparison(f"{gap} under the tolerance", (fine, coarse), tau)
        if view.is_last:
            return [f"last exit: {tolerable.line(outcome)}"]
        limit = self.thresholds[exit_index]
        sure = Comparison(f"{fine_name} entropy under the threshold", (fine,), limit)
        if sure.holds and tolerable.holds:
            return [sure.line(), tolerable.line(outcome)]
        lines = [sure.line(), tolerable.line()] if sure.holds else [sure.line()]
        sure = Comparison(f"{coarse_name} entropy under the threshold", (coarse,), limit)
        if sure.holds and self.rule == "published-code":
            over = Comparison(f"{gap} over the tolerance", (fine, coarse), tau, ">")
            return [*lines, sure.line(), over.line(outcome)]
        return [*lines, sure.line(outcome)]

    def adjustable(self, hierarchy: Hierarchy) -> tuple[Setting, ...]:
        """Thresholds and tolerance, the latter from no image within it to every image."""
        low = -next_hundredth(max_entropy(hierarchy.num_classes[self.coarse_level]))
        high = next_hundredth(max_entropy(hierarchy.num_classes[-1]))
        return tuple(
            replace(setting, low=low, high=high) if setting.field == "fine_tolerance" else setting
            for setting in super().adjustable(hierarchy)
        )

    def grid(self: _P, records: ExitRecords) -> Sequence[_P]:
        """Thresholds as in ``ThresholdPolicy.grid``, each with tolerances from coarse to fine."""
        rows = self._threshold_rows(records, MOST_POLICIES // _GRID_TOLERANCES)
        tolerances = dict.fromkeys(self._tolerances(records))
        return [
            replace(self, thresholds=row, fine_tolerance=tau) for row in rows for tau in tolerances
        ]

    def trade_off(self: _P, records: ExitRecords) -> Sequence[_P]:
        """The same thresholds under tolerances from all coarse answers to all fine ones."""
        low, *_, high = self._tolerances(records)
        step = (high - low) / (_LINE_TOLERANCES - 1)
        return [replace(self, fine_tolerance=low + n * step) for n in range(_LINE_TOLERANCES)]

    def typical(self: _P, records: ExitRecords) -> _P:
        """Thresholds that most entropies are under, and the median tolerance."""
        typical, tolerances = super().typical(records), self._tolerances(records)
        return replace(typical, fine_tolerance=tolerances[len(tolerances) // 2])

    def _tolerances(self, records: ExitRecords) -> list[float]:
        """Tolerances from all coarse to all fine: quantiles of the gaps, and a little beyond."""
        gaps = []
        for exit_index in range(records.num_exits):
            view = ExitView.from_records(records, exit_index, self.batch_size)
            fine = view.entropy(exit_index, records.hierarchy.finest)
            gap = fine - view.entropy(exit_index, self.coarse_level)
            gaps.append(gap[:: self.batch_size])
        gap = torch.cat(gaps)
        # The sum with 0 makes -0.0 the 0.0 that people write.
        low, high = round(float(gap.min()) - 0.01, 2) + 0.0, round(float(gap.max()) + 0.01, 2)
        return quantiles(gap, _GRID_TOLERANCES, low, high)
