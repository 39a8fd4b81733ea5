"""BranchyNet's rule: leave at the first exit that is sure enough."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.policies.view import ExitView


@dataclass(frozen=True)
class EntropyThreshold(ThresholdPolicy):
    """Leave at exit n if the entropy there is strictly under its threshold T_n.

    A larger threshold lets more images leave; 0 lets none, +inf all.

    Attributes:
        level: level that is looked at and answered; None = the finest head that each exit has,
            so that the rule serves Sem-HBN too.

    Source:
        BranchyNet (Teerapittayanon et al., ICPR 2016).
    """

    level: int | None = None

    def answers(
        self, exit_index: int, view: ExitView
    ) -> Mapping[int, Bool[Tensor, "*policy sample"]]:
        """Images whose entropy is under the threshold; at the last exit all."""
        level = view.finest_level(exit_index) if self.level is None else self.level
        if view.is_last:
            return {level: view.all_images()}
        return {level: view.entropy(exit_index, level) < self.thresholds[exit_index]}

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """One cell for each exit that is looked at."""
        return one_cell_an_exit(self.consulted_exits(len(head_mask)), head_mask, self.level)


def one_cell_an_exit(
    exits: Iterable[int], head_mask: Sequence[Sequence[bool]], level: int | None
) -> list[tuple[int, int]]:
    """The cell of each exit at a level, None = the finest head that the exit has."""
    if level is not None:
        return [(exit_index, level) for exit_index in exits]
    return [(e, max(lv for lv, has in enumerate(head_mask[e]) if has)) for e in exits]
