"""Temperature scaling: the logits of each head are divided by a number that calibrates it."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hbnlab.records.exit_records import ExitRecords

_STEPS = 40


def fit_temperatures(records: ExitRecords) -> Float[Tensor, "exit level"]:
    """For each cell, the temperature that minimises the cross-entropy of logits / temperature.

    Args:
        records: of validation images; apply the result to test records with ``with_temperatures``.

    Returns:
        Temperatures in [0.01, 100], above 1 for an overconfident head; NaN without a head.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> (fit_temperatures(records) > 1).tolist()
        [[True, True], [True, True], [True, True]]

    Source:
        Guo et al., ICML 2017. The loss is convex in 1 / temperature, so bisection on the sign of
        its slope finds the minimum.
    """
    found = torch.full((records.num_exits, records.hierarchy.num_levels), math.nan)
    for exit_index, level in records.cells:
        cell = records.cell(exit_index, level)
        found[exit_index, level] = _fit_temperature(cell.logits.double(), cell.labels)
    return found


def with_temperatures(
    records: ExitRecords, temperatures: Float[Tensor, "exit level"]
) -> ExitRecords:
    """Records with the logits of each cell divided by its temperature; no prediction changes.

    Raises:
        ValueError: when the temperatures are not one per cell, all finite and above 0.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> cooler = with_temperatures(records, torch.full((3, 2), 2.0))
        >>> bool((cooler.entropy > records.entropy).all())
        True
    """
    mask = torch.tensor(records.head_mask)
    if temperatures.shape != mask.shape:
        raise ValueError(
            f"temperatures must be (exit, level) = {tuple(mask.shape)}, "
            f"got {tuple(temperatures.shape)}"
        )
    here = temperatures.cpu()[mask]
    if not (here.isfinite() & (here > 0)).all():
        raise ValueError(f"temperatures must be finite and above 0, got {here.tolist()}")
    scaled = tuple(
        logits / temperatures[:, level, None].to(logits.device)
        for level, logits in enumerate(records.logits)
    )
    return records.derived(f"temperatures {temperatures.tolist()}", logits=scaled)


def _fit_temperature(logits: Float[Tensor, "sample cls"], labels: Int[Tensor, " sample"]) -> float:
    true = logits.gather(1, labels[:, None])[:, 0]
    if not true.isfinite().all():
        return 1.0  # no temperature gives a class of logit -inf a probability
    low, high = math.log(0.01), math.log(100.0)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        too_sharp = _slope(logits, true, math.exp(middle)) > 0
        low, high = (low, middle) if too_sharp else (middle, high)
    return math.exp(-(low + high) / 2)


def _slope(
    logits: Float[Tensor, "sample cls"], true: Float[Tensor, " sample"], inverse: float
) -> float:
    """Derivative of the mean cross-entropy of logits x inverse with respect to inverse."""
    prob = (logits * inverse).softmax(dim=-1)
    expected = torch.where(prob > 0, prob * logits, 0.0).sum(dim=-1)
    return float((expected - true).mean())
