"""Choosing an operating point that keeps what it promises on new images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.policies.base import Policy
from hbnlab.policies.limits import Limit, limits_of
from hbnlab.policies.outcomes import QUANTITIES, Outcomes
from hbnlab.records import ExitRecords
from hbnlab.types import Number

METHODS = ("pareto-testing", "learn-then-test")


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """The policy that was chosen, and what it promises.

    Attributes:
        policy: the chosen one; None where no candidate could be promised.
        reason: in a sentence, what is promised or why nothing is.
        confidence: that all constraints hold on new images; None = nothing is promised.
        bounds: by constraint, what can be promised of the chosen policy.
        p_values: by constraint, of the chosen policy.
        estimates: of every quantity, on all images given; not promised.
        num_images: number of images that the promise rests on.
    """

    policy: Policy | None
    reason: str
    confidence: float | None
    bounds: Mapping[str, float]
    p_values: Mapping[str, float]
    estimates: Mapping[str, float]
    num_images: int


def choose(
    candidates: Sequence[Policy],
    records: ExitRecords,
    *,
    at_least: Mapping[str, Number] | None = None,
    at_most: Mapping[str, Number] | None = None,
    maximise: str = "information",
    minimise: str | None = None,
    confidence: float | None = 0.9,
    method: str = "pareto-testing",
    seed: int = 0,
) -> Choice:
    """The best candidate that keeps its promises on new images, with a stated confidence.

    The confidence holds for one question, asked once, on images that fitted nothing: neither the
    network nor temperatures, thresholds or forests of a candidate. Only the constraints are
    promised; the objective is an estimate.

    Args:
        candidates: policies that decide image by image.
        records: of images that fitted none of them.
        at_least: constraints: lowest accuracy, hierarchical accuracy, specificity (shares), or
            information (bits), on average; ``"accuracy of coarse"`` among the coarse answers.
        at_most: highest mean FLOPs per image, as ``{"flops": 3e6}``.
        maximise: the quantity to choose by among those that keep the constraints.
        minimise: ``"flops"`` in its place.
        confidence: that all constraints hold; None picks by the means and promises nothing.
        method: ``"pareto-testing"``: one half of the images finds the Pareto front of the
            candidates and orders it, the other half tests in this order until the first fails.
            ``"learn-then-test"``: all images test all candidates, with Bonferroni's correction.
        seed: of the halves.

    Raises:
        ValueError: for no candidate, a policy by batch, fewer than two images, or a constraint
            that is unknown or out of range.

    Example:
        >>> from hbnlab.policies import EntropyThreshold
        >>> from hbnlab.records import simulated_records
        >>> candidates = [EntropyThreshold([t / 10] * 2, level=0) for t in range(11)]
        >>> test = simulated_records(2000, signal=4.0)
        >>> chosen = choose(candidates, test, at_least={"accuracy": 0.7}, minimise="flops")
        >>> chosen.policy is not None, chosen.bounds["accuracy"] >= 0.7
        (True, True)

    Source:
        Laufer-Goldshtein, Fisch, Barzilay, Jaakkola, "Efficiently controlling multiple risks with
        Pareto testing", ICLR 2023; Angelopoulos et al., "Learn then test", 2021.
    """
    _check_candidates(candidates)
    return choose_among(
        candidates,
        Outcomes.of(candidates, records),
        at_least=at_least,
        at_most=at_most,
        maximise=maximise,
        minimise=minimise,
        confidence=confidence,
        method=method,
        seed=seed,
    )


def choose_among(
    candidates: Sequence[Policy],
    outcomes: Outcomes,
    *,
    at_least: Mapping[str, Number] | None = None,
    at_most: Mapping[str, Number] | None = None,
    maximise: str = "information",
    minimise: str | None = None,
    confidence: float | None = 0.9,
    method: str = "pareto-testing",
    seed: int = 0,
) -> Choice:
    """``choose``, given what the candidates make of the images: for many questions or samples."""
    limits = limits_of(at_least or {}, at_most or {}, outcomes)
    _check_question(outcomes, maximise, minimise, confidence, method)
    gain = outcomes.means(maximise) if minimise is None else -outcomes.means(minimise)
    if confidence is None:
        kept = _holding(limits, outcomes)
        return _choice(candidates, outcomes, outcomes, limits, gain, kept, None, 1.0)
    error = 1 - confidence
    if method == "learn-then-test":
        tested, error = outcomes, error / len(candidates)
        kept = np.flatnonzero(_joint_p_values(limits, tested) <= error).tolist()
    else:
        generator = torch.Generator().manual_seed(seed)
        first, second = torch.randperm(outcomes.num_images, generator=generator).tensor_split(2)
        order = _front(limits, outcomes.subset(first), maximise, minimise)
        tested = outcomes.subset(second)
        p_values = _joint_p_values(limits, tested)
        failed = [index for index, row in enumerate(order) if p_values[row] > error]
        kept = order[: failed[0]] if failed else order
    return _choice(candidates, outcomes, tested, limits, gain, kept, confidence, error)


def _front(
    limits: Sequence[Limit], outcomes: Outcomes, maximise: str, minimise: str | None
) -> list[int]:
    """The candidates that no other beats in all losses and in the objective, safest first."""
    gain = outcomes.means(maximise) if minimise is None else -outcomes.means(minimise)
    losses = [limit.means(outcomes) * (1 if limit.name == "flops" else -1) for limit in limits]
    costs = torch.stack([*losses, -gain], dim=1).nan_to_num(nan=math.inf)
    no_worse = (costs[:, None] <= costs).all(dim=2)  # [one, other]
    beaten = (no_worse & (costs[:, None] < costs).any(dim=2)).any(dim=0)
    p_values = _joint_p_values(limits, outcomes)
    front = (~beaten).nonzero().flatten().tolist()
    return sorted(front, key=lambda row: (p_values[row], -float(gain[row])))


def _joint_p_values(limits: Sequence[Limit], outcomes: Outcomes) -> np.ndarray:
    """For each candidate, the p-value of breaking any constraint: the largest of them."""
    if not limits:
        return np.zeros(len(outcomes.levels))
    return np.stack([limit.p_values(outcomes) for limit in limits]).max(axis=0)


def _holding(limits: Sequence[Limit], outcomes: Outcomes) -> list[int]:
    """The candidates that keep all constraints on these images."""
    kept = torch.ones(len(outcomes.levels), dtype=torch.bool)
    for limit in limits:
        kept &= limit.holds(outcomes)
    return kept.nonzero().flatten().tolist()


def _choice(
    candidates: Sequence[Policy],
    outcomes: Outcomes,
    tested: Outcomes,
    limits: Sequence[Limit],
    gain: Float[Tensor, " policy"],
    kept: Sequence[int],
    confidence: float | None,
    error: float,
) -> Choice:
    """Of the candidates that may be promised, the best; ``error`` is that of a single test."""
    made: dict[str, Any] = {"confidence": confidence}
    made["num_images"] = tested.num_images if confidence is not None else 0
    if not kept:
        reason = _why_none(limits, outcomes, tested, confidence)
        return Choice(policy=None, reason=reason, bounds={}, p_values={}, estimates={}, **made)
    row = max(kept, key=lambda index: float(gain[index]))
    promised = () if confidence is None else limits
    bounds = {limit.name: limit.bound(tested, row, error) for limit in promised}
    p_values = {limit.name: float(limit.p_values(tested)[row]) for limit in promised}
    estimates = {name: float(outcomes.means(name)[row]) for name in QUANTITIES}
    return Choice(
        policy=candidates[row],
        reason=_promise(limits, confidence, tested.num_images),
        bounds=bounds,
        p_values=p_values,
        estimates=estimates,
        **made,
    )


def _promise(limits: Sequence[Limit], confidence: float | None, num_images: int) -> str:
    wanted = " and ".join(
        f"{limit.name.replace('_', ' ')} at {'most' if limit.name == 'flops' else 'least'} "
        f"{limit.value:g}"
        for limit in limits
    )
    if not wanted:
        return "nothing was asked for, so nothing is promised"
    if confidence is None:
        return f"{wanted} on these images; nothing is promised about new ones"
    return f"{wanted} on new images, with confidence {confidence:g}, tested on {num_images} images"


def _why_none(
    limits: Sequence[Limit], outcomes: Outcomes, tested: Outcomes, confidence: float | None
) -> str:
    good = _holding(limits, outcomes)
    if not good:
        return "no candidate keeps all constraints on these images"
    return (
        f"{len(good)} candidates keep all constraints on these images, but {tested.num_images} "
        f"images cannot show it with confidence {confidence:g}; give more images, or ask for less"
    )


def _check_candidates(candidates: Sequence[Policy]) -> None:
    if not candidates:
        raise ValueError("choose needs at least one candidate, got none")
    by_batch = [policy for policy in candidates if policy.view_batch_size is not None]
    if by_batch:
        raise ValueError(f"a promise is about single images, got a policy by batch: {by_batch[0]}")


def _check_question(
    outcomes: Outcomes, maximise: str, minimise: str | None, confidence: float | None, method: str
) -> None:
    if outcomes.num_images < 2:
        raise ValueError(f"a choice needs two or more images, got {outcomes.num_images}")
    for name, value in (("maximise", maximise), ("minimise", minimise)):
        if value is not None and value not in QUANTITIES:
            raise ValueError(f"{name} must be one of {list(QUANTITIES)}, got {value!r}")
    if confidence is not None and not 0 < confidence < 1:
        raise ValueError(f"confidence must be above 0 and below 1, or None, got {confidence}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}")
