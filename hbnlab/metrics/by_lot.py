"""What a policy is worth beyond what needs no policy: one exit for all images."""

from dataclasses import dataclass

from hbnlab.metrics.evaluation import Evaluation
from hbnlab.metrics.sweeps import sweep
from hbnlab.policies import ForcedExit
from hbnlab.records import ExitRecords

_SLACK = 1e-9
"""A mean over images need not equal the cost of each of them to the last binary digit."""


@dataclass(frozen=True, kw_only=True)
class ByLot:
    """The answers of one exit to all images, their levels drawn by lot.

    Attributes:
        exit_index: from 0.
        accuracy: expected share of answers that are right at their own level, in [0, 1].
        flops: per image; the branches of other exits do not run.

    Example:
        >>> ByLot(exit_index=1, accuracy=0.43, flops=640.0).flops
        640.0
    """

    exit_index: int
    accuracy: float
    flops: float


def by_lot(result: Evaluation, records: ExitRecords) -> ByLot | None:
    """The most accurate exit for all images that costs no more than a policy.

    It gives as many answers at each level as the policy does, to images drawn by lot, so that it is
    neither more specific nor more expensive. What the policy gains over it, it gains by deciding
    image by image.

    Args:
        result: evaluation of the policy on the records.
        records: of the network.

    Returns:
        None where no exit that has the heads for these answers is cheap enough.

    Example:
        >>> from hbnlab.metrics import evaluate
        >>> from hbnlab.policies import EntropyThreshold
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> result = evaluate(EntropyThreshold([0.8, 0.8]).decide(records), records)
        >>> result.accuracy, by_lot(result, records)
        (0.53, ByLot(exit_index=1, accuracy=0.43, flops=640.0))
    """
    answered = [sum(column) for column in zip(*result.shares, strict=True)]
    levels = [level for level, share in enumerate(answered) if share > 0]
    found = []
    for exit_index, row in enumerate(records.head_mask):
        if not all(row[level] for level in levels):
            continue
        cells = sweep([ForcedExit(exit_index, level) for level in levels], records)
        flops = cells[0].mean_flops
        if flops <= result.mean_flops * (1 + _SLACK):
            right = (answered[at] * cell.accuracy for at, cell in zip(levels, cells, strict=True))
            found.append(ByLot(exit_index=exit_index, accuracy=sum(right), flops=flops))
    return max(found, key=lambda one: (one.accuracy, -one.flops), default=None)
