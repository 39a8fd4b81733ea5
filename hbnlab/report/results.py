"""The numbers of a report: from records to plain values that tables and JSON hold."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.head_mask import has_two_heads
from hbnlab.metrics import (
    Evaluation,
    bootstrap,
    evaluate,
    evaluation_intervals,
    failure_auroc,
    fit_temperatures,
    operating_curve,
    operating_region,
    overlap_coefficient,
    reliability,
    severity,
    sweep,
    tolerance_bound,
    uncertainties,
    uncertainty_overlap,
    with_temperatures,
)
from hbnlab.policies import Policy
from hbnlab.records import ExitRecords
from hbnlab.report.measured import Measured
from hbnlab.report.prose import prose_rows
from hbnlab.report.protocol import STUDY_TOLERANCES, Protocol, forced_exits, tolerance_at
from hbnlab.run_folder import report_policies

REPEATS = 300
REGION_BATCHES = (1, 64, 512)
OVERLAP_BATCHES = (1, 64)
MIDDLE = 0.98
SHARES = ("accuracy", "hierarchical_accuracy", "specificity")
SCORES = (*SHARES, "information")


def meanings() -> dict[str, str]:
    """What the keys of results.json mean; it is part of the file."""
    filled_in = {"middle": MIDDLE, "repeats": REPEATS}
    return {row["key"]: row["meaning"].format(**filled_in) for row in prose_rows("keys")}


def network_results(measured: Measured, protocol: Protocol) -> dict[str, Any]:
    """All numbers of one network of one seed; ``meanings`` says what they are."""
    test = measured.test
    numbers: dict[str, Any] = {
        name: getattr(measured, name)
        for name in ("seed", "width", "parameters", "size_mb", "saw_augmented")
    }
    numbers["fingerprint"] = test.fingerprint
    numbers["exits"] = list(_exit_rows(test, protocol))
    by_tolerance = has_two_heads(test.head_mask) and not test.has_gate
    if by_tolerance:
        numbers["sweep"] = list(_sweep_rows(test, protocol))
        numbers["regions"] = list(_region_rows(test))
        numbers["overlap"] = list(_overlap_rows(test))
    if by_tolerance and not protocol.is_published:
        numbers["curves"] = list(_curve_rows(test))
    if not protocol.is_published:
        numbers["policies"] = list(_policy_rows(measured, protocol))
        numbers["calibration"] = list(_calibration_rows(measured))
    return plain(numbers)


def plain(value: Any) -> Any:
    """The value as JSON can hold it: floats to six decimals, NaN as null, infinity in words."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return round(value, 6) if math.isfinite(value) else str(value)


def _exit_rows(records: ExitRecords, protocol: Protocol) -> Iterator[dict[str, Any]]:
    """The study's table; of many tolerances only the first and the last."""
    for forced in forced_exits(records, protocol, (STUDY_TOLERANCES[0], STUDY_TOLERANCES[-1])):
        row = {"exit": forced.exit_index + 1, "answers": forced.answers}
        yield row | _values(forced.policy, records, protocol)


def _sweep_rows(records: ExitRecords, protocol: Protocol) -> Iterator[dict[str, Any]]:
    batch_size = protocol.batch_size_of(records)
    for exit_index in range(records.num_exits):
        policies = [tolerance_at(records, exit_index, t, protocol) for t in STUDY_TOLERANCES]
        scores = [_scores(result) for result in sweep(policies, records, batch_size=batch_size)]
        columns = {name: [one[name] for one in scores] for name in SHARES}
        yield {"exit": exit_index + 1, "tolerance": STUDY_TOLERANCES, **columns}


def _policy_rows(measured: Measured, protocol: Protocol) -> Iterator[dict[str, Any]]:
    """Leaving early, with policies fitted on validation records, on the test records."""
    if measured.test.num_exits == 1:
        return
    for name, policy in report_policies(measured.val).items():
        if measured.test.has_gate and not policy.needs_gate:
            continue  # the gate replaces the tolerance
        settings = {key: value for key, value in policy.settings().items() if value is not None}
        shares = evaluate(policy.decide(measured.test), measured.test).shares
        values = _values(policy, measured.test, protocol)
        yield {"name": name, **settings, **values, "shares": shares}


def _values(policy: Policy, records: ExitRecords, protocol: Protocol) -> dict[str, Any]:
    """The metrics of a policy; by our protocol with intervals and severity."""
    decisions = policy.decide(records)
    result = evaluate(decisions, records, batch_size=protocol.batch_size_of(records))
    costs = {"flops": 2 * result.study_macs, "run_flops": result.mean_flops}
    values: dict[str, Any] = _scores(result) | costs
    if protocol.is_published:
        return values
    generator = torch.Generator().manual_seed(0)
    found = evaluation_intervals(decisions, records, generator=generator, repeats=REPEATS)
    values["intervals"] = {name: [found[name].low, found[name].high] for name in SCORES}
    values["severity"] = asdict(severity(decisions, records))
    return values


def _scores(result: Evaluation) -> dict[str, float]:
    """The scores of an evaluation; specificity is the mean over batches where they decide."""
    scores = {name: getattr(result, name) for name in SCORES}
    if result.batch_specificity is not None:
        scores["specificity"] = result.batch_specificity
    return scores


def _region_rows(records: ExitRecords) -> Iterator[dict[str, Any]]:
    """Operating regions by batch size, of both heads and of sums of the fine one."""
    sources = {"own": records, "sums": records.marginalised()}
    for exit_index, heads, size in product(range(records.num_exits), sources, REGION_BATCHES):
        whole, middle = (
            operating_region(sources[heads], exit_index, batch_size=size, coverage=coverage)
            for coverage in (1.0, MIDDLE)
        )
        yield {
            "exit": exit_index + 1,
            "heads": heads,
            "batch_size": size,
            "low": whole.low,
            "high": whole.high,
            "middle_low": middle.low,
            "middle_high": middle.high,
            "bound": tolerance_bound(records.hierarchy) if heads == "sums" else None,
        }


def _overlap_rows(records: ExitRecords) -> Iterator[dict[str, Any]]:
    for exit_index, batch_size, normalised in product(
        range(records.num_exits), OVERLAP_BATCHES, (False, True)
    ):
        how: dict[str, Any] = {"normalised": normalised, "batch_size": batch_size}
        fine, coarse = (uncertainties(records, exit_index, level, **how) for level in (-1, 0))
        # As in the figures: few values need few bins.
        bins = min(50, 2 * math.isqrt(len(fine)))
        overlap = uncertainty_overlap(records, exit_index, bins=bins, **how)
        row = {"exit": exit_index + 1} | asdict(overlap)
        if batch_size == 1:
            row["intervals"] = {"coefficient": _overlap_interval(fine, coarse, bins)}
        yield row


def _overlap_interval(
    fine: Float[Tensor, " sample"], coarse: Float[Tensor, " sample"], bins: int
) -> list[float]:
    found = bootstrap(
        lambda chosen: overlap_coefficient(fine[chosen], coarse[chosen], bins=bins),
        len(fine),
        generator=torch.Generator().manual_seed(0),
        repeats=REPEATS,
    )
    return [found.low, found.high]


def _curve_rows(records: ExitRecords) -> Iterator[dict[str, Any]]:
    sums = records.marginalised()
    for exit_index in range(records.num_exits):
        own, summed = (operating_curve(source, exit_index).area() for source in (records, sums))
        yield {"exit": exit_index + 1, "own_heads": own, "sums_of_fine": summed}


def _calibration_rows(measured: Measured) -> Iterator[dict[str, Any]]:
    test, temperatures = measured.test, fit_temperatures(measured.val)
    scaled = with_temperatures(test, temperatures)
    for exit_index, level in test.cells:
        yield {
            "exit": exit_index + 1,
            "level": test.hierarchy.level_names[level],
            "expected_error": reliability(test, exit_index, level).expected_error,
            "temperature": float(temperatures[exit_index, level]),
            "expected_error_scaled": reliability(scaled, exit_index, level).expected_error,
            "failure_auroc": failure_auroc(test, exit_index, level),
        }
