"""What tests of figures draw besides random records; figures are drawn without a screen."""

from typing import Any

import matplotlib as mpl
import torch

from hbnlab.hierarchy import Hierarchy
from hbnlab.history import CellScore, Epoch, History
from hbnlab.policies import EntropyThreshold, FineTolerance, Policy
from hbnlab.records import ExitRecords

mpl.use("Agg")


def make_history(records: ExitRecords) -> History:
    """Three epochs of training and of post-training."""
    exits = range(records.num_exits)
    epochs = []
    for number in (1, 2, 3):
        scores = tuple(CellScore(e, k, 3.0 / number, 0.2 * number, 0.3) for e, k in records.cells)
        shares = tuple(0.3 + 0.1 * number for _ in exits)
        epochs.append(Epoch(number, "train", 5.0 / number, 1e-3, {"val": scores}, shares, shares))
        epochs.append(Epoch(number, "post-train", 1.0, 1e-5, {}, shares, shares))
    return History(epochs)


def images_of(records: ExitRecords) -> torch.Tensor:
    """Noise, one picture per image of the records."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (len(records), 3, 8, 8), generator=generator, dtype=torch.uint8)


def some_policies(records: ExitRecords) -> list[Policy]:
    """Three policies that fit the records."""
    thresholds = [0.8] * (records.num_exits - 1)
    if records.hierarchy.num_levels == 1:
        return [EntropyThreshold([factor * t for t in thresholds]) for factor in (0.5, 1, 2)]
    return [FineTolerance(thresholds, tolerance) for tolerance in (-0.2, 0.2, 0.6)]


def some_curves(records: ExitRecords) -> dict[int, list[Policy]]:
    """Three entropy thresholds for the finest level."""
    early, finest = records.num_exits - 1, records.hierarchy.finest
    return {finest: [EntropyThreshold([t] * early, level=finest) for t in (0.3, 0.6, 0.9)]}


def tree_of(num_levels: int) -> Hierarchy:
    """A tree of so many levels: eight finest classes, at least two at every level."""
    names = [f"level {level}" for level in range(num_levels)]
    shifts = [min(num_levels - 1 - level, 2) for level in range(num_levels)]
    rows = [tuple(f"class {leaf >> shift}" for shift in shifts) for leaf in range(8)]
    return Hierarchy.from_table(rows, names)


def published_of(*networks: str) -> dict[str, Any]:
    """Published results in their form, with two tolerances."""
    many = {"accuracy": [64.0, 52.0], "hierarchical_accuracy": [64.0, 65.0], "flops": 31_784_960}
    exits = {str(number): many | {"specificity": [0.0, 1.0]} for number in (1, 2, 3)}
    return {
        "protocol": {"fine_tolerance": [0.0, 0.98]},
        "operating_region": {"1": [0.46, 0.54], "2": [0.5, 0.62], "3": [0.42, 0.54]},
        "results": dict.fromkeys(networks, exits),
    }
