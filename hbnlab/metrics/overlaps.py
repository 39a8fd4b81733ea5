"""How much the uncertainties of the fine and the coarse head of an exit overlap."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.entropy import max_entropy
from hbnlab.policies import batch_means
from hbnlab.records import ExitRecords


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How much the fine and the coarse entropies of one exit overlap.

    Attributes:
        coefficient: area under the lower of the two densities, in [0, 1]: 0 = apart, 1 = the same.
        auroc: probability that a fine entropy exceeds a coarse one, where ties count half.
        share_under_quantile: share of the fine entropies strictly under the quantile of the coarse.
        quantile: which quantile that is; 0.5 is the median.
        normalised: whether each entropy was divided by its ceiling ln(classes); without, the two
            heads are compared on different scales.
        batch_size: number of images averaged per value; 1 = single images. The study's figure 5
            shows means of 64, which overlap far less than single images do.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> found = uncertainty_overlap(records, 0, bins=10)
        >>> round(found.coefficient, 2), found.quantile
        (0.51, 0.5)
    """

    coefficient: float
    auroc: float
    share_under_quantile: float
    quantile: float
    normalised: bool
    batch_size: int


def uncertainty_overlap(
    records: ExitRecords,
    exit_index: int,
    *,
    coarse_level: int = 0,
    normalised: bool = False,
    batch_size: int = 1,
    quantile: float = 0.5,
    bins: int = 50,
) -> Overlap:
    """Compare the entropies of the finest and a coarse head of one exit.

    Args:
        records: with both heads at the exit.
        exit_index: from 0.
        coarse_level: level of the coarse head.
        normalised: divide each entropy by ln(classes of its head).
        batch_size: compare means over this many consecutive images, the last over the rest.
        quantile: of the coarse entropies, for ``share_under_quantile``.
        bins: of the histograms that stand for the densities, of equal width over the range of
            both; fewer values need fewer bins.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> round(uncertainty_overlap(records, 0).auroc, 2)
        0.82
    """
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be in [0, 1], got {quantile}")
    from sklearn.metrics import roc_auc_score

    fine, coarse = (
        uncertainties(records, exit_index, level, normalised=normalised, batch_size=batch_size)
        for level in (-1, coarse_level)
    )
    both = torch.cat([fine, coarse])
    is_fine = torch.cat([torch.ones_like(fine), torch.zeros_like(coarse)])
    limit = torch.quantile(coarse.double(), quantile)
    return Overlap(
        coefficient=overlap_coefficient(fine, coarse, bins=bins),
        auroc=float(roc_auc_score(is_fine.cpu().numpy(), both.cpu().numpy())),
        share_under_quantile=float((fine < limit).double().mean()),
        quantile=quantile,
        normalised=normalised,
        batch_size=batch_size,
    )


def uncertainties(
    records: ExitRecords,
    exit_index: int,
    level: int | str,
    *,
    normalised: bool = False,
    batch_size: int = 1,
) -> Float[Tensor, " value"]:
    """Entropies of one cell, in nats or divided by their ceiling, per image or as batch means.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> [len(uncertainties(records, 0, "fine", batch_size=size)) for size in (1, 32)]
        [100, 4]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    cell = records.cell(exit_index, level)
    values = cell.entropy
    if normalised:
        values = values / max_entropy(cell.logits.shape[1])
    return values if batch_size == 1 else batch_means(values, batch_size)[::batch_size]


def overlap_coefficient(
    first: Float[Tensor, " a"], second: Float[Tensor, " b"], *, bins: int = 50
) -> float:
    """Area under the lower of two densities, from histograms of equal bins over both ranges.

    Example:
        >>> values = torch.tensor([0.0, 1.0, 2.0, 3.0])
        >>> overlap_coefficient(values, values), overlap_coefficient(values, values + 9)
        (1.0, 0.0)
    """
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    both = torch.cat([first, second])
    low, width = both.min(), both.max() - both.min()
    if width == 0:
        return 1.0
    shares = [
        torch.bincount(((x - low) / width * bins).long().clamp(max=bins - 1), minlength=bins)
        / len(x)
        for x in (first, second)
    ]
    return float(torch.minimum(*shares).sum())
