"""A policy decides where an image leaves and how specific its answer is; it never computes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hbnlab.head_mask import describe_cells
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.view import ExitView
from hbnlab.records import Decisions, ExitRecords


@dataclass(frozen=True, kw_only=True)
class Policy(ABC):
    """The rule that picks a cell for every image.

    Attributes:
        hierarchy: the tree that the policy was fitted for; records of another are refused. None
            for a policy that was written by hand.
    """

    hierarchy: Hierarchy | None = field(default=None, repr=False)

    @abstractmethod
    def answers(
        self, exit_index: int, view: ExitView
    ) -> Mapping[int, Bool[Tensor, "*policy sample"]]:
        """For each level that may be answered at this exit, the images that are answered there.

        No image is answered at two levels, and the last exit (``view.is_last``) answers all. An
        image that has left before may be answered again; it is not asked.
        """

    @abstractmethod
    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """The (exit, level) cells that the policy may look at or answer with."""

    def step(self, exit_index: int, view: ExitView) -> Int[Tensor, " sample"]:
        """The level at which each image is answered at this exit, -1 = it goes on.

        The last exit answers every image.
        """
        levels = torch.full((view.num_images,), -1, device=view.device)
        for level, answered in self.answers(exit_index, view).items():
            levels = levels.masked_fill(answered, level)
        return levels

    def consults(self, exit_index: int) -> bool:
        """Whether the policy looks at the branch of this exit at all.

        A branch that it never looks at need not be run. The last exit is always looked at.
        """
        del exit_index
        return True

    @property
    def needs_gate(self) -> bool:
        """Whether the policy reads a learned gate."""
        return False

    @property
    def view_batch_size(self) -> int | None:
        """Images that leave together, for ``ExitView``; None when each decides for itself."""
        return None

    def check_fits(
        self, head_mask: Sequence[Sequence[bool]], hierarchy: Hierarchy, has_gate: bool
    ) -> None:
        """Refuse a network or records that the policy cannot work on.

        Raises:
            ValueError: naming what the policy asks for and what there is.
        """
        if self.hierarchy is not None and self.hierarchy != hierarchy:
            raise ValueError(
                f"the policy was fitted for a tree of {_named(self.hierarchy)}, "
                f"got records of {_named(hierarchy)}"
            )
        for exit_index, level in self.cells(head_mask):
            known = 0 <= exit_index < len(head_mask) and 0 <= level < hierarchy.num_levels
            if not known or not head_mask[exit_index][level]:
                name = hierarchy.level_names[level] if 0 <= level < hierarchy.num_levels else level
                raise ValueError(
                    f"{type(self).__name__} asks for exit {exit_index + 1}, level {name!r}, where "
                    f"there is no head; the cells are: {describe_cells(head_mask, hierarchy)}"
                )
        if self.needs_gate and not has_gate:
            raise ValueError(f"{type(self).__name__} asks for a gate, and the network has none")

    def decide(self, records: ExitRecords) -> Decisions:
        """Decide about every image from records alone.

        Raises:
            ValueError: when the records have not the cells, the gate or the tree it needs.
        """
        self.check_fits(records.head_mask, records.hierarchy, records.has_gate)
        exit_index = torch.full_like(records.labels[:, 0], -1)
        level_index, prediction, macs = (exit_index.clone() for _ in range(3))
        costs = self.macs_to_exits(records)
        for index, level, leaves in self.leaving(records, self.consulted_exits(records.num_exits)):
            exit_index[leaves] = index
            level_index[leaves] = level
            prediction[leaves] = records.prediction[leaves, index, level]
            macs[leaves] = costs[index]
        forgotten = int((exit_index < 0).sum())
        if forgotten:
            raise ValueError(
                f"the last exit must answer every image, {type(self).__name__} left {forgotten} "
                "without an answer"
            )
        return Decisions(exit_index, level_index, prediction, macs)

    def consulted_exits(self, num_exits: int) -> tuple[int, ...]:
        """The exits whose branches the policy consults; the last always is one."""
        return tuple(n for n in range(num_exits) if n == num_exits - 1 or self.consults(n))

    def leaving(
        self, records: ExitRecords, exits: Iterable[int]
    ) -> Iterator[tuple[int, int, Bool[Tensor, "*policy sample"]]]:
        """Go through the exits: for each cell, the images that are answered there and leave.

        Args:
            records: what is decided about.
            exits: those that are ``consulted_exits``.

        Yields:
            Exit, level and a mask over the images; (policy, sample) where the policy stands for
            several at once (``hbnlab.policies.stack``).
        """
        waiting = torch.ones(len(records), dtype=torch.bool, device=records.labels.device)
        for exit_index in exits:
            view = ExitView.from_records(records, exit_index, self.view_batch_size)
            here = self.answers(exit_index, view)
            for level, answered in here.items():
                yield exit_index, level, waiting & answered
            for answered in here.values():
                waiting = waiting & ~answered

    def settings(self) -> dict[str, Any]:
        """Name and settings, for tables; what it was fitted for is left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "hierarchy"}
        return {"policy": type(self).__name__} | values

    def macs_to_exits(self, records: ExitRecords) -> list[int]:
        """What really runs for an image that leaves at each exit: stages and consulted branches."""
        return policy_macs(self, records.stage_macs, records.branch_macs)


def policy_macs(policy: Policy, stage_macs: Sequence[int], branch_macs: Sequence[int]) -> list[int]:
    """Multiply-accumulates that run for an image that leaves at each exit under a policy.

    All stages up to the exit count, and of the branches those that the policy consults.
    """
    costs, running = [], 0
    looked_at = policy.consulted_exits(len(stage_macs))
    for exit_index, (stage, branch) in enumerate(zip(stage_macs, branch_macs, strict=True)):
        running += stage
        if exit_index in looked_at:
            running += branch
        costs.append(running)
    return costs


def _named(hierarchy: Hierarchy) -> str:
    return f"{hierarchy.summary} (fingerprint {hierarchy.fingerprint})"
