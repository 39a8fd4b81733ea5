"""The study's rule for exits with fine and coarse heads: how unsure a fine answer may be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Bool
from torch import Tensor

from hbnlab.entropy import within_tolerance
from hbnlab.policies.two_levels import TwoLevelPolicy
from hbnlab.policies.view import ExitView
from hbnlab.types import Number

_RULES = ("algorithm-1", "published-code")


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
    tolerance means more fine answers: -inf gives none, +inf none but fine ones at the last exit.

    Attributes:
        fine_tolerance: tau in nats; not NaN.
        rule: ``"algorithm-1"`` as printed in the paper, or ``"published-code"`` as its code does.
        coarse_level: level of the coarse answers, for trees of more than two levels.

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

    @classmethod
    def at_exit(
        cls, exit_index: int, num_exits: int, fine_tolerance: Number, rule: str = "algorithm-1"
    ) -> "FineTolerance":
        """The rule that lets every image leave at one exit, so that only the tolerance acts.

        The study's figures 3 and 4 are drawn this way, one panel an exit.
        """
        if not 0 <= exit_index < num_exits:
            raise ValueError(f"exit_index must be in 0..{num_exits - 1}, got {exit_index}")
        thresholds = [math.inf if n == exit_index else 0.0 for n in range(num_exits - 1)]
        return cls(thresholds, fine_tolerance, rule)

    def answers(
        self, exit_index: int, view: ExitView
    ) -> Mapping[int, Bool[Tensor, "*policy sample"]]:
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
