"""The policies to start from on given records."""

from dataclasses import fields, replace

from hbnlab.policies.base import Policy
from hbnlab.policies.fine_tolerance import FineTolerance
from hbnlab.policies.score_threshold import ConfidenceThreshold, EntropyThreshold, MarginThreshold
from hbnlab.policies.semantic_gate import SemanticGate
from hbnlab.records import ExitRecords


def starting_policies(
    records: ExitRecords, *, batch_size: int | None = None, coarse_level: int = 0
) -> dict[str, Policy]:
    """A policy of each kind with thresholds that the records have the heads for.

    Args:
        records: most of their scores pass the thresholds.
        batch_size: number of images that decide together; None = every image decides alone.
        coarse_level: level of the coarse answers; where its heads are missing, the coarsest level
            that has them.

    Returns:
        By the title of the policy.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> for title, policy in starting_policies(simulated_records(gate=False)).items():
        ...     print(title, type(policy).__name__)
        fine tolerance FineTolerance
        fine tolerance, published code FineTolerance
        entropy threshold EntropyThreshold
        confidence threshold ConfidenceThreshold
        margin threshold MarginThreshold
    """
    consulted = [0.5] * (records.num_exits - 1)
    kinds: list[Policy] = [
        FineTolerance(consulted, 0.0),
        FineTolerance(consulted, 0.0, "published-code"),
        SemanticGate(consulted),
        EntropyThreshold(consulted),
        ConfidenceThreshold(consulted),
        MarginThreshold(consulted),
    ]
    found = {}
    for policy in kinds:
        levels = [coarse_level, *range(records.hierarchy.finest)]
        fitting = [one for one in _at_levels(policy, levels) if _fits(one, records)]
        if fitting:
            found[policy.title] = fitting[0].with_batch_size(batch_size).typical(records)
    return found


def _at_levels(policy: Policy, levels: list[int]) -> list[Policy]:
    """The policy with each of the coarse levels; itself where it has none."""
    if "coarse_level" not in {field.name for field in fields(policy)}:
        return [policy]
    return [replace(policy, coarse_level=level) for level in levels]


def _fits(policy: Policy, records: ExitRecords) -> bool:
    try:
        policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
    except ValueError:
        return False
    return True
