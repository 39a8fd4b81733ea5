"""What is around the training step: its setting, its guard, and where the run stands."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm

from hbnlab.data.split import Batch, Splits
from hbnlab.history import Epoch, History, Phase, SplitName, Step
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.progress import progress_bar
from hbnlab.training.checkpoint import RunState
from hbnlab.training.config import Schedule, TrainConfig
from hbnlab.training.device import Hardware
from hbnlab.training.epoch_scores import Sums, validate


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
    """Lets no update through from the first step on in which a number is not finite.

    That is the loss, a gradient, or a buffer that the forward pass moves, such as the running
    statistics of BatchNorm. All of it happens on the device, so that no step waits: ``watch`` sets
    a flag there, and while it is set, a fused optimizer changes nothing and buffers are put back.
    The host reads the flag now and then, with ``check``.

    Args:
        network: being trained.
        optimizer: a fused one, over some of its parameters.
    """

    def __init__(self, network: EarlyExitNetwork, optimizer: torch.optim.Optimizer) -> None:
        self._network, self._optimizer = network, optimizer
        self._found = torch.zeros((), device=network.device)
        # A fused optimizer looks for the flag where torch's GradScaler leaves it.
        optimizer.found_inf = self._found  # pyright: ignore[reportAttributeAccessIssue]

    def start_epoch(self, epoch: int, indices: list[Tensor]) -> None:
        """Begin to watch an epoch, given the indices of the images in each of its batches."""
        self._epoch, self._indices, self._steps_read = epoch, indices, 0
        self._unread: list[Tensor] = []  # of each step: its loss, and the norm of all the rest
        self._buffers = moving_buffers(self._network)
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._finite = [b for b in self._buffers if b.is_floating_point() and b.isfinite().all()]

    @torch.no_grad()
    def watch(self, loss: Float[Tensor, ""]) -> None:
        """Look at the numbers of a step, after its backward pass and before its update."""
        parameters = (p for group in self._optimizer.param_groups for p in group["params"])
        gradients = [p.grad for p in parameters if p.grad is not None]
        step = torch.stack([loss, nn.utils.get_total_norm([*gradients, *self._finite])])
        self._unread.append(step)
        self._found.logical_or_(~step.isfinite().all())
        for buffer, kept in zip(self._buffers, self._kept, strict=True):
            torch.where(self._found > 0, kept, buffer, out=kept)
            buffer.copy_(kept)

    def check(self) -> None:
        """Read the flag from the device, and raise where it is set.

        Raises:
            FloatingPointError: naming the first step in which a number was not finite.
        """
        if not self._found.item():
            self._steps_read += len(self._unread)
            self._unread.clear()
            return
        steps = enumerate(torch.stack(self._unread).tolist(), self._steps_read)
        index, loss = next((n, step[0]) for n, step in steps if not all(map(math.isfinite, step)))
        what = f"the loss is {loss}"
        if math.isfinite(loss):
            what = f"a gradient or a running statistic is not finite (the loss is {loss})"
        raise FloatingPointError(
            f"{what} in step {index + 1} of epoch {self._epoch}, whose update was not made; "
            f"lower the learning rate, now {self._optimizer.defaults['lr']}; the training images "
            f"of the batch have the indices {sorted(self._indices[index].tolist())}"
        )


class Session(RunState):
    """A run that is under way: what a checkpoint holds of it, and what is around.

    Args:
        objective: what is minimised, its network already on the hardware's device.
        splits: training and validation images; the test images are not even moved.
        hardware: where to compute.
        history: to which every epoch is added.

    Attributes:
        guard: keeps updates out that are not finite.
        steps: number of steps per epoch.
        epochs_done: number of epochs of this phase that were made before.
    """

    def __init__(
        self, objective: Objective, splits: Splits, hardware: Hardware, history: History
    ) -> None:
        self.objective, self.hardware, self.epochs_done = objective, hardware, 0
        config = objective.config
        super().__init__(
            objective.network,
            make_optimizer(objective),
            torch.Generator().manual_seed(config.seed),
            objective.phase,
            config,
            splits.train.fingerprint,
            history,
        )
        self.guard = UpdateGuard(self.network, self.optimizer)
        self.train, self.val = splits.train.to(hardware.device), splits.val.to(hardware.device)
        self._set_mode()
        # Statistics of a batch of one image may not exist.
        min_size = min(2, config.batch_size) if moving_buffers(self.network) else 1
        self._batch_indices = partial(
            self.train.batch_indices, config.batch_size, min_size=min_size
        )
        self.steps = len(self._batch_indices())

    def resume(self, checkpoint: str | Path, times: History) -> None:
        """Continue from a checkpoint; the epochs before take their seconds from ``times``."""
        written = self.restore(checkpoint, times)
        self.epochs_done = len(self.history.of_phase(self.phase).epochs)
        if written == "post-train" and self.phase == "train":
            self.epochs_done = self.objective.epochs

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, with the network in the mode that it is trained in."""
        self._set_mode()
        indices = self._batch_indices(self.generator)
        self.guard.start_epoch(epoch, indices)
        return self.train.read_batches(indices, self.generator if self.config.augment else None)

    def _set_mode(self) -> None:
        """Training mode; in post-training not for what has running statistics, which is frozen."""
        is_joint = self.phase == "train"
        self.network.train(is_joint or self.config.gate_targets_with_dropout)
        for module in self.network.modules():
            if not is_joint and list(module.buffers(recurse=False)):
                module.training = False

    def set_learning_rate(self, epoch: int, number: int) -> None:
        """Set what the schedule says for a step: its value in the middle of that step."""
        done = ((epoch - 1) * self.steps + number - 0.5) / (self.objective.epochs * self.steps)
        factor = schedule_factor(self.config.schedule, done)
        for group in self.optimizer.param_groups:
            group["lr"] = self.objective.learning_rate * factor

    def step_at(self, epoch: int, number: int, loss: Float[Tensor, ""]) -> Step:
        """Say where the run stands; the loss stays on the device until it is asked for."""
        epochs, detached = self.objective.epochs, loss.detach()

        def read_loss() -> float:
            self.guard.check()
            return detached.item()

        return Step(self.phase, epoch, epochs, number, self.steps, read_loss, self.history)

    def end_epoch(self, number: int, sums: Sums, start: float) -> None:
        """Validate, and add the epoch that began at ``start`` to the history.

        Raises:
            FloatingPointError: for a validation loss that is not finite.
        """
        val, specificity, accuracy = validate(
            self.network, self.val, self.config, self.hardware, self.phase != "train"
        )
        if spoiled := [score.loss for score in val if not math.isfinite(score.loss)]:
            raise FloatingPointError(
                f"the validation loss is {spoiled[0]} after epoch {number}; lower the learning "
                f"rate, now {self.objective.learning_rate}"
            )
        loss, rate = sums.mean_loss(), self.optimizer.param_groups[0]["lr"]
        cells: dict[SplitName, Any] = {"train": sums.scores(self.network.head_mask), "val": val}
        seconds = time.perf_counter() - start
        self.history.epochs.append(
            Epoch(number, self.phase, loss, rate, cells, specificity, accuracy, seconds)
        )

    def bar(self, progress: bool) -> tqdm:
        """Make a progress bar over all steps, with those made before already filled in."""
        total, done = self.objective.epochs * self.steps, self.epochs_done * self.steps
        name = f"{self.network.name} {self.phase}"
        return progress_bar(total, name, "step", visible=progress, initial=done)

    def summary(self) -> str:
        """The last epoch's validation accuracies at the finest and coarsest level, by exit."""
        epoch, tree = self.history.epochs[-1], self.network.hierarchy
        parts = [f"loss {epoch.loss:.2f}"]
        for level in dict.fromkeys((tree.finest, 0)):
            top1 = [f"{100 * s.top1:.0f}" for s in epoch.cells["val"] if s.level_index == level]
            if top1:
                parts.append(f"{tree.level_names[level]} {'/'.join(top1)} %")
        return ", ".join(parts)


def make_optimizer(objective: Objective) -> torch.optim.Optimizer:
    """The optimizer of a run, fused, so that ``UpdateGuard`` can stop its updates."""
    config = objective.config
    rates = {"lr": objective.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if objective.phase == "train" and config.optimizer == "sgd":
        return torch.optim.SGD(objective.trained, **rates, momentum=0.9, nesterov=True)
    return torch.optim.Adam(objective.trained, **rates)


@contextlib.contextmanager
def open_session(
    objective: Objective,
    splits: Splits,
    history: History,
    checkpoint: str | Path | None = None,
    times: History | None = None,
) -> Iterator[Session]:
    """Put the network in place for a run, and freeze what is not trained for as long.

    However the run ends, the network is left in evaluation mode and free to be trained.

    Args:
        objective: what to train.
        splits: training and validation images.
        history: to which every epoch is added.
        checkpoint: to resume from, where it exists.
        times: the seconds of the epochs that are resumed.

    Raises:
        ValueError: when network, data, configuration and checkpoint do not fit, or the device is
            not there.
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
        try:
            for parameter in frozen:
                parameter.requires_grad_(False)
            session = Session(objective, splits, hardware, history)
            if checkpoint is not None and Path(checkpoint).is_file():
                session.resume(checkpoint, times or History())
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
