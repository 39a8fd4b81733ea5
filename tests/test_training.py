"""hbnlab.training: what is learned, from which images, and that nothing else changes."""

import itertools
import json
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from conftest import TINY_TREE
from hbnlab import models
from hbnlab.data import Splits, TensorSplit
from hbnlab.data.split import Split
from hbnlab.entropy import entropy
from hbnlab.history import CellScore, History
from hbnlab.models import EarlyExitNetwork
from hbnlab.training import Step, TrainConfig, fit, post_train
from hbnlab.training.device import Hardware, choose_device
from hbnlab.training.session import schedule_factor
from hbnlab.trees import FASHION_MNIST


def _config(**changes: Any) -> TrainConfig:
    settings = {"epochs": 2, "post_epochs": 2, "batch_size": 16, "learning_rate": 3e-3}
    settings |= {"weight_decay": 0.0, "dropout": 0.2, "device": "cpu"}
    return TrainConfig(**(settings | changes))


def _weights(network: EarlyExitNetwork) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _changed(before: dict[str, Tensor], network: EarlyExitNetwork) -> set[str]:
    """Names of the tensors that are no longer the same to the bit."""
    return {k for k, tensor in network.state_dict().items() if not torch.equal(tensor, before[k])}


def _gate_weights(network: EarlyExitNetwork) -> set[str]:
    return {name for name in network.state_dict() if name.startswith("gate.")}


# ---------------------------------------------------------------------- learning


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_every_network_learns_colours(name, tiny_network, tiny_splits):
    network = tiny_network(name, width=0.1)
    config = _config(epochs=20, dropout=0.0)
    history = fit(network, tiny_splits, config, progress=False)
    assert history.epochs[-1].loss < 0.2 * history.epochs[0].loss
    for score in history.epochs[-1].cells["val"]:
        assert score.top1 > 0.8


def test_one_epoch_on_eight_images_is_enough_to_change_every_weight(tiny_network, tiny_splits):
    network = tiny_network("ag-hbn")
    before = _weights(network)
    eight = replace(tiny_splits, train=tiny_splits.train.subset(range(8)))
    history = fit(network, eight, TrainConfig.quick("glyphs", epochs=1, device="cpu"))
    assert len(history.epochs) == 1
    kernels = {name for name in before if name.endswith("weight")}
    assert kernels - _changed(before, network) == {"gate.weight"}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_loop_is_the_one_that_anybody_would_write(optimizer, tiny_network, tiny_splits):
    """The optimizer on the weighted sum of cross-entropies, on the same batches in their order."""
    rates = {"weight_decay": 1e-4}
    config = _config(dropout=0.0, augment=False, optimizer=optimizer, **rates)
    trained, network = tiny_network(), tiny_network().train()
    fit(trained, tiny_splits, config, progress=False)

    network.set_dropout(0.0)
    rates |= {"lr": 3e-3, "foreach": False}
    if optimizer == "adam":
        optimizer = torch.optim.Adam(network.parameters(), **rates)
    else:
        optimizer = torch.optim.SGD(network.parameters(), momentum=0.9, nesterov=True, **rates)
    generator = torch.Generator().manual_seed(config.seed)
    for _ in range(config.epochs):
        for images, labels in tiny_splits.train.batches(16, generator=generator):
            loss = torch.zeros(())
            for weight, row in zip((1.0, 0.8, 0.6), network(images).logits, strict=True):
                loss = loss + weight * functional.cross_entropy(row[0], labels[:, 0])
                loss = loss + weight * functional.cross_entropy(row[1], labels[:, 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for mine, theirs in zip(trained.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=1e-4)


def test_the_seed_alone_decides_what_is_learned(tiny_network, tiny_splits):
    def trained(seed: int) -> EarlyExitNetwork:
        network = tiny_network("ag-hbn")
        config = _config(seed=seed, dropout=0.5)
        fit(network, tiny_splits, config, progress=False)
        post_train(network, tiny_splits, config, progress=False)
        return network

    first = _weights(trained(1))
    torch.rand(3)
    assert _changed(first, trained(1)) == set()
    assert _changed(first, trained(2)) == set(first)


def test_training_leaves_the_global_generator_as_it_was(tiny_network, tiny_splits):
    before = torch.get_rng_state()
    network = tiny_network("ag-hbn")
    fit(network, tiny_splits, _config(epochs=1), progress=False)
    post_train(network, tiny_splits, _config(post_epochs=1), progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_epochs_change_nothing(tiny_network, tiny_splits):
    network = tiny_network("ag-hbn")
    before = _weights(network)
    config = _config(epochs=0, post_epochs=0, schedule="warmup-cosine")
    assert fit(network, tiny_splits, config, progress=False) == History()
    assert post_train(network, tiny_splits, config, progress=False) == History()
    assert _changed(before, network) == set()


def test_mixed_precision_learns_too_and_scores_in_single(tiny_network, tiny_splits):
    with warnings.catch_warnings(action="ignore"):  # where the processor is slow at it
        network = tiny_network("ag-hbn")
        config = _config(epochs=6, precision="bfloat16")
        history = fit(network, tiny_splits, config, progress=False)
        post_train(network, tiny_splits, config, progress=False)
    assert history.epochs[-1].loss < 0.8 * history.epochs[0].loss
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


# ---------------------------------------------------------------------- which images


@dataclass(frozen=True, kw_only=True, eq=False)
class _WatchedSplit(TensorSplit):
    """A split that notes how its images are asked for."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    def read_batches(self, batches, augment=None):
        visited = torch.cat(list(batches))
        is_shuffled = not torch.equal(visited, visited.sort().values)
        self.asked.append({"augment": augment is not None, "shuffled": is_shuffled})
        return super().read_batches(batches, augment)


def _watched(split: Split) -> _WatchedSplit:
    return _WatchedSplit(**vars(replace(split)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _SealedSplit(TensorSplit):
    """A split that nobody may look at."""

    def to(self, device):
        raise AssertionError("test images were moved")

    def read_batches(self, batches, augment=None):
        raise AssertionError("test images were read")


@pytest.fixture
def watched_splits(tiny_splits) -> Splits:
    return replace(
        tiny_splits,
        train=_watched(tiny_splits.train),
        val=_watched(tiny_splits.val),
        test=_SealedSplit(**vars(replace(tiny_splits.test))),
    )


@pytest.mark.parametrize("augment", [True, False])
def test_only_training_images_are_shuffled_and_augmented(augment, tiny_network, watched_splits):
    network, config = tiny_network("ag-hbn"), _config(augment=augment)
    fit(network, watched_splits, config, progress=False)
    post_train(network, watched_splits, config, progress=False)
    assert watched_splits.train.asked == [{"augment": augment, "shuffled": True}] * 4
    assert watched_splits.val.asked == [{"augment": False, "shuffled": False}] * 4


def test_validation_images_never_reach_the_weights(tiny_network, tiny_splits):
    other = replace(tiny_splits, val=tiny_splits.val.subset([0, 1]))
    weights = []
    for splits in (tiny_splits, other):
        network = tiny_network("ag-hbn")
        fit(network, splits, _config(dropout=0.5), progress=False)
        post_train(network, splits, _config(dropout=0.5), progress=False)
        weights.append(_weights(network))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_network_for_other_classes_is_refused_before_any_image_is_read(watched_splits):
    network = models.create("gran-hbn", FASHION_MNIST, width=0.05)
    with pytest.raises(ValueError, match=r"built for classes \(6, 10\) .* colours has \(2, 5\)"):
        fit(network, watched_splits, _config(), progress=False)
    assert watched_splits.train.asked == []


def test_images_of_another_size_are_refused_before_any_is_read(tiny_network, tiny_splits):
    def cut(split: TensorSplit) -> TensorSplit:
        return _watched(replace(split, images=split.images[:, :, :28, :28]))

    parts = {part: cut(getattr(tiny_splits, part)) for part in ("train", "val", "test")}
    splits = replace(tiny_splits, **parts)
    with pytest.raises(ValueError, match=r"images of \(3, 32, 32\), colours has \(3, 28, 28\)"):
        fit(tiny_network(), splits, _config(), progress=False)
    assert splits.train.asked == []


# ---------------------------------------------------------------------- history


def _scores_by_hand(network: EarlyExitNetwork, split: Split) -> list[CellScore]:
    (images, labels) = next(split.batches(len(split)))
    scores = []
    with torch.inference_mode():
        outputs = network.eval()(images)
    for exit_index, row in enumerate(outputs.logits):
        for level, logits in enumerate(row):
            if logits is None:
                continue
            wanted = labels[:, level]
            ranks = (logits > logits.gather(1, wanted[:, None])).sum(dim=1)
            scores.append(
                CellScore(
                    exit_index,
                    level,
                    float(functional.cross_entropy(logits, wanted)),
                    float((ranks < 1).float().mean()),
                    float((ranks < 5).float().mean()),
                )
            )
    return scores


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_the_last_epoch_scores_the_network_as_it_is_left(name, tiny_network, tiny_splits):
    network = tiny_network(name)
    history = fit(network, tiny_splits, _config(), progress=False)
    assert not network.training
    by_hand = _scores_by_hand(network, tiny_splits.val)
    for score, expected in zip(history.epochs[-1].cells["val"], by_hand, strict=True):
        assert vars(score) == pytest.approx(vars(expected), rel=1e-4)


def test_top_5_is_worth_its_name_with_more_than_five_classes(tiny_splits):
    generator = torch.Generator().manual_seed(0)
    noise = TensorSplit(
        images=torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=generator),
        labels=FASHION_MNIST.label_table(torch.arange(40) % 10),
        hierarchy=FASHION_MNIST,
        name="noise",
        part="train",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    parts = {part: replace(noise, part=part) for part in ("train", "val", "test")}
    splits = Splits(**parts, hierarchy=FASHION_MNIST, name="noise")
    network = models.create("gran-hbn", FASHION_MNIST, width=0.05)
    history = fit(network, splits, _config(epochs=1), progress=False)
    by_hand = _scores_by_hand(network, splits.val)
    assert all(0 < score.top5 < 1 for score in by_hand if score.level_index == 1)
    for score, expected in zip(history.epochs[0].cells["val"], by_hand, strict=True):
        assert vars(score) == pytest.approx(vars(expected), rel=1e-4)


def test_a_history_has_an_entry_an_epoch_with_a_score_a_head(tiny_network, tiny_splits):
    config = _config(epochs=3)
    history = fit(tiny_network("sem-hbn"), tiny_splits, config, progress=False)
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3]
    assert history.cell_indices == ((0, 0), (1, 0), (2, 1))
    for epoch in history.epochs:
        assert epoch.phase == "train"
        assert epoch.learning_rate == config.learning_rate
        assert epoch.seconds > 0
        assert [len(epoch.cells[split]) for split in ("train", "val")] == [3, 3]
        assert epoch.specificity == (0.0, 0.0, 1.0)
        top1 = [score.top1 for score in epoch.cells["val"]]
        assert epoch.accuracy == pytest.approx(top1)


def test_the_loss_of_an_epoch_is_the_mean_over_its_images(tiny_network, tiny_splits):
    steps: list[Step] = []
    config = _config(epochs=1, batch_size=20)
    history = fit(tiny_network(), tiny_splits, config, steps.append, progress=False)
    expected = sum(n * step.loss for n, step in zip((20, 20, 2), steps, strict=True)) / 42
    assert history.epochs[0].loss == pytest.approx(expected)
    cells = history.epochs[0].cells["train"]
    weights = [1.0, 1.0, 0.8, 0.8, 0.6, 0.6]
    joint = sum(weight * cell.loss for weight, cell in zip(weights, cells, strict=True))
    assert joint == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("tolerance", [-0.3, 0.0, 0.4, 1.0])
def test_specificity_and_accuracy_follow_the_tolerance(tolerance, tiny_network, tiny_splits):
    network = tiny_network()
    config = _config(epochs=1, fine_tolerance=tolerance)
    history = fit(network, tiny_splits, config, progress=False)
    images, labels = next(tiny_splits.val.batches(100))
    with torch.inference_mode():
        outputs = network(images)
    for exit_index, (coarse, fine) in enumerate(outputs.logits):
        fine_wins = entropy(fine) - tolerance < entropy(coarse)
        right = torch.where(
            fine_wins, fine.argmax(1) == labels[:, 1], coarse.argmax(1) == labels[:, 0]
        )
        assert history.epochs[0].specificity[exit_index] == pytest.approx(
            float(fine_wins.float().mean())
        )
        assert history.epochs[0].accuracy[exit_index] == pytest.approx(float(right.float().mean()))


def test_in_post_training_the_gate_sets_the_specificity_of_all_exits(tiny_network, tiny_splits):
    network = tiny_network("ag-hbn")
    history = post_train(network, tiny_splits, _config(post_learning_rate=0.1), progress=False)
    images, _ = next(tiny_splits.val.batches(100))
    with torch.inference_mode():
        gate = network(images).gate
    share = float((gate[:, 1] > gate[:, 0]).float().mean())
    assert history.epochs[-1].specificity == pytest.approx((share,) * 3)


def test_an_exit_without_a_finest_head_is_never_specific(tiny_network, tiny_splits):
    grid = ((True, False), (True, True), (False, True))
    history = fit(tiny_network(heads=grid), tiny_splits, _config(epochs=1), progress=False)
    assert history.epochs[0].specificity[0] == 0.0
    assert history.epochs[0].specificity[2] == 1.0


# ---------------------------------------------------------------------- watching and stopping


def test_on_step_is_told_every_step_in_order(tiny_network, tiny_splits):
    seen: list[tuple[int, int, int]] = []

    def watch(step: Step) -> None:
        assert (step.phase, step.epochs, step.steps) == ("train", 2, 3)
        assert math.isfinite(step.loss)
        seen.append((step.epoch, step.number, len(step.history.epochs)))

    fit(tiny_network(), tiny_splits, _config(), watch, progress=False)
    assert seen == [(1, 1, 0), (1, 2, 0), (1, 3, 0), (2, 1, 1), (2, 2, 1), (2, 3, 1)]


def test_stopping_keeps_what_was_learned(tiny_network, tiny_splits):
    network, after_step = tiny_network(), {}

    def stop(step: Step) -> bool:
        after_step.update(_weights(network))
        return (step.epoch, step.number) == (2, 1)

    history = fit(network, tiny_splits, _config(epochs=5), stop, progress=False)
    assert [epoch.number for epoch in history.epochs] == [1, 2]
    assert _changed(after_step, network) == set()
    assert _changed(_weights(tiny_network()), network)
    assert not network.training


@pytest.mark.skipif("TQDM_DISABLE" in os.environ, reason="TQDM_DISABLE hides every bar")
def test_a_bar_is_shown_unless_it_is_unwanted(tiny_network, tiny_splits, capsys):
    fit(tiny_network(), tiny_splits, _config(epochs=1), progress=False)
    assert capsys.readouterr().err == ""
    fit(tiny_network(), tiny_splits, _config(epochs=1))
    shown = capsys.readouterr().err
    assert "gran-hbn train: 100%" in shown
    assert "3/3" in shown


# ---------------------------------------------------------------------- losses that are not finite


def test_a_loss_that_is_not_finite_stops_before_the_update(tiny_network, tiny_splits):
    network, after_step = tiny_network(), {}
    config = _config(learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"the loss is .* in step 2 of epoch 1") as caught:
        fit(
            network,
            tiny_splits,
            config,
            lambda _: after_step.update(_weights(network)),
            progress=False,
        )
    assert "update was not made; lower the learning rate, now 1e+30" in str(caught.value)
    assert _changed(after_step, network) == set()
    assert not network.training


def test_weights_spoiled_by_the_last_update_are_not_saved(tiny_network, tiny_splits, tmp_path):
    config = _config(learning_rate=1e30, batch_size=100)
    with pytest.raises(FloatingPointError, match=r"validation loss is .* after epoch 1; lower"):
        fit(tiny_network(), tiny_splits, config, checkpoint=tmp_path / "c", progress=False)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- updates that are not finite


class _Spoiler(nn.Module):
    """Passes images on; in one forward pass of the training it spoils them."""

    def __init__(self) -> None:
        super().__init__()
        self.spoil_at, self.calls, self.factor = 0, 0, math.nan

    def forward(self, images: Tensor) -> Tensor:
        self.calls += self.training
        return images * self.factor if self.training and self.calls == self.spoil_at else images


def _batch_norm_network(num_exits: int = 4) -> EarlyExitNetwork:
    """A gated network with BatchNorm and dropout in its trunk and in its branches."""

    def stage(index: int) -> nn.Module:
        start = [_Spoiler(), nn.Conv2d(3, 4, 3, stride=4)] if index == 0 else [nn.Conv2d(4, 4, 1)]
        return nn.Sequential(*start, nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.25))

    def branch() -> nn.Module:
        pool = [nn.AdaptiveAvgPool2d(2), nn.Flatten()]
        return nn.Sequential(*pool, nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.25))

    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return EarlyExitNetwork(
            [stage(index) for index in range(num_exits)],
            [branch() for _ in range(num_exits)],
            [8] * num_exits,
            TINY_TREE,
            heads=[[True, True]] * num_exits,
            gated=True,
        )


def _spoiler(network: EarlyExitNetwork) -> _Spoiler:
    return next(module for module in network.modules() if isinstance(module, _Spoiler))


_TRAININGS = {"train": fit, "post-train": post_train}


@pytest.mark.parametrize("spoil_at", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(
    ("phase", "optimizer"), [("train", "adam"), ("train", "sgd"), ("post-train", "adam")]
)
def test_no_update_is_made_from_a_batch_that_is_not_finite(phase, optimizer, spoil_at, tiny_splits):
    """Parameters, and the statistics of BatchNorm, are those after the step before it."""
    network, after = _batch_norm_network(), []
    config = _config(post_learning_rate=1e-2, optimizer=optimizer)
    _spoiler(network).spoil_at = spoil_at
    after.append(_weights(network))
    epoch, number = divmod(spoil_at - 1, 3)
    message = f"the loss is nan in step {number + 1} of epoch {epoch + 1}, whose update was not"
    with pytest.raises(FloatingPointError, match=message):
        _TRAININGS[phase](
            network,
            tiny_splits,
            config,
            lambda _: after.append(_weights(network)),
            progress=False,
        )
    assert _changed(after[spoil_at - 1], network) == set()
    assert spoil_at == 1 or _changed(after[spoil_at - 2], network)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("spoil_at", [1, 4])
def test_no_update_is_made_from_a_gradient_that_is_not_finite(spoil_at, optimizer, tiny_splits):
    network, calls, after = _batch_norm_network(), itertools.count(1), {0: {}}
    after[0] = _weights(network)
    network.stages[0][1].weight.register_hook(
        lambda gradient: gradient * math.inf if next(calls) == spoil_at else gradient
    )
    epoch, number = divmod(spoil_at - 1, 3)
    where = f"in step {number + 1} of epoch {epoch + 1}, whose"
    with pytest.raises(
        FloatingPointError, match=rf"a gradient or a running statistic is not finite \(.*\) {where}"
    ):
        fit(
            network,
            tiny_splits,
            _config(optimizer=optimizer),
            lambda step: after.update({3 * step.epoch - 3 + step.number: _weights(network)}),
            progress=False,
        )
    assert _changed(after[spoil_at - 1], network) == set()


@pytest.mark.parametrize("factor", [1e25, math.inf])
def test_no_running_statistic_becomes_infinite(factor, tiny_splits):
    """Activations of 1e25 have an infinite variance, and the loss is finite all the same."""
    network, after = _batch_norm_network(), []
    _spoiler(network).spoil_at, _spoiler(network).factor = 2, factor
    with pytest.raises(FloatingPointError, match="in step 2 of epoch 1, whose update was not made"):
        fit(
            network,
            tiny_splits,
            _config(),
            lambda _: after.append(_weights(network)),
            progress=False,
        )
    assert _changed(after[0], network) == set()


def test_the_error_names_the_images_of_the_batch(tiny_splits):
    network, config = _batch_norm_network(), _config(augment=False)
    _spoiler(network).spoil_at = 5
    generator = torch.Generator().manual_seed(config.seed)
    for _ in range(2):
        batches = tiny_splits.train.batch_indices(16, generator)
    with pytest.raises(FloatingPointError) as caught:
        fit(network, tiny_splits, config, progress=False)
    assert str(caught.value).endswith(f"have the indices {sorted(batches[1].tolist())}")


def test_a_step_whose_loss_is_asked_for_raises_at_once(tiny_splits):
    network, losses = _batch_norm_network(), []
    _spoiler(network).spoil_at = 2
    with pytest.raises(FloatingPointError, match="in step 2 of epoch 1"):
        fit(network, tiny_splits, _config(), lambda s: losses.append(s.loss), progress=False)
    assert len(losses) == 1
    assert _spoiler(network).calls == 2


def test_steps_are_read_every_so_often_even_within_a_long_epoch(tiny_splits):
    network = _batch_norm_network()
    _spoiler(network).spoil_at = 1
    long = replace(tiny_splits, train=tiny_splits.train.subset(list(range(42)) * 4))
    with pytest.raises(FloatingPointError, match="in step 1 of epoch 1"):
        fit(network, long, _config(batch_size=2), progress=False)
    assert _spoiler(network).calls == 50


class _Waits(TorchDispatchMode):
    """Counts how often a number is read from a tensor, for which a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("reads_loss", [False, True])
@pytest.mark.parametrize("phase", ["train", "post-train"])
def test_no_step_waits_for_the_device_unless_its_loss_is_asked_for(phase, reads_loss, tiny_splits):
    def count(batch_size: int) -> int:
        config = _config(epochs=1, post_epochs=1, batch_size=batch_size)
        on_step = (lambda step: step.loss < 0) if reads_loss else (lambda step: step.number < 0)
        with _Waits() as waits:
            _TRAININGS[phase](_batch_norm_network(), tiny_splits, config, on_step, progress=False)
        return waits.count

    assert (count(2) > count(21)) == reads_loss


# ---------------------------------------------------------------------- batch statistics


@pytest.mark.parametrize("with_dropout", [True, False])
def test_frozen_parts_keep_their_running_statistics(with_dropout, tiny_splits):
    network, modes = _batch_norm_network(), set()
    fit(network, tiny_splits, _config(), progress=False)
    before = _weights(network)

    def watch(step: Step) -> None:
        modes.update((type(module), module.training) for module in network.modules())

    config = _config(post_learning_rate=1e-2, gate_targets_with_dropout=with_dropout)
    post_train(network, tiny_splits, config, watch, progress=False)
    assert _changed(before, network) == _gate_weights(network)
    assert {(nn.BatchNorm2d, False), (nn.Dropout, with_dropout)} <= modes
    assert (nn.BatchNorm1d, True) not in modes
    assert (nn.Dropout, not with_dropout) not in modes


def test_a_last_image_joins_the_batch_before_it_where_statistics_are_of_batches(
    tiny_network, tiny_splits
):
    """One image has no statistics: torch refuses it."""
    splits = replace(tiny_splits, train=tiny_splits.train.subset(range(33)))
    for network, steps in ((_batch_norm_network(), 2), (tiny_network(), 3)):
        seen: list[Step] = []
        fit(network, splits, _config(), seen.append, progress=False)
        assert [step.number for step in seen] == [*range(1, steps + 1)] * 2
        assert {step.steps for step in seen} == {steps}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_run_with_batch_statistics_resumes_to_the_bit(optimizer, tiny_splits, tmp_path):
    config = _config(optimizer=optimizer)
    whole, resumed = _batch_norm_network(), _batch_norm_network()
    fit(whole, tiny_splits, config, progress=False)
    how = {"checkpoint": tmp_path / "c", "progress": False}
    fit(_batch_norm_network(), tiny_splits, config.change(epochs=1), **how)
    fit(resumed, tiny_splits, config, resume=True, **how)
    assert _changed(_weights(whole), resumed) == set()


def test_the_residual_trunk_repeats_to_the_byte_and_resumes_so(tiny_splits, tmp_path):
    config = TrainConfig.quick("custom", "residual", epochs=2, device="cpu")

    def train(name: str) -> bytes:
        network = models.create("ag-hbn", TINY_TREE, 0.1, trunk="residual")
        how = {"checkpoint": tmp_path / name, "resume": True, "progress": False}
        history = fit(network, tiny_splits, config, **how)
        post_train(network, tiny_splits, config, history=history, **how)
        return (tmp_path / name).read_bytes()

    def stop_early(step: Step) -> bool:
        return step.epoch == 1 and step.number == step.steps

    cut = models.create("ag-hbn", TINY_TREE, 0.1, trunk="residual")
    fit(cut, tiny_splits, config, stop_early, checkpoint=tmp_path / "cut", progress=False)
    assert train("one") == train("other") == train("cut")


def test_post_training_on_the_residual_trunk_leaves_all_but_the_gate_to_the_bit(tiny_splits):
    network = models.create("ag-hbn", TINY_TREE, 0.1, trunk="residual")
    config = TrainConfig.quick("custom", "residual", epochs=1, device="cpu")
    fit(network, tiny_splits, config, progress=False)
    before = _weights(network)
    post_train(network, tiny_splits, config, progress=False)
    assert _changed(before, network) == _gate_weights(network)


def test_gran_hbn_and_ag_hbn_of_one_seed_differ_in_the_gate_only(tiny_splits):
    config = TrainConfig.quick("custom", "residual", epochs=1, device="cpu")
    gran, ag = (
        models.create(name, TINY_TREE, 0.1, trunk="residual") for name in ("gran-hbn", "ag-hbn")
    )
    for network in (gran, ag):
        fit(network, tiny_splits, config, progress=False)
    assert _changed(_weights(ag), gran) == set()


def test_the_dropout_of_the_trunk_is_left_alone(tiny_splits):
    network = _batch_norm_network()
    fit(network, tiny_splits, _config(epochs=1, dropout=0.7), progress=False)
    for part, probability in ((network.stages, 0.25), (network.branches, 0.7)):
        found = {module.p for module in part.modules() if isinstance(module, nn.Dropout)}
        assert found == {probability}


@pytest.mark.parametrize("num_exits", [1, 2, 4, 7])
@pytest.mark.parametrize("preset", ["paper", "readme", "quick"])
def test_every_preset_trains_a_network_of_any_number_of_exits(preset, num_exits, tiny_splits):
    given = () if preset == "readme" else ("custom",)
    config = getattr(TrainConfig, preset)(*given, epochs=1, post_epochs=1, device="cpu")
    network = _batch_norm_network(num_exits)
    history = fit(network, tiny_splits, config, progress=False)
    post_train(network, tiny_splits, config, history=history, progress=False)
    for epoch in history.epochs:
        assert len(epoch.specificity) == num_exits
        assert len(epoch.cells["val"]) == 2 * num_exits


# ---------------------------------------------------------------------- post-training


@pytest.mark.parametrize("with_dropout", [True, False])
def test_post_training_changes_the_gate_and_nothing_else(with_dropout, tiny_network, tiny_splits):
    network = tiny_network("ag-hbn")
    fit(network, tiny_splits, _config(), progress=False)
    before = _weights(network)
    config = _config(post_learning_rate=1e-2, gate_targets_with_dropout=with_dropout)
    history = post_train(network, tiny_splits, config, progress=False)
    assert _changed(before, network) == _gate_weights(network)
    assert [epoch.phase for epoch in history.epochs] == ["post-train"] * 2
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_joint_training_leaves_the_gate_alone(tiny_network, tiny_splits):
    network = tiny_network("ag-hbn")
    before = _weights(network)
    fit(network, tiny_splits, _config(epochs=1), progress=False)
    assert _changed(before, network) == before.keys() - _gate_weights(network)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_post_training_lowers_its_loss(tiny_network, tiny_splits):
    network = tiny_network("ag-hbn")
    fit(network, tiny_splits, _config(epochs=1), progress=False)
    config = _config(post_epochs=8, post_learning_rate=1e-2, dropout=0.0, augment=False)
    losses = [e.loss for e in post_train(network, tiny_splits, config, progress=False).epochs]
    assert losses[-1] < losses[0]


def test_targets_come_with_dropout_or_without_as_the_configuration_says(tiny_network, tiny_splits):
    """Without, nothing is random but the order, so a batch of all images always gives one loss."""
    losses: dict[bool, set[float]] = {}
    for with_dropout in (True, False):
        config = _config(
            batch_size=100,
            dropout=0.5,
            augment=False,
            post_epochs=3,
            post_learning_rate=1e-12,
            gate_targets_with_dropout=with_dropout,
        )
        history = post_train(tiny_network("ag-hbn"), tiny_splits, config, progress=False)
        losses[with_dropout] = {round(epoch.loss, 4) for epoch in history.epochs}
    assert len(losses[False]) == 1
    assert len(losses[True]) == 3


def test_post_training_adds_to_the_history_given(tiny_network, tiny_splits):
    network, config = tiny_network("ag-hbn"), _config(epochs=1, post_epochs=1)
    history = fit(network, tiny_splits, config, progress=False)
    assert post_train(network, tiny_splits, config, history=history, progress=False) is history
    assert [(epoch.phase, epoch.number) for epoch in history.epochs] == [
        ("train", 1),
        ("post-train", 1),
    ]


def test_post_training_needs_a_gate_and_the_heads_that_set_its_targets(tiny_network, tiny_splits):
    with pytest.raises(ValueError, match="needs a network with a gate, gran-hbn has none"):
        post_train(tiny_network("gran-hbn"), tiny_splits, _config())
    bare = tiny_network("ag-hbn", heads=((True, True), (True, False), (False, True)))
    with pytest.raises(ValueError, match=r"one is missing at exit \[2, 3\]"):
        post_train(bare, tiny_splits, _config())


# ---------------------------------------------------------------------- configuration


def test_the_readme_preset_has_the_defaults_of_the_studys_command_line():
    config = TrainConfig.readme()
    assert (config.batch_size, config.learning_rate) == (256, 1e-3)
    assert (config.weight_decay, config.epochs) == (1e-4, 2)
    assert config == TrainConfig()
    assert TrainConfig.readme(epochs=5) == TrainConfig(epochs=5)


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_the_paper_preset_has_the_numbers_of_table_1(name):
    config = TrainConfig.paper(name)
    assert (config.learning_rate, config.weight_decay) == (1.5e-4, 5e-4)
    assert (config.batch_size, config.dropout, config.schedule) == (64, 0.5, "constant")
    assert config.for_exits(3).branch_weights == (1.0, 0.8, 0.6)
    assert config.level_weights is None
    assert (config.fine_weight, config.gate_weight) == (1.02, 5.0)
    assert config.gate_targets_with_dropout
    assert config.epochs == (100 if name == "ag-hbn" else 120)
    if name == "ag-hbn":
        assert (config.post_epochs, config.post_learning_rate) == (20, 1e-5)


def test_what_the_published_code_does_beside_the_paper_is_an_option():
    changed = {}
    for name in models.STUDY_NAMES:
        paper, code = TrainConfig.paper(name), TrainConfig.paper(name, published_code=True)
        pairs = zip(vars(paper).items(), vars(code).values(), strict=True)
        if differing := {key: new for (key, old), new in pairs if new != old}:
            changed[name] = differing
    assert changed == {
        "gran-hbn": {"level_weights": (0.75, 1.5)},
        "sem-hbn": {"branch_weights": (1.0, 1.0, 0.8)},
    }


def test_the_paper_preset_of_another_network_has_what_the_studys_networks_share():
    assert TrainConfig.paper("resnet") == TrainConfig.paper("b-alexnet")


@pytest.mark.parametrize("dataset", ["glyphs", "fashion_mnist", "cifar100"])
def test_the_quick_preset_can_be_changed(dataset):
    config = TrainConfig.quick(dataset, epochs=3, seed=5)
    assert (config.epochs, config.seed) == (3, 5)
    assert config == TrainConfig.quick(dataset).change(epochs=3, seed=5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": -1}, "epochs must be an integer of at least 0, got -1"),
        ({"post_epochs": -2}, "post_epochs must be an integer of at least 0, got -2"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"seed": 2**64}, r"seed must be below 2\*\*64, got 18446744073709551616"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and above 0, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be finite and above 0, got nan"),
        ({"post_learning_rate": math.inf}, "post_learning_rate must be finite and above 0"),
        ({"weight_decay": -1e-4}, "weight_decay must be finite and at least 0, got -0.0001"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": math.nan}, r"dropout must be in \[0, 1\), got nan"),
        ({"fine_weight": 0.0}, "fine_weight must be finite and above 0, got 0.0"),
        ({"gate_weight": -5.0}, "gate_weight must be finite and above 0, got -5.0"),
        ({"fine_tolerance": math.inf}, "fine_tolerance must be finite, got inf"),
        ({"branch_weights": (1.0, -0.8)}, "weights must be finite and not negative, got -0.8"),
        ({"branch_weights": "steep"}, "weights must be numbers or 'rising', got 'steep'"),
        ({"level_weights": (1.0, math.nan)}, "weights must be finite and not negative, got nan"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_rule_and_value(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)
    with pytest.raises(ValueError, match=message):
        TrainConfig().change(**changes)


def test_a_setting_that_is_not_there_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"one of \['augment', .*'weight_decay'\], got \['lr'\]"):
        TrainConfig().change(lr=1e-3)


def test_too_few_branch_weights_are_refused_before_any_update(tiny_network, tiny_splits):
    network = tiny_network()
    before = _weights(network)
    with pytest.raises(ValueError, match=r"3 exits need 3 branch weights, got \(1\.0,\)"):
        fit(network, tiny_splits, _config(branch_weights=(1.0,)), progress=False)
    assert _changed(before, network) == set()


# ---------------------------------------------------------------------- schedule


def test_one_cycle_rises_for_a_tenth_and_falls_to_nothing():
    shares = torch.linspace(0, 1, 1001)[1:-1].tolist()
    factors = [schedule_factor("warmup-cosine", share) for share in shares]
    peak = factors.index(max(factors))
    assert shares[peak] == pytest.approx(0.1, abs=2e-3)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert min(factors) > 0
    assert max(factors) <= 1
    assert factors[-1] < 1e-4
    assert {schedule_factor("constant", share) for share in shares} == {1.0}


def test_files_of_earlier_versions_are_read():
    old = TrainConfig(epochs=5, schedule="warmup-cosine").to_spec()
    old |= {"schedule": "one-cycle", "branch_weights": [1.0, 0.8, 0.6]}
    del old["compile"], old["gate_targets_with_dropout"]
    config = TrainConfig.from_spec(old)
    assert config.for_exits(3) == TrainConfig(epochs=5, schedule="warmup-cosine").for_exits(3)
    assert TrainConfig.from_spec(json.loads(json.dumps(config.to_spec()))) == config
    with pytest.raises(ValueError, match=r"setting is one of .*, got \['momentum'\]"):
        TrainConfig.from_spec(old | {"momentum": 0.9})


def _rates(network: EarlyExitNetwork, splits: Splits, config: TrainConfig) -> list[float]:
    return [e.learning_rate for e in fit(network, splits, config, progress=False).epochs]


def test_the_schedule_ends_with_the_run_and_no_step_is_wasted(tiny_network, tiny_splits):
    config = _config(schedule="warmup-cosine", learning_rate=1e-3, batch_size=100)
    rates = _rates(tiny_network(), tiny_splits, config.change(epochs=10))
    assert rates[0] == pytest.approx(0.5e-3)
    assert all(earlier > later > 0 for earlier, later in itertools.pairwise(rates[1:]))
    assert _rates(tiny_network(), tiny_splits, config.change(epochs=1))[0] > 0.5e-3


# ---------------------------------------------------------------------- device


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    for available, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert choose_device("auto").type == expected


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there_is_refused(name, count, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ValueError, match=f"'{name}' was asked for, but torch finds {count} CUDA"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu0", "mps", "meta", "xla", "cuda:-1", ""])
def test_a_device_that_hbnlab_does_not_run_on_is_refused(name):
    rule = f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got '{name}'"
    with pytest.raises(ValueError, match=rule):
        choose_device(name)


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_tf32_stays_as_it_was_set(allowed, precision, monkeypatch, tiny_network, tiny_splits):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    seen = []
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    fit(
        tiny_network(),
        tiny_splits,
        _config(precision=precision, epochs=1),
        lambda _: seen.append(
            (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic)
        ),
        progress=False,
    )
    assert set(seen) == {(allowed, True)}
    assert torch.backends.cudnn.allow_tf32 == allowed
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == before


@pytest.fixture
def supports_bfloat16(monkeypatch) -> Callable[[bool], None]:
    """Pretend that the processor can or cannot compute with bfloat16."""

    def pretend(answer: bool) -> None:
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: answer)

    return pretend


def test_mixed_precision_on_a_processor_that_lacks_it_is_warned_about(supports_bfloat16):
    config = _config(precision="bfloat16")
    supports_bfloat16(False)
    with pytest.warns(UserWarning, match="no bfloat16 arithmetic: .* many times slower"):
        assert Hardware.choose(config).dtype == torch.bfloat16
    if torch.backends.mkldnn.is_available():
        supports_bfloat16(True)
        assert Hardware.choose(config).dtype == torch.bfloat16


def test_on_a_processor_the_precision_is_single_unless_asked_otherwise():
    assert Hardware.choose(_config()).dtype == torch.float32
    assert Hardware.choose(_config(precision="float32")).dtype == torch.float32
