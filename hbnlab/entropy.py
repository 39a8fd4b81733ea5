"""Uncertainty of a categorical distribution: pure functions of its logits, along the last axis."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hbnlab.types import Number


def entropy(logits: Float[Tensor, "*batch cls"]) -> Float[Tensor, " *batch"]:
    """Shannon entropy of softmax(logits), in nats, in [0, ln(cls)].

    A class with logit -inf has probability 0 and adds nothing. NaN logits, which stand for a cell
    without a head, give NaN. Gradients flow through it; classes whose probability rounds to 0 have
    none.

    Example:
        >>> entropy(torch.tensor([[0.0, 0.0], [0.0, -torch.inf]]))  # ln 2, and certainty
        tensor([0.69..., 0.0...])

    Source:
        The exit criterion of BranchyNet (Teerapittayanon et al., ICPR 2016).
    """
    prob = logits.softmax(dim=-1)
    if prob.requires_grad:
        # The slope at probability 0 is infinite, and times 0 would be NaN; 1 adds nothing either.
        prob = prob.masked_fill(prob == 0, 1.0)
    raw = torch.special.entr(prob).sum(dim=-1)
    return raw.clamp(0.0, max_entropy(logits.shape[-1]))


def normalised_entropy(logits: Float[Tensor, "*batch cls"]) -> Float[Tensor, " *batch"]:
    """Shannon entropy of softmax(logits) over its maximum, ln(cls), in [0, 1].

    The division makes levels with different numbers of classes comparable.

    Raises:
        ValueError: with fewer than two classes, where the ratio is 0/0.

    Example:
        >>> round(normalised_entropy(torch.zeros(10)).item(), 2)  # no class is more likely
        1.0

    Source:
        The division is ours; see ``entropy``.
    """
    if logits.shape[-1] < 2:
        raise ValueError(f"normalised entropy needs at least 2 classes, got {logits.shape[-1]}")
    return (entropy(logits) / max_entropy(logits.shape[-1])).clamp(max=1.0)


def information(logits: Float[Tensor, "*batch cls"]) -> Float[Tensor, " *batch"]:
    """What softmax(logits) says beyond a uniform guess, in bits, in [0, log2(cls)].

    Example:
        >>> sure = torch.tensor([0.0, -torch.inf, -torch.inf, -torch.inf])
        >>> information(sure).item()  # one of four classes
        2.0
    """
    ceiling = max_entropy(logits.shape[-1])
    return ((ceiling - entropy(logits)) / math.log(2)).clamp(min=0.0)


def within_tolerance(
    fine_entropy: Float[Tensor, "..."],
    coarse_entropy: Float[Tensor, "..."],
    fine_tolerance: Number | Tensor,
) -> Bool[Tensor, "..."]:
    """Whether a fine answer is at most slightly less certain than the coarse one: H_f - H_c < tau.

    The comparison is strict. A larger tolerance means more fine answers: -inf allows none, +inf
    all of them.

    Args:
        fine_entropy: H_f of the finest head, in nats.
        coarse_entropy: H_c of the coarse head, in nats.
        fine_tolerance: tau in nats; not NaN.

    Example:
        >>> coarse = torch.tensor([0.2, 0.2])
        >>> within_tolerance(torch.tensor([0.5, 1.5]), coarse, fine_tolerance=0.5).tolist()
        [True, False]

    Source:
        Algorithm 1 of the study.
    """
    return fine_entropy - coarse_entropy < fine_tolerance


def max_entropy(num_classes: int) -> float:
    """Entropy of the uniform distribution over ``num_classes``, in nats: ln(num_classes).

    Raises:
        ValueError: for fewer than one class.

    Example:
        >>> round(max_entropy(2), 2)
        0.69
    """
    if num_classes < 1:
        raise ValueError(f"a distribution needs at least 1 class, got {num_classes}")
    return math.log(num_classes)
