"""What the times say: one comparison a row, beside its limits and its target."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hbnlab.bench import speed_limits
from hbnlab.bench.clock import Times, medians, ratios
from hbnlab.bench.workload import Work


@dataclass(frozen=True)
class Row:
    """A figure of each round, and what it is held to.

    Attributes:
        name: what is compared with what.
        rounds: the figure, round by round.
        limits: what the figure would be if only FLOPs, or only the times of full batches, counted.
        at_least: target, as a share of the limit ``of`` where that is named.
        at_most: target for a figure that should be small.
        of: name of the limit that ``at_least`` is a share of.
    """

    name: str
    rounds: Sequence[float]
    limits: Mapping[str, float] = field(default_factory=dict)
    at_least: float | None = None
    at_most: float | None = None
    of: str | None = None

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is None:
            return None
        return self.value >= self.at_least * (self.limits[self.of] if self.of else 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with value, range and verdict."""
        plain = asdict(self) | {"limits": dict(self.limits), "rounds": list(self.rounds)}
        extremes = {"lowest": min(self.rounds), "highest": max(self.rounds)}
        return plain | {"value": self.value, "met": self.met} | extremes


def make_rows(work: Work, times: Times, shares: Sequence[float]) -> list[Row]:
    """All comparisons, from the seconds of every round."""
    seconds = medians(times)
    to_exits = [seconds[f"to exit {index + 1}"] for index in work.exits]
    flops = speed_limits.flops_to_exits(work.network)
    return [
        *_leaving_early(times, flops, to_exits, shares),
        *_against_the_roof(work, times, flops, shares),
        *_one_pass(work, times, flops, to_exits),
    ]


def _leaving_early(
    times: Times, flops: Sequence[int], to_exits: Sequence[float], shares: Sequence[float]
) -> list[Row]:
    ideal = {
        "FLOPs-ideal": speed_limits.early_exit_limit(flops, shares),
        "time-ideal": speed_limits.early_exit_limit(to_exits, shares),
    }
    full, pooled = times["all exits"], times["leaving early, pooled"]
    apart = times["leaving early, not pooled"]
    return [
        Row(
            "leaving early, pooled, over all exits",
            ratios(full, pooled),
            ideal,
            at_least=0.85,
            of="FLOPs-ideal",
        ),
        Row("leaving early, not pooled, over all exits", ratios(full, apart), ideal),
    ]


def _against_the_roof(
    work: Work, times: Times, flops: Sequence[int], shares: Sequence[float]
) -> list[Row]:
    peak = speed_limits.peak_flops(medians(times))
    full_roof = len(work.images) * flops[-1] / peak
    early_roof = len(work.images) * speed_limits.mean_cost(flops, shares) / peak
    full, pooled = times["all exits"], times["leaving early, pooled"]
    contiguous, single = times["all exits, contiguous"], times["one image at a time"]
    return [
        Row(
            "leaving early, pooled, over one image at a time",
            ratios(single, pooled),
            {"compute roof": statistics.median(single) / early_roof},
            at_least=3.5,
        ),
        Row(
            "all exits, channels last over contiguous",
            ratios(contiguous, full),
            {"compute roof": statistics.median(contiguous) / full_roof},
        ),
        Row("all exits, share of the peak", [full_roof / t for t in full], {"compute roof": 1.0}),
        Row(
            "leaving early, share of the peak",
            [early_roof / t for t in pooled],
            {"compute roof": 1.0},
        ),
    ]


def _one_pass(
    work: Work, times: Times, flops: Sequence[int], to_exits: Sequence[float]
) -> list[Row]:
    count, number = len(work.tolerances), len(work.policies)
    once = times["one pass"]
    pruned = speed_limits.pruned_flops_to_exits(work.network)
    return [
        Row(
            f"one pass and {number} policies over {number} runs",
            ratios(times["a run for each policy"], once),
            {
                "FLOPs-ideal": speed_limits.one_pass_limit(flops, flops[-1], count),
                "time-ideal": speed_limits.one_pass_limit(to_exits, to_exits[-1], count),
            },
            at_least=80.0,
        ),
        Row(
            f"the same over {number} runs of one branch each",
            ratios(times["a run for each policy, leaving early"], once),
            {"FLOPs-ideal": speed_limits.one_pass_limit(pruned, flops[-1], count)},
        ),
        Row(
            f"evaluating {number} policies, share of the pass",
            ratios(times["policies"], times["records"]),
            at_most=0.02,
        ),
    ]
