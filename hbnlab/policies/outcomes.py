"""What many candidates make of the same images: the table that choosing works on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hbnlab.policies.base import Policy
from hbnlab.policies.view import ExitView
from hbnlab.records import ExitRecords
from hbnlab.records.answers import answer_columns, leaf_sizes

SHARES = ("accuracy", "hierarchical_accuracy", "specificity")
QUANTITIES = (*SHARES, "information", "flops")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What each candidate makes of each image: one row per candidate, one column per image.

    Attributes:
        values: by the name of the quantity: zeros and ones for shares, bits, and FLOPs.
        levels: level of the answer.
        level_names: of the tree, coarsest first.
        most: the most that each quantity can be.
    """

    values: Mapping[str, Float[Tensor, "policy image"]]
    levels: Int[Tensor, "policy image"]
    level_names: tuple[str, ...]
    most: Mapping[str, float]

    @classmethod
    def of(cls, candidates: Sequence[Policy], records: ExitRecords) -> "Outcomes":
        """Let every candidate decide about all images of the records."""
        view_at = cache(partial(ExitView.from_records, records))
        columns = {cell: _cell_columns(records, *cell) for cell in records.cells}
        shape = (len(candidates), len(records))
        values = {name: torch.zeros(shape) for name in QUANTITIES}
        levels = torch.zeros(shape, dtype=torch.int8)
        for row, policy in enumerate(candidates):
            policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
            costs = policy.macs_to_exits(records)
            for exit_index, level, leaves in policy.leaving(records, view_at):
                levels[row, leaves] = level
                values["flops"][row, leaves] = 2.0 * costs[exit_index]
                for name, column in columns[exit_index, level].items():
                    values[name][row, leaves] = column[leaves]
        most_flops = 2.0 * records.macs_to(records.num_exits - 1)
        most_bits = math.log2(records.hierarchy.num_classes[-1])
        most = dict.fromkeys(SHARES, 1.0) | {"information": most_bits, "flops": most_flops}
        return cls(values, levels, records.hierarchy.level_names, most)

    def subset(self, images: Int[Tensor, " chosen"]) -> "Outcomes":
        """The same of some images."""
        values = {name: table[:, images] for name, table in self.values.items()}
        return replace(self, values=values, levels=self.levels[:, images])

    def candidate(self, row: int) -> "Outcomes":
        """The same of one candidate."""
        values = {name: table[row : row + 1] for name, table in self.values.items()}
        return replace(self, values=values, levels=self.levels[row : row + 1])

    @property
    def num_images(self) -> int:
        """Number of images."""
        return self.levels.shape[1]

    def means(self, name: str) -> Float[Tensor, " policy"]:
        """The mean of a quantity over the images, for each candidate."""
        return self.values[name].double().mean(dim=1)


def _cell_columns(
    records: ExitRecords, exit_index: int, level: int
) -> dict[str, Float[Tensor, " image"]]:
    """What the answers of one cell are worth."""
    prediction = records.prediction[:, exit_index, level]
    at = torch.full_like(prediction, level)
    _, right, hierarchical, *by_size = answer_columns(at, prediction, records).float()
    sizes = torch.tensor(leaf_sizes(records.hierarchy), device=right.device)
    bits = (records.hierarchy.num_classes[-1] / sizes).log2()
    return {
        "accuracy": right,
        "hierarchical_accuracy": hierarchical,
        "specificity": torch.full_like(right, level == records.hierarchy.finest),
        "information": (bits[:, None] * torch.stack(by_size)).sum(dim=0),
    }
