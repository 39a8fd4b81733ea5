"""Confusion matrices with the fine classes of each coarse class side by side."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from hbnlab.records import ExitRecords


@dataclass(frozen=True, eq=False, kw_only=True)
class Confusion:
    """How often each class is mistaken for each other class, in the order of the tree.

    Attributes:
        counts: number of images of the row's class that were classified as the column's class.
        classes: index of the class of each row and column, sorted by coarse class.
        names: their names.
        block_sizes: number of classes of each coarse class, in order: the blocks on the diagonal
            hold the mistakes that stay within a coarse class.
        block_names: names of the coarse classes.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> matrix = confusion(records, 0, "fine")
        >>> matrix.names[:3], matrix.block_sizes, round(matrix.within_blocks, 2)
        (('poodle', 'collie', 'husky'), (3, 2, 1), 0.25)
    """

    counts: Int[Tensor, "row column"]
    classes: tuple[int, ...]
    names: tuple[str, ...]
    block_sizes: tuple[int, ...]
    block_names: tuple[str, ...]

    @property
    def within_blocks(self) -> float:
        """Share of the mistakes whose answer lies in the right coarse class; 0 without mistakes."""
        block = torch.repeat_interleave(torch.tensor(self.block_sizes))
        inside = int(self.counts[block[:, None] == block[None]].sum())
        right = int(self.counts.diagonal().sum())
        mistakes = int(self.counts.sum()) - right
        return (inside - right) / mistakes if mistakes else 0.0


def confusion(
    records: ExitRecords, exit_index: int, level: int | str = -1, *, coarse_level: int | str = 0
) -> Confusion:
    """Confusion matrix of one cell, ordered by the coarse class that holds each class.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> confusion(records, 0, "coarse").counts
        tensor([[29,  8, 15],
                [13, 12,  2],
                [ 3,  5, 13]])
    """
    from sklearn.metrics import confusion_matrix

    hierarchy = records.hierarchy
    cell, coarse = records.cell(exit_index, level), hierarchy.level_index(coarse_level)
    above = hierarchy.ancestors(coarse, cell.level_index)
    order = above.argsort(stable=True)
    counts = confusion_matrix(
        cell.labels.cpu().numpy(), cell.prediction.cpu().numpy(), labels=order.numpy()
    )
    return Confusion(
        counts=torch.from_numpy(counts),
        classes=tuple(order.tolist()),
        names=tuple(hierarchy.class_names[cell.level_index][c] for c in order.tolist()),
        block_sizes=tuple(above.bincount(minlength=hierarchy.num_classes[coarse]).tolist()),
        block_names=hierarchy.class_names[coarse],
    )
