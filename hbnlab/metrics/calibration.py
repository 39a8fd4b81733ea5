"""Whether a head is as often right as it is confident."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hbnlab.records import ExitRecords


@dataclass(frozen=True, eq=False, kw_only=True)
class Reliability:
    """Confidence against accuracy, in bins of equal width over [0, 1].

    Attributes:
        edges: of the bins.
        count: number of images in each bin.
        confidence: their mean largest probability, NaN in an empty bin.
        accuracy: share of right answers among them, NaN in an empty bin.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> table = reliability(records, 0, "coarse", bins=2)
        >>> table.count.tolist(), round(table.expected_error, 2)
        ([6, 94], 0.25)
    """

    edges: Float[Tensor, " edge"]
    count: Int[Tensor, " bin"]
    confidence: Float[Tensor, " bin"]
    accuracy: Float[Tensor, " bin"]

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean ``|accuracy - confidence|`` over images, in [0, 1].

        Source:
            Guo et al., "On calibration of modern neural networks", ICML 2017.
        """
        gaps = torch.nan_to_num((self.accuracy - self.confidence).abs())
        return float((gaps * self.count).sum() / self.count.sum())


def reliability(
    records: ExitRecords, exit_index: int, level: int | str, *, bins: int = 15
) -> Reliability:
    """Bin the images of one cell by confidence and compute the accuracy of each bin.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> reliability(records, 0, "coarse", bins=2).count.tolist()
        [6, 94]
    """
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    cell = records.cell(exit_index, level)
    # A confidence on an edge belongs to the bin below it, as in the source.
    place = (cell.confidence.double() * bins).ceil().long().sub(1).clamp(0, bins - 1)
    count = torch.bincount(place, minlength=bins)
    sums = torch.zeros(2, bins, dtype=torch.float64, device=place.device)
    sums[0].index_add_(0, place, cell.confidence.double())
    sums[1].index_add_(0, place, cell.correct.double())
    means = sums / count
    return Reliability(
        edges=torch.linspace(0, 1, bins + 1),
        count=count,
        confidence=means[0],
        accuracy=means[1],
    )


def failure_auroc(records: ExitRecords, exit_index: int, level: int | str) -> float:
    """Area under the ROC curve of low entropy as a predictor of a right answer.

    Only the ranking of the images matters, which is all that an exit threshold uses; even a well
    calibrated head can rank badly. NaN when all answers are right, or all are wrong.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> round(failure_auroc(records, 0, "fine"), 2)
        0.6
    """
    from sklearn.metrics import roc_auc_score

    cell = records.cell(exit_index, level)
    if cell.correct.all() or not cell.correct.any():
        return math.nan
    return float(roc_auc_score(cell.correct.cpu().numpy(), -cell.entropy.cpu().numpy()))
