"""Which images the inspector steps through: by outcome, by class, by difficulty."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from hbnlab.formatting import spoken
from hbnlab.hierarchy import Hierarchy
from hbnlab.metrics import answer_values, entropy_gap
from hbnlab.records import Decisions, ExitRecords

ANY = "any"
KINDS = ("leaves early", "wrong", "fine answer at coarse confidence")
"""What the policy may do with an image.

Leaves early: before the last exit. Wrong: the answer is not the label of its level. Fine answer at
coarse confidence: answered at the finest level by a head whose entropy is lower than that of the
coarse head of the same exit.
"""

QUARTERS = ("easiest quarter", "second quarter", "third quarter", "hardest quarter")


@dataclass(frozen=True)
class ImageFilter:
    """What the images have in common.

    Attributes:
        kind: one of ``KINDS``; ``"any"``, here and below, for all images.
        class_name: such as ``"fine: poodle"``, one of ``class_choices``: the images of that class.
        difficulty: one of ``QUARTERS``, of the images ordered by difficulty.
    """

    kind: str = ANY
    class_name: str = ANY
    difficulty: str = ANY

    def matches(
        self, records: ExitRecords, decisions: Decisions, coarse_level: int
    ) -> Bool[Tensor, " sample"]:
        """The images that pass all three."""
        found = torch.ones_like(records.labels[:, 0], dtype=torch.bool)
        if self.kind != ANY:
            found &= _of_kind(self.kind, records, decisions, coarse_level)
        if self.class_name != ANY:
            level, index = class_choices(records.hierarchy)[self.class_name]
            found &= records.labels[:, level] == index
        if self.difficulty != ANY:
            # By rank: quarters are equally large, ties in the order of the records.
            rank = records.attributes["difficulty"].argsort(stable=True).argsort()
            found &= rank * len(QUARTERS) // len(rank) == QUARTERS.index(self.difficulty)
        return found


def difficulty_choices(records: ExitRecords) -> tuple[str, ...]:
    """The quarters, if difficulty was recorded for every image."""
    difficulty = records.attributes.get("difficulty")
    return () if difficulty is None or difficulty.isnan().any() else QUARTERS


def class_choices(hierarchy: Hierarchy) -> dict[str, tuple[int, int]]:
    """Level and index of each class by its name with the level, finest level first."""
    return {
        f"{hierarchy.level_names[level]}: {spoken(name)}": (level, index)
        for level in reversed(range(hierarchy.num_levels))
        for index, name in enumerate(hierarchy.class_names[level])
    }


def _of_kind(
    kind: str, records: ExitRecords, decisions: Decisions, coarse_level: int
) -> Bool[Tensor, " sample"]:
    if kind == "leaves early":
        return decisions.exit_index < records.num_exits - 1
    if kind == "wrong":
        return answer_values(decisions, records)["accuracy"] == 0
    is_surer = torch.zeros_like(decisions.exit_index, dtype=torch.bool)
    for exit_index, has_head in enumerate(records.head_mask):
        if has_head[coarse_level] and has_head[-1]:
            gap = entropy_gap(records, exit_index, coarse_level=coarse_level)
            is_surer |= (decisions.exit_index == exit_index) & (gap < 0)
    return (decisions.level_index == records.hierarchy.finest) & is_surer
