"""The arguments of ``hbnlab``, in its own spelling and in the study's."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hbnlab import __version__, data, models, run_folder
from hbnlab.cli import commands as run

DEFAULT = " (default: %(default)s)"
MODES = {"training": "train", "testing": "test"}
DATA = ("--dataset", "--root", "--tree", "--title", "--flip", "--download", "--three-levels")
OPTIONS: dict[str, dict[str, Any]] = {
    "--dataset": {
        "choices": data.NAMES,
        "help": "data set; glyphs are drawn by hbnlab and need no files",
    },
    "--root": {"help": "folder of the data files; required for --dataset folder"},
    "--tree": {
        "metavar": "FILE",
        "help": "CSV or JSON file with your own tree of the classes; required for flat folders",
    },
    "--title": {"help": "what reports call the images of --dataset folder"},
    "--flip": {
        "action": "store_true",
        "help": "also mirror the training images of --dataset folder",
    },
    "--download": {"action": "store_true", "help": "download missing data files"},
    "--three-levels": {
        "action": "store_true",
        "help": "add a level of groups above the coarse level",
    },
    "--model": {"choices": models.NAMES, "help": "name of the network"},
    "--trunk": {
        "choices": tuple(models.TRUNKS),
        "help": "stages and branches: alexnet is the study's; residual is ours, where depth pays",
    },
    "--preset": {
        "choices": run_folder.PRESETS,
        "help": "settings: quick trains a narrow network in minutes on two cores; long is that of "
        "the bundled weights; readme has the study's command-line defaults; paper has its table I "
        "(default: quick)",
    },
    "--width": {"type": float, "help": "multiplies the number of channels"},
    "--num-epochs": {"dest": "epochs", "type": int, "help": "epochs of the joint training"},
    "--num-pt-epochs": {
        "dest": "post_epochs",
        "type": int,
        "help": "epochs of AG-HBN's post-training",
    },
    "--device": {"help": "auto, cpu, cuda or cuda:N"},
    "--seed": {"type": int, "help": "seed of all randomness"},
}
"""The options that several commands share."""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; arguments after ``--`` are kept unparsed, for JupyterLab."""
    end = words.index("--") if "--" in words else len(words)
    chosen = parser().parse_args(study_spelling(words[:end]))
    chosen.handed_on = list(words[end + 1 :])
    if chosen.handed_on and chosen.command != "lab":
        parser().error(f"only lab takes arguments after --, got {' '.join(chosen.handed_on)}")
    return chosen


def study_spelling(words: Sequence[str]) -> list[str]:
    """Translate the study's command line: ``--num_epochs 2 --mode training`` and the like."""
    dashed = [re.sub("^--[^=]+", lambda name: name[0].replace("_", "-"), word) for word in words]
    reader = argparse.ArgumentParser(prog="hbnlab", add_help=False, allow_abbrev=False)
    reader.add_argument("--mode", choices=MODES)
    chosen, others = reader.parse_known_args(dashed)
    if chosen.mode is None:
        return others
    command = MODES[chosen.mode]
    return others if others[:1] == [command] else [command, *others]


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="hbnlab",
        description="Early-exit networks that decide for each image how deep to compute and how "
        "specific to be.",
        epilog="Start with: hbnlab demo",
    )
    top.add_argument("--version", action="version", version=f"hbnlab {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_demo, _add_train, _add_test, _add_reproduce, _add_bench, _add_lab):
        add(commands)
    return top


def _take(command: Any, *names: str, **defaults: Any) -> None:
    """Add shared options to a command or an argument group, with its defaults in the help."""
    for name in names:
        option = command.add_argument(name, **OPTIONS[name])
        if option.dest in defaults:
            option.default = defaults[option.dest]
            option.help += DEFAULT


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo", help="train Gran-HBN in a minute or two and show how good each exit is"
    )
    demo.set_defaults(execute=run.demo)
    demo.add_argument("--out", default="runs/demo", type=Path, help="folder to write" + DEFAULT)
    _take(demo, "--trunk", *DATA, "--seed", "--device", **run.DEMO)


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train one of the five networks into a folder",
        description="Train a network. Options that are not given come from the preset or, with "
        "--resume, from the run in --out. Defaults without either: "
        + ", ".join(f"--{name} {value}" for name, value in run.DEFAULTS.items()),
    )
    train.set_defaults(execute=run.train)
    train.add_argument("--out", type=Path, help="folder of the run (default: runs/MODEL-DATASET)")
    _take(
        train, "--model", "--trunk", *DATA, "--preset", "--width", "--num-epochs", "--num-pt-epochs"
    )
    train.add_argument("--batch-size", type=int, help="images per step")
    train.add_argument("--lr", dest="learning_rate", type=float, help="learning rate")
    train.add_argument(
        "--pt-lr", dest="post_learning_rate", type=float, help="learning rate of the post-training"
    )
    train.add_argument("--weight-decay", type=float, help="weight of the L2 penalty")
    train.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), help="number format (default: auto)"
    )
    train.add_argument("--compile", action="store_true", default=None, help="use torch.compile")
    _take(train, "--device", "--seed")
    train.add_argument("--resume", action="store_true", help="resume the run in --out")


def _add_test(commands: Any) -> None:
    test = commands.add_parser(
        "test",
        help="test every exit of a trained network on the test images",
        description="Test a run, or any other weights. The table is printed and written to "
        "test.json in --out. Options of the data take precedence over those of the run.",
    )
    test.set_defaults(execute=run.test)
    test.add_argument("--run", type=Path, metavar="DIR", help="folder of a run (default: --out)")
    test.add_argument("--out", type=Path, help="folder to write test.json into (default: --run)")
    test.add_argument(
        "--weights",
        metavar="NAME|FILE",
        help="a bundled name (glyphs, fashion_mnist), a weights file or a checkpoint",
    )
    _take(test, "--model", "--trunk", *DATA, "--device", model="gran-hbn", device="auto")


def _add_reproduce(commands: Any) -> None:
    reproduce = commands.add_parser(
        "reproduce",
        help="write all figures and tables of the study for a data set, with a report",
        description="Load or train the networks of the study, test them, and write a folder with "
        "figures, numbers and a report. Started again, it continues from what is there.",
    )
    reproduce.set_defaults(execute=run.reproduce)
    reproduce.add_argument(
        "--out",
        type=Path,
        help="folder to write (default: results/DATASET, with -TRUNK unless it is the study's)",
    )
    reproduce.add_argument(
        "--weights",
        choices=("bundled", "train", *models.bundled_names()),
        help="load bundled weights or train (default: bundled, where there are some and no option "
        "asks for training); a name: those of that data set, for images of the same classes",
    )
    reproduce.add_argument(
        "--models",
        nargs="+",
        choices=models.NAMES,
        help="which networks (default: the five of the trunk)",
    )
    reproduce.add_argument(
        "--paper-protocol",
        action="store_true",
        help="test as the study's code does: images leave in batches, test images are augmented",
    )
    reproduce.add_argument(
        "--one-trunk",
        action="store_true",
        help="leave out the comparison of trunks, for which Gran-HBN is trained on each of them "
        "unless its weights are bundled",
    )
    defaults = {"trunk": models.STUDY_TRUNK, "dataset": "glyphs", "device": "auto"}
    _take(reproduce, "--trunk", *DATA, "--device", **defaults)
    training = reproduce.add_argument_group("training", "not allowed with --weights bundled")
    training.add_argument(
        "--seeds",
        type=int,
        help="number of trainings; with several, the report gives intervals over them",
    )
    _take(training, "--preset", "--width", "--num-epochs", "--num-pt-epochs")


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench", help="measure what early exits save on this machine, and the most they could save"
    )
    bench.set_defaults(execute=run.bench)
    bench.add_argument(
        "--out", default="runs/bench/bench.json", type=Path, help="file to write" + DEFAULT
    )
    bench.add_argument(
        "--images",
        default=2048,
        type=int,
        help="number of images; more give steadier numbers" + DEFAULT,
    )
    bench.add_argument(
        "--batch-size", type=int, help="images per batch (default: 64 on a CPU, else 512)"
    )
    bench.add_argument("--rounds", default=5, type=int, help="number of repetitions" + DEFAULT)
    bench.add_argument("--threads", default=1, type=int, help="number of CPU threads" + DEFAULT)
    _take(bench, "--width", "--device", width=1.0, device="auto")


def _add_lab(commands: Any) -> None:
    lab = commands.add_parser(
        "lab",
        help="open the lessons in JupyterLab",
        description="Copy the missing lessons into DIR and open JupyterLab there. Notebooks that "
        "you have changed are kept; delete one to get a fresh copy.",
        epilog="Arguments after -- go to JupyterLab: hbnlab lab DIR -- --no-browser --port=9000",
    )
    lab.set_defaults(execute=run.lab)
    lab.add_argument(
        "folder",
        nargs="?",
        metavar="DIR",
        type=Path,
        help=f"folder (default: {run.LESSONS}; in a clone of the repository, its notebooks)",
    )
