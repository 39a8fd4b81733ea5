"""Many policies as one: the same rule decides for all of them at once, by broadcasting."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import torch

from hbnlab.policies.base import Policy
from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.records import ExitRecords

_NUMBERS = ("thresholds", "fine_tolerance")
_MAX_ELEMENTS = 2**20


def stacks(
    policies: Sequence[Policy], records: ExitRecords
) -> Iterator[tuple[list[int], Policy, tuple[int, ...]]]:
    """Put policies together that look at the same exits and differ only in their numbers.

    Yields:
        The numbers of some of the policies; one policy that stands for them, whose ``leaving``
        gives masks (policy, sample), or (sample) where they do not depend on the policy; and the
        exits that they look at. Stacks are small enough for memory to stay bounded; every policy
        comes exactly once, not in order.
    """
    for policy in policies:
        policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
    size = max(1, _MAX_ELEMENTS // len(records))
    for (*_, exits), numbers in _alike(policies, records.num_exits).items():
        for start in range(0, len(numbers), size):
            chosen = numbers[start : start + size]
            stack = _stacked([policies[n] for n in chosen], records.labels.device)
            yield chosen, stack, exits


_Likeness = tuple[type[Policy], tuple[object, ...], int | None, tuple[int, ...]]


def _alike(policies: Sequence[Policy], num_exits: int) -> dict[_Likeness, list[int]]:
    """Group the policies, by their places, by all but their thresholds and tolerance."""
    groups: dict[_Likeness, list[int]] = {}
    for number, policy in enumerate(policies):
        rest = tuple(
            getattr(policy, field.name) for field in fields(policy) if field.name not in _NUMBERS
        )
        # Only threshold rules are written so that their numbers may be tensors.
        alone = None if isinstance(policy, ThresholdPolicy) else number
        likeness = (type(policy), rest, alone, policy.consulted_exits(num_exits))
        groups.setdefault(likeness, []).append(number)
    return groups


def _stacked(policies: Sequence[Policy], device: torch.device) -> Policy:
    """One policy whose numbers are columns, a row for each policy; for ``leaving`` alone.

    Made without its constructor, which would refuse tensors; every policy in it was checked when
    it was made.
    """
    first = policies[0]
    if len(policies) == 1:
        return first
    stack = object.__new__(type(first))
    for name, value in vars(first).items():
        object.__setattr__(stack, name, value)
    for name in _NUMBERS:
        if hasattr(first, name):
            rows = torch.tensor([getattr(policy, name) for policy in policies], device=device)
            columns = rows[:, None] if rows.ndim == 1 else rows.T[:, :, None]
            object.__setattr__(stack, name, columns)
    return stack
