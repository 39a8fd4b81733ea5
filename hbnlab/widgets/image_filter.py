"""Which images are looked through: by class, by difficulty, by what the policy does with them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from hbnlab.formatting import spoken
from hbnlab.hierarchy import Hierarchy
from hbnlab.metrics import answer_values, entropy_gap
from hbnlab.records import Decisions, ExitRecords

ANY = "any"
KINDS = (ANY, "leaves early", "wrong", "fine answer at coarse confidence")
"""What the policy may do with an image.

Leaves early: before the last exit. Wrong: the answer is not the label of its level. Fine answer at
coarse confidence: answered at the finest level by a head whose entropy is under that of the coarse
head of the same exit.
"""

QUARTERS = ("easiest quarter", "second quarter", "third quarter", "hardest quarter")


@dataclass(frozen=True)
class ImageFilter:
    """What the images shown have in common.

    Attributes:
        kind: one of ``KINDS``.
        class_name: such as ``"fine: poodle"``, one of ``class_choices``; all images of the class.
        difficulty: one of ``QUARTERS``, of the images ordered by difficulty; ``"any"`` for all.
    """

    kind: str = ANY
    class_name: str = ANY
    difficulty: str = ANY

    def matches(
        self, records: ExitRecords, decisions: Decisions, coarse_level: int
    ) -> Bool[Tensor, " sample"]:
        """The images that have all of it."""
        return (
            _of_kind(self.kind, records, decisions, coarse_level)
            & _of_class(self.class_name, records)
            & _of_difficulty(self.difficulty, records)
        )


def class_choices(hierarchy: Hierarchy) -> list[str]:
    """All classes with their levels, finest level first, after ``"any"``."""
    levels = reversed(range(hierarchy.num_levels))
    return [ANY] + [
        f"{hierarchy.level_names[level]}: {spoken(name)}"
        for level in levels
        for name in hierarchy.class_names[level]
    ]


def difficulty_choices(records: ExitRecords) -> list[str]:
    """The quarters where difficulty was recorded for every image, after ``"any"``."""
    difficulty = records.attributes.get("difficulty")
    if difficulty is None or difficulty.isnan().any():
        return [ANY]
    return [ANY, *QUARTERS]


def _of_kind(
    kind: str, records: ExitRecords, decisions: Decisions, coarse_level: int
) -> Bool[Tensor, " sample"]:
    if kind == "leaves early":
        return decisions.exit_index < records.num_exits - 1
    if kind == "wrong":
        return answer_values(decisions, records)["accuracy"] == 0
    found = torch.ones_like(decisions.exit_index, dtype=torch.bool)
    if kind == ANY:
        return found
    fine = decisions.level_index == records.hierarchy.finest
    surer = torch.zeros_like(found)
    for exit_index, has in enumerate(records.head_mask):
        if has[coarse_level] and has[-1]:
            gap = entropy_gap(records, exit_index, coarse_level=coarse_level)
            surer |= (decisions.exit_index == exit_index) & (gap < 0)
    return fine & surer


def _of_class(class_name: str, records: ExitRecords) -> Bool[Tensor, " sample"]:
    labels = records.labels
    if class_name == ANY:
        return torch.ones_like(labels[:, 0], dtype=torch.bool)
    number = class_choices(records.hierarchy).index(class_name) - 1
    level = records.hierarchy.finest
    while number >= records.hierarchy.num_classes[level]:
        number -= records.hierarchy.num_classes[level]
        level -= 1
    return labels[:, level] == number


def _of_difficulty(difficulty: str, records: ExitRecords) -> Bool[Tensor, " sample"]:
    if difficulty == ANY:
        return torch.ones_like(records.labels[:, 0], dtype=torch.bool)
    # By rank: quarters are equally many images, ties in the order of the records.
    order = records.attributes["difficulty"].argsort(stable=True)
    quarter = torch.empty_like(order)
    quarter[order] = torch.arange(len(order), device=order.device) * len(QUARTERS) // len(order)
    return quarter == QUARTERS.index(difficulty)
