"""What training records, epoch by epoch and step by step; plots, widgets and notebooks read it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Phase = Literal["train", "post-train"]
SplitName = Literal["train", "val"]


@dataclass(frozen=True)
class CellScore:
    """Loss and accuracy of one head on one split in one epoch.

    Attributes:
        exit_index: exit of the head, from 0.
        level_index: level of the head, 0 = coarsest.
        loss: mean cross-entropy, in nats.
        top1: share of images whose class is the first guess, in [0, 1].
        top5: share of images whose class is among the first five guesses, in [0, 1].
    """

    exit_index: int
    level_index: int
    loss: float
    top1: float
    top5: float


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images.

    Attributes:
        number: from 1, counted within its phase.
        phase: ``"train"`` for the joint loss, ``"post-train"`` for only the gate.
        loss: mean of the loss that was minimised.
        learning_rate: of the last step of the epoch.
        cells: one score per head, by split: ``"train"`` (measured during the epoch, with dropout)
            and ``"val"`` (measured after it, without dropout).
        specificity: for each exit, the share of validation images that it would answer at the
            finest level: as the gate says in post-training, else as the fine tolerance of the
            training configuration says.
        accuracy: for each exit, the share of its answers that are right at their own level.
        seconds: wall time of the epoch, validation included. It is left out of every file that
            must be the same from one run to the next.
    """

    number: int
    phase: Phase
    loss: float
    learning_rate: float
    cells: dict[SplitName, tuple[CellScore, ...]]
    specificity: tuple[float, ...]
    accuracy: tuple[float, ...]
    seconds: float = 0.0


@dataclass
class History:
    """All epochs of a run, in order."""

    epochs: list[Epoch] = field(default_factory=list)

    def curve(self, quantity: str, exit_index: int, level_index: int, split: SplitName = "val"):
        """One number per epoch for one head: its ``"loss"``, ``"top1"`` or ``"top5"``.

        Returns:
            A list of float; empty when no epoch has a score of that head on that split.

        Example:
            >>> score = CellScore(exit_index=0, level_index=1, loss=0.7, top1=0.5, top5=1.0)
            >>> history = History([Epoch(1, "train", 1.4, 1e-3, {"val": (score,)}, (), ())])
            >>> history.curve("top1", exit_index=0, level_index=1)
            [0.5]
        """
        if quantity not in ("loss", "top1", "top5"):
            raise ValueError(f"quantity must be 'loss', 'top1' or 'top5', got {quantity!r}")
        return [
            getattr(score, quantity)
            for epoch in self.epochs
            for score in epoch.cells.get(split, ())
            if (score.exit_index, score.level_index) == (exit_index, level_index)
        ]

    @property
    def cell_indices(self) -> tuple[tuple[int, int], ...]:
        """The (exit, level) pairs that have scores, in order."""
        found = {
            (score.exit_index, score.level_index)
            for epoch in self.epochs
            for scores in epoch.cells.values()
            for score in scores
        }
        return tuple(sorted(found))

    def of_phase(self, phase: Phase) -> "History":
        """The epochs of one phase."""
        return type(self)([epoch for epoch in self.epochs if epoch.phase == phase])

    def with_seconds_of(self, other: "History") -> "History":
        """The same epochs; those without seconds take them from ``other``, where it has them.

        Example:
            >>> fast = Epoch(1, "train", 0.5, 1e-3, {}, (), (), seconds=4.0)
            >>> stored = History.from_spec(History([fast]).to_spec(with_times=False))
            >>> stored.seconds, stored.with_seconds_of(History([fast])).seconds
            (0.0, 4.0)
        """
        known = {(epoch.phase, epoch.number): epoch.seconds for epoch in other.epochs}
        return type(self)(
            [
                replace(epoch, seconds=epoch.seconds or known.get((epoch.phase, epoch.number), 0.0))
                for epoch in self.epochs
            ]
        )

    @property
    def seconds(self) -> float:
        """Wall time of all epochs."""
        return sum((epoch.seconds for epoch in self.epochs), start=0.0)

    def to_spec(self, *, with_times: bool = True) -> list[dict[str, Any]]:
        """The epochs as plain data that JSON can hold; ``from_spec`` reads them.

        Args:
            with_times: False leaves seconds out, so that equal runs write equal bytes.
        """
        rows = [asdict(epoch) for epoch in self.epochs]
        if not with_times:
            for row in rows:
                del row["seconds"]
        return rows

    @classmethod
    def from_spec(cls, rows: list[Mapping[str, Any]]) -> "History":
        """Read what ``to_spec`` wrote."""
        return cls([_epoch_from(row) for row in rows])


@dataclass(frozen=True)
class Step:
    """Where a training run stands after one update: what ``on_step`` is given.

    Attributes:
        phase: ``"train"`` or ``"post-train"``.
        epoch: from 1.
        epochs: number of epochs of the phase.
        number: of the step within its epoch, from 1.
        steps: number of steps per epoch.
        read_loss: reads the loss from the device; use the property ``loss``.
        history: the epochs so far; the present one is added when it ends.

    Example:
        >>> step = Step("train", 1, 2, 10, 40, lambda: 0.5, History())
        >>> f"{step.phase}, epoch {step.epoch} of {step.epochs}: loss {step.loss}"
        'train, epoch 1 of 2: loss 0.5'
    """

    phase: Phase
    epoch: int
    epochs: int
    number: int
    steps: int
    read_loss: Callable[[], float]
    history: History

    @property
    def loss(self) -> float:
        """Loss of this step's batch, before the update. Reading it waits for the device.

        Raises:
            FloatingPointError: when the loss or a gradient was not finite in this step or before.
        """
        return self.read_loss()


def _epoch_from(row: Mapping[str, Any]) -> Epoch:
    cells = {split: tuple(CellScore(**s) for s in scores) for split, scores in row["cells"].items()}
    rest = {key: value for key, value in row.items() if key != "cells"}
    rest["specificity"], rest["accuracy"] = tuple(rest["specificity"]), tuple(rest["accuracy"])
    return Epoch(cells=cells, **rest)
