"""The command line does what it says, in its own spelling and in the study's."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from PIL import Image

from hbnlab import models, run_folder
from hbnlab.cli import main
from hbnlab.cli.arguments import parse, study_spelling
from hbnlab.cli.commands import data_choice
from hbnlab.cli.console_tables import align
from hbnlab.data.split import Split
from hbnlab.run_folder import CHECKPOINT, DataChoice, load_run
from hbnlab.trees import GLYPHS

COLOURS = {"warm/red": 0, "warm/yellow": 40, "cold/blue": 160, "cold/green": 90}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Forty-eight small pictures in two coarse and four fine classes, told apart by their hue."""
    root = tmp_path_factory.mktemp("pictures")
    for name, hue in COLOURS.items():
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(12):
            picture = Image.new("HSV", (32, 32), (hue, 200, 120 + 10 * number)).convert("RGB")
            picture.save(folder / f"{number}.png")
    return root


def train(pictures, out, *more):
    words = ["train", "--out", str(out), "--dataset", "folder", "--root", str(pictures)]
    return main([*words, "--width", "0.05", "--num-epochs", "2", "--batch-size", "8", *more])


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    assert train(pictures, out, "--model", "ag-hbn", "--num-pt-epochs", "1") == 0
    return out


def test_train_writes_a_run_that_can_be_loaded(run, capsys):
    network, choice, history = load_run(run)
    assert (network.name, network.width, choice.name) == ("ag-hbn", 0.05, "folder")
    assert [epoch.phase for epoch in history.epochs] == ["train", "train", "post-train"]
    assert {path.name for path in run.iterdir()} >= {CHECKPOINT, "run.json", "history.json"}


def test_test_writes_one_entry_per_cell_and_the_policies(run, capsys):
    assert main(["test", "--out", str(run)]) == 0
    report = json.loads((run / "test.json").read_text())
    cells = [(cell["exit"], cell["level"]) for cell in report["cells"]]
    assert cells == [(number, level) for number in (1, 2, 3) for level in ("coarse", "fine")]
    for cell in report["cells"]:
        assert 0 <= cell["accuracy"] <= cell["hierarchical_accuracy"] <= 1
        assert cell["flops"] > 0
    assert "semantic gate" in [row["name"] for row in report["policies"]]
    printed = capsys.readouterr().out
    assert "hierarchical %" in printed
    assert str(run / "test.json") in printed


def test_the_same_seed_gives_the_same_checkpoint(pictures, tmp_path):
    for out in ("one", "two"):
        train(pictures, tmp_path / out, "--model", "sem-hbn", "--seed", "5")
    one, two = ((tmp_path / out / CHECKPOINT).read_bytes() for out in ("one", "two"))
    assert one == two


def test_a_run_goes_on_with_resume_and_keeps_the_former_one_without(pictures, tmp_path, capsys):
    quick = ("--model", "alexnet")
    train(pictures, tmp_path, *quick)
    before = (tmp_path / CHECKPOINT).read_bytes()
    train(pictures, tmp_path, *quick, "--resume")
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    train(pictures, tmp_path, *quick, "--seed", "1")
    assert (tmp_path / f"previous-{CHECKPOINT}").read_bytes() == before
    assert (tmp_path / CHECKPOINT).read_bytes() != before


def test_a_folder_may_have_a_title_and_be_mirrored(pictures, tmp_path):
    quick = ("--model", "alexnet", "--num-epochs", "1", "--title", "My cats", "--flip")
    train(pictures, tmp_path, *quick)
    _, choice, _ = load_run(tmp_path)
    assert choice.options == {"title": "My cats", "augmentations": ["crop", "flip"]}
    splits = choice.load()
    assert (splits.name, splits.train.augmentations) == ("My cats", ("crop", "flip"))
    assert main(["test", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "test.json").read_text())["dataset"] == "My cats test"


@pytest.mark.parametrize("option", [["--title", "Mine"], ["--flip"]])
def test_options_of_a_folder_are_refused_for_other_data(option, tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path), "--dataset", "glyphs", *option]) == 1
    assert "--title and --flip are of --dataset folder, got" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_any_weights_can_be_tested(run, pictures, tmp_path, capsys):
    words = ["test", "--out", str(tmp_path), "--weights", str(run / CHECKPOINT)]
    data = ["--model", "ag-hbn", "--dataset", "folder", "--root", str(pictures)]
    assert main([*words, *data]) == 0
    assert (tmp_path / "test.json").is_file()
    assert main(words) == 1
    assert "holds another network: name is 'ag-hbn', not 'gran-hbn'" in capsys.readouterr().err


def test_the_spelling_of_the_study_is_understood():
    theirs = ["--mode", "training", "--batch_size", "8", "--num_epochs=2", "--pt_lr", "1e-5"]
    ours = ["train", "--batch-size", "8", "--num-epochs=2", "--pt-lr", "1e-5"]
    assert study_spelling(theirs) == ours
    assert study_spelling(["--out", "a_b", "--mode=testing"]) == ["test", "--out", "a_b"]
    assert study_spelling(["train", "--mode", "training"]) == ["train"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", "--model", "resnet"], models.NAMES),
        (
            ["train", "--dataset", "imagenet"],
            ("glyphs", "fashion_mnist", "cifar10", "cifar100", "folder"),
        ),
        (["train", "--preset", "slow"], ("quick", "readme", "paper")),
        (["fly"], ("demo", "train", "test")),
        (["--mode", "dreaming"], ("training", "testing")),
        (["--mode"], ("training", "testing")),
    ],
)
def test_an_unknown_word_lists_what_there_is(words, named, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert all(name in message for name in named)


def test_a_level_that_a_data_set_lacks_is_refused_and_those_that_have_it_are_named(
    pictures, tmp_path, capsys
):
    assert train(pictures, tmp_path / "run", "--three-levels") == 1
    message = capsys.readouterr().err
    assert (
        "three_levels is an option of ['fashion_mnist', 'cifar10', 'cifar100'], not of folder"
        in message
    )
    assert not (tmp_path / "run").exists()


def test_a_width_of_nothing_is_refused(pictures, tmp_path, capsys):
    assert train(pictures, tmp_path / "run", "--width", "0") == 1
    assert "width must be above 0 and finite, got 0.0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_said_of_the_data_stands_over_what_the_run_had():
    of_run = DataChoice(name="cifar100", root="old", options={"val_size": 9})

    def chosen(name, *words):
        return data_choice(parse(["test", "--out", "run", *words]), name, of_run)

    assert chosen("cifar100") == of_run
    expected = {"val_size": 9, "three_levels": True}
    there = chosen("cifar100", "--root", "new", "--download", "--three-levels")
    assert there == DataChoice(name="cifar100", root="new", download=True, options=expected)
    assert chosen("glyphs") == DataChoice(name="glyphs")


def test_a_run_is_tested_on_images_that_were_moved(run, pictures, tmp_path, capsys):
    moved = shutil.copytree(pictures, tmp_path / "moved")
    (moved / "warm" / "red" / "0.png").unlink()
    before = (run / "test.json").read_bytes() if (run / "test.json").exists() else b""
    assert main(["test", "--out", str(run), "--root", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert main(["test", "--out", str(run), "--root", str(moved)]) == 0
    assert (run / "test.json").read_bytes() != before


# ---------------------------------------------------------------------- a tree of one's own

TREE = "kind,colour\nwarm,red\nwarm,yellow\ncold,blue\ncold,green\n"


@pytest.fixture(scope="module")
def flat(pictures, tmp_path_factory):
    """The same pictures in flat folders, and the tree that they had in a file."""
    root = tmp_path_factory.mktemp("flat")
    for name in COLOURS:
        shutil.copytree(pictures / name, root / "pictures" / name.split("/")[1])
    (root / "tree.csv").write_text(TREE)
    return root


def train_flat(flat, out, *more):
    words = ("--model", "gran-hbn", "--num-epochs", "1", *more)
    return train(flat / "pictures", out, *words)


def test_a_run_remembers_the_tree_of_its_flat_folders_without_the_file(flat, tmp_path):
    tree = shutil.copy(flat / "tree.csv", tmp_path / "mine.csv")
    assert train_flat(flat, tmp_path / "run", "--preset", "readme", "--tree", str(tree)) == 0
    tree.unlink()
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert described["data"]["options"]["tree"] == described["network"]["hierarchy"]
    assert main(["test", "--run", str(tmp_path / "run")]) == 0
    report = json.loads((tmp_path / "run" / "test.json").read_text())
    assert {cell["level"] for cell in report["cells"]} == {"kind", "colour"}
    resume = ["train", "--resume", "--out", str(tmp_path / "run"), "--num-epochs", "2"]
    assert main(resume) == 0
    assert len(load_run(tmp_path / "run")[2].epochs) == 2
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"] == described["data"]


def test_a_run_is_not_resumed_with_another_tree(flat, tmp_path, capsys):
    tree = tmp_path / "tree.csv"
    assert train_flat(flat, tmp_path / "run", "--tree", str(flat / "tree.csv")) == 0
    before = contents(tmp_path / "run")
    for changed, message in (
        (TREE.replace("cold,green", "warm,green"), "such as 'cold/green', not 'warm/green'"),
        (TREE.replace("cold,green", "mild,green"), "hierarchy has classes (2, 4), not (3, 4)"),
    ):
        tree.write_text(changed)
        assert train_flat(flat, tmp_path / "run", "--tree", str(tree), "--resume") == 1
        assert message in capsys.readouterr().err
        assert contents(tmp_path / "run") == before


def test_flat_folders_need_a_tree_and_what_is_wrong_with_it_is_said_by_line(flat, tmp_path, capsys):
    assert train_flat(flat, tmp_path / "run") == 1
    assert "and no tree: nest their folders, or give" in (said := capsys.readouterr().err)
    assert "--tree FILE" in said
    tree = tmp_path / "tree.csv"
    tree.write_text(TREE.replace("green", "grene"))
    assert train_flat(flat, tmp_path / "run", "--tree", str(tree)) == 1
    said = capsys.readouterr().err
    assert f"{tree}, line 5: every finest class must be one of the folders in" in said
    assert "got ['grene']; it has ['green'], which have no row" in said
    assert not (tmp_path / "run").exists()


def test_a_data_set_with_a_tree_takes_ones_own_for_the_same_classes_only(tmp_path, capsys):
    rows = "\n".join(("class", *GLYPHS.class_names[-1]))
    (tmp_path / "tree.csv").write_text(f"{rows}x\n")
    words = ["test", "--weights", "glyphs", "--out", str(tmp_path / "out"), "--dataset", "glyphs"]
    assert main([*words, "--tree", str(tmp_path / "tree.csv")]) == 1
    assert "tree.csv, line 101: every finest class must be one of glyphs" in capsys.readouterr().err


def test_a_tree_replaces_the_tree_that_a_run_had():
    of_run = DataChoice(name="cifar10", options={"val_size": 9, "three_levels": True})
    tree = data_choice(parse(["test", "--out", "run", "--tree", "a.csv"]), "cifar10", of_run)
    assert tree.options == {"val_size": 9, "tree": "a.csv"}
    three = data_choice(parse(["test", "--out", "run", "--three-levels"]), "cifar10", tree)
    assert three.options == of_run.options


@pytest.mark.parametrize("option", [[], ["--tree", "mine.csv"], ["--three-levels"]])
def test_a_report_of_another_tree_trains_where_that_of_the_own_tree_has_weights(
    option, tmp_path, monkeypatch
):
    plans = []
    monkeypatch.setattr("hbnlab.report.reproduce", plans.append)
    words = ["reproduce", "--dataset", "fashion_mnist", "--out", str(tmp_path), *option]
    assert main(words) == 0
    assert plans[0].weights == ("train" if option else "bundled")
    assert ("--tree FILE" in plans[0].command) == ("--tree" in option)
    assert ("--three-levels" in plans[0].command) == ("--three-levels" in option)


# ---------------------------------------------------------------------- other words


def test_words_for_jupyterlab_are_of_no_use_to_another_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--", "--no-browser"])
    assert stopped.value.code == 2
    assert "only lab takes arguments after --, got --no-browser" in capsys.readouterr().err


def test_an_unknown_weights_name_lists_what_there_is(tmp_path, capsys):
    assert main(["test", "--out", str(tmp_path), "--weights", "imagenet"]) == 1
    message = capsys.readouterr().err
    assert all(name in message for name in models.bundled_names())
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_says_how_to_make_one(tmp_path, capsys):
    assert main(["test", "--out", str(tmp_path)]) == 1
    assert "hbnlab train --out" in capsys.readouterr().err


def test_a_bad_setting_is_refused_before_any_training(pictures, tmp_path, capsys):
    assert train(pictures, tmp_path / "run", "--lr", "-1") == 1
    assert "above 0, got -1.0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_help_of_every_command_prints(capsys):
    for command in ([], ["demo"], ["train"], ["test"]):
        with pytest.raises(SystemExit) as stopped:
            main([*command, "--help"])
        assert stopped.value.code == 0
        assert "usage: hbnlab" in capsys.readouterr().out


def test_columns_line_up():
    text = align([["exit", "name", "x"], ["1", "a", "2.5"], ["2", "long", "10.5"]])
    assert text.splitlines()[1:] == ["   1  a      2.5", "   2  long  10.5"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.cuda
def test_train_and_test_on_a_gpu(pictures, tmp_path):
    assert train(pictures, tmp_path, "--device", "cuda") == 0
    assert main(["test", "--out", str(tmp_path), "--device", "cuda"]) == 0


# ---------------------------------------------------------------------- what is refused


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume", "--seed", "7"], "seed was 0, now 7"),
        (["--resume", "--width", "0.1"], "width"),
        (["--resume", "--model", "sem-hbn"], "another network"),
        (["--resume", "--device", "cuda:7"], "cuda:7"),
        (["--device", "cuda:7"], "cuda:7"),
        (["--device", "meta"], "meta"),
        (["--device", "mps"], "mps"),
        (["--seed", str(2**64)], "seed must be"),
    ],
)
def test_a_refused_training_leaves_the_folder_as_it_was(run, pictures, words, message, capsys):
    before = contents(run)
    model = [] if "--model" in words else ["--model", "ag-hbn", "--num-pt-epochs", "1"]
    assert train(pictures, run, *model, *words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert contents(run) == before


def test_no_checkpoint_is_ever_overwritten_by_a_fresh_start(pictures, tmp_path):
    kept = []
    for seed in ("1", "2", "3"):
        train(pictures, tmp_path, "--model", "alexnet", "--num-epochs", "1", "--seed", seed)
        kept.append((tmp_path / CHECKPOINT).read_bytes())
    names = ["previous-checkpoint.safetensors", "previous-checkpoint-2.safetensors", CHECKPOINT]
    assert [(tmp_path / name).read_bytes() for name in names] == kept
    assert len(set(kept)) == 3


def test_no_epochs_claim_no_checkpoint(pictures, tmp_path, capsys):
    assert train(pictures, tmp_path / "run", "--num-epochs", "0", "--model", "alexnet") == 0
    assert "no epoch was trained" in (said := capsys.readouterr().out)
    assert "written to" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["demo"], ["bench"], ["reproduce"]])
@pytest.mark.parametrize("option", [["--device", "meta"], ["--seed", str(2**64)]])
def test_what_no_machine_has_is_refused_in_one_line(command, option, tmp_path, capsys):
    if option[0] == "--seed" and command != ["demo"]:
        pytest.skip("has no seed")
    assert main([*command, *option, "--out", str(tmp_path / "out.json")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- resuming


def test_a_resumed_run_has_its_options_from_the_run(pictures, tmp_path):
    options = ("--model", "alexnet", "--num-epochs", "3", "--preset", "readme", "--seed", "4")
    train(pictures, tmp_path / "whole", *options)
    stopped = stop_after_first_epoch()
    train(pictures, tmp_path / "cut", *options)
    stopped.undo()
    described = (tmp_path / "cut" / "run.json").read_bytes()
    assert main(["train", "--resume", "--out", str(tmp_path / "cut")]) == 0
    whole, cut = ((tmp_path / name / CHECKPOINT).read_bytes() for name in ("whole", "cut"))
    assert whole == cut
    assert (tmp_path / "cut" / "run.json").read_bytes() == described


def stop_after_first_epoch():
    """Let training be interrupted in its second epoch, as by Ctrl-C."""
    context = pytest.MonkeyPatch()
    original, saved = run_folder.write_json, []

    def write_json(path, value):
        original(path, value)
        saved.append(path)

    def batches(self, *args, **kwargs):
        if any(path.name == "history.json" for path in saved):
            raise KeyboardInterrupt
        return original_batches(self, *args, **kwargs)

    original_batches = Split.batches
    context.setattr(run_folder, "write_json", write_json)
    context.setattr(Split, "batches", batches)
    return context


def test_an_interrupted_training_says_how_to_resume(pictures, tmp_path, capsys):
    stopped = stop_after_first_epoch()
    assert train(pictures, tmp_path / "cut", "--model", "alexnet") == 130
    stopped.undo()
    said = capsys.readouterr().err
    assert f"resume with: hbnlab train --resume --out {tmp_path / 'cut'}" in said
    first = json.loads((tmp_path / "cut" / "history.json").read_text())
    assert len(first) == 1
    assert main(["train", "--resume", "--out", str(tmp_path / "cut")]) == 0
    history = json.loads((tmp_path / "cut" / "history.json").read_text())
    assert history[0] == first[0]
    assert all(epoch["seconds"] > 0 for epoch in history)
    assert load_run(tmp_path / "cut")[2].seconds == sum(epoch["seconds"] for epoch in history)


def test_more_epochs_may_be_trained_under_a_constant_learning_rate(pictures, tmp_path):
    train(pictures, tmp_path, "--model", "alexnet", "--preset", "readme", "--num-epochs", "1")
    assert main(["train", "--resume", "--out", str(tmp_path), "--num-epochs", "2"]) == 0
    assert len(load_run(tmp_path)[2].epochs) == 2
    assert json.loads((tmp_path / "run.json").read_text())["config"]["epochs"] == 2


@pytest.mark.parametrize("module", ["hbnlab", "hbnlab.cli"])
def test_interrupting_the_start_shows_no_traceback(module):
    code = (
        "import builtins, sys\n"
        "load = builtins.__import__\n"
        "def interrupted(name, *rest):\n"
        "    if name == 'torch':\n"
        "        raise KeyboardInterrupt\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = interrupted\n"
        f"from {module + '.cli' if module == 'hbnlab' else module} import main\n"
        "sys.exit(main(['train']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "hbnlab: stopped" in done.stderr


# ---------------------------------------------------------------------- writing


@pytest.mark.parametrize("command", ["test", "bench"])
def test_what_cannot_be_written_is_said_before_the_work(
    command, run, tmp_path, monkeypatch, capsys
):
    (tmp_path / "taken").write_text("a letter")
    out = tmp_path / "taken" / ("bench.json" if command == "bench" else "out")
    monkeypatch.setattr(run_folder, "examine", None)
    monkeypatch.setattr("hbnlab.bench.run_bench", None)
    words = [] if command == "bench" else ["--run", str(run)]
    assert main([command, *words, "--out", str(out)]) == 1
    assert "taken" in capsys.readouterr().err


def test_a_test_that_cannot_be_written_is_printed_all_the_same(run, monkeypatch, capsys):
    def full(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("hbnlab.cli.commands.write_json", full)
    assert main(["test", "--run", str(run)]) == 1
    printed = capsys.readouterr()
    assert "hierarchical %" in printed.out
    assert "test.json" in printed.err


def test_a_run_is_tested_into_another_folder(run, tmp_path):
    assert main(["test", "--run", str(run), "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["test.json"]


@pytest.mark.parametrize("words", [[], ["--weights", "glyphs"], ["--weights", "a", "--run", "b"]])
def test_a_test_needs_one_thing_to_test_and_a_folder(words, capsys):
    assert main(["test", *words]) == 1
    assert "give --run DIR, or --weights NAME|FILE with --out DIR" in capsys.readouterr().err


def test_the_package_runs_as_a_module():
    words = [sys.executable, "-m", "hbnlab", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("hbnlab ")
