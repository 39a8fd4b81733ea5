"""From coarse and safe to fine and risky: the operating region of the tolerance, and its curve."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies import batch_means
from hbnlab.records import ExitRecords


@dataclass(frozen=True, kw_only=True)
class OperatingRegion:
    """The tolerances between which an exit goes from all coarse to all fine answers.

    Attributes:
        low: the tolerance up to which specificity is 0 (or, with less than full coverage, small).
        high: the tolerance above which it is 1 (or nearly).
        batch_size: images a decision; 1 = each decides for itself.
    """

    low: float
    high: float
    batch_size: int

    @property
    def width(self) -> float:
        """How far apart the two are, in nats."""
        return self.high - self.low


def entropy_gap(
    records: ExitRecords, exit_index: int, *, coarse_level: int = 0, batch_size: int = 1
) -> Float[Tensor, " decision"]:
    """Fine less coarse entropy of an exit, in nats: the decision is fine where it is under tau.

    With a ``batch_size`` above 1, of the batch means: one value a batch of consecutive images.

    Raises:
        ValueError: when the exit has not both heads.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    fine = records.cell(exit_index, -1).entropy
    coarse = records.cell(exit_index, coarse_level).entropy
    if batch_size == 1:
        return fine - coarse
    return (batch_means(fine, batch_size) - batch_means(coarse, batch_size))[::batch_size]


def operating_region(
    records: ExitRecords,
    exit_index: int,
    *,
    coarse_level: int = 0,
    batch_size: int = 1,
    coverage: float = 1.0,
) -> OperatingRegion:
    """The tolerances over which the specificity of one exit rises from 0 to 1.

    It narrows as the batch grows, for it then measures the spread of batch means and not that of
    images; the study's regions are those of batches of 512.

    Args:
        records: with a fine and a coarse head at the exit.
        exit_index: from 0.
        coarse_level: level of the coarse answers.
        batch_size: images a decision.
        coverage: share of the decisions that change within the region, the rest cut off evenly at
            both ends; 1 keeps even the single most extreme one.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be in (0, 1], got {coverage}")
    gap = entropy_gap(records, exit_index, coarse_level=coarse_level, batch_size=batch_size)
    cut = (1 - coverage) / 2
    low, high = torch.quantile(gap.double(), gap.new_tensor([cut, 1 - cut]).double()).tolist()
    return OperatingRegion(low=low, high=high, batch_size=batch_size)


def tolerance_bound(hierarchy: Hierarchy, coarse_level: int = 0) -> tuple[float, float]:
    """The tolerances that hold every operating region, per image, when coarse heads are sums.

    With coarse probabilities summed from the fine ones, the fine entropy less the coarse one is
    the entropy of the fine class given the coarse one, between 0 and ln(most fine classes under a
    coarse one). Nothing of the kind holds for separate heads.

    Returns:
        Lowest and highest, in nats: for CIFAR-100 0 and ln 5 = 1.609.
    """
    return 0.0, math.log(int(hierarchy.leaf_counts(coarse_level).max()))
