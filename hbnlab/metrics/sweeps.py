"""Evaluate many policies on the same records."""

from collections.abc import Sequence
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.metrics.evaluation import (
    Evaluation,
    batch_specificity,
    summarise,
    sums_by_cell,
)
from hbnlab.policies import ExitView, Policy
from hbnlab.records import ExitRecords
from hbnlab.records.answers import answer_columns


def sweep(
    policies: Sequence[Policy], records: ExitRecords, *, batch_size: int | None = None
) -> list[Evaluation]:
    """Evaluate many policies, each exactly as ``evaluate(policy.decide(records), records)``.

    Scores, and what each cell's answer to each image is worth, are computed once for all policies.

    Args:
        policies: any policies; the results are in the same order.
        records: what they decide on.
        batch_size: as in ``evaluate``.

    Raises:
        ValueError: as ``policy.decide`` does.

    Example:
        >>> from hbnlab.policies import EntropyThreshold
        >>> from hbnlab.records import simulated_records
        >>> policies = [EntropyThreshold([limit, limit]) for limit in (0.2, 0.4, 0.8)]
        >>> for result in sweep(policies, simulated_records(100)):
        ...     print(result.accuracy, result.mean_macs)
        0.48 618.2
        0.49 548.9
        0.53 416.9
    """
    view_at = cache(partial(ExitView.from_records, records))
    columns = {cell: _columns(records, *cell) for cell in records.cells}
    results = []
    for policy in policies:
        policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
        leaving = {(e, level): leaves for e, level, leaves in policy.leaving(records, view_at)}
        by_cell = sums_by_cell(leaving, columns)
        share = batch_specificity(leaving, records, batch_size)
        costs = policy.macs_to_exits(records)
        total_macs = sum(costs[exit_index] * row[0] for (exit_index, _), row in by_cell.items())
        results.append(summarise(records, by_cell, total_macs, share))
    return results


def sweep_table(policies: Sequence[Policy], records: ExitRecords, *, batch_size: int | None = None):
    """``sweep`` as a pandas table: one row per policy, with its settings and its evaluation.

    Shares stand in columns such as ``share exit 1 fine``.

    Example:
        >>> from hbnlab.policies import FineTolerance
        >>> from hbnlab.records import simulated_records
        >>> policies = [FineTolerance([0.8, 0.6], tau) for tau in (0.0, 0.4)]
        >>> table = sweep_table(policies, simulated_records(100))
        >>> table[["fine_tolerance", "accuracy", "specificity"]]
           fine_tolerance  accuracy  specificity
        0             0.0      0.68         0.16
        1             0.4      0.67         0.28
    """
    import pandas as pd

    rows = []
    results = sweep(policies, records, batch_size=batch_size)
    for policy, result in zip(policies, results, strict=True):
        values = result.to_dict()
        shares = values.pop("shares")
        for exit_index, level in records.cells:
            name = f"share exit {exit_index + 1} {records.hierarchy.level_names[level]}"
            values[name] = shares[exit_index][level]
        rows.append(policy.settings() | values)
    return pd.DataFrame(rows)


def _columns(records: ExitRecords, exit_index: int, level: int) -> Float[Tensor, "value sample"]:
    """What the answer of one cell to each image is worth."""
    prediction = records.prediction[:, exit_index, level]
    return answer_columns(torch.full_like(prediction, level), prediction, records)
