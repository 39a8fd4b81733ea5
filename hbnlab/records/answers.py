"""What an answer is worth: right or wrong, and how many finest classes lie under it."""

from collections.abc import Mapping
from functools import lru_cache

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.records.exit_records import ExitRecords


def answer_columns(
    levels: Int[Tensor, " sample"], prediction: Int[Tensor, " sample"], records: ExitRecords
) -> Float[Tensor, "value sample"]:
    """What each answer is worth; every metric of an ``Evaluation`` is a sum over these columns.

    Returns:
        Zeros and ones: 1, to count answers; whether the answer is the label of its own level;
        whether it is, mapped up to the coarsest level, the label there; and for each size of
        ``leaf_sizes`` whether that many finest classes lie under the answer.
    """
    labels, hierarchy = records.labels, records.hierarchy
    depth = range(hierarchy.num_levels)
    lifted = look_up({n: hierarchy.ancestors(0, n) for n in depth}, levels, prediction)
    leaves = look_up({n: hierarchy.leaf_counts(n) for n in depth}, levels, prediction)
    right = prediction == labels.gather(1, levels[:, None])[:, 0]
    by_size = [leaves == size for size in leaf_sizes(hierarchy)]
    columns = torch.stack([torch.ones_like(right), right, lifted == labels[:, 0], *by_size])
    # Sums of zeros and ones are exact in single precision up to 2^24.
    return columns.float() if len(records) < 2**24 else columns.double()


def look_up(
    tables: Mapping[int, Shaped[Tensor, " cls"]],
    levels: Int[Tensor, " sample"],
    prediction: Int[Tensor, " sample"],
    missing: int = 0,
) -> Shaped[Tensor, " sample"]:
    """Find each answer's class in the table of its level; ``missing`` where there is no table."""
    values = next(iter(tables.values())).new_full(prediction.shape, missing)
    values = values.to(prediction.device)
    for level, table in tables.items():
        here = levels == level
        values[here] = table.to(prediction.device)[prediction[here]]
    return values


@lru_cache(maxsize=16)
def leaf_sizes(hierarchy: Hierarchy) -> tuple[int, ...]:
    """The different numbers of finest classes under the classes of all levels, rising."""
    levels = range(hierarchy.num_levels)
    return tuple(sorted({int(size) for level in levels for size in hierarchy.leaf_counts(level)}))
