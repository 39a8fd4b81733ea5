"""How networks are tested: our protocol, and the published one to the letter."""

from collections.abc import Sequence
from dataclasses import dataclass

from hbnlab.head_mask import finest_level, has_two_heads
from hbnlab.policies import EntropyThreshold, FineTolerance, ForcedExit, Policy, SemanticGate
from hbnlab.records import ExitRecords

STUDY_TOLERANCES = tuple(round(0.02 * step, 2) for step in range(50))
"""0 to 0.98 nats in steps of 0.02, for each exit of Gran-HBN."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How decisions are made and on which images.

    Attributes:
        name: ``"per-image"`` or ``"published"``.
        rule: which variant of the study's Algorithm 1.
        batch_size: number of images that decide together by the mean of their entropies; None =
            each decides for itself.
        gate_batch_size: the same for a network with a gate.
        augmented: whether the test images are cropped and flipped at random, where that keeps the
            labels of the data set.
    """

    name: str
    rule: str
    batch_size: int | None
    gate_batch_size: int | None
    augmented: bool

    @property
    def is_published(self) -> bool:
        """Whether it is the study's."""
        return self.batch_size is not None

    def batch_size_of(self, records: ExitRecords) -> int | None:
        """How many images decide together for a network."""
        return self.gate_batch_size if records.has_gate else self.batch_size


OURS = Protocol(
    name="per-image", rule="algorithm-1", batch_size=None, gate_batch_size=None, augmented=False
)
"""Every image decides for itself by the printed Algorithm 1; test images as they are."""

PUBLISHED = Protocol(
    name="published", rule="published-code", batch_size=512, gate_batch_size=1, augmented=True
)
"""What the study's code does: see the report's section on where the protocols differ."""


@dataclass(frozen=True)
class Forced:
    """All images leave at one exit.

    Attributes:
        exit_index: from 0.
        answers: level of the answers, ``"gate"`` where the gate chooses it, or the fine tolerance.
        policy: the policy that does so.
    """

    exit_index: int
    answers: str
    policy: Policy


def forced_exits(
    records: ExitRecords, protocol: Protocol, tolerances: Sequence[float] = STUDY_TOLERANCES
) -> list[Forced]:
    """The rows of the study's table: every exit with each way of answering there.

    Ours have one row per head, and for a network with a gate one row per exit, with the answers
    that the gate chooses. Under the published protocol a network with two heads per exit is
    measured at the tolerances instead.
    """
    exits, names = range(records.num_exits), records.hierarchy.level_names
    size = protocol.batch_size_of(records)
    if records.has_gate:
        at = [SemanticGate.at_exit(e, records.num_exits).with_batch_size(size) for e in exits]
        return [Forced(e, "gate", at[e]) for e in exits]
    if not protocol.is_published:
        return [Forced(e, names[level], ForcedExit(e, level)) for e, level in records.cells]
    if has_two_heads(records.head_mask):
        return [
            Forced(e, f"tolerance {tau:.2f}", tolerance_at(records, e, tau, protocol))
            for e in exits
            for tau in tolerances
        ]
    at = [EntropyThreshold.at_exit(e, records.num_exits).with_batch_size(size) for e in exits]
    return [Forced(e, names[finest_level(records.head_mask[e])], at[e]) for e in exits]


def tolerance_at(
    records: ExitRecords, exit_index: int, tolerance: float, protocol: Protocol
) -> FineTolerance:
    """The fine tolerance under which all images leave at one exit."""
    policy = FineTolerance.at_exit(exit_index, records.num_exits, tolerance, protocol.rule)
    return policy.with_batch_size(protocol.batch_size)
