"""What can be said to ``hbnlab``, in its own spelling and in the study's."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hbnlab import __version__, data, models
from hbnlab.cli import commands as run
from hbnlab.models.alexnet import NAMES as STUDY

MODES = {"training": "train", "testing": "test"}


def understood(words: Sequence[str]) -> argparse.Namespace:
    """What the words ask for; those after ``--`` are for JupyterLab, as they are."""
    end = words.index("--") if "--" in words else len(words)
    chosen = parser().parse_args(study_spelling(words[:end]))
    chosen.handed_on = list(words[end + 1 :])
    if chosen.handed_on and chosen.command != "lab":
        parser().error(f"only lab takes words after --, got {' '.join(chosen.handed_on)}")
    return chosen


def study_spelling(words: Sequence[str]) -> list[str]:
    """Translate the study's command line: ``--num_epochs 2 --mode training`` and the like."""
    known, mode = [], None
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            word = name.replace("_", "-") + equals + value
        known.append(word)
    for at, word in enumerate(known):
        if word == "--mode" or word.startswith("--mode="):
            mode = word.removeprefix("--mode=") if "=" in word else "".join(known[at + 1 : at + 2])
            del known[at : at + (1 if "=" in word else 2)]
            break
    if mode is None:
        return known
    if mode not in MODES:
        parser().error(f"--mode must be one of {sorted(MODES)}, got {mode!r}")
    return known if known[:1] == [MODES[mode]] else [MODES[mode], *known]


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="hbnlab",
        description="Early-exit networks that decide, image by image, how deep to think and how "
        "specific to be.",
        epilog="Start with: hbnlab demo",
    )
    top.add_argument("--version", action="version", version=f"hbnlab {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_train(commands)
    _add_test(commands)
    _add_reproduce(commands)
    _add_bench(commands)
    _add_lab(commands)
    return top


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="train Gran-HBN in a minute or two and show what each exit can do",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.set_defaults(run=run.demo)
    demo.add_argument("--out", default="runs/demo", type=Path, help="folder to write")
    _data_options(demo, default="glyphs")
    demo.add_argument("--seed", default=0, type=int, help="of everything random")
    demo.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train one of the five networks into a folder",
        description="Train a network; options that are not given come from the preset.",
    )
    train.set_defaults(run=run.train)
    train.add_argument("--out", type=Path, help="folder of the run (default: runs/MODEL-DATASET)")
    train.add_argument(
        "--model", default="gran-hbn", choices=models.NAMES, help="(default: gran-hbn)"
    )
    _data_options(train, default="glyphs")
    train.add_argument(
        "--preset",
        default="quick",
        choices=("quick", "readme", "paper"),
        help="quick: trains well in minutes on two cores, at a quarter of the width; readme: the "
        "study's command-line defaults; paper: its table I (default: quick)",
    )
    train.add_argument("--width", type=float, help="factor on channels (default: the preset's)")
    train.add_argument("--num-epochs", dest="epochs", type=int, help="passes over the images")
    train.add_argument("--num-pt-epochs", dest="post_epochs", type=int, help="of the gate, AG-HBN")
    train.add_argument("--batch-size", type=int, help="images a step")
    train.add_argument("--lr", dest="learning_rate", type=float, help="learning rate")
    train.add_argument("--pt-lr", dest="post_learning_rate", type=float, help="of the gate")
    train.add_argument("--weight-decay", type=float, help="L2 penalty")
    train.add_argument("--precision", choices=("auto", "float32", "bfloat16"), help="arithmetic")
    train.add_argument("--compile", action="store_true", default=None, help="use torch.compile")
    train.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    train.add_argument("--seed", default=0, type=int, help="of everything random (default: 0)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")


def _add_test(commands: Any) -> None:
    test = commands.add_parser(
        "test",
        help="look at every exit of a trained network on the test images",
        description="Test the run in --out, or any other weights with --weights; the table goes to "
        "the screen and to test.json in --out. Options of the data stand over those of the run.",
    )
    test.set_defaults(run=run.test)
    test.add_argument("--out", type=Path, required=True, help="folder of a run, or to write into")
    test.add_argument(
        "--weights", help="a bundled name (glyphs, fashion_mnist), a weights file or a checkpoint"
    )
    test.add_argument(
        "--model", default="gran-hbn", choices=models.NAMES, help="which one, for --weights"
    )
    _data_options(test, default=None)
    test.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def _add_reproduce(commands: Any) -> None:
    reproduce = commands.add_parser(
        "reproduce",
        help="write all figures and tables of the study for a data set, with a report",
        description="Load or train the networks of the study, test them, and write a folder with "
        "figures, numbers and a report. Started again, it goes on from what is there.",
    )
    reproduce.set_defaults(run=run.reproduce)
    reproduce.add_argument("--out", type=Path, help="folder to write (default: results/DATASET)")
    _data_options(reproduce, default="glyphs")
    reproduce.add_argument(
        "--weights",
        choices=("bundled", "train"),
        help="(default: bundled where there are some and no training is asked for)",
    )
    reproduce.add_argument("--models", nargs="+", choices=STUDY, default=STUDY)
    reproduce.add_argument(
        "--paper-protocol",
        action="store_true",
        help="test as the study's code does: decisions of whole batches, augmented test images",
    )
    reproduce.add_argument("--seeds", type=int, help="train so many times, report intervals")
    reproduce.add_argument(
        "--preset", choices=("quick", "readme", "paper"), help="to train with (default: quick)"
    )
    reproduce.add_argument("--width", type=float, help="factor on channels, when training")
    reproduce.add_argument("--num-epochs", dest="epochs", type=int, help="when training")
    reproduce.add_argument(
        "--num-pt-epochs", dest="post_epochs", type=int, help="when training the gate of AG-HBN"
    )
    reproduce.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure what leaving early saves here, beside the most it could",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    bench.set_defaults(run=run.bench)
    bench.add_argument("--out", default="runs/bench/bench.json", type=Path, help="file to write")
    bench.add_argument("--width", default=1.0, type=float, help="factor on channels")
    bench.add_argument("--images", default=2048, type=int, help="more make figures steadier")
    bench.add_argument("--batch-size", type=int, help="64 on a processor, else 512")
    bench.add_argument("--rounds", default=5, type=int, help="measurements of everything")
    bench.add_argument("--threads", default=1, type=int, help="of the processor")
    bench.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def _add_lab(commands: Any) -> None:
    lab = commands.add_parser(
        "lab",
        help="open the lessons in JupyterLab",
        description="Copy the lessons into DIR, where they are not there yet, and open JupyterLab "
        "on it. What you have changed is kept; delete a notebook to get it anew.",
        epilog="What stands after -- is for JupyterLab: hbnlab lab DIR -- --no-browser --port=9000",
    )
    lab.set_defaults(run=run.lab)
    lab.add_argument(
        "folder",
        nargs="?",
        metavar="DIR",
        type=Path,
        help=f"(default: {run.LESSONS}; in a clone of the repository its own notebooks)",
    )


def _data_options(command: argparse.ArgumentParser, default: str | None) -> None:
    command.add_argument(
        "--dataset",
        default=default,
        choices=data.NAMES,
        help="glyphs are rendered here and need no files"
        + ("" if default else " (default: that of the run or of the weights)"),
    )
    command.add_argument("--root", help="folder of the data files; required for folder")
    command.add_argument("--download", action="store_true", help="fetch missing data files")
    command.add_argument(
        "--three-levels", action="store_true", help="add the level of groups above the coarse one"
    )
