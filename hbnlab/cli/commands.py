"""What each command of ``hbnlab`` does with its arguments."""

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from hbnlab import models, report, run_folder
from hbnlab.cli import console_tables, lessons
from hbnlab.storage import write_json
from hbnlab.training import TrainConfig
from hbnlab.training.device import choose_device

LESSONS = Path("hbnlab-lessons")
DEFAULTS = {
    "model": "gran-hbn",
    "trunk": models.STUDY_TRUNK,
    "dataset": "glyphs",
    "preset": "quick",
}
"""What ``train`` uses where neither an option nor the resumed run says otherwise."""
TREE_OPTIONS = ("three_levels", "tree")
"""What chooses the tree of a data set; one of them replaces the one that a run had."""

DEMO = {"trunk": "residual", "dataset": "glyphs", "seed": 0, "device": "auto"}


def demo(chosen: argparse.Namespace) -> int:
    """Train Gran-HBN briefly, print how good its exits are, and write figures and test.json."""
    choice, trunk = data_choice(chosen, chosen.dataset), chosen.trunk
    config = TrainConfig.quick(choice.name, trunk, seed=chosen.seed, device=chosen.device)
    width = run_folder.trained_width("quick", None, trunk)
    print(f"hbnlab demo: Gran-HBN on {choice.name}, trunk {trunk} at {width:g} of its width")
    splits, seed = choice.load(), config.seed
    network = models.create("gran-hbn", splits.hierarchy, width=width, seed=seed, trunk=trunk)
    history = run_folder.train_run(chosen.out, network, choice, splits, config)
    tested = run_folder.examine(network, splits)
    write_json(chosen.out / "test.json", tested.report)
    run_folder.draw_demo(chosen.out, tested, history)
    print(f"\ntrained {len(history.epochs)} epochs in {history.seconds:.0f} s\n")
    print(console_tables.report(tested.report))
    print(f"\nwritten to {chosen.out}:")
    for path in sorted(chosen.out.iterdir()):
        print(f"  {path.name:<28} {path.stat().st_size / 1e6:8.2f} MB")
    print("\nnext: hbnlab lab, and hbnlab train --help")
    return 0


def train(chosen: argparse.Namespace) -> int:
    """Train a network into a folder; a resumed run takes its options from run.json."""
    out = chosen.out or Path("runs") / _run_name(chosen, "model", "dataset", "trunk")
    stored = run_folder.RunDescription.read(out) if chosen.resume else None
    of_run = stored.choice if stored else None
    dataset = of_run.name if of_run else DEFAULTS["dataset"]
    choice = data_choice(chosen, chosen.dataset or dataset, of_run)
    model = chosen.model or (stored.network["name"] if stored else DEFAULTS["model"])
    trunk = chosen.trunk or (stored.network["trunk"] if stored else DEFAULTS["trunk"])
    config = train_config(chosen, model, choice.name, trunk, stored)
    width = run_folder.trained_width(chosen.preset or DEFAULTS["preset"], chosen.width, trunk)
    if stored and chosen.width is None:
        width = stored.network["width"]
    splits = choice.load()
    network = models.create(model, splits.hierarchy, width, seed=config.seed, trunk=trunk)
    history = run_folder.train_run(out, network, choice, splits, config, resume=chosen.resume)
    print(console_tables.last_epoch(history, splits.hierarchy))
    if not history.epochs:
        print("nothing was written")
        return 0
    print(f"written to {out}; test it with: hbnlab test --run {out}")
    return 0


def test(chosen: argparse.Namespace) -> int:
    """Test a run, or any other weights."""
    device = choose_device(chosen.device)
    out = chosen.out or chosen.run
    if out is None or (chosen.run and chosen.weights):
        raise ValueError("give --run DIR, or --weights NAME|FILE with --out DIR")
    if chosen.weights is None:
        network, of_run, _ = run_folder.load_run(chosen.run or out)
        choice = data_choice(chosen, chosen.dataset or of_run.name, of_run)
    else:
        network = models.create(chosen.model, weights=chosen.weights, trunk=chosen.trunk)
        bundled = chosen.weights if chosen.weights in models.bundled_names() else None
        name = chosen.dataset or bundled
        if name is None:
            raise ValueError("a file of weights needs --dataset, got none")
        choice = data_choice(chosen, name)
    run_folder.check_writable(out / "test.json")
    tested = run_folder.examine(network.to(device), choice.load())
    print(console_tables.report(tested.report))
    write_json(out / "test.json", tested.report)
    print(f"\nwritten to {out / 'test.json'}")
    return 0


def reproduce(chosen: argparse.Namespace) -> int:
    """Write the study's figures and tables for a data set."""
    settings = {"epochs": chosen.epochs, "post_epochs": chosen.post_epochs}
    training = (chosen.seeds, chosen.preset, chosen.width, *settings.values())
    asked = any(value is not None for value in training)
    choice = data_choice(chosen, chosen.dataset)
    bundled = chosen.trunk in models.bundled_trunks(choice.name)
    bundled = bundled and not asked and not choice.options
    weights = chosen.weights or ("bundled" if bundled else "train")
    bundle = None if weights in ("bundled", "train") else weights
    weights = weights if bundle is None else "bundled"
    seeds = 1 if chosen.seeds is None else chosen.seeds
    plan = report.Plan(
        choice=choice,
        out=chosen.out or Path("results") / _run_name(chosen, "dataset", "trunk"),
        trunk=chosen.trunk,
        names=chosen.models,
        weights=weights,
        bundle=bundle,
        seeds=range(seeds),
        compare_trunks=not chosen.one_trunk,
        paper_protocol=chosen.paper_protocol,
        preset=chosen.preset,
        width=chosen.width,
        device=chosen.device,
        settings={name: value for name, value in settings.items() if value is not None},
    )
    try:
        print(f"written to {report.reproduce(plan)}")
    except KeyboardInterrupt:
        raise KeyboardInterrupt("run the same command again to continue") from None
    return 0


def bench(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    from hbnlab import plots
    from hbnlab.bench import format_bench, run_bench

    figure = chosen.out.with_suffix(".png")
    run_folder.check_writable(chosen.out)
    run_folder.check_writable(figure)
    result = run_bench(
        width=chosen.width,
        num_images=chosen.images,
        batch_size=chosen.batch_size,
        rounds=chosen.rounds,
        threads=chosen.threads,
        device=chosen.device,
        progress=True,
    )
    print(format_bench(result))
    write_json(chosen.out, result)
    run_folder.write_figure(figure, plots.bench_bars(result))
    print(f"written to {chosen.out} and {figure}")
    return 0


def lab(chosen: argparse.Namespace) -> int:
    """Open JupyterLab on the lessons and wait until it ends."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise ValueError('JupyterLab is missing; in a clone: pip install -e ".[notebooks]"')
    series = lessons.series_folder()
    folder = chosen.folder or (series if lessons.is_repository(series) else LESSONS)
    if folder.resolve() != series.resolve():
        copied, changed = lessons.hand_out(folder)
        print(f"lessons copied to {folder}: {len(copied)}")
        if changed:
            print(
                "kept, though they differ from this version's lessons: "
                f"{', '.join(changed)}; delete one to get a fresh copy"
            )
    # In containers people are often root, which Jupyter refuses without this option.
    as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: -1)() == 0 else []
    server = [sys.executable, "-m", "jupyterlab", str(folder), *as_root, *chosen.handed_on]
    return call_patiently(server)


def call_patiently(command: Sequence[str]) -> int:
    """Run a command until it ends by itself, and return its exit code.

    On Ctrl-C the terminal interrupts the command too, which may then ask a question and clean up;
    ``subprocess.call`` would kill it a quarter of a second later.
    """
    process = subprocess.Popen(command)
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def data_choice(
    chosen: argparse.Namespace, name: str, before: run_folder.DataChoice | None = None
) -> run_folder.DataChoice:
    """The data that the arguments ask for; what they leave open stays as it was in a run.

    Args:
        chosen: the arguments.
        name: name of the data set.
        before: the choice of that run; ignored if it is of another data set.
    """
    choice = before if before and before.name == name else run_folder.DataChoice(name=name)
    given = {"three_levels": True} if chosen.three_levels else {}
    given |= {} if chosen.tree is None else {"tree": chosen.tree}
    kept = {k: v for k, v in choice.options.items() if not given or k not in TREE_OPTIONS}
    given |= {} if chosen.title is None else {"title": chosen.title}
    given |= {"augmentations": ("crop", "flip")} if chosen.flip else {}
    if name != "folder" and (chosen.title or chosen.flip):
        raise ValueError(f"--title and --flip are of --dataset folder, got --dataset {name}")
    return replace(
        choice,
        root=choice.root if chosen.root is None else chosen.root,
        download=choice.download or chosen.download,
        options={**kept, **given},
    )


def train_config(
    chosen: argparse.Namespace,
    model: str,
    dataset: str,
    trunk: str,
    stored: run_folder.RunDescription | None = None,
) -> TrainConfig:
    """The preset, or the settings of a resumed run, changed by the options that were given.

    Args:
        chosen: the arguments.
        model: name of the network.
        dataset: name of the data set.
        trunk: name of the trunk.
        stored: description of the resumed run, or None.
    """
    given = {field.name: getattr(chosen, field.name, None) for field in fields(TrainConfig)}
    changes = {name: value for name, value in given.items() if value is not None}
    if stored and chosen.preset is None:
        return stored.config.change(**changes)
    preset = chosen.preset or DEFAULTS["preset"]
    return run_folder.preset_config(preset, model, dataset, trunk, **changes)


def _run_name(chosen: argparse.Namespace, *options: str) -> str:
    """Where something is written that names no folder; the study's trunk is not in its name."""
    words = [getattr(chosen, name) or DEFAULTS[name] for name in options]
    return "-".join(word for word in words if word != DEFAULTS["trunk"])
