"""Many policies on the same records at once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hbnlab.metrics.evaluation import Evaluation, assemble, batch_specificity
from hbnlab.policies import Policy
from hbnlab.policies.stack import stacks
from hbnlab.records import ExitRecords


def sweep(
    policies: Sequence[Policy], records: ExitRecords, *, batch_size: int | None = None
) -> list[Evaluation]:
    """Evaluate many policies, each exactly as ``evaluate(policy.decide(records), records)``.

    Policies that differ only in thresholds and tolerance are worked out together, in pieces, so
    that memory stays bounded however many there are.

    Args:
        policies: any; the result has their order.
        records: what they decide about.
        batch_size: as in ``evaluate``.
    """
    answers = _AnswerTable.of(records)
    found: dict[int, Evaluation] = {}
    for numbers, stack, exits in stacks(policies, records):
        leaving = stack.leaving(records, exits)
        counts, finest = answers.count(leaving, len(numbers), with_finest=batch_size is not None)
        shares: list[float | None] = [None] * len(numbers)
        if finest is not None and batch_size is not None:
            shares = list(batch_specificity(finest, batch_size))
        for number, row, share in zip(numbers, counts, shares, strict=True):
            found[number] = answers.evaluation(row, policies[number], share)
    return [found[number] for number in range(len(policies))]


def sweep_table(policies: Sequence[Policy], records: ExitRecords, *, batch_size: int | None = None):
    """``sweep`` as a pandas table: a row a policy, with its settings and its evaluation.

    Shares stand in columns such as ``share exit 1 fine``.
    """
    import pandas as pd

    rows = []
    for policy, result in zip(
        policies, sweep(policies, records, batch_size=batch_size), strict=True
    ):
        values = result.to_dict()
        shares = values.pop("shares")
        for exit_index, level in records.cells:
            name = f"share exit {exit_index + 1} {records.hierarchy.level_names[level]}"
            values[name] = shares[exit_index][level]
        rows.append(policy.settings() | values)
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class _AnswerTable:
    """What each cell's answer to each image is worth, as whole numbers that can be summed.

    Attributes:
        columns: for each cell, (sample, column) of zeros and ones: answered, right, right at the
            coarsest level, and one column for each number of finest classes under an answer.
        leaf_sizes: those numbers.
    """

    records: ExitRecords
    columns: dict[tuple[int, int], Float[Tensor, "sample column"]]
    leaf_sizes: tuple[int, ...]

    @classmethod
    def of(cls, records: ExitRecords) -> "_AnswerTable":
        hierarchy = records.hierarchy
        leaves = [hierarchy.leaf_counts(level) for level in range(hierarchy.num_levels)]
        sizes = tuple(sorted({int(size) for row in leaves for size in row}))
        # Sums of ones are exact in single precision up to 2^24.
        dtype = torch.float32 if len(records) < 2**24 else torch.float64
        columns = {}
        for exit_index, level in records.cells:
            cell = records.cell(exit_index, level)
            device = cell.prediction.device
            lifted = hierarchy.ancestors(0, level).to(device)[cell.prediction]
            size = leaves[level].to(device)[cell.prediction]
            values = [torch.ones_like(cell.correct), cell.correct, lifted == records.labels[:, 0]]
            values += [size == one for one in sizes]
            columns[exit_index, level] = torch.stack(values, dim=1).to(dtype)
        return cls(records, columns, sizes)

    def count(
        self,
        leaving: Iterable[tuple[int, int, Bool[Tensor, "*policy sample"]]],
        num_policies: int,
        *,
        with_finest: bool,
    ) -> tuple[list[dict[tuple[int, int], list[int]]], Bool[Tensor, "policy sample"] | None]:
        """For each policy, the sums of the columns by cell, and on request the fine answers."""
        counts: list[dict[tuple[int, int], list[int]]] = [{} for _ in range(num_policies)]
        finest = None
        if with_finest:
            shape = (num_policies, len(self.records))
            finest = torch.zeros(shape, dtype=torch.bool, device=self.records.labels.device)
        for exit_index, level, leaves in leaving:
            columns = self.columns[exit_index, level]
            sums = (leaves.to(columns.dtype) @ columns).long().expand(num_policies, -1).tolist()
            for row, values in zip(counts, sums, strict=True):
                row[exit_index, level] = values
            if finest is not None and level == self.records.hierarchy.finest:
                finest |= leaves
        return counts, finest

    def evaluation(
        self, counts: dict[tuple[int, int], list[int]], policy: Policy, share: float | None
    ) -> Evaluation:
        """The evaluation of one policy from its sums."""
        records = self.records
        cells = [[0] * records.hierarchy.num_levels for _ in range(records.num_exits)]
        for (exit_index, level), values in counts.items():
            cells[exit_index][level] = values[0]
        macs = policy.macs_to_exits(records)
        totals = [sum(column) for column in zip(*counts.values(), strict=True)]
        sizes = zip(self.leaf_sizes, totals[3:], strict=True)
        return assemble(
            records,
            cell_counts=cells,
            right=totals[1],
            hierarchical=totals[2],
            leaf_counts=Counter({size: count for size, count in sizes if count}),
            total_macs=sum(sum(row) * cost for row, cost in zip(cells, macs, strict=True)),
            batch_specificity=share,
        )
