"""Every image leaves at one exit, to measure that exit alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from hbnlab.policies.base import Policy
from hbnlab.policies.entropy_threshold import one_cell_an_exit
from hbnlab.policies.view import ExitView


@dataclass(frozen=True)
class ForcedExit(Policy):
    """Answer every image at one cell; no other branch is looked at.

    Attributes:
        exit_index: from 0.
        level: level answered; None = the finest head of the exit.
    """

    exit_index: int
    level: int | None = None

    def answers(
        self, exit_index: int, view: ExitView
    ) -> Mapping[int, Bool[Tensor, "*policy sample"]]:
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
        return one_cell_an_exit([self.exit_index], head_mask, self.level)
