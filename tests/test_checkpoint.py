"""hbnlab.training.checkpoint: a run that is cut, wherever, ends as the run that was not."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hbnlab import models
from hbnlab.history import History
from hbnlab.models import EarlyExitNetwork, save_weights
from hbnlab.storage import load_tensors, save_tensors
from hbnlab.training import Step, TrainConfig, fit, post_train
from hbnlab.training.checkpoint import RunState, load_checkpoint
from hbnlab.trees import FASHION_MNIST

# Everything that is random is on: order, crops and flips, dropout.
CONFIG = TrainConfig(
    epochs=3,
    post_epochs=2,
    batch_size=16,
    learning_rate=3e-3,
    post_learning_rate=1e-2,
    schedule="warmup-cosine",
    dropout=0.3,
    augment=True,
    device="cpu",
)


class _PowerCutError(Exception):
    pass


@pytest.fixture
def run(tiny_network, tiny_splits) -> Callable[..., EarlyExitNetwork]:
    """Train AG-HBN and its gate; ``cut`` = (phase, epoch, step) where the power goes."""

    def train_both(
        path: Path,
        config: TrainConfig = CONFIG,
        *,
        resume: bool = False,
        cut: tuple[str, int, int] | None = None,
        **changes: Any,
    ) -> EarlyExitNetwork:
        def on_step(step: Step) -> None:
            if (step.phase, step.epoch, step.number) == cut:
                raise _PowerCutError

        network = tiny_network("ag-hbn", **changes)
        how = {"checkpoint": path, "resume": resume, "progress": False}
        history = fit(network, tiny_splits, config, on_step, **how)
        post_train(network, tiny_splits, config, on_step, history=history, **how)
        return network

    return train_both


@pytest.fixture
def finished(run, tmp_path) -> Path:
    """The checkpoint of a run that was never cut."""
    run(tmp_path / "whole.safetensors")
    return tmp_path / "whole.safetensors"


def _holds(path: Path, network: EarlyExitNetwork) -> bool:
    """Whether a checkpoint holds the weights of a network to the bit."""
    stored, weights = load_checkpoint(path)[0].state, network.state_dict()
    return stored.keys() == weights.keys() and all(
        torch.equal(stored[name], weights[name]) for name in weights
    )


# ---------------------------------------------------------------------- the same run again


def test_the_same_seed_writes_the_same_bytes(finished, run, tmp_path):
    torch.rand(7)
    run(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == finished.read_bytes()
    run(tmp_path / "other.safetensors", replace(CONFIG, seed=1))
    assert (tmp_path / "other.safetensors").read_bytes() != finished.read_bytes()


@pytest.mark.parametrize(
    "cut",
    [
        ("train", 1, 2),
        ("train", 2, 1),
        ("train", 3, 3),
        ("post-train", 1, 1),
        ("post-train", 2, 2),
    ],
)
def test_a_run_that_was_cut_ends_byte_for_byte_like_one_that_was_not(cut, finished, run, tmp_path):
    path = tmp_path / "cut.safetensors"
    with pytest.raises(_PowerCutError):
        run(path, cut=cut)
    # The dropout that the network was made with does not matter, nor, once there is a checkpoint,
    # do its weights.
    run(path, resume=True, dropout=0.5, seed=9 if path.exists() else 0)
    assert path.read_bytes() == finished.read_bytes()


def test_a_run_cut_again_and_again_gets_there_too(finished, run, tmp_path):
    path = tmp_path / "cut.safetensors"
    for cut in [("train", 2, 1), ("train", 2, 3), ("train", 3, 1), ("post-train", 2, 1)]:
        with pytest.raises(_PowerCutError):
            run(path, resume=True, cut=cut)
    run(path, resume=True)
    assert path.read_bytes() == finished.read_bytes()


def test_a_run_without_augmentation_or_dropout_resumes_too(run, tmp_path):
    config = replace(CONFIG, augment=False, dropout=0.0, gate_targets_with_dropout=False)
    run(tmp_path / "whole", config)
    with pytest.raises(_PowerCutError):
        run(tmp_path / "cut", config, cut=("train", 3, 1))
    run(tmp_path / "cut", config, resume=True)
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_finished_run_has_nothing_left_to_do(finished, tiny_network, tiny_splits):
    before, network, steps = finished.read_bytes(), tiny_network("ag-hbn", seed=4), []
    how = {"checkpoint": finished, "resume": True, "progress": False}
    history = fit(network, tiny_splits, CONFIG, steps.append, **how)
    history = post_train(network, tiny_splits, CONFIG, steps.append, history=history, **how)
    assert steps == []
    assert finished.read_bytes() == before
    assert [e.phase for e in history.epochs] == ["train"] * 3 + ["post-train"] * 2
    assert _holds(finished, network)


def test_without_resume_a_run_starts_afresh(finished, run):
    before = finished.read_bytes()
    run(finished)
    assert finished.read_bytes() == before


def test_a_run_can_be_made_longer_where_the_learning_rate_is_constant(run, tmp_path):
    config = replace(CONFIG, schedule="constant", post_epochs=0)
    run(tmp_path / "long", config)
    run(tmp_path / "short", replace(config, epochs=1))
    run(tmp_path / "short", config, resume=True)
    assert (tmp_path / "short").read_bytes() == (tmp_path / "long").read_bytes()


def test_a_stopped_run_is_saved_with_what_it_learned(tiny_network, tiny_splits, tmp_path):
    network = tiny_network()
    fit(
        network,
        tiny_splits,
        CONFIG,
        lambda step: step.number == 2,
        checkpoint=tmp_path / "c",
        progress=False,
    )
    assert _holds(tmp_path / "c", network)
    assert len(load_checkpoint(tmp_path / "c")[1].epochs) == 1


# ---------------------------------------------------------------------- what a file holds


def test_a_checkpoint_holds_the_history_but_no_times(finished, tiny_splits):
    _, history = load_checkpoint(finished)
    assert [(e.phase, e.number) for e in history.epochs] == [
        *(("train", number) for number in (1, 2, 3)),
        *(("post-train", number) for number in (1, 2)),
    ]
    assert history.seconds == 0.0
    _, header = load_tensors(finished)
    assert header["data"] == tiny_splits.train.fingerprint
    assert "seconds" not in str(header)


def test_a_checkpoint_serves_as_weights(finished, run, tmp_path):
    network = run(tmp_path / "c")
    again = models.create("ag-hbn", weights=finished)
    assert again.to_spec() == network.to_spec()
    assert _holds(finished, again)


def _state(network: EarlyExitNetwork, seed: int) -> RunState:
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    generator = torch.Generator().manual_seed(seed)
    return RunState(
        network, optimizer, generator, "train", TrainConfig().for_exits(3), "d", History()
    )


def _moments(state: RunState) -> list[Tensor]:
    moments = state.optimizer.state.values()
    return [value for kept in moments for _, value in sorted(kept.items())]


def test_the_optimizer_comes_back_number_by_number_and_in_the_same_layout(tiny_network, tmp_path):
    """Fused Adam pairs numbers by their place in memory, so a layout that differs is an error."""
    written, read = _state(tiny_network(seed=1), 1), _state(tiny_network(seed=2), 2)
    for parameter in written.network.parameters():
        parameter.grad = torch.rand_like(parameter)
    written.optimizer.step()
    written.save(tmp_path / "c")
    with torch.random.fork_rng():
        read.restore(tmp_path / "c", History())
    for mine, theirs in zip(_moments(read), _moments(written), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.stride() == theirs.stride()
    assert torch.equal(read.generator.get_state(), written.generator.get_state())


# ---------------------------------------------------------------------- another run, no run


def test_a_checkpoint_of_another_network_is_refused_with_every_field(finished, tiny_splits):
    network = models.create("gran-hbn", FASHION_MNIST, width=0.1)
    splits = _on_another_tree(tiny_splits)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match="holds another network") as caught:
        fit(network, splits, CONFIG, checkpoint=finished, resume=True, progress=False)
    message = str(caught.value)
    for part in [
        str(finished),
        "name is 'ag-hbn', not 'gran-hbn'",
        "width is 0.05, not 0.1",
        "hierarchy has classes (2, 5), not (6, 10)",
    ]:
        assert part in message
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def _on_another_tree(splits):
    def moved(split):
        labels = FASHION_MNIST.label_table(split.labels[:, 1])
        return replace(split, labels=labels, hierarchy=FASHION_MNIST)

    parts = {part: moved(getattr(splits, part)) for part in ("train", "val", "test")}
    return replace(splits, **parts, hierarchy=FASHION_MNIST)


def test_a_checkpoint_with_other_heads_is_refused(finished, tiny_network, tiny_splits):
    network = tiny_network("ag-hbn", heads=((True, False), (True, True), (True, True)))
    with pytest.raises(ValueError, match=r"heads is \[\[True, True\], .*, not \[\[True, False\]"):
        fit(network, tiny_splits, CONFIG, checkpoint=finished, resume=True, progress=False)


def test_a_checkpoint_of_another_run_is_refused_with_every_setting(
    finished, tiny_network, tiny_splits
):
    other = replace(tiny_splits, train=tiny_splits.train.subset(range(20)))
    config = replace(CONFIG, learning_rate=1e-4, epochs=7, branch_weights=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="is of another run") as caught:
        fit(tiny_network("ag-hbn"), other, config, checkpoint=finished, resume=True, progress=False)
    for part in [
        str(finished),
        "learning_rate was 0.003, now 0.0001",
        "epochs was 3, now 7",
        "branch_weights was [1.0, 0.8, 0.6], now [1.0, 1.0, 1.0]",
        f"training images were {tiny_splits.train.fingerprint}, now {other.train.fingerprint}",
    ]:
        assert part in str(caught.value)
    assert "dropout" not in str(caught.value)


def test_only_the_schedule_is_named_where_only_it_differs(finished, tiny_network, tiny_splits):
    config = replace(CONFIG, schedule="constant", device="auto")
    with pytest.raises(ValueError, match=r"run: schedule was 'warmup-cosine', now 'constant'$"):
        fit(tiny_network("ag-hbn"), tiny_splits, config, checkpoint=finished, resume=True)


def _with_settings(path: Path, to: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a checkpoint whose settings are changed."""
    tensors, header = load_tensors(path)
    change(header["config"])
    save_tensors(to, tensors, header)
    return to


def test_a_checkpoint_of_an_earlier_version_is_resumed(finished, run, tmp_path):
    """A setting that it lacks has its default; the schedule had another name."""

    def age(settings: dict[str, Any]) -> None:
        del settings["compile"], settings["weight_decay"]
        settings |= {"schedule": "one-cycle", "branch_weights": [1.0, 0.8, 0.6]}

    old = _with_settings(finished, tmp_path / "old", age)
    run(old, resume=True)
    with pytest.raises(ValueError, match=r"run: weight_decay was 0.0001, now 0.5$"):
        run(old, replace(CONFIG, weight_decay=0.5), resume=True)


def test_a_checkpoint_with_a_setting_from_the_future_is_refused_by_its_name(
    finished, run, tmp_path
):
    new = _with_settings(finished, tmp_path / "new", lambda settings: settings.update(momentum=1))
    with pytest.raises(ValueError, match=r"settings in .*new cannot be read: .*\['momentum'\]"):
        run(new, resume=True)


def test_seconds_survive_a_resume_but_are_in_no_checkpoint(tiny_network, tiny_splits, tmp_path):
    config = replace(CONFIG, schedule="constant", epochs=2)
    written: list[tuple[History, bool]] = []
    how: dict[str, Any] = {"checkpoint": tmp_path / "c", "progress": False}

    def on_epoch(history: History) -> None:
        written.append((History(list(history.epochs)), (tmp_path / "c").exists()))

    fit(tiny_network("ag-hbn"), tiny_splits, config, on_epoch=on_epoch, **how)
    assert [len(history.epochs) for history, _ in written] == [1, 2]
    assert not written[0][1]  # the history comes first, so that a kill between loses no seconds

    how |= {"resume": True}
    config, network = replace(config, epochs=3), tiny_network("ag-hbn")
    history = fit(network, tiny_splits, config, times=written[-1][0], **how)
    history = post_train(network, tiny_splits, config, history=history, **how)
    seconds = [epoch.seconds for epoch in history.epochs]
    assert seconds[:2] == [epoch.seconds for epoch in written[-1][0].epochs]
    assert len(seconds) == 5
    assert min(seconds) > 0
    assert load_checkpoint(tmp_path / "c")[1].seconds == 0.0


def test_times_of_a_run_that_is_not_resumed_are_not_taken(tiny_network, tiny_splits, tmp_path):
    times = fit(tiny_network(), tiny_splits, CONFIG, progress=False)
    how: dict[str, Any] = {"times": times, "checkpoint": tmp_path / "c", "resume": True}
    history = fit(tiny_network(), tiny_splits, replace(CONFIG, epochs=1), progress=False, **how)
    assert [epoch.number for epoch in history.epochs] == [1]


def test_weights_alone_are_no_checkpoint(tiny_network, tiny_splits, tmp_path):
    save_weights(tiny_network(), tmp_path / "w")
    with pytest.raises(ValueError, match="no checkpoint of a run, but 'hbnlab-weights-1'"):
        fit(tiny_network(), tiny_splits, CONFIG, checkpoint=tmp_path / "w", resume=True)
    with pytest.raises(ValueError, match="weights without a history"):
        load_checkpoint(tmp_path / "w")


@pytest.mark.parametrize("damage", ["cut short", "altered"])
def test_a_damaged_checkpoint_is_refused(damage, finished, tiny_network, tiny_splits):
    whole = bytearray(finished.read_bytes())
    if damage == "cut short":
        finished.write_bytes(whole[: len(whole) // 2])
    else:
        whole[-1000] ^= 1
        finished.write_bytes(whole)
    with pytest.raises(ValueError, match=r"whole\.safetensors is (damaged|not a complete file)"):
        load_checkpoint(finished)
    with pytest.raises(ValueError, match=r"whole\.safetensors is (damaged|not a complete file)"):
        fit(
            tiny_network("ag-hbn"),
            tiny_splits,
            CONFIG,
            checkpoint=finished,
            resume=True,
            progress=False,
        )


# ---------------------------------------------------------------------- kills

# Each training runs in a fork, so that killing it costs no start of Python. No gradient is taken
# before a fork: torch's engine does not survive one.
KILLED_RUNS = """
import os, random, signal, sys, time
from pathlib import Path

import torch

sys.path.insert(0, {tests!r})
from conftest import TINY_TREE, tiny_split
from hbnlab import models
from hbnlab.training.checkpoint import load_checkpoint
from hbnlab.data import Splits
from hbnlab.training import TrainConfig, fit

torch.set_num_threads(1)
parts = [("train", 42), ("val", 15), ("test", 10)]
train, val, test = (tiny_split(part, count, seed) for seed, (part, count) in enumerate(parts))
splits = Splits(train=train, val=val, test=test, hierarchy=TINY_TREE, name="colours")
config = TrainConfig(epochs=15, batch_size=16, device="cpu")


def start(path):
    child = os.fork()
    if child == 0:
        network = models.create("gran-hbn", TINY_TREE, width=0.05)
        fit(network, splits, config, checkpoint=path, resume=True, progress=False)
        os._exit(0)
    return child


whole, killed = Path("whole"), Path("killed")
began = time.perf_counter()
assert os.waitpid(start(whole), 0)[1] == 0
lasts = time.perf_counter() - began
moments, kills, epochs = random.Random(0), 0, 0
for _ in range(6):
    child = start(killed)
    time.sleep(moments.uniform(0.1, 0.5) * lasts)
    os.kill(child, signal.SIGKILL)
    kills += os.waitpid(child, 0)[1] == signal.SIGKILL
    if killed.exists():
        found = len(load_checkpoint(killed)[1].epochs)
        assert found >= epochs
        epochs = found
assert kills > 0
assert os.waitpid(start(killed), 0)[1] == 0
assert killed.read_bytes() == whole.read_bytes()
left_behind = sorted(os.listdir())
assert left_behind == ["killed", "whole"], left_behind
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork and kill")
def test_a_run_killed_at_any_moment_leaves_a_whole_file_and_ends_the_same(tmp_path):
    code = KILLED_RUNS.format(tests=str(Path(__file__).parent))
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
