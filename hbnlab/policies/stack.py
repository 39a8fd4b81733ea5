"""Many policies as one: the same rule decides for all of them at once, by broadcasting."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

import torch

from hbnlab.policies.base import Policy
from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.records import ExitRecords

_NUMBERS = ("thresholds", "fine_tolerance")
_MAX_ELEMENTS = 2**20


def stacks(policies: Sequence[Policy], records: ExitRecords) -> Iterator[tuple[list[int], Policy]]:
    """Put policies that differ only in their thresholds and tolerance together.

    Yields:
        The numbers of some of the policies, and one policy that stands for them: the masks of its
        ``leaving(records)`` are (policy, sample), or (sample) where they do not depend on the
        policy. Stacks are small enough for memory to stay bounded; every policy comes exactly
        once, not in order.
    """
    for policy in policies:
        policy.check_fits(records.heads_grid, records.hierarchy, records.has_gate)
    size = max(1, _MAX_ELEMENTS // len(records))
    for numbers in _alike(policies):
        for start in range(0, len(numbers), size):
            chosen = numbers[start : start + size]
            yield chosen, _stacked([policies[n] for n in chosen])


def _alike(policies: Sequence[Policy]) -> Iterable[list[int]]:
    """Group the numbers of the policies by everything but their thresholds and tolerance."""
    groups: dict[object, list[int]] = {}
    for number, policy in enumerate(policies):
        rest = tuple(
            (field.name, getattr(policy, field.name))
            for field in fields(policy)
            if field.name not in _NUMBERS
        )
        # Only threshold rules are written so that their numbers may be tensors.
        alone = None if isinstance(policy, ThresholdPolicy) else number
        groups.setdefault((type(policy), rest, alone), []).append(number)
    return groups.values()


def _stacked(policies: Sequence[Policy]) -> Policy:
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
            rows = torch.tensor([getattr(policy, name) for policy in policies])
            columns = rows[:, None] if rows.ndim == 1 else rows.T[:, :, None]
            object.__setattr__(stack, name, columns)
    return stack
