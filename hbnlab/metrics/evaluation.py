"""How good the answers of a policy are, how specific, and what they cost."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hbnlab.head_mask import describe_cells
from hbnlab.hierarchy import Hierarchy
from hbnlab.records import Decisions, ExitRecords


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the answers of a policy are worth, over all images.

    Attributes:
        num_images: how many were answered.
        accuracy: share right at the level of their answer, in [0, 1].
        hierarchical_accuracy: share right when every answer is mapped up to the coarsest level.
        specificity: share answered at the finest level.
        information: mean information of the answers in bits, right or wrong: log2 of (all finest
            classes / those under the answer).
        mean_macs: multiply-accumulates an image that really ran.
        study_macs: the same, counting every branch on the way as the study does, also those that
            the policy never looks at.
        shares: share of the images answered at each (exit, level).
        batch_specificity: mean over batches of their specificity, where asked for; the study
            averages so, and it differs from ``specificity`` when the last batch is short.
    """

    num_images: int
    accuracy: float
    hierarchical_accuracy: float
    specificity: float
    information: float
    mean_macs: float
    study_macs: float
    shares: tuple[tuple[float, ...], ...]
    batch_specificity: float | None = None

    @property
    def mean_flops(self) -> float:
        """Floating-point operations an image that really ran: two a multiply-accumulate."""
        return 2 * self.mean_macs

    @property
    def exit_shares(self) -> tuple[float, ...]:
        """Share of the images that left at each exit."""
        return tuple(math.fsum(row) for row in self.shares)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold, FLOPs included."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        values["shares"] = [list(row) for row in self.shares]
        return values | {"mean_flops": self.mean_flops, "study_flops": 2 * self.study_macs}


def evaluate(
    decisions: Decisions, records: ExitRecords, *, batch_size: int | None = None
) -> Evaluation:
    """Measure decisions against the labels of the records they were made for.

    Args:
        decisions: from ``policy.decide`` or from inference, image for image those of the records.
        records: hold the labels, the tree and the costs.
        batch_size: give it for ``batch_specificity`` over batches of so many consecutive images.

    Raises:
        ValueError: when the numbers of images differ, or an answer lies outside the records.
    """
    answers = _Answers.of(decisions, records)
    cells = answers.exits * records.hierarchy.num_levels + answers.levels
    counts = torch.bincount(cells, minlength=records.num_exits * records.hierarchy.num_levels)
    share = None
    if batch_size is not None:
        share = batch_specificity(answers.finest[None], batch_size)[0]
    return assemble(
        records,
        cell_counts=counts.view(records.num_exits, -1).tolist(),
        right=int(answers.right.sum()),
        hierarchical=int(answers.hierarchical.sum()),
        leaf_counts=Counter(answers.leaves.tolist()),
        total_macs=int(decisions.macs.sum()),
        batch_specificity=share,
    )


def answer_values(
    decisions: Decisions, records: ExitRecords
) -> dict[str, Float[Tensor, " sample"]]:
    """The numbers of ``evaluate`` image by image, in double precision; their means are its fields.

    Returns:
        By the name of the field: accuracy, hierarchical_accuracy, specificity, information,
        mean_macs.
    """
    answers = _Answers.of(decisions, records)
    everything = records.hierarchy.num_classes[-1]
    return {
        "accuracy": answers.right.double(),
        "hierarchical_accuracy": answers.hierarchical.double(),
        "specificity": answers.finest.double(),
        "information": (everything / answers.leaves.double()).log2(),
        "mean_macs": decisions.macs.to(answers.right.device).double(),
    }


@dataclass(frozen=True, eq=False)
class _Answers:
    """Decisions compared with the labels, image by image.

    Attributes:
        exits: exit of each answer.
        levels: level of each answer.
        right: whether it is the label of its own level.
        hierarchical: whether it is, mapped up to the coarsest level, the label there.
        finest: whether it was given at the finest level.
        leaves: how many finest classes lie under it.
    """

    exits: Int[Tensor, " sample"]
    levels: Int[Tensor, " sample"]
    right: Bool[Tensor, " sample"]
    hierarchical: Bool[Tensor, " sample"]
    finest: Bool[Tensor, " sample"]
    leaves: Int[Tensor, " sample"]

    @classmethod
    def of(cls, decisions: Decisions, records: ExitRecords) -> "_Answers":
        """Compare, on the device of the records."""
        check_decisions(decisions, records)
        labels, hierarchy = records.labels, records.hierarchy
        exits, levels, prediction = (
            column.to(labels.device)
            for column in (decisions.exit_index, decisions.level_index, decisions.prediction)
        )
        lifted, leaves = torch.empty_like(prediction), torch.empty_like(prediction)
        for level in range(hierarchy.num_levels):
            here = levels == level
            lifted[here] = hierarchy.ancestors(0, level).to(labels.device)[prediction[here]]
            leaves[here] = hierarchy.leaf_counts(level).to(labels.device)[prediction[here]]
        return cls(
            exits=exits,
            levels=levels,
            right=prediction == labels.gather(1, levels[:, None])[:, 0],
            hierarchical=lifted == labels[:, 0],
            finest=levels == hierarchy.finest,
            leaves=leaves,
        )


def assemble(
    records: ExitRecords,
    *,
    cell_counts: list[list[int]],
    right: int,
    hierarchical: int,
    leaf_counts: Counter[int],
    total_macs: int,
    batch_specificity: float | None,
) -> Evaluation:
    """Turn whole numbers of images into shares; the one place where any rounding happens."""
    total = len(records)
    by_exit = [sum(row) for row in cell_counts]
    study = sum(count * records.macs_to(index) for index, count in enumerate(by_exit))
    return Evaluation(
        num_images=total,
        accuracy=right / total,
        hierarchical_accuracy=hierarchical / total,
        specificity=sum(row[-1] for row in cell_counts) / total,
        information=mean_information(leaf_counts, records.hierarchy),
        mean_macs=total_macs / total,
        study_macs=study / total,
        shares=tuple(tuple(count / total for count in row) for row in cell_counts),
        batch_specificity=batch_specificity,
    )


def mean_information(leaf_counts: Counter[int], hierarchy: Hierarchy) -> float:
    """Mean bits of answers, given how many have each number of finest classes under them."""
    everything = hierarchy.num_classes[-1]
    bits = [count * math.log2(everything / size) for size, count in sorted(leaf_counts.items())]
    return math.fsum(bits) / leaf_counts.total()


def batch_specificity(is_finest: Bool[Tensor, "policy sample"], batch_size: int) -> list[float]:
    """For each policy, the mean over batches of the share of finest answers in the batch.

    Every batch weighs the same, the last one too, however short.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    shares = [chunk.double().mean(dim=1) for chunk in is_finest.split(batch_size, dim=1)]
    return torch.stack(shares, dim=1).mean(dim=1).tolist()


def check_decisions(decisions: Decisions, records: ExitRecords) -> None:
    """Refuse decisions that are not about the images, cells and classes of the records."""
    if len(decisions) != len(records):
        raise ValueError(
            f"decisions must be those of the records' {len(records)} images, got {len(decisions)}"
        )
    sizes = torch.tensor(records.hierarchy.num_classes)
    exits, levels, prediction = (
        column.cpu()
        for column in (decisions.exit_index, decisions.level_index, decisions.prediction)
    )
    _check_range("exit_index", exits, records.num_exits)
    _check_range("level_index", levels, records.hierarchy.num_levels)
    missing = ~torch.tensor(records.head_mask)[exits, levels]
    if missing.any():
        row = int(missing.nonzero()[0])
        raise ValueError(
            f"decisions must name cells of the records, got exit {int(exits[row]) + 1}, level "
            f"{int(levels[row])} at image {row}; the cells are: "
            f"{describe_cells(records.head_mask, records.hierarchy)}"
        )
    outside = (prediction < 0) | (prediction >= sizes[levels])
    if outside.any():
        row = int(outside.nonzero()[0])
        raise ValueError(
            f"a class of level {int(levels[row])} must be in 0..{int(sizes[levels[row]]) - 1}, "
            f"got {int(prediction[row])} at image {row}"
        )


def _check_range(name: str, column: Int[Tensor, " sample"], size: int) -> None:
    lowest, highest = int(column.min()), int(column.max())
    if lowest < 0 or highest >= size:
        raise ValueError(f"{name} of decisions must be in 0..{size - 1}, got {lowest}..{highest}")
