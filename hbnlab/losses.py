"""What training minimises: the joint loss over all cells, and the semantic loss of the gate."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hbnlab.entropy import entropy
from hbnlab.models.network import ExitOutputs
from hbnlab.types import Number

BranchWeights = Sequence[Number] | str | None
"""Weights of the joint loss, one per exit; None and ``"rising"`` for any number of exits."""


def branch_weights_for(num_exits: int, weights: BranchWeights = None) -> tuple[Number, ...]:
    """One weight per exit for the joint loss.

    Args:
        num_exits: number of exits of the network, at least 1.
        weights: those to use; surplus ones are dropped, so that one setting serves networks of
            several sizes. None = falling linearly from 1.0 at the first exit to 0.6 at the last;
            ``"rising"`` = from 0.4 to 1.0, in favour of the exits that cost more.

    Raises:
        ValueError: for fewer weights than exits, or another word.

    Example:
        >>> branch_weights_for(3)
        (1.0, 0.8, 0.6)
        >>> branch_weights_for(4, "rising")
        (0.4, 0.6, 0.8, 1.0)
        >>> branch_weights_for(2, [1.0, 0.5, 0.5])
        (1.0, 0.5)

    Source:
        The study's 1.0, 0.8, 0.6 for its three exits; the straight lines are ours.
    """
    steps = [index / max(1, num_exits - 1) for index in range(num_exits)]
    if weights is None:
        return tuple(1.0 - 0.4 * step for step in steps)
    if weights == "rising":
        return tuple(round(1.0 - 0.6 * step, 9) for step in reversed(steps))
    if isinstance(weights, str):
        raise ValueError(f"branch weights must be numbers or 'rising', got {weights!r}")
    if len(weights) < num_exits:
        raise ValueError(f"{num_exits} exits need {num_exits} branch weights, got {tuple(weights)}")
    return tuple(weights[:num_exits])


def joint_loss(
    outputs: ExitOutputs,
    labels: Int[Tensor, "batch level"],
    branch_weights: BranchWeights = None,
    level_weights: Sequence[Number] | None = None,
) -> Float[Tensor, ""]:
    """Sum of the cross-entropies of all heads, weighted by branch and, where given, by level.

    Each head is compared with the label of its own level. With one branch, one level and weight 1
    this is plain cross-entropy.

    Args:
        outputs: of the network.
        labels: one column per level, coarsest first.
        branch_weights: as for ``branch_weights_for``.
        level_weights: one per level, or None for 1 everywhere.

    Raises:
        ValueError: for fewer branch weights than exits, or unless there is one weight per level.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0]])  # one exit, one level, two classes
        >>> loss = joint_loss(ExitOutputs(((logits,),), None), torch.tensor([[1]]))
        >>> round(loss.item(), 2)  # ln 2
        0.69

    Source:
        Equations 1, 2 and 5-7 of the study, with its code's cross-entropy: the equations also
        divide by the number of classes, the code does not. The level weights are the code's (1.5
        fine and 0.75 coarse, for Gran-HBN only); the paper's equation has none.
    """
    num_exits, num_levels = len(outputs.logits), len(outputs.logits[0])
    branch_weights = branch_weights_for(num_exits, branch_weights)
    if level_weights is None:
        level_weights = (1.0,) * num_levels
    if len(level_weights) != num_levels:
        raise ValueError(
            f"{num_levels} levels need {num_levels} level weights, got {level_weights}"
        )
    total = torch.zeros((), device=labels.device)
    for branch_weight, row in zip(branch_weights, outputs.logits, strict=True):
        for level_index, logits in enumerate(row):
            if logits is not None:
                weight = branch_weight * level_weights[level_index]
                total = total + weight * functional.cross_entropy(logits, labels[:, level_index])
    return total


def semantic_targets(
    fine_correct: Bool[Tensor, "batch exit"],
    coarse_correct: Bool[Tensor, "batch exit"],
    fine_weight: Number = 1.02,
) -> Int[Tensor, " batch"]:
    """What the gate should say: 1 = fine where the fine heads are right about as often.

    fine_weight x (number of exits with a right fine answer) > (number with a right coarse one).
    The comparison is strict and fine_weight is just above 1, so a tie means fine, unless no head
    is right at all: then it means coarse.

    Example:
        >>> fine = torch.tensor([[True, True], [False, True], [False, False]])
        >>> coarse = torch.tensor([[True, True], [True, True], [False, False]])
        >>> semantic_targets(fine, coarse).tolist()
        [1, 0, 0]

    Source:
        Equation 8 of the study.
    """
    return (fine_weight * fine_correct.sum(dim=1) > coarse_correct.sum(dim=1)).long()


def semantic_loss(
    outputs: ExitOutputs,
    targets: Int[Tensor, " batch"],
    fine_weight: Number = 1.02,
    gate_weight: Number = 5.0,
) -> Float[Tensor, ""]:
    """Loss of the gate: gate_weight x cross-entropy against the targets, plus granular entropy.

    The granular entropy is part of the study's loss and therefore of this one. It depends only on
    the heads, which post-training freezes, so it shifts the value and has no gradient: only the
    cross-entropy trains the gate.

    Args:
        outputs: of a network with a gate.
        targets: of ``semantic_targets``: 0 = coarse, 1 = fine.
        fine_weight: w_f of the granular entropy.
        gate_weight: alpha, the weight of the cross-entropy.

    Raises:
        ValueError: when there is no gate, or no head at the coarsest or the finest level.

    Example:
        >>> sure = torch.tensor([[99.0, 0.0]])
        >>> outputs = ExitOutputs(((sure, sure),), gate=torch.tensor([[0.0, 99.0]]))
        >>> round(semantic_loss(outputs, torch.tensor([1])).item(), 2)
        0.0

    Source:
        Equations 9-11 of the study. The paper writes a binary cross-entropy, its code takes the
        softmax cross-entropy over two classes, as here.
    """
    if outputs.gate is None:
        raise ValueError("the semantic loss needs a gate, and this network has none")
    cross_entropy = functional.cross_entropy(outputs.gate, targets)
    return gate_weight * cross_entropy + granular_entropy(outputs, fine_weight)


def granular_entropy(outputs: ExitOutputs, fine_weight: Number = 1.02) -> Float[Tensor, ""]:
    """H_gran: fine_weight x mean fine entropy + mean coarse entropy, in nats.

    The means are over images and exits; coarse is the coarsest level and fine the finest.

    Example:
        >>> coarse, fine = torch.zeros(1, 2), torch.zeros(1, 4)  # nothing is known
        >>> outputs = ExitOutputs(((coarse, fine),), gate=None)
        >>> round(granular_entropy(outputs, fine_weight=1.0).item(), 2)  # ln 4 + ln 2
        2.08

    Source:
        Equations 9 and 10 of the study.
    """
    return fine_weight * _mean_entropy(outputs, level=-1) + _mean_entropy(outputs, level=0)


def _mean_entropy(outputs: ExitOutputs, level: int) -> Tensor:
    heads = [row[level] for row in outputs.logits]
    found = [entropy(logits).mean() for logits in heads if logits is not None]
    if not found:
        raise ValueError("the granular entropy needs heads at the coarsest and the finest level")
    return torch.stack(found).mean()
