"""How good the answers of a policy are, how specific, and what they cost."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

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
    _check(decisions, records)
    device = records.labels.device
    exits, levels = decisions.exit_index.to(device), decisions.level_index.to(device)
    prediction = decisions.prediction.to(device)
    hierarchy, num_levels = records.hierarchy, records.hierarchy.num_levels
    cells = torch.bincount(exits * num_levels + levels, minlength=records.available.numel())
    right = prediction == records.labels.gather(1, levels[:, None])[:, 0]
    lifted, leaves = torch.empty_like(prediction), torch.empty_like(prediction)
    for level in range(num_levels):
        here = levels == level
        lifted[here] = hierarchy.ancestors(0, level).to(device)[prediction[here]]
        leaves[here] = hierarchy.leaf_counts(level).to(device)[prediction[here]]
    return assemble(
        records,
        cell_counts=cells.view(records.available.shape).tolist(),
        right=int(right.sum()),
        hierarchical=int((lifted == records.labels[:, 0]).sum()),
        leaf_counts=Counter(leaves.tolist()),
        total_macs=int(decisions.macs.sum()),
        batch_specificity=(
            None
            if batch_size is None
            else batch_specificity((levels == hierarchy.finest)[None], batch_size)[0]
        ),
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


def _check(decisions: Decisions, records: ExitRecords) -> None:
    if len(decisions) != len(records):
        raise ValueError(
            f"decisions must be those of the records' {len(records)} images, got {len(decisions)}"
        )
    shape = tuple(records.available.shape)
    for name, column, size in (
        ("exit_index", decisions.exit_index, shape[0]),
        ("level_index", decisions.level_index, shape[1]),
    ):
        lowest, highest = int(column.min()), int(column.max())
        if lowest < 0 or highest >= size:
            raise ValueError(
                f"{name} of decisions must be in 0..{size - 1}, got {lowest}..{highest}"
            )
