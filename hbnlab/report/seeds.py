"""The same numbers from several trainings: their mean, and how well it is known."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

_T_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom."""


def spread(values: Sequence[float | int]) -> dict[str, float]:
    """Mean of two values or more, with the 95 % interval of the mean by Student's t.

    The interval says how far the mean may be off if the values are drawn from a normal
    distribution; beyond thirty degrees of freedom it is a little too wide.
    """
    if len(values) < 2:
        raise ValueError(f"an interval over seeds needs two values or more, got {len(values)}")
    mean = statistics.fmean(values)
    factor = _T_95[min(len(values) - 1, len(_T_95)) - 1]
    half = factor * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def across_seeds(entries: Sequence[Any]) -> Any:
    """Equal structures, one a seed, as one in which numbers that differ have become intervals.

    What all seeds agree on stands as it is; texts that differ, and numbers that are missing for a
    seed, become None. Intervals over the images of a single seed are left out.
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
        return {name: round(value, 6) for name, value in spread(entries).items()}
    return None
