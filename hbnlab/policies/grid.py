"""Values spread over a range or over the scores of records, for grids of policies."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.types import Number

MOST_POLICIES = 180
"""A grid has no more policies than this, so that a panel can show it at once."""
_LEAST_VALUES, _MOST_VALUES = 3, 13
_LEAST_DIGITS, _MOST_DIGITS = 2, 6


def value_rows(
    columns_of: Callable[[int], Iterable[Sequence[Number]]], num_columns: int, most: int
) -> list[tuple[Number, ...]]:
    """All combinations of the values of some columns, at most ``most`` of them.

    Args:
        columns_of: given a number, so many values for each column.
        num_columns: number of columns.
        most: where all combinations of three values would be more than this, the columns are read
            side by side: the first values together, the second values together, and so on.

    Example:
        >>> value_rows(lambda number: [range(number), range(number)], 2, 9)
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
        >>> value_rows(lambda number: [range(number), range(number)], 2, 4)
        [(0, 0), (1, 1), (2, 2), (3, 3)]
    """
    number = min(_MOST_VALUES, int(most ** (1 / max(1, num_columns)) + 1e-9))
    if number >= _LEAST_VALUES:
        rows = itertools.product(*columns_of(number))
    else:
        rows = zip(*columns_of(min(_MOST_VALUES, most)), strict=True)
    return list(dict.fromkeys(rows))


def even_values(number: int, low: Number, high: Number) -> list[float]:
    """Values at equal distances, both ends included."""
    return torch.linspace(low, high, number, dtype=torch.float64).tolist()


def quantiles(scores: Float[Tensor, " score"], number: int, low: float, high: float) -> list[float]:
    """``low``, quantiles of the scores, and ``high``, rising; equal values where scores are equal.

    Quantiles are rounded to the digits that it takes to tell them apart, two at least.
    """
    shares = torch.linspace(0, 1, number, dtype=torch.float64)[1:-1]
    between = torch.quantile(scores.double(), shares.to(scores.device)).tolist()
    return [low, *(min(max(value, low), high) for value in _rounded(between)), high]


def next_hundredth(value: float) -> float:
    """The lowest multiple of 0.01 that is greater than a value.

    Example:
        >>> next_hundredth(1.791), next_hundredth(0.5)
        (1.8, 0.51)
    """
    return (math.floor(100 * value) + 1) / 100


def _rounded(values: Sequence[float]) -> list[float]:
    """Rising values, none of which is moved by more than a quarter of the way to the next."""
    known = [-math.inf, *sorted(set(values)), math.inf]
    steps = {
        here: min(here - before, after - here)
        for before, here, after in zip(known, known[1:], known[2:], strict=False)
    }
    return [_shortest(value, steps[value] / 4) for value in values]


def _shortest(value: float, error: float) -> float:
    """The value with two significant digits, or with up to six where two would be too far off."""
    for digits in range(_LEAST_DIGITS, _MOST_DIGITS):
        number = float(f"{value:.{digits}g}")
        if abs(number - value) <= error:
            return number
    return float(f"{value:.{_MOST_DIGITS}g}")
