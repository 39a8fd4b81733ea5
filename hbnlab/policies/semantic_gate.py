"""AG-HBN's policy: a learned gate chooses the level, the entropy at that level the exit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Bool
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.explanation import Comparison
from hbnlab.policies.thresholds import TwoLevelPolicy
from hbnlab.policies.view import ExitView


@dataclass(frozen=True)
class SemanticGate(TwoLevelPolicy):
    """Leave at exit n if the entropy at the gate's level is strictly under its threshold T_n.

    The gate is attached to the first branch and decides once: fine if its class 1 wins, else
    coarse, also at a tie. By batch: fine if it says so for at least half of the images. At the last
    exit only the gate decides.

    Attributes:
        coarse_level: level of the coarse answers, for trees of more than two levels.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> decisions = SemanticGate([0.5, 0.5]).decide(simulated_records(100))
        >>> decisions.exit_index.bincount().tolist(), decisions.level_index.bincount().tolist()
        ([27, 18, 55], [45, 55])

    Source:
        AG-HBN of Sanati et al., equation 12 for the batch mean.
    """

    coarse_level: int = field(default=0, kw_only=True)

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, Bool[Tensor, " sample"]]:
        """Images answered at the gate's level."""
        fine_level = view.num_levels - 1
        gate_is_fine = view.gate_is_fine()
        if view.is_last:
            return {fine_level: gate_is_fine, self.coarse_level: ~gate_is_fine}
        threshold = self.thresholds[exit_index]
        fine = view.entropy(exit_index, fine_level) < threshold
        coarse = view.entropy(exit_index, self.coarse_level) < threshold
        return {fine_level: gate_is_fine & fine, self.coarse_level: ~gate_is_fine & coarse}

    def consults(self, exit_index: int) -> bool:
        """Whether the branch is consulted: the first always is, for its gate."""
        return exit_index == 0 or super().consults(exit_index)

    @property
    def needs_gate(self) -> bool:
        """Always: the gate chooses the level."""
        return True

    def explain(self, view: ExitView, row: int, hierarchy: Hierarchy) -> list[str]:
        """What the gate asks for, and the entropy at that level."""
        outcome = self.outcome(view, row, hierarchy)
        is_fine = bool(view.gate_is_fine()[row])
        level = hierarchy.finest if is_fine else self.coarse_level
        name = hierarchy.level_names[level]
        share = "at least half" if is_fine else "more than half"
        whose = "" if self.batch_size is None else f", for {share} of the batch,"
        asks = f"the gate{whose} asks for a {name} answer"
        if view.is_last:
            return [f"last exit: {asks}: {outcome}"]
        entropy, limit = view.entropy(view.exit_index, level)[row], self.thresholds[view.exit_index]
        under = Comparison(f"{name} entropy under the threshold", (entropy,), limit)
        return [asks, under.line(outcome)]
