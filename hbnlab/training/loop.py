"""The training loop: ``fit`` trains all heads and the trunk, ``post_train`` the gate."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hbnlab.data.split import Splits
from hbnlab.history import History, Step
from hbnlab.losses import joint_loss, semantic_loss, semantic_targets
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.training.config import TrainConfig
from hbnlab.training.epoch_scores import Sums
from hbnlab.training.session import Objective, open_session

OnStep = Callable[[Step], bool | None]
OnEpoch = Callable[[History], None]
_CHECK_EVERY = 50


def fit(
    network: EarlyExitNetwork,
    splits: Splits,
    config: TrainConfig,
    on_step: OnStep | None = None,
    *,
    on_epoch: OnEpoch | None = None,
    times: History | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train all heads and the trunk together on the joint loss.

    The same seed on the same machine gives the same weights, bit for bit, and torch's global
    generator is left as it was found. Validation images are scored after each epoch and never
    trained on. While nobody reads ``step.loss``, no step waits for the device.

    Args:
        network: trained in place; left on its device, in evaluation mode.
        splits: training and validation images; the test images are not touched.
        config: what to train with.
        on_step: called after every update; returning True ends the run and keeps what was learned.
        on_epoch: called with the history after every epoch, before the checkpoint is written.
        times: an earlier history of the run that is resumed: its epochs have their seconds from
            it, because a checkpoint holds no times.
        checkpoint: where to write the state of the run after each epoch, whole or not at all.
        resume: continue from ``checkpoint`` where it exists; the result is that of a run that was
            never interrupted.
        progress: show a progress bar; the environment variable TQDM_DISABLE=1 hides all bars.

    Returns:
        One entry per epoch.

    Raises:
        ValueError: before any training, when network, data and configuration do not fit, or when
            a checkpoint is of another run.
        FloatingPointError: when a loss, a gradient or a running statistic is not finite, naming the
            step and the images of its batch. It may be raised up to 50 steps later; weights and
            buffers are those from before that step.

    Example:
        >>> from hbnlab import data, models
        >>> splits = data.load("glyphs", train_size=20, val_size=20, test_size=20)
        >>> network = models.create("gran-hbn", splits.hierarchy, width=0.1)
        >>> config = TrainConfig.quick("glyphs", epochs=2, device="cpu")
        >>> history = fit(network, splits, config, progress=False)
        >>> [epoch.number for epoch in history.epochs]
        [1, 2]

    Source:
        Training of the study; ``TrainConfig.paper`` has its settings. It left augmentation on when
        validating and testing; here it is off there.
    """
    objective = _joint_objective(network, config.for_exits(network.num_exits))
    return _train(
        objective, splits, History(), on_step, on_epoch, times, checkpoint, resume, progress
    )


def post_train(
    network: EarlyExitNetwork,
    splits: Splits,
    config: TrainConfig,
    on_step: OnStep | None = None,
    *,
    history: History | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train the gate of AG-HBN on the semantic loss, with everything else frozen.

    Frozen parts keep their running statistics too: BatchNorm is in evaluation mode, while dropout
    is on as the study wants it.

    Args:
        network: one with a gate, usually after ``fit``.
        splits: as for ``fit``.
        config: ``post_epochs``, ``post_learning_rate`` and the weights of the loss.
        on_step: as for ``fit``.
        history: the epochs before these, which a checkpoint should hold too.
        on_epoch: as for ``fit``.
        checkpoint: as for ``fit``.
        resume: as for ``fit``.
        progress: as for ``fit``.

    Returns:
        The history given, or a new one, with the epochs of the post-training added.

    Raises:
        ValueError: for a network without a gate, or as for ``fit``.
        FloatingPointError: as for ``fit``.

    Example:
        >>> from hbnlab import data, models
        >>> splits = data.load("glyphs", train_size=20, val_size=20, test_size=20)
        >>> network = models.create("ag-hbn", splits.hierarchy, width=0.1)
        >>> config = TrainConfig.quick("glyphs", post_epochs=1, device="cpu")
        >>> history = post_train(network, splits, config, progress=False)
        >>> history.epochs[0].phase
        'post-train'

    Source:
        Equations 8-11 of the study. As in its code, the targets come from training images with
        dropout on; ``gate_targets_with_dropout=False`` takes the answers as they will be used.
    """
    objective = _gate_objective(network, config.for_exits(network.num_exits))
    history = History() if history is None else history
    return _train(
        objective, splits, history, on_step, on_epoch, history, checkpoint, resume, progress
    )


def _joint_objective(network: EarlyExitNetwork, config: TrainConfig) -> Objective:
    """All heads and the trunk, on the joint loss; a gate takes no part in it."""

    def loss(outputs: ExitOutputs, labels: Int[Tensor, "batch level"]) -> Float[Tensor, ""]:
        return joint_loss(outputs, labels, config.branch_weights, config.level_weights)

    trained = [p for name, p in network.named_parameters() if not name.startswith("gate.")]
    return Objective("train", network, config, loss, trained, config.epochs, config.learning_rate)


def _gate_objective(network: EarlyExitNetwork, config: TrainConfig) -> Objective:
    """Only the gate, on the semantic loss, with targets from the answers of the same pass."""
    if network.gate is None:
        raise ValueError(f"post-training needs a network with a gate, {network.name} has none")
    bare = [number for number, row in enumerate(network.head_mask, 1) if not (row[0] and row[-1])]
    if bare:
        raise ValueError(
            "the gate's targets need a coarsest and a finest head at every exit, "
            f"one is missing at exit {bare}"
        )

    def loss(outputs: ExitOutputs, labels: Int[Tensor, "batch level"]) -> Float[Tensor, ""]:
        fine, coarse = _correct(outputs, labels, level=-1), _correct(outputs, labels, level=0)
        targets = semantic_targets(fine, coarse, config.fine_weight)
        return semantic_loss(outputs, targets, config.fine_weight, config.gate_weight)

    trained, epochs = list(network.gate.parameters()), config.post_epochs
    return Objective(
        "post-train", network, config, loss, trained, epochs, config.post_learning_rate
    )


def _correct(
    outputs: ExitOutputs, labels: Int[Tensor, "batch level"], level: int
) -> Bool[Tensor, "batch exit"]:
    """Whether each exit's head of one level is right."""
    heads = [row[level] for row in outputs.logits]
    right = [logits.argmax(dim=1) == labels[:, level] for logits in heads if logits is not None]
    return torch.stack(right, dim=1)


def _train(
    objective: Objective,
    splits: Splits,
    history: History,
    on_step: OnStep | None,
    on_epoch: OnEpoch | None,
    times: History | None,
    checkpoint: str | Path | None,
    resume: bool,
    progress: bool,
) -> History:
    """The loop: one update per batch, and validation after each epoch."""
    opened = open_session(objective, splits, history, checkpoint if resume else None, times)
    with opened as session, session.bar(progress) as bar:
        optimizer, guard = session.optimizer, session.guard
        network = torch.compile(session.network) if objective.config.compile else session.network
        for epoch in range(session.epochs_done + 1, objective.epochs + 1):
            start, stopped, sums = time.perf_counter(), False, Sums()
            for number, (images, labels) in enumerate(session.batches(epoch), start=1):
                session.set_learning_rate(epoch, number)
                outputs = session.hardware.compute(network, images)
                loss = objective.loss(outputs, labels)
                optimizer.zero_grad()
                loss.backward()
                guard.watch(loss)  # if this finds a number that is not finite,
                optimizer.step()  # this and all further updates change nothing
                sums.add(outputs, labels, loss)
                bar.update()
                if number % _CHECK_EVERY == 0:
                    guard.check()
                if on_step is not None and on_step(session.step_at(epoch, number, loss)):
                    stopped = True
                    break
            guard.check()
            session.end_epoch(epoch, sums, start)
            bar.set_postfix_str(session.summary())
            if on_epoch is not None:
                on_epoch(history)
            if checkpoint is not None:
                session.save(checkpoint)
            if stopped:
                break
    return history
