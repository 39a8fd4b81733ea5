"""Whether the truth is among the first guesses, and which policies no other beats."""

from collections.abc import Sequence

import torch

from hbnlab.metrics.evaluation import Evaluation
from hbnlab.records import ExitRecords


def top_k_accuracy(records: ExitRecords, exit_index: int, level: int | str, k: int) -> float:
    """Share of the images whose class is among the k largest logits of a cell, in [0, 1].

    A class that ties with the truth counts as ranked below it only if its number is higher, so
    that k = 1 is the accuracy.

    Raises:
        ValueError: when k is not between 1 and the number of classes.
    """
    cell = records.cell(exit_index, level)
    classes = cell.logits.shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"k must be in 1..{classes}, got {k}")
    true = cell.logits.gather(1, cell.labels[:, None])
    lower_number = torch.arange(classes, device=true.device) < cell.labels[:, None]
    before = (cell.logits > true) | ((cell.logits == true) & lower_number)
    return float((before.sum(dim=1) < k).double().mean())


def frontier(
    evaluations: Sequence[Evaluation], *, gain: str = "accuracy", cost: str = "mean_macs"
) -> list[int]:
    """Numbers of the evaluations that no other beats: none gains as much for less cost, or more.

    Args:
        evaluations: of different policies.
        gain: name of the number that should be large.
        cost: name of the number that should be small.

    Returns:
        By rising cost, and so by rising gain; of equals the first.
    """
    order = sorted(
        range(len(evaluations)),
        key=lambda n: (getattr(evaluations[n], cost), -getattr(evaluations[n], gain), n),
    )
    kept: list[int] = []
    for number in order:
        value = getattr(evaluations[number], gain)
        if not kept or value > getattr(evaluations[kept[-1]], gain):
            kept.append(number)
    return kept
