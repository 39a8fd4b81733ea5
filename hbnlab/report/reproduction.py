"""From a plan to a report folder."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbnlab.data import Splits
from hbnlab.progress import progress_bar
from hbnlab.report.depth import Depth, depth_results
from hbnlab.report.measured import Measured, Times, measure
from hbnlab.report.page import write_page
from hbnlab.report.plan import Plan
from hbnlab.report.results import meanings, network_results
from hbnlab.report.saved_seconds import saved_seconds
from hbnlab.report.seeds import across_seeds
from hbnlab.run_folder import check_writable
from hbnlab.storage import atomic_path, write_json, write_text
from hbnlab.training.device import threads_set

if TYPE_CHECKING:
    from hbnlab.report.figures import FigureFile


def reproduce(plan: Plan, *, progress: bool = True) -> Path:
    """Load or train the networks, collect their records once, and write the report.

    Existing trainings are resumed and existing records are read. Nothing of the report is written
    before all of it is computed, and report.md is written last.

    | file | content |
    | --- | --- |
    | report.md | tables, figures, differences of the protocols |
    | figures/ | each figure as SVG and PNG |
    | results.json | all numbers, the same bytes for the same weights |
    | seconds.json | what leaving early saves, in FLOPs and seconds; kept until the weights change |
    | times.json | seconds of each piece of work |
    | runs/ | in ``plan.out``: checkpoints and records |

    Args:
        plan: what to reproduce.
        progress: show bars.

    Returns:
        Path of report.md.

    Raises:
        ValueError: when data, weights and plan do not fit together, before anything is written.
        FileNotFoundError: when the data are missing.
        OSError: when the folder cannot be written, before anything is computed.
    """
    times = Times()
    with times.of("data"):
        splits = plan.choice.load()
    _check_tree(plan, splits)
    check_writable(plan.report_folder / "report.md")
    # One thread, because sums and bundled networks are small. On two idle cores this costs a few
    # seconds at most; beside other processes, more threads took ten times as long.
    with threads_set(1) if plan.weights == "bundled" else nullcontext():
        networks = _measure_all(plan, splits, times, progress)
        depths = _measure_trunks(plan, splits, networks, times, progress)
    first = {trunk: seeds[0] for trunk, seeds in depths.items()}
    with times.of("what leaving early saves"):
        seconds = saved_seconds(plan, splits, first, progress=progress)
    how: dict[str, Any] = {"depths": depths, "seconds": seconds, "progress": progress}
    return write_report(plan, splits, networks, times, **how)


def write_report(
    plan: Plan,
    splits: Splits,
    networks: Mapping[str, Sequence[Measured]],
    times: Times,
    *,
    depths: Mapping[str, Sequence[Depth]] | None = None,
    seconds: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Compute numbers and figures of networks with any number of exits and levels, and write them.

    Args:
        plan: protocol, weights and folder of the report.
        splits: the images that the networks were measured on.
        networks: by name, one entry per seed.
        times: to add to.
        depths: what depth gives on each trunk, one entry per seed.
        seconds: what ``saved_seconds`` found there.
        progress: show bars.

    Returns:
        Path of report.md.
    """
    # Importing matplotlib takes seconds; only those who draw should wait for it.
    from hbnlab.report.figures import Subject, draw_figures

    depths, seconds = depths or {}, seconds or {}
    with times.of("numbers"), threads_set(1):
        results = _results(plan, splits, networks, progress) | _depth_results(depths)
    first = {name: seeds[0] for name, seeds in networks.items()}
    curves = {trunk: seeds[0].curves() for trunk, seeds in depths.items()}
    with times.of("figures"), threads_set(1):
        how = {"test": splits.test, "protocol": plan.protocol, "depth_curves": curves}
        figures = draw_figures(Subject(networks=first, **how), progress=progress)
    page = write_page(plan, {**results, "seconds": seconds}, figures)
    files = {"times.json": times.seconds} | ({"seconds.json": seconds} if seconds else {})
    return _write(plan.report_folder, page, results, figures, files)


def _check_tree(plan: Plan, splits: Splits) -> None:
    if splits.hierarchy.num_levels == 1 and "ag-hbn" in plan.network_names:
        others = " ".join(name for name in plan.network_names if name != "ag-hbn")
        raise ValueError(
            f"ag-hbn chooses between levels, and {splits.name} has one; leave it out with: "
            f"--models {others}"
        )


def _measure_all(
    plan: Plan, splits: Splits, times: Times, progress: bool
) -> dict[str, list[Measured]]:
    """Every network of every seed, with its records."""
    networks: dict[str, list[Measured]] = {name: [] for name in plan.network_names}
    total = len(plan.network_names) * len(plan.seeds)
    with progress_bar(total, "networks", "network", visible=progress) as bar:
        for name, seeds in networks.items():
            for seed in plan.seeds:
                bar.set_postfix_str(f"{name}, seed {seed}")
                seeds.append(measure(plan, name, seed, splits, times, progress=progress))
                bar.update()
    return networks


def _measure_trunks(
    plan: Plan,
    splits: Splits,
    networks: Mapping[str, Sequence[Measured]],
    times: Times,
    progress: bool,
) -> dict[str, list[Depth]]:
    """Gran-HBN on every trunk that is compared; on the plan's own it is there already."""
    found: dict[str, list[Depth]] = {}
    for trunk in plan.compared_trunks:
        seeds = networks["gran-hbn"]
        if trunk != plan.trunk:
            there = plan.on_trunk(trunk)
            seeds = _measure_all(there, splits, times, progress)["gran-hbn"]
        found[trunk] = [Depth(measured) for measured in seeds]
    return found


def _depth_results(depths: Mapping[str, Sequence[Depth]]) -> dict[str, Any]:
    numbers = {trunk: [depth_results(one) for one in seeds] for trunk, seeds in depths.items()}
    several = any(len(seeds) > 1 for seeds in numbers.values())
    # The curves of two seeds have points at different FLOPs, and often not equally many.
    tables = {
        trunk: [{key: value for key, value in one.items() if key != "curve"} for one in seeds]
        for trunk, seeds in numbers.items()
    }
    across = {trunk: across_seeds(seeds) for trunk, seeds in tables.items()} if several else None
    return {"depth": numbers, "depth_across_seeds": across}


def _results(
    plan: Plan, splits: Splits, networks: Mapping[str, Sequence[Measured]], progress: bool
) -> dict[str, Any]:
    numbers: dict[str, list[dict[str, Any]]] = {}
    with progress_bar(len(networks), "numbers", "network", visible=progress) as bar:
        for name, seeds in networks.items():
            numbers[name] = [network_results(one, plan.protocol) for one in seeds]
            bar.update()
    several = len(plan.seeds) > 1
    return {
        "format": "hbnlab-report-1",
        "keys": meanings(),
        "dataset": {
            "name": splits.name,
            "level_names": list(splits.hierarchy.level_names),
            "num_classes": list(splits.hierarchy.num_classes),
            "augmentations": list(splits.test.augmentations),
            "images": {"val": len(splits.val), "test": len(splits.test)},
            "fingerprints": {"val": splits.val.fingerprint, "test": splits.test.fingerprint},
        },
        "protocol": asdict(plan.protocol),
        "trunk": plan.trunk,
        "weights": plan.weights,
        "preset": plan.training_preset if plan.weights == "train" else None,
        "seeds": list(plan.seeds),
        "networks": numbers,
        "across_seeds": (
            {name: across_seeds(seeds) for name, seeds in numbers.items()} if several else None
        ),
    }


def _write(
    folder: Path,
    page: str,
    results: Mapping[str, Any],
    figures: Sequence["FigureFile"],
    others: Mapping[str, Any],
) -> Path:
    for figure in figures:
        for kind in ("svg", "png"):
            with atomic_path(folder / figure.path(kind)) as partial:
                partial.write_bytes(getattr(figure.files, kind))
    listed = [{"file": figure.path("svg"), "alt": figure.files.alt} for figure in figures]
    write_json(folder / "results.json", {**results, "figures": listed})
    for name, content in others.items():
        write_json(folder / name, content)
    write_text(folder / "report.md", page)
    return folder / "report.md"
