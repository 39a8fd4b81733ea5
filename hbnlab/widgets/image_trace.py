"""The trace of one image under a policy: everything that the exit inspector displays about it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import UInt8
from torch import Tensor

from hbnlab.formatting import millions, spoken
from hbnlab.metrics import answer_values
from hbnlab.policies import ExitView, Policy
from hbnlab.records import Decisions, ExitRecords


@dataclass(frozen=True, eq=False)
class ImageDecision:
    """What a policy decides about one image.

    Attributes:
        exit_index: the exit taken, from 0.
        level_index: level of the answer, 0 = coarsest.
        prediction: index of the answered class within that level.
        macs: multiply-accumulates that ran for the image.
        level: name of the level.
        answer: name of the answered class.
        is_right: whether the answer is the label of its level.
    """

    exit_index: int
    level_index: int
    prediction: int
    macs: int
    level: str
    answer: str
    is_right: bool

    def __str__(self) -> str:
        return (
            f"leaves at exit {self.exit_index + 1} with the {self.level} answer {self.answer}, "
            f"{self.verdict}, after {millions(2 * self.macs)} million FLOPs"
        )

    @property
    def verdict(self) -> str:
        """Whether the answer is right, in a word."""
        return "right" if self.is_right else "wrong"


@dataclass(frozen=True, eq=False)
class ImageTrace:
    """One image under one policy.

    Attributes:
        index: of the image in the records.
        image: its pixels.
        records: of all images.
        policy: what decides.
        decisions: what the policy decides about all images.
    """

    index: int
    image: UInt8[Tensor, "3 height width"]
    records: ExitRecords
    policy: Policy
    decisions: Decisions

    @cached_property
    def own_records(self) -> ExitRecords:
        """The records of this image only."""
        return self.records.subset(torch.tensor([self.index], device=self.records.labels.device))

    @cached_property
    def decision(self) -> ImageDecision:
        """What the policy decides about the image."""
        columns = vars(self.decisions).values()
        own = Decisions(*(column[self.index : self.index + 1] for column in columns))
        exit_index, level, prediction, macs = (int(column) for column in vars(own).values())
        tree = self.records.hierarchy
        return ImageDecision(
            exit_index=exit_index,
            level_index=level,
            prediction=prediction,
            macs=macs,
            level=tree.level_names[level],
            answer=spoken(tree.class_names[level][prediction]),
            is_right=bool(answer_values(own, self.own_records)["accuracy"]),
        )

    @cached_property
    def explanations(self) -> dict[int, list[str]]:
        """What the policy compares at each exit that it consults; lines by exit index."""
        return explanations(self.policy, self.records, self.index)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The name of the true class at every level."""
        names = self.records.hierarchy.class_names
        rows = self.records.labels[self.index].tolist()
        return tuple(spoken(names[level][label]) for level, label in enumerate(rows))

    @cached_property
    def states(self) -> tuple[str, ...]:
        """What happens to the image at each exit, in two or three words."""
        last = self.decision.exit_index
        consulted = self.policy.consulted_exits(self.records.num_exits)
        return tuple(
            "not reached"
            if exit_index > last
            else "leaves"
            if exit_index == last
            else "goes on"
            if exit_index in consulted
            else "not consulted"
            for exit_index in range(self.records.num_exits)
        )

    @property
    def path(self) -> str:
        """The path in words."""
        steps = [f"{state} at exit {number}" for number, state in enumerate(self.states, start=1)]
        steps[self.decision.exit_index] = str(self.decision)
        return f"The path of image {self.index}: {'; '.join(steps)}."

    @property
    def verdict(self) -> str:
        """The comparisons, one line per exit, and what happens to the image."""
        lines = [
            f"exit {exit_index + 1}{self.batch_note}: {'; '.join(lines)}"
            for exit_index, lines in self.explanations.items()
        ]
        return "\n".join([*lines, f"image {self.index} {self.decision}"])

    @property
    def batch_note(self) -> str:
        """Says that the policy compares means over batches, if it does."""
        size = self.policy.view_batch_size
        return "" if size is None else f" (means over batches of {size})"


def explanations(policy: Policy, records: ExitRecords, index: int) -> dict[int, list[str]]:
    """What a policy compares at each exit that it consults, up to where an image leaves.

    Args:
        policy: one that fits the records.
        records: what it decides about.
        index: of the image.

    Returns:
        By exit index, the lines of ``policy.explain``.
    """
    batch = policy.view_batch_size or 1
    first = index - index % batch
    last = min(first + batch, len(records))
    together = records.subset(torch.arange(first, last, device=records.labels.device))
    found = {}
    for exit_index in policy.consulted_exits(records.num_exits):
        view = ExitView.from_records(together, exit_index, policy.view_batch_size)
        found[exit_index] = policy.explain(view, index - first, records.hierarchy)
        if policy.step(exit_index, view)[index - first] >= 0:
            break
    return found
