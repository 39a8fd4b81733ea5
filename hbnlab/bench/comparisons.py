"""From times to comparisons: one per row, each with its limits."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hbnlab.bench import speed_limits
from hbnlab.bench.clock import Times, medians, ratios
from hbnlab.bench.workload import TOLERANCES, Work


def compare(
    name: str, rounds: Sequence[float], limits: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """One row: a figure that was measured in every round, with its median and its range.

    Args:
        name: what is compared with what.
        rounds: the figure, round by round.
        limits: what the figure would be if only FLOPs, or only the times of full batches, counted.
    """
    return {
        "name": name,
        "rounds": list(rounds),
        "limits": dict(limits or {}),
        "value": statistics.median(rounds),
        "lowest": min(rounds),
        "highest": max(rounds),
    }


def make_rows(work: Work, times: Times, shares: Sequence[float]) -> list[dict[str, Any]]:
    """All comparisons, made from the seconds of every round."""
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
) -> list[dict[str, Any]]:
    ideal = {
        "FLOPs-ideal": speed_limits.early_exit_limit(flops, shares),
        "time-ideal": speed_limits.early_exit_limit(to_exits, shares),
    }
    return [
        compare(f"leaving early, {how}, over all exits", ratios(times["all exits"], early), ideal)
        for how in ("pooled", "not pooled")
        for early in [times[f"leaving early, {how}"]]
    ]


def _against_the_roof(
    work: Work, times: Times, flops: Sequence[int], shares: Sequence[float]
) -> list[dict[str, Any]]:
    peak = speed_limits.peak_flops(medians(times))
    full_roof = len(work.images) * flops[-1] / peak
    early_roof = len(work.images) * speed_limits.mean_cost(flops, shares) / peak
    full, pooled = times["all exits"], times["leaving early, pooled"]
    contiguous, single = times["all exits, contiguous"], times["one image at a time"]

    def row(name: str, rounds: Sequence[float], roof: float) -> dict[str, Any]:
        return compare(name, rounds, {"compute roof": roof})

    return [
        row(
            "leaving early, pooled, over one image at a time",
            ratios(single, pooled),
            statistics.median(single) / early_roof,
        ),
        row(
            "all exits, channels last over contiguous",
            ratios(contiguous, full),
            statistics.median(contiguous) / full_roof,
        ),
        row("all exits, share of the peak", [full_roof / t for t in full], 1.0),
        row("leaving early, share of the peak", [early_roof / t for t in pooled], 1.0),
    ]


def _one_pass(
    work: Work, times: Times, flops: Sequence[int], to_exits: Sequence[float]
) -> list[dict[str, Any]]:
    count, number = len(TOLERANCES), len(work.policies)
    once = times["one pass"]
    pruned = speed_limits.pruned_flops_to_exits(work.network)
    return [
        compare(
            f"one pass and {number} policies over {number} runs",
            ratios(times["a run for each policy"], once),
            {
                "FLOPs-ideal": speed_limits.one_pass_limit(flops, flops[-1], count),
                "time-ideal": speed_limits.one_pass_limit(to_exits, to_exits[-1], count),
            },
        ),
        compare(
            f"the same over {number} runs of one branch each",
            ratios(times["a run for each policy, leaving early"], once),
            {"FLOPs-ideal": speed_limits.one_pass_limit(pruned, flops[-1], count)},
        ),
        compare(
            f"evaluating {number} policies, share of the pass",
            ratios(times["policies"], times["records"]),
        ),
    ]
