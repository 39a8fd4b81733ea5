"""Every image leaves at one exit, to measure that exit only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.base import Policy, one_cell_per_exit
from hbnlab.policies.settings import Setting
from hbnlab.policies.view import ExitView


@dataclass(frozen=True)
class ForcedExit(Policy):
    """Answer every image at one cell; no other branch is consulted.

    Attributes:
        exit_index: from 0.
        level: level answered; None = the finest head of the exit.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> decisions = ForcedExit(1, level=0).decide(simulated_records(3))
        >>> decisions.exit_index.tolist(), decisions.level_index.tolist()
        ([1, 1, 1], [0, 0, 0])
    """

    exit_index: int
    level: int | None = None

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, Bool[Tensor, " sample"]]:
        """All images at the exit, none elsewhere."""
        if exit_index != self.exit_index:
            return {}
        level = view.finest_level(exit_index) if self.level is None else self.level
        return {level: view.all_images()}

    def consults(self, exit_index: int) -> bool:
        """Only the branch of the exit."""
        return exit_index == self.exit_index

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """The cell that answers."""
        if not 0 <= self.exit_index < len(head_mask):
            raise ValueError(
                f"exit_index must be in 0..{len(head_mask) - 1}, got {self.exit_index}"
            )
        return one_cell_per_exit([self.exit_index], head_mask, self.level)

    def explain(self, view: ExitView, row: int, hierarchy: Hierarchy) -> list[str]:
        """That there is nothing to compare."""
        outcome = self.outcome(view, row, hierarchy)
        return [f"every image leaves at exit {self.exit_index + 1}: {outcome}"]

    def adjustable(self, hierarchy: Hierarchy) -> tuple[Setting, ...]:
        """None: exit and level name a cell, they are no quantities."""
        del hierarchy
        return ()
