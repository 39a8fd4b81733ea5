"""Counting while training: sums stay on the device until an epoch ends."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hbnlab.data.split import Split
from hbnlab.entropy import entropy, within_tolerance
from hbnlab.history import CellScore, Phase
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.training.config import TrainConfig
from hbnlab.training.device import Hardware


class Meter:
    """Loss, top-1 and top-5 of every head over the images seen so far."""

    def __init__(self, network: EarlyExitNetwork, device: torch.device) -> None:
        self.cells = [
            (exit_index, level_index)
            for exit_index, row in enumerate(network.head_mask)
            for level_index, present in enumerate(row)
            if present
        ]
        self.sums = torch.zeros(len(self.cells), 3, device=device)
        self.loss_sum = torch.zeros((), device=device)
        self.images = 0

    @torch.no_grad()
    def add(
        self,
        outputs: ExitOutputs,
        labels: Int[Tensor, "batch level"],
        loss: Float[Tensor, ""] | None = None,
    ) -> None:
        """Count one batch, and the loss that was minimised on it where there is one."""
        self.images += len(labels)
        if loss is not None:
            self.loss_sum += loss.detach() * len(labels)
        for row, (exit_index, level_index) in enumerate(self.cells):
            logits, wanted = outputs.logits[exit_index][level_index], labels[:, level_index]
            if logits is None:
                raise ValueError(f"exit {exit_index + 1} has no head of level {level_index}")
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices
            hits = best == wanted[:, None]
            self.sums[row, 0] += functional.cross_entropy(logits, wanted, reduction="sum")
            self.sums[row, 1] += hits[:, 0].sum()
            self.sums[row, 2] += hits.sum()

    def mean_loss(self) -> float:
        """Mean of the minimised loss over the images."""
        return float(self.loss_sum) / max(1, self.images)

    def scores(self) -> tuple[CellScore, ...]:
        """One score a head."""
        means = (self.sums / max(1, self.images)).tolist()
        return tuple(CellScore(*cell, *row) for cell, row in zip(self.cells, means, strict=True))


class Validation(NamedTuple):
    """What validation images say after an epoch; see ``hbnlab.history.Epoch``."""

    scores: tuple[CellScore, ...]
    specificity: tuple[float, ...]
    accuracy: tuple[float, ...]


@torch.inference_mode()
def validate(
    network: EarlyExitNetwork, split: Split, config: TrainConfig, hardware: Hardware, phase: Phase
) -> Validation:
    """Score every head, and the answers of every exit, on images that are never trained on.

    The network is put into evaluation mode, and the images come as they are.
    """
    network.eval()
    meter = Meter(network, hardware.device)
    finest = torch.zeros(network.num_exits, device=hardware.device)
    right = torch.zeros_like(finest)
    for images, labels in split.batches(max(256, config.batch_size)):
        outputs = hardware.compute(network, images)
        meter.add(outputs, labels)
        gate = outputs.gate if phase == "post-train" else None
        for exit_index, row in enumerate(outputs.logits):
            answer = _answer(row, labels, gate, config.fine_tolerance)
            finest[exit_index] += answer.is_finest.sum()
            right[exit_index] += answer.is_right.sum()
    specificity, accuracy = (tuple((counts / len(split)).tolist()) for counts in (finest, right))
    return Validation(meter.scores(), specificity, accuracy)


class _Answer(NamedTuple):
    """Whether one exit's answers are at the finest level, and right at their own level."""

    is_finest: Bool[Tensor, " batch"]
    is_right: Bool[Tensor, " batch"]


def _answer(
    row: tuple[Tensor | None, ...],
    labels: Int[Tensor, "batch level"],
    gate: Float[Tensor, "batch 2"] | None,
    tolerance: float,
) -> _Answer:
    """Answer with an exit's finest or coarsest head, as the gate or the tolerance says."""
    present = [(level, logits) for level, logits in enumerate(row) if logits is not None]
    (coarse_level, coarse), (fine_level, fine) = present[0], present[-1]
    if gate is not None:
        says_fine = gate[:, 1] > gate[:, 0]
    else:
        says_fine = within_tolerance(entropy(fine), entropy(coarse), tolerance)
    if fine_level == coarse_level:
        says_fine = torch.ones_like(says_fine)
    is_right = torch.where(
        says_fine,
        fine.argmax(dim=1) == labels[:, fine_level],
        coarse.argmax(dim=1) == labels[:, coarse_level],
    )
    return _Answer(says_fine & (fine_level == len(row) - 1), is_right)
