"""The scores of each cell of a network, as rows for a table or for JSON."""

from typing import Any

from hbnlab.metrics.sweeps import sweep
from hbnlab.policies import ForcedExit
from hbnlab.records import ExitRecords

_SCORES = ("accuracy", "hierarchical_accuracy", "specificity", "information")


def cell_table(records: ExitRecords) -> list[dict[str, Any]]:
    """One row per cell: its scores if every image were answered there.

    Keys: ``exit`` (from 1), ``level`` (name), ``accuracy`` and ``hierarchical_accuracy`` (in
    [0, 1]), ``specificity`` (1 at the finest level, else 0), ``information`` (bits per answer),
    ``entropy`` (mean, nats), ``flops`` (per image, all branches on the way counted as the study
    does) and ``pruned_flops`` (the same when the earlier branches are not run).

    Example:
        >>> from hbnlab.records import simulated_records
        >>> for row in cell_table(simulated_records(100, num_exits=2)):
        ...     print(row["exit"], row["level"], row["accuracy"], row["flops"])
        1 coarse 0.59 220
        1 fine 0.55 220
        2 coarse 0.67 660
        2 fine 0.42 660
    """
    results = sweep([ForcedExit(exit_index, level) for exit_index, level in records.cells], records)
    return [
        {
            "exit": exit_index + 1,
            "level": records.hierarchy.level_names[level],
            **{name: getattr(result, name) for name in _SCORES},
            "entropy": float(records.entropy[:, exit_index, level].mean()),
            "flops": 2 * records.macs_to(exit_index),
            "pruned_flops": int(result.mean_flops),
        }
        for (exit_index, level), result in zip(records.cells, results, strict=True)
    ]
