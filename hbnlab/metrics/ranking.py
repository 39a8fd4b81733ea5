"""Whether the truth is among the first guesses."""

import torch

from hbnlab.records import ExitRecords


def top_k_accuracy(records: ExitRecords, exit_index: int, level: int | str, k: int) -> float:
    """Share of the images whose class is among the k largest logits of a cell, in [0, 1].

    A class that ties with the truth counts as ranked below it only if its index is higher, so
    that k = 1 is the accuracy.

    Raises:
        ValueError: when k is not between 1 and the number of classes.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> [top_k_accuracy(records, 0, "coarse", k) for k in (1, 2, 3)]
        [0.54, 0.86, 1.0]
    """
    cell = records.cell(exit_index, level)
    classes = cell.logits.shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"k must be in 1..{classes}, got {k}")
    true = cell.logits.gather(1, cell.labels[:, None])
    lower_index = torch.arange(classes, device=true.device) < cell.labels[:, None]
    before = (cell.logits > true) | ((cell.logits == true) & lower_index)
    return float((before.sum(dim=1) < k).double().mean())
