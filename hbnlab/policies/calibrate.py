"""Thresholds and tolerance fitted on validation records, to be reported on test records."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

from hbnlab.policies.fine_tolerance import FineTolerance
from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.policies.view import ExitView
from hbnlab.records import ExitRecords
from hbnlab.types import Number

_STEPS = 50
_P = TypeVar("_P", bound=ThresholdPolicy)


def fit_thresholds(policy: _P, records: ExitRecords, shares: Sequence[Number]) -> _P:
    """Return the policy with thresholds under which given shares of the images leave.

    Exit by exit, the threshold is the most eager one at which no more than floor(n x share) of
    the images leave; without ties in the scores, exactly so many do. By batch, whole batches are
    counted. Where nobody shall leave, the branch need not be looked at.

    Args:
        policy: any rule with thresholds; all else in it stays.
        records: of validation images; those of the test would make its numbers too good.
        shares: of all images, one for each exit, from 0 up, with the sum 1.

    Raises:
        ValueError: when the shares are not one an exit or do not add up to 1.
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
        thresholds.append(_most_eager(start, view, waiting, allowed))
        waiting = waiting & ~_leaves(start, view, thresholds[-1])
    return replace(start, thresholds=thresholds)


def budget_policies(policy: _P, records: ExitRecords, number: int = 39) -> list[_P]:
    """The policies of a budgeted-batch curve, from eager to patient.

    For i = 1, 2, ... the share q_k of images that shall leave at exit k = 1, 2, ... is
    proportional to (i / 20)^k; each policy has thresholds fitted to such shares.

    Args:
        policy: any rule with thresholds; the source takes ``ConfidenceThreshold``.
        records: of validation images; cost and accuracy are then measured on test records.
        number: how many policies; 39 in the source.

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
    """Return the policy with the largest tolerance that keeps specificity at or under a share.

    The thresholds stay. Specificity never falls as the tolerance rises, so the search is exact;
    without ties it comes within one image (by batch: one batch) of the share, where the
    thresholds let it.

    Args:
        policy: its tolerance is replaced.
        records: of validation images.
        specificity: wished share of finest answers, in [0, 1].
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


def _most_eager(
    policy: ThresholdPolicy, view: ExitView, waiting: Bool[Tensor, " sample"], allowed: int
) -> float:
    """The threshold of the view's exit that lets most images leave, but no more than allowed."""

    def fits(threshold: float) -> bool:
        return int((waiting & _leaves(policy, view, threshold)).sum()) <= allowed

    if policy.larger_leaves_more:
        everyone, nobody, sign = math.inf, 0.0, 1.0
    else:
        everyone, nobody, sign = 0.0, policy.top_score, -1.0
    if allowed == 0:
        return nobody
    if fits(everyone):
        return everyone
    edges = sorted((0.0, sign * policy.top_score))
    return sign * _largest(lambda value: fits(sign * value), *edges)


def _leaves(policy: ThresholdPolicy, view: ExitView, threshold: Number) -> Bool[Tensor, " sample"]:
    """The images that the policy answers at the view's exit under one threshold for all exits."""
    rule = _with_all(policy, threshold, len(policy.thresholds) + 1)
    return torch.stack(list(rule.answers(view.exit_index, view).values())).any(dim=0)


def _with_all(policy: _P, threshold: Number, num_exits: int) -> _P:
    return replace(policy, thresholds=[threshold] * (num_exits - 1))


def _largest(fits: Callable[[float], bool], low: float, high: float) -> float:
    """The largest number that fits, where all do up to some number between ``low`` and ``high``."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _check_shares(shares: Sequence[Number], num_exits: int) -> None:
    fits = len(shares) == num_exits and min(shares) >= 0
    if not fits or not math.isclose(math.fsum(shares), 1.0, abs_tol=1e-6):
        raise ValueError(
            f"shares must be {num_exits} numbers from 0 up with the sum 1, one an exit, "
            f"got {list(shares)}"
        )
