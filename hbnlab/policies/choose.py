"""Choosing an operating point that keeps what it promises on new images."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
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

    Example:
        >>> from hbnlab.policies import ForcedExit
        >>> from hbnlab.records import simulated_records
        >>> chosen = choose([ForcedExit(2, 0)], simulated_records(20), at_least={"accuracy": 0.99})
        >>> chosen.policy is None, chosen.reason
        (True, 'no candidate keeps all constraints on these images')
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
    records: ExitRecords | Outcomes,
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
        records: of images that fitted none of them, or ``Outcomes.of(candidates, records)``.
        at_least: lowest accuracy, hierarchical_accuracy, specificity (shares) or information
            (bits) on average; ``"accuracy of coarse"`` among the coarse answers.
        at_most: highest mean FLOPs per image, as ``{"flops": 3e6}``.
        maximise: the quantity to choose by among those that keep the constraints.
        minimise: ``"flops"`` in its place.
        confidence: that all constraints hold; None picks by the means and promises nothing.
        method: ``"pareto-testing"``: half of the images find and order the Pareto front, the
            others test in this order until one fails; ``"learn-then-test"``: all images test all
            candidates, with Bonferroni's correction.
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
    _check_question(candidates, records, maximise, minimise, confidence, method)
    outcomes = records if isinstance(records, Outcomes) else Outcomes.of(candidates, records)
    limits = limits_of(at_least or {}, at_most or {}, outcomes)

    def gains(of: Outcomes) -> Float[Tensor, " policy"]:
        return of.means(maximise) if minimise is None else -of.means(minimise)

    kept, tested, error = _promisable(limits, outcomes, gains, confidence, method, seed)
    best = max(kept, key=lambda row: float(gains(outcomes)[row]), default=None)
    return _choice(candidates, best, outcomes, tested, limits, confidence, error)


def _promisable(
    limits: Sequence[Limit],
    outcomes: Outcomes,
    gains: Callable[[Outcomes], Float[Tensor, " policy"]],
    confidence: float | None,
    method: str,
    seed: int,
) -> tuple[list[int], Outcomes, float]:
    """Candidates that may be promised, what they were tested on, and the error of each test."""
    if confidence is None:
        return _holding(limits, outcomes), outcomes, 1.0
    error = 1 - confidence
    if method == "learn-then-test":
        error /= len(outcomes.levels)
        kept = np.flatnonzero(_joint_p_values(limits, outcomes) <= error).tolist()
        return kept, outcomes, error
    generator = torch.Generator().manual_seed(seed)
    halves = torch.randperm(outcomes.num_images, generator=generator).tensor_split(2)
    front, tested = map(outcomes.subset, halves)
    order = _front(limits, front, gains(front))
    return _until_one_fails(order, limits, tested, error), tested, error


def _until_one_fails(
    order: Sequence[int], limits: Sequence[Limit], outcomes: Outcomes, error: float
) -> list[int]:
    """The candidates before the first that cannot be promised, in a fixed order."""
    p_values = _joint_p_values(limits, outcomes)
    return list(takewhile(lambda row: p_values[row] <= error, order))


def _front(
    limits: Sequence[Limit], outcomes: Outcomes, gain: Float[Tensor, " policy"]
) -> list[int]:
    """The candidates that no other beats in all losses and in the objective, safest first."""
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
    best: int | None,
    outcomes: Outcomes,
    tested: Outcomes,
    limits: Sequence[Limit],
    confidence: float | None,
    error: float,
) -> Choice:
    """What is said of the best candidate that may be promised; ``error`` is of a single test."""
    num_images = 0 if confidence is None else tested.num_images
    made: dict[str, Any] = {"confidence": confidence, "num_images": num_images}
    if best is None:
        reason = _why_none(limits, outcomes, tested, confidence)
        return Choice(policy=None, reason=reason, bounds={}, p_values={}, estimates={}, **made)
    promised = () if confidence is None else limits
    return Choice(
        policy=candidates[best],
        reason=_promise(limits, confidence, num_images),
        bounds={limit.name: limit.bound(tested, best, error) for limit in promised},
        p_values={limit.name: float(limit.p_values(tested)[best]) for limit in promised},
        estimates={name: float(outcomes.means(name)[best]) for name in QUANTITIES},
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


def _check_question(
    candidates: Sequence[Policy],
    records: ExitRecords | Outcomes,
    maximise: str,
    minimise: str | None,
    confidence: float | None,
    method: str,
) -> None:
    if not candidates:
        raise ValueError("choose needs at least one candidate, got none")
    by_batch = [policy for policy in candidates if policy.view_batch_size is not None]
    if by_batch:
        raise ValueError(f"a promise is about single images, got a policy by batch: {by_batch[0]}")
    num_images = records.num_images if isinstance(records, Outcomes) else len(records)
    if num_images < 2:
        raise ValueError(f"a choice needs two or more images, got {num_images}")
    for name, value in (("maximise", maximise), ("minimise", minimise)):
        if value is not None and value not in QUANTITIES:
            raise ValueError(f"{name} must be one of {list(QUANTITIES)}, got {value!r}")
    if confidence is not None and not 0 < confidence < 1:
        raise ValueError(f"confidence must be above 0 and below 1, or None, got {confidence}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}")
