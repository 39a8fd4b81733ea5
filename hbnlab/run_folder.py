"""What ``hbnlab train``, ``test`` and ``demo`` do; a run is a folder with these files.

| file | content |
| --- | --- |
| checkpoint.safetensors | weights, and all that resuming needs; the same for the same seed |
| run.json | which network was trained on which data, with which settings |
| history.json | every epoch, with its seconds |
| test.json | every cell and some policies on the test images |
| previous-checkpoint*.safetensors | checkpoints of earlier runs, oldest first |
"""

import itertools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hbnlab import data, models
from hbnlab.collect import collect_records
from hbnlab.costs import num_parameters, size_mb
from hbnlab.data import Splits
from hbnlab.head_mask import has_two_heads
from hbnlab.history import History
from hbnlab.metrics import Constraints, best, by_lot, cell_table, evaluate, sweep
from hbnlab.models import EarlyExitNetwork
from hbnlab.models.weights import with_trunk
from hbnlab.policies import (
    EntropyThreshold,
    FineTolerance,
    ForcedExit,
    Policy,
    SemanticGate,
    ThresholdPolicy,
    budget_policies,
    fit_thresholds,
)
from hbnlab.records import ExitRecords
from hbnlab.storage import atomic_path, write_json
from hbnlab.training import TrainConfig, fit, post_train
from hbnlab.training.checkpoint import load_checkpoint

CHECKPOINT = "checkpoint.safetensors"
TOLERANCES = (0.0, 0.25, 0.5, 1.0, 1.5)
BUDGETS = (0.1, 0.2, 0.3, 0.5, 0.75)
"""Shares of the last exit's FLOPs that policies with fine answers only are chosen for."""
AS_LAST_EXIT = "entropy threshold, as the last exit"
PRESETS = ("quick", "long", "readme", "paper")
NARROW_WIDTHS = {("quick", "alexnet"): 0.25, ("quick", "residual"): 0.5, ("long", "alexnet"): 0.25}


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Which data set to load, and how.

    Attributes:
        name: one of ``hbnlab.data.NAMES``.
        root: folder of its files, or None.
        download: download missing files.
        options: further arguments of its ``load``, such as ``three_levels`` or ``tree``.
    """

    name: str = "glyphs"
    root: str | None = None
    download: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_tree_of(self, splits: Splits) -> "DataChoice":
        """The same choice, but where it names the file of a tree, the tree stands itself.

        So a run can be resumed and tested after the file has changed or gone.
        """
        if "tree" not in self.options:
            return self
        return replace(self, options={**self.options, "tree": splits.hierarchy.to_spec()})

    def load(self) -> Splits:
        """Load the training, validation and test images."""
        return data.load(self.name, self.root, self.download, **self.options)


@dataclass(frozen=True)
class RunDescription:
    """What run.json holds.

    Attributes:
        network: name, width and tree, as ``EarlyExitNetwork.to_spec`` gives them.
        choice: the data.
        config: the settings of the training.
    """

    network: Mapping[str, Any]
    choice: DataChoice
    config: TrainConfig

    @classmethod
    def read(cls, out: str | Path) -> "RunDescription | None":
        """Read the description in a run's folder; None where there is none."""
        path = Path(out) / "run.json"
        if not path.is_file():
            return None
        spec = json.loads(path.read_text(encoding="utf-8"))
        config = TrainConfig.from_spec(spec["config"])
        return cls(with_trunk(spec["network"]), DataChoice(**spec["data"]), config)

    def write(self, out: Path) -> None:
        """Write it into a run's folder."""
        data, config = asdict(self.choice), self.config.to_spec()
        write_json(out / "run.json", {"network": self.network, "data": data, "config": config})


@dataclass(frozen=True)
class Tested:
    """The test of a network.

    Attributes:
        report: what test.json holds.
        records: of the test images.
        policies: those in the report, fitted on the validation images.
        curves: by level index, entropy thresholds from eager to patient, fitted likewise.
    """

    report: dict[str, Any]
    records: ExitRecords
    policies: dict[str, Policy]
    curves: dict[int, list[EntropyThreshold]]


def trained_width(preset: str, width: float | None, trunk: str) -> float:
    """What multiplies the channels of a network to be trained; None = that of the preset."""
    if width is not None:
        return width
    return NARROW_WIDTHS.get((preset, trunk), 1.0)


def preset_config(
    preset: str,
    model: str,
    dataset: str,
    trunk: str,
    *,
    published_code: bool = False,
    **changes: Any,
) -> TrainConfig:
    """The settings of a preset, with changes.

    Args:
        preset: one of ``PRESETS``.
        model: name of the network, which ``"paper"`` depends on.
        dataset: name of the data set, which ``"quick"`` and ``"long"`` depend on.
        trunk: name of the trunk, likewise.
        published_code: with ``"paper"``, weight the losses as the study's code does.
        changes: any field of ``TrainConfig``.
    """
    if preset == "paper":
        return TrainConfig.paper(model, published_code=published_code, **changes)
    if preset == "readme":
        return TrainConfig.readme(**changes)
    make = TrainConfig.long if preset == "long" else TrainConfig.quick
    return make(dataset, trunk, **changes)


def check_writable(path: Path) -> None:
    """Check that a file can be written, before the work for it begins; nothing is left behind.

    Raises:
        OSError: as writing the file would.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} must be a file, got a folder")
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    tempfile.TemporaryFile(dir=existing).close()


def train_run(
    out: str | Path,
    network: EarlyExitNetwork,
    choice: DataChoice,
    splits: Splits,
    config: TrainConfig,
    *,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train a network into a folder, its gate too where it has one.

    Nothing in the folder changes before the first epoch is trained: a refused start leaves it as it
    was. A checkpoint of an earlier run is kept as ``previous-checkpoint.safetensors``, the next as
    ``previous-checkpoint-2.safetensors`` and so on.

    Args:
        out: the folder.
        network: to be trained.
        choice: where the data come from, for run.json.
        splits: the data.
        config: the settings.
        resume: continue from the checkpoint in the folder, if there is one.
        progress: show bars.

    Raises:
        ValueError: when network, data, settings and checkpoint do not fit together.
        OSError: when the folder cannot be written.
        KeyboardInterrupt: on Ctrl-C; its message says how to resume.
    """
    out = Path(out)
    checkpoint, times = out / CHECKPOINT, _stored_times(out) if resume else History()
    check_writable(checkpoint)
    description = RunDescription(network.to_spec(), choice.with_tree_of(splits), config)
    trained: list[History] = []

    def write(history: History) -> None:
        if not trained:
            if not resume:
                _set_aside(checkpoint)
            description.write(out)
        trained.append(history)
        write_json(out / "history.json", history.to_spec())

    how: dict[str, Any] = {"checkpoint": checkpoint, "resume": resume, "progress": progress}
    try:
        history = fit(network, splits, config, on_epoch=write, times=times, **how)
        if network.has_gate:
            history = post_train(network, splits, config, on_epoch=write, history=history, **how)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_advice(out, bool(trained) or resume)) from None
    return history


def _stored_times(out: Path) -> History:
    """The history in a run's folder, for its seconds; empty where there is none."""
    path = out / "history.json"
    if not path.is_file():
        return History()
    return History.from_spec(json.loads(path.read_text(encoding="utf-8")))


def _set_aside(checkpoint: Path) -> None:
    """Rename the checkpoint of an earlier run to the next free name."""
    if checkpoint.exists():
        names = (f"-{number}" if number > 1 else "" for number in itertools.count(1))
        kept = (checkpoint.with_stem(f"previous-{checkpoint.stem}{name}") for name in names)
        checkpoint.rename(next(path for path in kept if not path.exists()))


def _advice(out: Path, resumable: bool) -> str:
    if resumable and (out / CHECKPOINT).is_file():
        return f"resume with: hbnlab train --resume --out {out}"
    return "no epoch was finished, so there is nothing to resume"


def examine(network: EarlyExitNetwork, splits: Splits, *, progress: bool = True) -> Tested:
    """Test every cell, and policies fitted on the validation images, on the test images."""
    start = time.perf_counter()
    val = collect_records(network, splits.val, progress=progress)
    test = collect_records(network, splits.test, progress=progress)
    curves = entropy_curves(val)
    policies = report_policies(val) | budgeted_policies(val, curves.get(val.hierarchy.finest, []))
    report = {
        "model": network.name,
        "width": network.width,
        "parameters": num_parameters(network),
        "size_mb": round(size_mb(network), 3),
        "dataset": test.split,
        "images": len(test),
        "fingerprint": test.fingerprint,
        "cells": cell_table(test),
        "policies": [_policy_row(name, policy, test) for name, policy in policies.items()],
        "seconds": round(time.perf_counter() - start, 2),
    }
    return Tested(report, test, policies, curves)


def _policy_row(name: str, policy: Policy, test: ExitRecords) -> dict[str, Any]:
    """What test.json says of a policy; by_lot is what one exit for all does at no more FLOPs."""
    result = evaluate(policy.decide(test), test)
    one_exit = by_lot(result, test)
    row = {"name": name, "policy": repr(policy), **result.to_dict(), "by_lot": None}
    if one_exit is not None:
        row["by_lot"] = {"exit": one_exit.exit_index + 1, "accuracy": one_exit.accuracy}
    return row


def report_policies(val: ExitRecords) -> dict[str, Policy]:
    """The policies that a network is reported with, by name, fitted on validation records.

    Thresholds let half of the images that reach an early exit leave there.
    """
    early = val.num_exits - 1
    shares = [0.5 ** (number + 1) for number in range(early)] + [0.5**early]
    templates = report_templates(val)
    return {name: fit_thresholds(policy, val, shares) for name, policy in templates.items()}


def report_templates(records: ExitRecords) -> dict[str, ThresholdPolicy]:
    """The policies of ``report_policies`` before their thresholds are fitted.

    A network with two heads per exit is reported at several fine tolerances, one with a gate with
    its gate as well.
    """
    zeros = [0.0] * (records.num_exits - 1)
    if not has_two_heads(records.head_mask):
        return {"entropy threshold": EntropyThreshold(zeros)}
    found: dict[str, ThresholdPolicy] = {
        f"fine tolerance {tau:.2f}": FineTolerance(zeros, tau) for tau in TOLERANCES
    }
    if records.has_gate:
        found["semantic gate"] = SemanticGate(zeros)
    return found


def entropy_curves(val: ExitRecords) -> dict[int, list[EntropyThreshold]]:
    """For each level with a head at every exit, entropy thresholds from eager to patient.

    They are fitted on validation records; a network of one exit has none.
    """
    early = [0.0] * (val.num_exits - 1)
    return {
        level: budget_policies(EntropyThreshold(early, level=level), val)
        for level in range(val.hierarchy.num_levels)
        if early and all(row[level] for row in val.head_mask)
    }


def budgeted_policies(
    val: ExitRecords, candidates: Sequence[EntropyThreshold]
) -> dict[str, Policy]:
    """Of policies that always give the finest answer, the best at several budgets, by name.

    All are chosen on the validation records: for each share in ``BUDGETS`` the most accurate that
    needs at most this share of the last exit's FLOPs, and under the name ``AS_LAST_EXIT`` the
    cheapest that is as accurate as the last exit, or the most accurate where none is.
    """
    if not candidates:
        return {}
    last_exit = ForcedExit(val.num_exits - 1, val.hierarchy.finest)
    last, *results = sweep([last_exit, *candidates], val)
    as_good = best(results, Constraints(accuracy=last.accuracy), prefer="cost")
    chosen = {AS_LAST_EXIT: best(results, Constraints()) if as_good is None else as_good}
    for share in BUDGETS:
        index = best(results, Constraints(flops=share * last.mean_flops))
        if index is not None and index not in chosen.values():
            chosen[f"entropy threshold, {round(100 * share)} % of FLOPs"] = index
    return {name: candidates[index] for name, index in chosen.items() if index is not None}


def draw_demo(out: Path, tested: Tested, history: History) -> None:
    """Draw what leaving early gains into exits.png, and the training into training.png."""
    # Importing matplotlib takes seconds; only those who draw should wait for it.
    from hbnlab import plots

    records, chosen = tested.records, tested.policies.get(AS_LAST_EXIT)
    write_figure(out / "exits.png", plots.staircase(records, tested.curves, chosen=chosen))
    write_figure(out / "training.png", plots.training_curves(history, records.hierarchy))


def write_figure(path: Path, axes: Any) -> None:
    """Write what a figure function returned as a PNG, whole or not at all."""
    from hbnlab import plots

    with atomic_path(path) as partial:
        partial.write_bytes(plots.to_html(axes, dpi=130).png)


def load_run(out: str | Path) -> tuple[EarlyExitNetwork, DataChoice, History]:
    """The network, the choice of data and the history that a run's folder holds.

    Raises:
        FileNotFoundError: when there is no run in that folder.
    """
    out = Path(out)
    described = RunDescription.read(out)
    if described is None or not (out / CHECKPOINT).is_file():
        raise FileNotFoundError(
            f"{out} holds no trained run ({CHECKPOINT} and run.json); "
            f"make one with: hbnlab train --out {out}"
        )
    stored, history = load_checkpoint(out / CHECKPOINT)
    network = models.create(stored.spec["name"], weights=out / CHECKPOINT)
    return network, described.choice, history.with_seconds_of(_stored_times(out))
