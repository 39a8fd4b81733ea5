"""Whether the truth is among the first guesses, and which policies no other beats."""

from collections.abc import Sequence

import torch

from hbnlab.metrics.evaluation import Evaluation
from hbnlab.records import ExitRecords
from hbnlab.types import Number


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
    return unbeaten([(getattr(one, cost), getattr(one, gain)) for one in evaluations])


def unbeaten(points: Sequence[tuple[Number, Number]]) -> list[int]:
    """Numbers of the points, cost and gain, that no other beats: no less cost, no more gain.

    Returns:
        By rising cost, and so by rising gain; of equals the first.
    """
    kept: list[int] = []
    for number in sorted(range(len(points)), key=lambda n: (points[n][0], -points[n][1])):
        if not kept or points[number][1] > points[kept[-1]][1]:
            kept.append(number)
    return kept
