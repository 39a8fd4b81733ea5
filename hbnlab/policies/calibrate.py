"""Thresholds and tolerance fitted on validation records, to be reported on test records."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

from hbnlab.policies.base import GOES_ON
from hbnlab.policies.fine_tolerance import FineTolerance
from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.policies.view import ExitView
from hbnlab.records import ExitRecords
from hbnlab.types import Number

_STEPS = 50
_FIRST_TOP = 100.0
"""More than any entropy; doubled where a score of another kind exceeds it."""
_P = TypeVar("_P", bound=ThresholdPolicy)


def fit_thresholds(policy: _P, records: ExitRecords, shares: Sequence[Number]) -> _P:
    """The policy with thresholds under which given shares of the images leave.

    Exit by exit, the threshold is the most eager one at which no more than floor(n x share) of
    the images leave; without ties in the scores, exactly so many do. By batch, whole batches are
    counted. Where no image is to leave, the branch need not be consulted.

    Args:
        policy: any policy with thresholds; everything else in it stays.
        records: of validation images; test images would make their own numbers too good.
        shares: of all images, one per exit, 0 or more, with the sum 1.

    Raises:
        ValueError: when the shares are not one per exit or do not add up to 1, when the class
            attribute ``comparison`` of the policy is not how its ``answers`` compare, or when it
            answers no image at an exit with a share.

    Example:
        >>> from hbnlab.policies import EntropyThreshold
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(200)
        >>> policy = fit_thresholds(EntropyThreshold([0, 0]), records, [0.5, 0.3, 0.2])
        >>> policy.decide(records).exit_index.bincount().tolist()
        [100, 60, 40]
    """
    _check_shares(shares, records.num_exits)
    start = _with_all(replace(policy, hierarchy=records.hierarchy), 0.0, records.num_exits)
    start.check_fits(records.head_mask, records.hierarchy, records.has_gate)
    waiting = torch.ones(len(records), dtype=torch.bool, device=records.labels.device)
    thresholds: list[Number] = []
    for exit_index, share in enumerate(shares[:-1]):
        view = ExitView.from_records(records, exit_index, policy.view_batch_size)
        # Adding a hair makes a share of 7 / 10 count 7 of 10 images, in spite of rounding.
        allowed = math.floor(len(records) * share + 1e-9)
        thresholds.append(_fitted_threshold(start, view, waiting, allowed))
        fitted = _with_all(start, thresholds[-1], records.num_exits)
        if fitted.consults(exit_index):
            waiting &= fitted.step(exit_index, view) == GOES_ON
    return replace(start, thresholds=thresholds)


def budget_policies(policy: _P, records: ExitRecords, number: int = 39) -> list[_P]:
    """The policies of a budgeted-batch curve, from eager to patient.

    For i = 1, 2, ... the share q_k of the images that are to leave at exit k = 1, 2, ... is
    proportional to (i / 20)^k; each policy has thresholds fitted to such shares.

    Args:
        policy: any policy with thresholds; the source takes ``ConfidenceThreshold``.
        records: of validation images; cost and accuracy are then measured on test records.
        number: number of policies; 39 in the source.

    Example:
        >>> from hbnlab.policies import ConfidenceThreshold
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(200)
        >>> for policy in budget_policies(ConfidenceThreshold([1, 1]), records, 3):
        ...     print(policy.decide(records).exit_index.bincount().tolist())
        [190, 9, 1]
        [180, 18, 2]
        [170, 25, 5]

    Source:
        Budgeted batch classification of MSDNet (Huang et al., ICLR 2018).
    """
    policies = []
    for step in range(1, number + 1):
        weights = [(step / 20) ** (k + 1) for k in range(records.num_exits)]
        shares = [weight / math.fsum(weights) for weight in weights]
        policies.append(fit_thresholds(policy, records, shares))
    return policies


def fit_tolerance(
    policy: FineTolerance, records: ExitRecords, specificity: Number
) -> FineTolerance:
    """The policy with the largest tolerance that keeps specificity at or under a share.

    The thresholds stay. Specificity never falls as the tolerance rises, so the search is exact;
    without ties it comes within one image (by batch: one batch) of the share, where the
    thresholds let it.

    Args:
        policy: its tolerance is replaced.
        records: of validation images.
        specificity: share of finest answers that is asked for, in [0, 1].

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(200)
        >>> policy = fit_tolerance(FineTolerance([0, 0], 0.0), records, 0.7)
        >>> policy.decide(records).level_index.bincount().tolist()
        [60, 140]
    """
    if not 0 <= specificity <= 1:
        raise ValueError(f"specificity must be in [0, 1], got {specificity}")
    start = replace(policy, hierarchy=records.hierarchy)
    finest = records.hierarchy.finest

    def fits(tolerance: float) -> bool:
        decisions = replace(start, fine_tolerance=tolerance).decide(records)
        count = int((decisions.level_index == finest).sum())
        return count <= len(records) * specificity + 1e-9

    if fits(math.inf):
        return replace(start, fine_tolerance=math.inf)
    # No entropy exceeds that of the uniform distribution over the finest classes.
    edge = math.log(records.hierarchy.num_classes[-1]) + 1.0
    return replace(start, fine_tolerance=_largest(fits, -edge, edge))


def _fitted_threshold(
    policy: ThresholdPolicy, view: ExitView, waiting: Bool[Tensor, " sample"], allowed: int
) -> float:
    """The threshold of the view's exit that lets most images leave, but no more than allowed."""
    for_all, for_none = policy.extreme_thresholds()
    sign = 1.0 if policy.comparison == "<" else -1.0

    def count(threshold: float) -> int:
        with_all = _with_all(policy, threshold, len(policy.thresholds) + 1)
        return int((waiting & (with_all.step(view.exit_index, view) != GOES_ON)).sum())

    def fits(eagerness: float) -> bool:
        return count(sign * eagerness) <= allowed

    if allowed == 0:
        return for_none
    most = count(for_all)
    _check_direction(policy, view.exit_index, most, count(for_none))
    if most <= allowed:
        return for_all
    top = policy.highest_score() if math.isfinite(policy.highest_score()) else _FIRST_TOP
    while fits(top) if sign > 0 else not fits(-top):
        top *= 2
    low, high = sorted((0.0, sign * top))
    return sign * _largest(fits, low, high)


def _check_direction(policy: ThresholdPolicy, exit_index: int, most: int, least: int) -> None:
    """Validate that thresholds act as the class attribute ``comparison`` says."""
    name, number = type(policy).__name__, exit_index + 1
    for_all, for_none = policy.extreme_thresholds()
    if least:
        raise ValueError(
            f"comparison of {name} must be the sign of its answers, got {policy.comparison!r}: at "
            f"exit {number} the threshold {for_none:g} should let no image leave, but it lets "
            f"{least}, and {for_all:g} lets {most}"
        )
    if not most:
        raise ValueError(
            f"the share of exit {number} must be 0: {name} answers no image there under any "
            "threshold"
        )


def _with_all(policy: _P, threshold: Number, num_exits: int) -> _P:
    return replace(policy, thresholds=[threshold] * (num_exits - 1))


def _largest(fits: Callable[[float], bool], low: float, high: float) -> float:
    """The largest number that fits, where all up to some number from ``low`` to ``high`` do."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _check_shares(shares: Sequence[Number], num_exits: int) -> None:
    fits = len(shares) == num_exits and min(shares) >= 0
    if not fits or not math.isclose(math.fsum(shares), 1.0, abs_tol=1e-6):
        raise ValueError(
            f"shares must be {num_exits} numbers, 0 or more, one per exit, with the sum 1, "
            f"got {list(shares)}"
        )
