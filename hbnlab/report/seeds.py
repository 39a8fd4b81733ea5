"""The same numbers from several trainings: their mean and its confidence interval."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import stdtrit


def mean_interval(values: Sequence[float | int]) -> dict[str, float]:
    """Mean of two or more values, with the 95 % confidence interval of the mean by Student's t.

    The interval says how far the mean may be off if the values are drawn from a normal
    distribution.

    Raises:
        ValueError: for fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"an interval over seeds needs at least two values, got {len(values)}")
    mean = statistics.fmean(values)
    quantile = float(stdtrit(len(values) - 1, 0.975))
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def across_seeds(entries: Sequence[Any]) -> Any:
    """Merge equal structures, one per seed; numbers that differ become intervals.

    What all seeds agree on is kept; texts that differ, and numbers that are missing for a seed,
    become None. Intervals over the images of a single seed are left out.
    """
    first = entries[0]
    if isinstance(first, Mapping):
        kept = [key for key in first if key != "intervals"]
        return {key: across_seeds([entry[key] for entry in entries]) for key in kept}
    if isinstance(first, Sequence) and not isinstance(first, str):
        return [across_seeds(items) for items in zip(*entries, strict=True)]
    if all(entry == first for entry in entries):
        return first
    if all(isinstance(entry, int | float) for entry in entries):
        return {name: round(value, 6) for name, value in mean_interval(entries).items()}
    return None
