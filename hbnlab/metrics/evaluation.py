"""How good the answers of a policy are, how specific, and what they cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hbnlab.head_mask import describe_cells
from hbnlab.records import Decisions, ExitRecords
from hbnlab.records.answers import answer_columns, leaf_sizes

CellIndex = tuple[int, int]  # exit and level


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Accuracy, specificity and cost of the answers of a policy, over all images.

    Attributes:
        num_images: number of images answered.
        accuracy: share of answers that are right at their own level, in [0, 1].
        hierarchical_accuracy: share right when every answer is mapped up to the coarsest level.
        specificity: share answered at the finest level.
        information: mean information of the answers in bits, right or wrong: log2 of (all finest
            classes / those under the answer).
        mean_macs: multiply-accumulates per image that really ran.
        study_macs: the same, counting every branch on the way as the study does, including those
            that the policy never consults.
        shares: share of the images answered at each (exit, level).
        batch_specificity: mean of the specificities of all batches, None without a batch size. The
            study averages this way, which differs from ``specificity`` after a short last batch.

    Example:
        >>> from hbnlab.policies import FineTolerance
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> decisions = FineTolerance([0.8, 0.6], 0.3).decide(records)
        >>> result = evaluate(decisions, records)
        >>> result.accuracy, result.specificity, result.mean_flops
        (0.68, 0.26, 330.0)
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
        """Floating-point operations per image that really ran: two per multiply-accumulate."""
        return 2 * self.mean_macs

    @property
    def coarse_share(self) -> float:
        """Share answered at a coarser level than the finest: 1 minus specificity."""
        return 1 - self.specificity

    @property
    def exit_shares(self) -> tuple[float, ...]:
        """Share of the images that left at each exit."""
        return tuple(math.fsum(row) for row in self.shares)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values that JSON can hold, FLOPs included."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        values["shares"] = [list(row) for row in self.shares]
        return values | {"mean_flops": self.mean_flops, "study_flops": 2 * self.study_macs}


def evaluate(
    decisions: Decisions, records: ExitRecords, *, batch_size: int | None = None
) -> Evaluation:
    """Measure decisions against the labels of the records they were made for.

    Args:
        decisions: from ``policy.decide`` or from inference, one per image of the records.
        records: hold the labels, the tree and the costs.
        batch_size: number of consecutive images per batch, for ``batch_specificity``.

    Raises:
        ValueError: when the number of images differs, or an answer lies outside the records.

    Example:
        >>> from hbnlab.policies import FineTolerance
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> decisions = FineTolerance([0.8, 0.6], 0.3).decide(records)
        >>> [[round(share, 2) for share in row] for row in evaluate(decisions, records).shares]
        [[0.62, 0.22], [0.08, 0.02], [0.04, 0.02]]
    """
    exits, levels, prediction, macs = checked_columns(decisions, records)
    values = answer_columns(levels, prediction, records)
    leaving = {(e, level): (exits == e) & (levels == level) for e, level in records.cells}
    by_cell = sums_by_cell(leaving, dict.fromkeys(leaving, values))
    share = batch_specificity(leaving, records, batch_size)
    return summarise(records, by_cell, int(macs.sum()), share)


def answer_values(
    decisions: Decisions, records: ExitRecords
) -> dict[str, Float[Tensor, " sample"]]:
    """The per-image values whose means ``evaluate`` returns, in double precision.

    Returns:
        By the name of the field: accuracy, hierarchical_accuracy, specificity, information,
        mean_macs.

    Example:
        >>> from hbnlab.policies import ForcedExit
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(4)
        >>> answer_values(ForcedExit(0, level=0).decide(records), records)["accuracy"]
        tensor([1., 1., 0., 1.], dtype=torch.float64)
    """
    _, levels, prediction, macs = checked_columns(decisions, records)
    _, right, hierarchical, *by_size = answer_columns(levels, prediction, records).double()
    sizes = torch.tensor(leaf_sizes(records.hierarchy), dtype=torch.float64, device=macs.device)
    bits = (records.hierarchy.num_classes[-1] / sizes).log2()
    return {
        "accuracy": right,
        "hierarchical_accuracy": hierarchical,
        "specificity": (levels == records.hierarchy.finest).double(),
        "information": bits @ torch.stack(by_size),
        "mean_macs": macs.double(),
    }


def sums_by_cell(
    leaving: Mapping[CellIndex, Bool[Tensor, " sample"]],
    columns: Mapping[CellIndex, Float[Tensor, "value sample"]],
) -> dict[CellIndex, list[int]]:
    """By (exit, level), sums of ``answer_columns`` over the images that leave there."""
    sums = [columns[cell] @ leaves.to(columns[cell]) for cell, leaves in leaving.items()]
    return dict(zip(leaving, torch.stack(sums).long().tolist(), strict=True))


def summarise(
    records: ExitRecords,
    by_cell: Mapping[CellIndex, Sequence[int]],
    total_macs: int,
    batch_specificity: float | None,
) -> Evaluation:
    """Turn numbers of images into shares; the only place where anything is rounded.

    Args:
        records: what the policy decided on.
        by_cell: as ``sums_by_cell`` gives them.
        total_macs: multiply-accumulates of all images together.
        batch_specificity: as in ``Evaluation``.
    """
    total, hierarchy = len(records), records.hierarchy
    levels, exits = range(hierarchy.num_levels), range(records.num_exits)
    counts = {cell: row[0] for cell, row in by_cell.items()}
    table = [[counts.get((exit_index, level), 0) for level in levels] for exit_index in exits]
    _, right, hierarchical, *by_size = map(sum, zip(*by_cell.values(), strict=True))
    study = sum(sum(row) * records.macs_to(index) for index, row in enumerate(table))
    sizes = zip(by_size, leaf_sizes(hierarchy), strict=True)
    bits = [count * math.log2(hierarchy.num_classes[-1] / size) for count, size in sizes]
    return Evaluation(
        num_images=total,
        accuracy=right / total,
        hierarchical_accuracy=hierarchical / total,
        specificity=sum(row[-1] for row in table) / total,
        information=math.fsum(bits) / total,
        mean_macs=total_macs / total,
        study_macs=study / total,
        shares=tuple(tuple(count / total for count in row) for row in table),
        batch_specificity=batch_specificity,
    )


def batch_specificity(
    leaving: Mapping[CellIndex, Bool[Tensor, " sample"]],
    records: ExitRecords,
    batch_size: int | None,
) -> float | None:
    """Mean over batches of the share of finest answers; None without a batch size.

    Every batch has the same weight, even a short last one.
    """
    if batch_size is None:
        return None
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    is_finest = torch.zeros_like(records.labels[:, 0], dtype=torch.bool)
    for (_, level), leaves in leaving.items():
        is_finest |= leaves & (level == records.hierarchy.finest)
    shares = [chunk.double().mean() for chunk in is_finest.split(batch_size)]
    return float(torch.stack(shares).mean())


def checked_columns(decisions: Decisions, records: ExitRecords) -> list[Int[Tensor, " sample"]]:
    """Exit, level, class and cost of each answer, on the device of the records.

    Raises:
        ValueError: when the decisions are not about the images, cells and classes of the records.
    """
    if len(decisions) != len(records):
        raise ValueError(
            f"decisions must be those of the records' {len(records)} images, got {len(decisions)}"
        )
    device = records.labels.device
    sizes = torch.tensor(records.hierarchy.num_classes, device=device)
    columns = (decisions.exit_index, decisions.level_index, decisions.prediction, decisions.macs)
    exits, levels, prediction, macs = (column.to(device) for column in columns)
    _check_range("exit_index", exits, records.num_exits)
    _check_range("level_index", levels, records.hierarchy.num_levels)
    missing = ~torch.tensor(records.head_mask, device=device)[exits, levels]
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
    return [exits, levels, prediction, macs]


def _check_range(name: str, column: Int[Tensor, " sample"], size: int) -> None:
    lowest, highest = int(column.min()), int(column.max())
    if lowest < 0 or highest >= size:
        raise ValueError(f"{name} of decisions must be in 0..{size - 1}, got {lowest}..{highest}")
