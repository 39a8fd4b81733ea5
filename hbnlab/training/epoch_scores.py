"""Scores of heads and exits: sums over batches, which stay on the device until they are read."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from hbnlab.data.split import Split
from hbnlab.entropy import entropy, within_tolerance
from hbnlab.head_mask import HeadMask, cells_of
from hbnlab.history import CellScore
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.training.config import TrainConfig
from hbnlab.training.device import Hardware


class Sums:
    """Loss, top-1 and top-5 of every head over the images added so far."""

    def __init__(self) -> None:
        self.images = 0
        self._loss = self._cells = torch.zeros(())

    @torch.no_grad()
    def add(
        self,
        outputs: ExitOutputs,
        labels: Int[Tensor, "batch level"],
        loss: Float[Tensor, ""] | None = None,
    ) -> None:
        """Add a batch, and the loss that was minimised on it where there is one."""
        self.images += len(labels)
        self._cells = self._cells + cell_sums(outputs, labels)
        if loss is not None:
            self._loss = self._loss + loss.detach() * len(labels)

    def mean_loss(self) -> float:
        """Mean of the minimised loss over the images; reading it waits for the device."""
        return float(self._loss) / self.images

    def scores(self, head_mask: HeadMask) -> tuple[CellScore, ...]:
        """One score per head; reading them waits for the device."""
        means = (self._cells / self.images).tolist()
        return tuple(
            CellScore(*cell, *row) for cell, row in zip(cells_of(head_mask), means, strict=True)
        )


def cell_sums(outputs: ExitOutputs, labels: Int[Tensor, "batch level"]) -> Float[Tensor, "cell 3"]:
    """Cross-entropy, top-1 hits and top-5 hits of every head, summed over a batch."""
    rows = []
    for row in outputs.logits:
        for logits, wanted in zip(row, labels.unbind(dim=1), strict=True):
            if logits is not None:
                best = logits.topk(min(5, logits.shape[1]), dim=1).indices
                hits = best == wanted[:, None]
                loss = functional.cross_entropy(logits, wanted, reduction="sum")
                rows.append(torch.stack([loss, hits[:, 0].sum(), hits.sum()]))
    return torch.stack(rows)


@torch.inference_mode()
def validate(
    network: EarlyExitNetwork, split: Split, config: TrainConfig, hardware: Hardware, by_gate: bool
) -> tuple[tuple[CellScore, ...], tuple[float, ...], tuple[float, ...]]:
    """Score every head, and the answers of every exit, on images that are never trained on.

    The network is put into evaluation mode, and the images come as they are.

    Returns:
        Scores of the heads, specificity of the exits and their accuracy; see
        ``hbnlab.history.Epoch``.
    """
    network.eval()
    sums, answers = Sums(), torch.zeros(())
    for images, labels in split.batches(max(256, config.batch_size)):
        outputs = hardware.compute(network, images)
        sums.add(outputs, labels)
        gate = outputs.gate if by_gate else None
        answers = answers + answer_sums(outputs, labels, config.fine_tolerance, gate)
    specificity, accuracy = (answers / sums.images).T.tolist()
    return sums.scores(network.head_mask), tuple(specificity), tuple(accuracy)


def answer_sums(
    outputs: ExitOutputs,
    labels: Int[Tensor, "batch level"],
    fine_tolerance: float,
    gate: Float[Tensor, "batch 2"] | None,
) -> Float[Tensor, "exit 2"]:
    """For each exit, the number of answers at the finest level, and that of right answers.

    An exit answers with its finest or its coarsest head: as the gate says, or without one as the
    fine tolerance says.
    """
    sums = []
    for row in outputs.logits:
        heads = [(level, logits) for level, logits in enumerate(row) if logits is not None]
        (coarse_level, coarse), (fine_level, fine) = heads[0], heads[-1]
        if gate is not None:
            says_fine = gate[:, 1] > gate[:, 0]
        else:
            says_fine = within_tolerance(entropy(fine), entropy(coarse), fine_tolerance)
        if fine_level == coarse_level:
            says_fine = torch.ones_like(says_fine)
        is_right = torch.where(
            says_fine,
            fine.argmax(dim=1) == labels[:, fine_level],
            coarse.argmax(dim=1) == labels[:, coarse_level],
        )
        is_finest = says_fine & (fine_level == len(row) - 1)
        sums.append(torch.stack([is_finest.sum(), is_right.sum()]).float())
    return torch.stack(sums)
