"""The operating region: the tolerances between all coarse and all fine answers."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.metrics.overlaps import uncertainties
from hbnlab.records import ExitRecords


@dataclass(frozen=True, kw_only=True)
class OperatingRegion:
    """The tolerances between which an exit goes from all coarse to all fine answers.

    Attributes:
        low: the tolerance up to which specificity is 0 (or, with less than full coverage, small).
        high: the tolerance above which it is 1 (or nearly).
        batch_size: images per decision; 1 = every image decides by itself.

    Example:
        >>> round(OperatingRegion(low=-0.2, high=0.9, batch_size=1).width, 2)
        1.1
    """

    low: float
    high: float
    batch_size: int

    @property
    def width(self) -> float:
        """The distance between the two, in nats."""
        return self.high - self.low


def entropy_gap(
    records: ExitRecords, exit_index: int, *, coarse_level: int = 0, batch_size: int = 1
) -> Float[Tensor, " decision"]:
    """Fine minus coarse entropy of an exit, in nats: the decision is fine where it is under tau.

    With a ``batch_size`` above 1, the difference of batch means: one value per batch of consecutive
    images.

    Raises:
        ValueError: when the exit lacks one of the heads.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> entropy_gap(records, 0).shape, entropy_gap(records, 0, batch_size=32).shape
        (torch.Size([100]), torch.Size([4]))
    """
    fine = uncertainties(records, exit_index, -1, batch_size=batch_size)
    return fine - uncertainties(records, exit_index, coarse_level, batch_size=batch_size)


def operating_region(
    records: ExitRecords,
    exit_index: int,
    *,
    coarse_level: int = 0,
    batch_size: int = 1,
    coverage: float = 1.0,
) -> OperatingRegion:
    """The tolerances over which the specificity of one exit rises from 0 to 1.

    It narrows as the batch grows, since it then measures the spread of batch means instead of
    images; the study's regions are those of batches of 512.

    Args:
        records: with a fine and a coarse head at the exit.
        exit_index: from 0.
        coarse_level: level of the coarse answers.
        batch_size: images per decision.
        coverage: share of the decisions that change within the region; the rest is cut off evenly
            at both ends. 1 keeps even the most extreme one.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> widths = [operating_region(records, 0, batch_size=size).width for size in (1, 10)]
        >>> widths[0] > widths[1]
        True
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be in (0, 1], got {coverage}")
    gap = entropy_gap(records, exit_index, coarse_level=coarse_level, batch_size=batch_size)
    cut = (1 - coverage) / 2
    low, high = torch.quantile(gap.double(), gap.new_tensor([cut, 1 - cut]).double()).tolist()
    return OperatingRegion(low=low, high=high, batch_size=batch_size)


def tolerance_bound(hierarchy: Hierarchy, coarse_level: int = 0) -> tuple[float, float]:
    """The tolerances that bound every per-image operating region when coarse heads are sums.

    With coarse probabilities summed from the fine ones, the fine entropy minus the coarse one
    is the entropy of the fine class given the coarse one, between 0 and ln(most fine classes under
    a coarse one). Separate heads have no such bound.

    Returns:
        Lowest and highest, in nats: for CIFAR-100 0 and ln 5 = 1.609.

    Example:
        >>> from hbnlab.trees import CIFAR100
        >>> low, high = tolerance_bound(CIFAR100)
        >>> low, round(high, 3)
        (0.0, 1.609)
    """
    return 0.0, math.log(int(hierarchy.leaf_counts(coarse_level).max()))
