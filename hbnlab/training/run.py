"""The moving parts of a run; ``hbnlab.training.loop`` puts them to work."""

import math
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm.auto import tqdm

from hbnlab.checkpoint import RunState
from hbnlab.data.split import Splits
from hbnlab.history import Epoch, History, Step
from hbnlab.progress import progress_bar
from hbnlab.training.config import Schedule
from hbnlab.training.device import Hardware
from hbnlab.training.meter import Meter, Validation
from hbnlab.training.objective import Objective


class Run:
    """One objective, the data it is trained on, and all that changes on the way.

    Args:
        objective: prepared on the hardware's device.
        splits: training and validation images; the test images are not even moved.
        hardware: where to compute.
        history: to which every epoch is added.

    Attributes:
        state: what a checkpoint holds.
        steps: how many an epoch has.
        epochs_done: how many epochs of this phase lie behind.
    """

    def __init__(
        self, objective: Objective, splits: Splits, hardware: Hardware, history: History
    ) -> None:
        self.objective, self.hardware = objective, hardware
        self.train, self.val = splits.train.to(hardware.device), splits.val.to(hardware.device)
        self.steps = math.ceil(len(self.train) / objective.config.batch_size)
        self.epochs_done = 0
        self.state = RunState(
            objective.network,
            torch.optim.Adam(
                objective.trained,
                lr=objective.learning_rate,
                weight_decay=objective.config.weight_decay,
                fused=True,
            ),
            torch.Generator().manual_seed(objective.config.seed),
            objective.phase,
            asdict(objective.config),
            splits.train.fingerprint,
            history,
        )

    def resume(self, checkpoint: str | Path) -> None:
        """Go on from where a checkpoint stands."""
        written = self.state.restore(checkpoint)
        self.epochs_done = len(self.state.history.of_phase(self.objective.phase).epochs)
        if written == "post-train" and self.objective.phase == "train":
            self.epochs_done = self.objective.epochs

    def set_learning_rate(self, epoch: int, number: int) -> None:
        """Set what the schedule says for a step: its value in the middle of that step."""
        made = (epoch - 1) * self.steps + number - 0.5
        factor = schedule_factor(
            self.objective.config.schedule, made / (self.objective.epochs * self.steps)
        )
        for group in self.state.optimizer.param_groups:
            group["lr"] = self.objective.learning_rate * factor

    def step_at(self, epoch: int, number: int, loss: float) -> Step:
        """Say where the run stands.

        Raises:
            FloatingPointError: for a loss that is not finite.
        """
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} in step {number} of epoch {epoch}, whose update was not made; "
                f"{self._advice()}"
            )
        epochs, phase = self.objective.epochs, self.objective.phase
        return Step(phase, epoch, epochs, number, self.steps, lambda: loss, self.state.history)

    def add_epoch(self, number: int, meter: Meter, checked: Validation, seconds: float) -> None:
        """Add an epoch to the history.

        Raises:
            FloatingPointError: for a validation loss that is not finite.
        """
        spoiled = [score for score in checked.scores if not math.isfinite(score.loss)]
        if spoiled:
            raise FloatingPointError(
                f"the validation loss is {spoiled[0].loss} after epoch {number}; {self._advice()}"
            )
        self.state.history.epochs.append(
            Epoch(
                number,
                self.objective.phase,
                meter.mean_loss(),
                self.state.optimizer.param_groups[0]["lr"],
                {"train": meter.scores(), "val": checked.scores},
                checked.specificity,
                checked.accuracy,
                seconds,
            )
        )

    def bar(self, progress: bool) -> tqdm:
        """Make a progress bar over all steps, with those done already filled in."""
        return progress_bar(
            self.objective.epochs * self.steps,
            f"{self.objective.network.name} {self.objective.phase}",
            "step",
            shown=progress,
            initial=self.epochs_done * self.steps,
        )

    def summary(self) -> str:
        """The last epoch's validation accuracies at the finest and coarsest level, by exit."""
        epoch, tree = self.state.history.epochs[-1], self.objective.network.hierarchy
        parts = [f"loss {epoch.loss:.2f}"]
        for level in dict.fromkeys((tree.finest, 0)):
            shown = [f"{100 * s.top1:.0f}" for s in epoch.cells["val"] if s.level_index == level]
            if shown:
                parts.append(f"{tree.level_names[level]} {'/'.join(shown)} %")
        return ", ".join(parts)

    def _advice(self) -> str:
        return f"lower the learning rate, now {self.objective.learning_rate}"


def schedule_factor(schedule: Schedule, done: float) -> float:
    """Share of the peak learning rate when a share ``done`` of all steps, in (0, 1), is made."""
    if schedule == "constant":
        return 1.0
    warm = 0.1
    if done < warm:
        return done / warm
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm) / (1 - warm))
