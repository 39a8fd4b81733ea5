"""Does depth pay? On one trunk: leaving early by the best rule, against one exit for all images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.metrics import (
    CostCurve,
    answer_values,
    area_between,
    cost_curve,
    flops_for_accuracy,
    percentile_interval,
    resampled_means,
    sweep,
)
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    ForcedExit,
    MarginThreshold,
    Policy,
    budget_policies,
)
from hbnlab.records import ExitRecords
from hbnlab.report.measured import Measured
from hbnlab.report.results import REPEATS, plain

RULES = (ConfidenceThreshold, EntropyThreshold, MarginThreshold)
BUDGETS = 39
LOSSES = (0.0, 0.002, 0.005, 0.01)
"""How much of the last exit's accuracy may be lost."""
_SLACK = 1e-9
"""A share minus a loss need not equal another share to the last binary digit."""


@dataclass(frozen=True, eq=False)
class Depth:
    """What depth gives on one trunk, in finest answers.

    Every rule is a budgeted family of thresholds, fitted on validation records, with everybody at
    exit 1 before it and everybody at the last exit behind it. Nothing is chosen on test records.

    Attributes:
        measured: a network with two exits or more, and a finest head at each.
    """

    measured: Measured

    @property
    def exits(self) -> list[Policy]:
        """All images at one exit, exit by exit; no other branch runs."""
        finest = self.measured.val.hierarchy.finest
        return [ForcedExit(index, finest) for index in range(self.measured.val.num_exits)]

    @cached_property
    def families(self) -> dict[str, list[Policy]]:
        """The policies of every rule, from eager to patient, by its name."""
        val, (first, *_, last) = self.measured.val, self.exits
        zeros, level = [0.0] * (val.num_exits - 1), val.hierarchy.finest
        starts = [rule(zeros, level=level) for rule in RULES]
        return {one.title: [first, *budget_policies(one, val, BUDGETS), last] for one in starts}

    @cached_property
    def rule(self) -> str:
        """The rule that gains most on validation records."""
        return max(self.families, key=lambda name: self.gain(name, self.measured.val))

    def gain(self, rule: str, records: ExitRecords) -> float:
        """Mean gain in accuracy over one exit for all, or a random mixture of two."""
        lower = cost_curve(sweep(self.exits, records)).upper_hull()
        return area_between(cost_curve(sweep(self.families[rule], records)), lower)

    @cached_property
    def chosen(self) -> list[Policy]:
        """For each loss, the cheapest policy of the rule that keeps to it on validation records."""
        family, found = self.families[self.rule], []
        results = sweep(family, self.measured.val)
        for loss in LOSSES:
            least = results[-1].accuracy - loss - _SLACK
            fits = [n for n, result in enumerate(results) if result.accuracy >= least]
            found.append(family[min(fits, key=lambda n: results[n].mean_macs)])
        return found

    def curves(self) -> tuple[CostCurve, CostCurve]:
        """One exit for all images, and the rule, on test records."""
        exits, rule = (
            cost_curve(sweep(policies, self.measured.test))
            for policies in (self.exits, self.families[self.rule])
        )
        return exits, rule

    def rows(self, accuracy: Sequence[float], flops: Sequence[float]) -> list[dict[str, float]]:
        """The numbers of the trunk, then of each exit, then of each loss.

        Args:
            accuracy: of ``exits``, ``chosen`` and the rule's family, one after the other.
            flops: the same.
        """
        points = list(zip(flops, accuracy, strict=True))
        at_exit, rest = points[: len(self.exits)], points[len(self.exits) :]
        chosen, family = rest[: len(LOSSES)], rest[len(LOSSES) :]
        trivial, rule = CostCurve.through(at_exit).upper_hull(), CostCurve.through(family)
        full, best = at_exit[-1]
        losses = []
        for loss, (cost, right) in zip(LOSSES, chosen, strict=True):
            target = best - loss - _SLACK
            needed = flops_for_accuracy(rule, target)
            losses.append(
                {
                    "flops": needed,
                    "share": needed / full,
                    "trivial_flops": flops_for_accuracy(trivial, target),
                    "chosen_accuracy": right,
                    "chosen_loss": best - right,
                    "chosen_flops": cost,
                    "chosen_share": cost / full,
                    "trivial_accuracy": trivial.accuracy_at(cost),
                }
            )
        exits = [{"accuracy": right, "flops": cost} for cost, right in at_exit]
        return [{"gain": area_between(rule, trivial)}, *exits, *losses]


def depth_results(depth: Depth) -> dict[str, Any]:
    """All numbers of one trunk and seed, with intervals over test images; keys.md explains them."""
    whole, *others = _rows_with_intervals(depth)
    exits, losses = others[: len(depth.exits)], others[len(depth.exits) :]
    rules = [
        {"rule": name, "gain": depth.gain(name, depth.measured.test)} for name in depth.families
    ]
    fitted = zip(LOSSES, map(_settings, depth.chosen), losses, strict=True)
    curve = depth.curves()[1]
    return plain(
        {
            **{name: getattr(depth.measured, name) for name in ("seed", "trunk", "width")},
            "rule": depth.rule,
            **whole,
            "rules": rules,
            "exits": [{"exit": number, **row} for number, row in enumerate(exits, start=1)],
            "losses": [{"loss": loss, "chosen": chosen, **row} for loss, chosen, row in fitted],
            "curve": {"flops": curve.flops, "accuracy": curve.accuracy},
        }
    )


def _rows_with_intervals(depth: Depth) -> list[dict[str, Any]]:
    """The rows of test images; all intervals come from the same draws of them."""
    policies = [*depth.exits, *depth.chosen, *depth.families[depth.rule]]
    table = _per_image(policies, depth.measured.test)
    generator = torch.Generator().manual_seed(0)
    draws = resampled_means(table, generator=generator, repeats=REPEATS)
    drawn = [depth.rows(*means.view(2, -1).tolist()) for means in draws]
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(depth.rows(*table.mean(dim=0).view(2, -1).tolist())):
        values = {key: [one[number][key] for one in drawn] for key in row}
        found = {key: percentile_interval(row[key], values[key]) for key in row}
        rows.append({**row, "intervals": {k: [one.low, one.high] for k, one in found.items()}})
    return rows


def _settings(policy: Policy) -> dict[str, Any]:
    return {name: value for name, value in policy.settings().items() if value is not None}


def _per_image(policies: Sequence[Policy], records: ExitRecords) -> Float[Tensor, "sample value"]:
    """Whether each policy is right about each image, then what each spends on it, in FLOPs."""
    values = [answer_values(policy.decide(records), records) for policy in policies]
    right = [one["accuracy"] for one in values]
    return torch.stack([*right, *(2 * one["mean_macs"] for one in values)], dim=1).cpu()
