"""One image under one policy: everything that the exit inspector shows about it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import UInt8
from torch import Tensor

from hbnlab.formatting import millions, spoken
from hbnlab.metrics import answer_values
from hbnlab.policies import Policy
from hbnlab.records import Decisions, ExitRecords
from hbnlab.widgets.rules import BranchVerdict, verdicts


@dataclass(frozen=True, eq=False)
class ImageDecision:
    """What a policy decided about one image.

    Attributes:
        exit_index: exit taken, from 0.
        level_index: level of the answer, 0 = coarsest.
        prediction: class answered, numbered within that level.
        macs: multiply-accumulates that ran for the image.
        level: name of the level.
        answer: name of the class answered.
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
        right = "right" if self.is_right else "wrong"
        return (
            f"leaves at exit {self.exit_index + 1} with the {self.level} answer {self.answer}, "
            f"{right}, after {millions(2 * self.macs)} million FLOPs"
        )


@dataclass(frozen=True, eq=False)
class ImageTrace:
    """One image under one policy.

    Attributes:
        index: of the image in the records.
        image: its picture.
        records: of this image alone.
        policy: the rule.
        decision: what the policy decides about the image.
        verdicts: the rule written out, up to where the image leaves.
    """

    index: int
    image: UInt8[Tensor, "3 height width"]
    records: ExitRecords
    policy: Policy
    decision: ImageDecision
    verdicts: tuple[BranchVerdict, ...]

    @classmethod
    def of(
        cls,
        index: int,
        image: UInt8[Tensor, "3 height width"],
        records: ExitRecords,
        policy: Policy,
        decisions: Decisions,
    ) -> "ImageTrace":
        """Look one image up among records and decisions of all."""
        at = torch.tensor([index], device=records.labels.device)
        one = records.subset(at)
        its = Decisions(*(column[at] for column in vars(decisions).values()))
        exit_index, level, prediction, macs = (int(column) for column in vars(its).values())
        names = records.hierarchy
        decision = ImageDecision(
            exit_index=exit_index,
            level_index=level,
            prediction=prediction,
            macs=macs,
            level=names.level_names[level],
            answer=spoken(names.class_names[level][prediction]),
            is_right=bool(answer_values(its, one)["accuracy"]),
        )
        return cls(index, image, one, policy, decision, verdicts(policy, records, index))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The true class at every level, by name."""
        names = self.records.hierarchy.class_names
        rows = self.records.labels[0].tolist()
        return tuple(spoken(names[level][label]) for level, label in enumerate(rows))

    @cached_property
    def states(self) -> tuple[str, ...]:
        """What becomes of the image at each exit, in two or three words."""
        looked_at = {verdict.exit_index: verdict for verdict in self.verdicts}
        states = []
        for exit_index in range(self.records.num_exits):
            if exit_index > self.decision.exit_index:
                states.append("not reached")
            elif exit_index not in looked_at:
                states.append("not looked at")
            else:
                states.append("leaves" if looked_at[exit_index].level_index >= 0 else "goes on")
        return tuple(states)

    @property
    def verdict(self) -> str:
        """The rule written out exit by exit, and what becomes of the image; a line each."""
        lines = [
            f"exit {verdict.exit_index + 1}{self.by_batch}: {'; '.join(verdict.lines)}"
            for verdict in self.verdicts
        ]
        return "\n".join([*lines, f"image {self.index} {self.decision}"])

    @property
    def by_batch(self) -> str:
        """Says that a rule looks at means, where it does."""
        size = self.policy.view_batch_size
        return "" if size is None else f" (means over batches of {size})"
