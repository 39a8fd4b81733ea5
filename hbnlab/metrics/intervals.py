"""Bootstrap intervals: how much a number would vary for other images of the same kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hbnlab.metrics.evaluation import answer_values
from hbnlab.records import Decisions, ExitRecords


@dataclass(frozen=True)
class Interval:
    """A number and its confidence interval.

    Attributes:
        estimate: the number on the original images.
        low: lower end.
        high: upper end.

    Example:
        >>> Interval(0.5, 0.4, 0.6).high
        0.6
    """

    estimate: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[[Int[Tensor, " chosen"]], float],
    num_images: int,
    *,
    generator: torch.Generator,
    repeats: int = 200,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of any statistic over images resampled with replacement.

    Args:
        statistic: maps indices of images, some of them repeated, to its value.
        num_images: number of images.
        generator: draws the indices, on the CPU; the same seed gives the same interval.
        repeats: number of draws.
        confidence: share of the repeats that lie in the interval, in (0, 1).

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> right = records.correct[:, 0, 0].double()
        >>> seeded = torch.Generator().manual_seed(0)
        >>> found = bootstrap(lambda chosen: float(right[chosen].mean()), 100, generator=seeded)
        >>> found.low < found.estimate < found.high
        True
    """
    _check(num_images, repeats, confidence)
    values = [
        statistic(torch.randint(num_images, (num_images,), generator=generator))
        for _ in range(repeats)
    ]
    estimate = statistic(torch.arange(num_images))
    return percentile_interval(estimate, values, confidence=confidence)


def evaluation_intervals(
    decisions: Decisions,
    records: ExitRecords,
    *,
    generator: torch.Generator,
    repeats: int = 1000,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Intervals of the numbers of ``evaluate``, all from the same draws.

    Returns:
        By the name of the field: accuracy, hierarchical_accuracy, specificity, information,
        mean_macs. Since they share their draws, the intervals may be compared.

    Example:
        >>> from hbnlab.policies import FineTolerance
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> decisions = FineTolerance([0.8, 0.6], 0.3).decide(records)
        >>> seeded = torch.Generator().manual_seed(0)
        >>> found = evaluation_intervals(decisions, records, generator=seeded, repeats=50)
        >>> list(found)
        ['accuracy', 'hierarchical_accuracy', 'specificity', 'information', 'mean_macs']
    """
    _check(len(records), repeats, confidence)
    values = answer_values(decisions, records)
    table = torch.stack(list(values.values()), dim=1).double().cpu()
    draws = resampled_means(table, generator=generator, repeats=repeats)
    return {
        name: percentile_interval(float(column.mean()), draws[:, place], confidence=confidence)
        for place, (name, column) in enumerate(zip(values, table.unbind(1), strict=True))
    }


def resampled_means(
    table: Float[Tensor, "sample value"], *, generator: torch.Generator, repeats: int = 1000
) -> Float[Tensor, "repeat value"]:
    """Means of every column over images resampled with replacement.

    All columns share the draws, so whatever is computed from a row belongs to one set of images.

    Args:
        table: one row per image, in double precision, on the CPU.
        generator: draws the images, on the CPU.
        repeats: number of draws.

    Example:
        >>> table = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
        >>> draws = resampled_means(table, generator=torch.Generator().manual_seed(0), repeats=5)
        >>> draws.sum(dim=1).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    size, rows = len(table), []
    for _ in range(repeats):
        chosen = torch.randint(size, (size,), generator=generator)
        rows.append((torch.bincount(chosen, minlength=size).double() @ table) / size)
    return torch.stack(rows)


def percentile_interval(
    estimate: float,
    values: Sequence[float] | Float[Tensor, " repeat"],
    *,
    confidence: float = 0.95,
) -> Interval:
    """The interval that holds a share of the values of a bootstrap.

    Example:
        >>> percentile_interval(0.5, [0.4, 0.5, 0.7], confidence=0.5)
        Interval(estimate=0.5, low=0.45, high=0.6)
    """
    tail = (1 - confidence) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
    low, high = torch.quantile(torch.as_tensor(values, dtype=torch.float64), ends).tolist()
    return Interval(estimate, low, high)


def _check(num_images: int, repeats: int, confidence: float) -> None:
    if num_images < 1 or repeats < 1:
        raise ValueError(
            f"num_images and repeats must be 1 or more, got {num_images} and {repeats}"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
