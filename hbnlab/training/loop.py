"""The training loops: ``fit`` trains all heads together, ``post_train`` the gate alone."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hbnlab.checkpoint import RunState
from hbnlab.data.split import Splits
from hbnlab.history import CellScore, Epoch, History, Phase, SplitName
from hbnlab.models.network import EarlyExitNetwork
from hbnlab.training.config import Schedule, TrainConfig
from hbnlab.training.device import Hardware
from hbnlab.training.meter import Meter, validate
from hbnlab.training.objective import GateObjective, JointObjective, Objective


@dataclass(frozen=True)
class Step:
    """Where a run stands after one update; what ``on_step`` is given.

    Attributes:
        phase: ``"train"`` or ``"post-train"``.
        epoch: from 1.
        epochs: how many there will be.
        number: of the step within its epoch, from 1.
        steps: how many an epoch has.
        loss: of this step's batch.
        history: the epochs so far; the present one is added when it ends.
    """

    phase: Phase
    epoch: int
    epochs: int
    number: int
    steps: int
    loss: float
    history: History


OnStep = Callable[[Step], bool | None]


def fit(
    network: EarlyExitNetwork,
    splits: Splits,
    config: TrainConfig,
    on_step: OnStep | None = None,
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train all heads and the trunk together on the joint loss.

    The same seed on the same machine gives the same weights, bit for bit; torch's global generator
    is left as it was found. Validation images are looked at after each epoch and never trained on.

    Args:
        network: trained in place; left on its device, in evaluation mode.
        splits: training and validation images; the test images are not touched.
        config: what to train with.
        on_step: called after every update; returning True ends the run and keeps what was learned.
        checkpoint: where to write the state of the run after each epoch, whole or not at all.
        resume: go on from ``checkpoint`` where it exists; the result is that of a run never cut.
        progress: show a bar (the environment variable TQDM_DISABLE=1 hides all of them).

    Returns:
        One entry an epoch.

    Raises:
        ValueError: before any training, when network, data and configuration do not fit, or when a
            checkpoint is of another run.
        FloatingPointError: when the loss is not finite; the update is not made.
    Source:
        Training of the study; ``TrainConfig.paper`` has its settings. It left augmentation on when
        validating and testing; here it is off there.
    """
    return _run(
        JointObjective(network, config), splits, on_step, checkpoint, resume, progress, History()
    )


def post_train(
    network: EarlyExitNetwork,
    splits: Splits,
    config: TrainConfig,
    on_step: OnStep | None = None,
    *,
    history: History | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train the gate of AG-HBN on the semantic loss, with everything else frozen.

    Args:
        network: one with a gate, usually after ``fit``.
        splits: as for ``fit``.
        config: ``post_epochs``, ``post_learning_rate`` and the weights of the loss.
        on_step: as for ``fit``.
        history: epochs before these, which a checkpoint should hold too.
        checkpoint: as for ``fit``.
        resume: as for ``fit``.
        progress: as for ``fit``.

    Returns:
        The history given, or a new one, with the epochs of the post-training added.

    Raises:
        ValueError: for a network without a gate, or as for ``fit``.
    Source:
        Equations 8-11 of the study. As in its code, the targets come from training images with
        dropout on; ``gate_targets_with_dropout=False`` takes the answers as they will be used.
    """
    objective = GateObjective(network, config)
    return _run(objective, splits, on_step, checkpoint, resume, progress, history or History())


def _run(
    objective: Objective,
    splits: Splits,
    on_step: OnStep | None,
    checkpoint: str | Path | None,
    resume: bool,
    progress: bool,
    history: History,
) -> History:
    network, config = objective.network, objective.config
    _check(network, splits)
    hardware = Hardware.choose(config)
    splits = splits.to(hardware.device)
    with hardware.seeded(config.seed), objective.prepared(hardware.device):
        run = _Run(objective, splits, hardware, history)
        if resume and checkpoint is not None and Path(checkpoint).is_file():
            run.resume(checkpoint)
        with run.bar(progress) as bar:
            while run.epoch < objective.epochs:
                stopped = run.one_epoch(bar, on_step)
                if checkpoint is not None:
                    run.state.save(checkpoint)
                if stopped:
                    break
    network.eval()
    return history


class _Run:
    """The moving parts of a run."""

    def __init__(
        self, objective: Objective, splits: Splits, hardware: Hardware, history: History
    ) -> None:
        self.objective, self.splits, self.hardware = objective, splits, hardware
        self.network, self.config = objective.network, objective.config
        self.forward = torch.compile(self.network) if self.config.compile else self.network
        self.state = RunState(
            self.network,
            torch.optim.Adam(
                objective.trained,
                lr=objective.learning_rate,
                weight_decay=self.config.weight_decay,
                fused=True,
            ),
            torch.Generator().manual_seed(self.config.seed),
            objective.phase,
            asdict(self.config),
            splits.train.fingerprint,
            history,
        )
        self.steps = -(-len(splits.train) // self.config.batch_size)
        self.epoch = 0

    def resume(self, checkpoint: str | Path) -> None:
        written = self.state.restore(checkpoint)
        self.epoch = len(self.state.history.of_phase(self.objective.phase).epochs)
        if written == "post-train" and self.objective.phase == "train":
            self.epoch = self.objective.epochs

    def bar(self, progress: bool) -> tqdm:
        return tqdm(
            total=self.objective.epochs * self.steps,
            initial=self.epoch * self.steps,
            desc=f"{self.network.name} {self.objective.phase}",
            unit="step",
            disable=None if progress else True,
        )

    def one_epoch(self, bar: tqdm, on_step: OnStep | None) -> bool:
        """Train on every image once, then validate; True when ``on_step`` asked to stop."""
        start, stopped, rate = time.perf_counter(), False, 0.0
        meter = Meter(self.network, self.hardware.device)
        batches = self.splits.train.batches(
            self.config.batch_size, self.config.augment, self.state.generator
        )
        self.epoch += 1
        self.objective.set_modes()
        for number, (images, labels) in enumerate(batches, start=1):
            rate = self._set_rate(number)
            loss = self._step(images, labels, meter)
            bar.update()
            if on_step is not None and on_step(self._report(number, loss)):
                stopped = True
                break
        checked = validate(
            self.network, self.splits.val, self.config, self.hardware, self.objective.phase
        )
        cells: dict[SplitName, tuple[CellScore, ...]] = {
            "train": meter.scores(),
            "val": checked.scores,
        }
        self.state.history.epochs.append(
            Epoch(
                self.epoch,
                self.objective.phase,
                meter.mean_loss(),
                rate,
                cells,
                checked.specificity,
                checked.accuracy,
                time.perf_counter() - start,
            )
        )
        bar.set_postfix_str(_summary(self.state.history.epochs[-1], self.network))
        return stopped

    def _step(self, images: Tensor, labels: Tensor, meter: Meter) -> float:
        with self.hardware.autocast():
            outputs = self.forward(images.contiguous(memory_format=torch.channels_last))
            loss = self.objective.loss(outputs, labels)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} in epoch {self.epoch}; the update was not made. "
                f"Lower the learning rate, now {self.objective.learning_rate}"
            )
        self.state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.state.optimizer.step()
        meter.add(outputs, labels, loss)
        return value

    def _set_rate(self, number: int) -> float:
        done = ((self.epoch - 1) * self.steps + number) / (self.objective.epochs * self.steps)
        rate = self.objective.learning_rate * schedule_factor(self.config.schedule, done)
        for group in self.state.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _report(self, number: int, loss: float) -> Step:
        epochs, phase = self.objective.epochs, self.objective.phase
        return Step(phase, self.epoch, epochs, number, self.steps, loss, self.state.history)


def schedule_factor(schedule: Schedule, done: float) -> float:
    """Share of the peak learning rate once a share ``done`` of all steps, in (0, 1], is made."""
    if schedule == "constant":
        return 1.0
    warm = 0.1
    if done < warm:
        return done / warm
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm) / (1 - warm))


def _check(network: EarlyExitNetwork, splits: Splits) -> None:
    if splits.hierarchy != network.hierarchy:
        raise ValueError(
            f"{network.name} was built for {network.hierarchy.num_classes} classes "
            f"({network.hierarchy.fingerprint}), {splits.name} has {splits.hierarchy.num_classes} "
            f"({splits.hierarchy.fingerprint})"
        )
    if tuple(splits.train.image_shape) != tuple(network.image_shape):
        raise ValueError(
            f"{network.name} takes images of {network.image_shape}, {splits.name} has "
            f"{splits.train.image_shape}"
        )


def _summary(epoch: Epoch, network: EarlyExitNetwork) -> str:
    """The validation accuracies at the finest and the coarsest level, exit by exit."""
    parts = [f"loss {epoch.loss:.2f}"]
    for level in dict.fromkeys((network.hierarchy.finest, 0)):
        shown = [f"{100 * s.top1:.0f}" for s in epoch.cells["val"] if s.level_index == level]
        if shown:
            parts.append(f"{network.hierarchy.level_names[level]} {'/'.join(shown)} %")
    return ", ".join(parts)
