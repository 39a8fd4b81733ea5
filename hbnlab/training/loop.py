"""One training loop, for two objectives: ``fit`` trains all heads, ``post_train`` the gate."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm.auto import tqdm

from hbnlab.data.split import Splits
from hbnlab.history import History, Step
from hbnlab.models.network import EarlyExitNetwork
from hbnlab.training.config import TrainConfig
from hbnlab.training.device import Hardware
from hbnlab.training.meter import Meter, validate
from hbnlab.training.objective import GateObjective, JointObjective, Objective
from hbnlab.training.run import Run

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
    objective = JointObjective(network, config)
    return _run(objective, splits, History(), on_step, checkpoint, resume, progress)


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
    before = History() if history is None else history
    return _run(objective, splits, before, on_step, checkpoint, resume, progress)


def _run(
    objective: Objective,
    splits: Splits,
    history: History,
    on_step: OnStep | None,
    checkpoint: str | Path | None,
    resume: bool,
    progress: bool,
) -> History:
    objective.network.check_data(splits.name, splits.train.image_shape, splits.hierarchy)
    hardware = Hardware.choose(objective.config)
    with hardware.seeded(objective.config.seed), objective.prepared(hardware.device):
        run = Run(objective, splits, hardware, history)
        if resume and checkpoint is not None and Path(checkpoint).is_file():
            run.resume(checkpoint)
        with run.bar(progress) as bar:
            _train(run, on_step, checkpoint, bar)
    return history


def _train(run: Run, on_step: OnStep | None, checkpoint: str | Path | None, bar: tqdm) -> None:
    """The loop: every epoch takes all batches, an update each, then looks at validation images."""
    objective, config, state = run.objective, run.objective.config, run.state
    network = torch.compile(state.network) if config.compile else state.network
    for epoch in range(run.epochs_done + 1, objective.epochs + 1):
        start, stopped = time.perf_counter(), False
        meter = Meter(state.network, run.hardware.device)
        state.network.train(objective.dropout_on)
        batches = run.train.batches(config.batch_size, config.augment, state.generator)
        for number, (images, labels) in enumerate(batches, start=1):
            run.set_learning_rate(epoch, number)
            outputs = run.hardware.compute(network, images)
            loss = objective.loss(outputs, labels)
            step = run.step_at(epoch, number, loss.item())  # raises where the loss is not finite
            state.optimizer.zero_grad()
            loss.backward()
            state.optimizer.step()
            meter.add(outputs, labels, loss)
            bar.update()
            if on_step is not None and on_step(step):
                stopped = True
                break
        checked = validate(state.network, run.val, config, run.hardware, objective.phase)
        run.add_epoch(epoch, meter, checked, time.perf_counter() - start)
        bar.set_postfix_str(run.summary())
        if checkpoint is not None:
            state.save(checkpoint)
        if stopped:
            break
