"""What the rules that answer either coarsely or finely have in common."""

from collections.abc import Iterable, Sequence

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.thresholds import ThresholdPolicy


class TwoLevelPolicy(ThresholdPolicy):
    """A rule that answers at the finest level or at one coarser one, by the heads of both.

    Each rule declares the field ``coarse_level`` itself, after its own; here stand the cells that
    such a rule looks at, and what it asks of a tree.
    """

    coarse_level: int

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """The coarse and the finest cell of each exit that is looked at."""
        exits = self.consulted_exits(len(head_mask))
        levels = (self.coarse_level, len(head_mask[0]) - 1)
        return [(exit_index, level) for exit_index in exits for level in levels]

    def check_fits(
        self, head_mask: Sequence[Sequence[bool]], hierarchy: Hierarchy, has_gate: bool
    ) -> None:
        """Refuse what ``ThresholdPolicy`` refuses, and a coarse level not above the finest."""
        if not 0 <= self.coarse_level < hierarchy.finest:
            raise ValueError(
                f"coarse_level must be one above the finest of {list(hierarchy.level_names)}, "
                f"got {self.coarse_level}"
            )
        super().check_fits(head_mask, hierarchy, has_gate)
