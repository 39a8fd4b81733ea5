"""Many policies on the same records."""

from collections.abc import Sequence
from functools import cache, partial

import torch
from jaxtyping import Int
from torch import Tensor

from hbnlab.metrics.evaluation import Evaluation, answer_table, summarise
from hbnlab.policies import ExitView, Policy
from hbnlab.records import ExitRecords


def sweep(
    policies: Sequence[Policy], records: ExitRecords, *, batch_size: int | None = None
) -> list[Evaluation]:
    """Evaluate many policies, each exactly as ``evaluate(policy.decide(records), records)``.

    Scores, and what the answer of each cell to each image is worth, are worked out once for all
    policies.

    Args:
        policies: any; the result has their order.
        records: what they decide about.
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
    images = torch.arange(len(records), device=records.labels.device)
    by_cell = _answers_by_cell(records)
    results = []
    for policy in policies:
        policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
        exits, levels = policy.taken_cells(records, view_at)
        costs = torch.tensor(policy.macs_to_exits(records), device=exits.device)
        answers = by_cell[exits, levels, images]
        results.append(
            summarise(exits, levels, answers, int(costs[exits].sum()), records, batch_size)
        )
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


def _answers_by_cell(records: ExitRecords) -> Int[Tensor, "exit level sample value"]:
    """What the answer of each cell to each image is worth; of no meaning without a head."""
    levels = torch.arange(records.hierarchy.num_levels, device=records.labels.device)
    rows = [
        [
            answer_table(
                level.expand(len(records)), records.prediction[:, exit_index, level], records
            )
            for level in levels
        ]
        for exit_index in range(records.num_exits)
    ]
    return torch.stack([torch.stack(row) for row in rows])
