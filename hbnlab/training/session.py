"""What is around the training step: its setting, its guard, and where the run stands."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm

from hbnlab.checkpoint import RunState
from hbnlab.data.split import Batch, Splits
from hbnlab.history import Epoch, History, Phase, Step
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.progress import progress_bar
from hbnlab.training.config import Schedule, TrainConfig
from hbnlab.training.device import Hardware
from hbnlab.training.scores import Sums, validate


class Objective(NamedTuple):
    """What a run minimises.

    Attributes:
        phase: ``"train"`` for all heads, ``"post-train"`` for the gate.
        network: to be trained.
        config: of the run.
        loss: the scalar to minimise, from a batch's outputs and labels.
        trained: the parameters that the optimizer may change; all others are frozen.
        epochs: number of passes over the training images.
        learning_rate: its peak.
    """

    phase: Phase
    network: EarlyExitNetwork
    config: TrainConfig
    loss: Callable[[ExitOutputs, Int[Tensor, "batch level"]], Float[Tensor, ""]]
    trained: list[nn.Parameter]
    epochs: int
    learning_rate: float


class UpdateGuard:
    """Makes no update from the first step on whose loss or gradient is not finite.

    All of it happens on the device, so that no step waits. ``watch`` sets a flag there, which
    fused Adam reads: while it is set, an update changes nothing. Buffers that the forward pass
    moves, such as the running statistics of BatchNorm, are taken back. The host reads the flag
    now and then, with ``check``.

    Args:
        network: being trained.
        optimizer: fused Adam, over some of its parameters.
    """

    def __init__(self, network: EarlyExitNetwork, optimizer: torch.optim.Adam) -> None:
        self._network, self._optimizer = network, optimizer
        self._found = torch.zeros((), device=network.device)
        # Fused Adam looks for the flag where torch's GradScaler leaves it.
        optimizer.found_inf = self._found  # pyright: ignore[reportAttributeAccessIssue]
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def start_epoch(self, epoch: int, indices: list[Tensor]) -> None:
        """Begin to watch an epoch, given the indices of the images in each of its batches."""
        self._epoch, self._indices, self._steps_read = epoch, indices, 0
        self._unread: list[Tensor] = []  # for each step: its loss, and the norm of the gradient
        self._buffers = moving_buffers(self._network)
        self._kept = [buffer.clone() for buffer in self._buffers]

    @torch.no_grad()
    def watch(self, loss: Float[Tensor, ""]) -> None:
        """Look at the loss and the gradients of a step, before its update."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        seen = torch.stack([loss, nn.utils.get_total_norm(gradients)])
        self._unread.append(seen)
        self._found.logical_or_(~seen.isfinite().all())
        for buffer, kept in zip(self._buffers, self._kept, strict=True):
            torch.where(self._found > 0, kept, buffer, out=kept)
            buffer.copy_(kept)

    def check(self) -> None:
        """Read the flag from the device, and raise where it is set.

        Raises:
            FloatingPointError: naming the first step whose loss or gradient was not finite.
        """
        if not self._found.item():
            self._steps_read += len(self._unread)
            self._unread.clear()
            return
        steps = torch.stack(self._unread).tolist()
        offset, (loss, _) = next(
            (index, step) for index, step in enumerate(steps) if not all(map(math.isfinite, step))
        )
        what = f"the loss is {loss}"
        if math.isfinite(loss):
            what = f"a gradient is not finite (the loss is {loss})"
        index = self._steps_read + offset
        raise FloatingPointError(
            f"{what} in step {index + 1} of epoch {self._epoch}, whose update was not made; "
            f"lower the learning rate, now {self._optimizer.defaults['lr']}; the training images "
            f"of the batch have the indices {sorted(self._indices[index].tolist())}"
        )


class Session:
    """A run that is under way: its data, and all that changes from step to step.

    Args:
        objective: what is minimised, its network already on the hardware's device.
        splits: training and validation images; the test images are not even moved.
        hardware: where to compute.
        history: to which every epoch is added.

    Attributes:
        state: what a checkpoint holds.
        guard: keeps updates out that are not finite.
        steps: number of steps per epoch.
        epochs_done: number of epochs of this phase that were made before.
    """

    def __init__(
        self, objective: Objective, splits: Splits, hardware: Hardware, history: History
    ) -> None:
        self.objective, self.network, self.config = objective, objective.network, objective.config
        self.hardware, self.history, self.epochs_done = hardware, history, 0
        self.train, self.val = splits.train.to(hardware.device), splits.val.to(hardware.device)
        self.optimizer = torch.optim.Adam(
            objective.trained,
            lr=objective.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        self.guard = UpdateGuard(self.network, self.optimizer)
        self._set_mode()
        # Statistics of a batch of one image may not exist.
        self._min_size = min(2, self.config.batch_size) if moving_buffers(self.network) else 1
        self.steps = len(self.train.batch_indices(self.config.batch_size, min_size=self._min_size))
        self.state = RunState(
            self.network,
            self.optimizer,
            torch.Generator().manual_seed(self.config.seed),
            objective.phase,
            self.config.to_spec(),
            splits.train.fingerprint,
            history,
        )

    def resume(self, checkpoint: str | Path, times: History) -> None:
        """Continue from a checkpoint; the epochs before take their seconds from ``times``.

        Raises:
            ValueError: when the checkpoint is damaged or of another run.
        """

        def differences(spec: Mapping[str, Any]) -> list[str]:
            stored = TrainConfig.from_spec(spec).for_exits(self.network.num_exits)
            return self.config.differences(stored)

        written = self.state.restore(checkpoint, differences, times)
        self.epochs_done = len(self.history.of_phase(self.objective.phase).epochs)
        if written == "post-train" and self.objective.phase == "train":
            self.epochs_done = self.objective.epochs

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, with the network in the mode that it is trained in."""
        self._set_mode()
        size, generator = self.config.batch_size, self.state.generator
        ahead = torch.Generator().set_state(generator.get_state())
        self.guard.start_epoch(
            epoch, self.train.batch_indices(size, ahead, min_size=self._min_size)
        )
        return self.train.batches(size, self.config.augment, generator, min_size=self._min_size)

    def _set_mode(self) -> None:
        """Training mode; in post-training without what has running statistics, for it is frozen."""
        if self.objective.phase == "train":
            self.network.train()
            return
        self.network.train(self.config.gate_targets_with_dropout)
        for module in self.network.modules():
            if any(True for _ in module.buffers(recurse=False)):
                module.training = False

    def set_learning_rate(self, epoch: int, number: int) -> None:
        """Set what the schedule says for a step: its value in the middle of that step."""
        made = (epoch - 1) * self.steps + number - 0.5
        factor = schedule_factor(self.config.schedule, made / (self.objective.epochs * self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.objective.learning_rate * factor

    def step_at(self, epoch: int, number: int, loss: Float[Tensor, ""]) -> Step:
        """Say where the run stands; the loss stays on the device until it is asked for."""
        detached = loss.detach()

        def read_loss() -> float:
            self.guard.check()
            return detached.item()

        objective = self.objective
        return Step(
            objective.phase, epoch, objective.epochs, number, self.steps, read_loss, self.history
        )

    def end_epoch(self, number: int, sums: Sums, start: float) -> None:
        """Validate, and add the epoch that began at ``start`` to the history.

        Raises:
            FloatingPointError: for a validation loss that is not finite.
        """
        checked = validate(
            self.network,
            self.val,
            self.hardware,
            batch_size=self.config.batch_size,
            fine_tolerance=self.config.fine_tolerance,
            by_gate=self.objective.phase == "post-train",
        )
        spoiled = [score.loss for score in checked.scores if not math.isfinite(score.loss)]
        if spoiled:
            raise FloatingPointError(
                f"the validation loss is {spoiled[0]} after epoch {number}; lower the learning "
                f"rate, now {self.objective.learning_rate}"
            )
        self.history.epochs.append(
            Epoch(
                number,
                self.objective.phase,
                sums.mean_loss(),
                self.optimizer.param_groups[0]["lr"],
                {"train": sums.scores(self.network.head_mask), "val": checked.scores},
                checked.specificity,
                checked.accuracy,
                time.perf_counter() - start,
            )
        )

    def bar(self, progress: bool) -> tqdm:
        """Make a progress bar over all steps, with those made before already filled in."""
        return progress_bar(
            self.objective.epochs * self.steps,
            f"{self.network.name} {self.objective.phase}",
            "step",
            shown=progress,
            initial=self.epochs_done * self.steps,
        )

    def summary(self) -> str:
        """The last epoch's validation accuracies at the finest and coarsest level, by exit."""
        epoch, tree = self.history.epochs[-1], self.network.hierarchy
        parts = [f"loss {epoch.loss:.2f}"]
        for level in dict.fromkeys((tree.finest, 0)):
            top1 = [f"{100 * s.top1:.0f}" for s in epoch.cells["val"] if s.level_index == level]
            if top1:
                parts.append(f"{tree.level_names[level]} {'/'.join(top1)} %")
        return ", ".join(parts)


@contextlib.contextmanager
def open_session(
    objective: Objective,
    splits: Splits,
    history: History,
    resume_from: Path | None,
    times: History,
) -> Iterator[Session]:
    """Put the network in place for a run, and freeze what is not trained for as long.

    However the run ends, the network is left in evaluation mode and free to be trained.

    Args:
        objective: what is minimised.
        splits: training and validation images.
        history: to which every epoch is added.
        resume_from: a checkpoint to continue from.
        times: a history that knows the seconds of the epochs before.

    Raises:
        ValueError: when network, data, configuration and checkpoint do not fit.
    """
    network, config = objective.network, objective.config
    network.check_data(splits.name, splits.train.image_shape, splits.hierarchy)
    hardware = Hardware.choose(config)
    trained = {id(parameter) for parameter in objective.trained}
    frozen = [p for p in network.parameters() if p.requires_grad and id(p) not in trained]
    with hardware.seeded(config.seed):
        network.to(hardware.device)
        # torch takes a memory format here, but declares no overload for it.
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if config.dropout is not None:
            network.set_dropout(config.dropout)
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            session = Session(objective, splits, hardware, history)
            if resume_from is not None:
                session.resume(resume_from, times)
            yield session
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)
            network.eval()


def moving_buffers(network: nn.Module) -> list[Tensor]:
    """Buffers that a forward pass may change, such as the running statistics of BatchNorm."""
    return [b for m in network.modules() if m.training for b in m.buffers(recurse=False)]


def schedule_factor(schedule: Schedule, done: float) -> float:
    """Share of the peak learning rate when a share ``done`` of all steps, in (0, 1), is made."""
    if schedule == "constant":
        return 1.0
    warm = 0.1
    if done < warm:
        return done / warm
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm) / (1 - warm))
