"""Counting while training: sums stay on the device until an epoch ends."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hbnlab.data.split import Split
from hbnlab.entropy import entropy
from hbnlab.history import CellScore, Phase
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.training.config import TrainConfig
from hbnlab.training.device import Hardware


class Meter:
    """Loss, top-1 and top-5 of every head over the images seen so far."""

    def __init__(self, network: EarlyExitNetwork, device: torch.device) -> None:
        self.cells = [
            (exit_index, level_index)
            for exit_index, row in enumerate(network.heads_grid)
            for level_index, present in enumerate(row)
            if present
        ]
        self.sums = torch.zeros(len(self.cells), 3, device=device)
        self.loss_sum = torch.zeros((), device=device)
        self.images = 0

    @torch.no_grad()
    def add(self, outputs: ExitOutputs, labels: Tensor, loss: Tensor | None = None) -> None:
        """Count one batch."""
        self.images += len(labels)
        if loss is not None:
            self.loss_sum += loss.detach() * len(labels)
        for row, (exit_index, level_index) in enumerate(self.cells):
            logits, wanted = outputs.logits[exit_index][level_index], labels[:, level_index]
            if logits is None:
                raise ValueError(f"exit {exit_index + 1} has no head of level {level_index}")
            logits = logits.float()
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
    """Score every head and the answers of every exit on images that are never trained on."""
    was_training = network.training
    network.eval()
    meter = Meter(network, hardware.device)
    fine = torch.zeros(network.num_exits, device=hardware.device)
    right = torch.zeros_like(fine)
    for images, labels in split.batches(max(256, config.batch_size)):
        with hardware.autocast():
            outputs = network(images.contiguous(memory_format=torch.channels_last))
        meter.add(outputs, labels)
        gate = outputs.gate if phase == "post-train" else None
        for exit_index, row in enumerate(outputs.logits):
            answer = _answers(row, gate, config.fine_tolerance)
            fine[exit_index] += answer.is_fine.sum()
            right[exit_index] += answer.correct(labels).sum()
    network.train(was_training)
    shares = [tuple((counts / len(split)).tolist()) for counts in (fine, right)]
    return Validation(meter.scores(), shares[0], shares[1])


@dataclass(frozen=True)
class _Answers:
    """One exit's answers: at the level of its finest head where ``is_fine``, else its coarsest."""

    is_fine: Tensor
    fine: Tensor
    coarse: Tensor
    fine_level: int
    coarse_level: int

    def correct(self, labels: Tensor) -> Tensor:
        fine = self.fine == labels[:, self.fine_level]
        coarse = self.coarse == labels[:, self.coarse_level]
        return torch.where(self.is_fine, fine, coarse)


def _answers(row: tuple[Tensor | None, ...], gate: Tensor | None, tolerance: float) -> _Answers:
    present = [(level, logits.float()) for level, logits in enumerate(row) if logits is not None]
    (coarse_level, coarse), (fine_level, fine) = present[0], present[-1]
    if coarse_level == fine_level:
        is_fine = torch.full((len(fine),), fine_level == len(row) - 1, device=fine.device)
    elif gate is not None:
        is_fine = gate[:, 1] > gate[:, 0]
    else:
        is_fine = entropy(fine) - tolerance < entropy(coarse)
    return _Answers(is_fine, fine.argmax(dim=1), coarse.argmax(dim=1), fine_level, coarse_level)
