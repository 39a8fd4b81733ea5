"""TrainingMonitor, driven from Python: a run while it trains."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from plot_inputs import make_history
from random_records import DEEP, PETS, random_records
from widget_helpers import RECORDS, control, text_of

from hbnlab.training import Step, TrainConfig, fit, post_train
from hbnlab.widgets import TrainingMonitor, monitor


def test_a_monitor_follows_a_run(tiny_network, tiny_splits):
    watch = TrainingMonitor(tiny_splits.hierarchy, every=0.0)
    assert "no step yet" in repr(watch)
    assert watch.loss is None
    config = TrainConfig(epochs=2, batch_size=16)
    history = fit(tiny_network(), tiny_splits, config, on_step=watch, progress=False)
    assert watch.history is history
    assert watch.loss is not None
    assert "train, epoch 2 of 2, step 3 of 3" in watch.words
    page = text_of(watch.to_html())
    for score in history.epochs[-1].cells["val"]:
        assert f"{100 * score.top1:.1f} %" in page
    assert re.search(r'<img alt="Training curves: [^"]{20,}"', watch.to_html())


def test_the_stop_button_ends_a_run_that_keeps_what_was_learned(tiny_network, tiny_splits):
    watch, network = TrainingMonitor(every=0.0), tiny_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    steps = []

    def on_step(step: Step) -> bool:
        steps.append(step.number)
        if len(steps) == 2:
            control(watch, "stop and keep what was learned").click()
        return watch(step)

    config = TrainConfig(epochs=5, batch_size=16)
    history = fit(network, tiny_splits, config, on_step=on_step, progress=False)
    assert steps == [1, 2]
    assert len(history.epochs) == 1
    assert "stopped" in watch.words
    learned = network.state_dict()
    assert any(not torch.equal(before[name], learned[name]) for name in before)


def test_a_monitor_serves_one_run_after_the_other(tiny_network, tiny_splits):
    watch, network = TrainingMonitor(tiny_splits.hierarchy), tiny_network("ag-hbn")
    config = TrainConfig(epochs=1, post_epochs=1, batch_size=16)
    watch.stop()
    history = fit(network, tiny_splits, config, on_step=watch, progress=False)
    assert len(history.epochs) == 1
    assert not watch(step_of(1, history=history))
    post_train(network, tiny_splits, config, on_step=watch, history=history, progress=False)
    assert watch.words.startswith("post-train, epoch 1 of 1, step 3 of 3")
    assert watch.history is history


def step_of(number: int, epoch: int = 1, **changes: Any) -> Step:
    values: dict[str, Any] = {"phase": "train", "epochs": 2, "steps": 10}
    values |= {"read_loss": lambda: 1.0, "history": make_history(RECORDS)} | changes
    return Step(epoch=epoch, number=number, **values)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """A clock that stands still; its only item is the time."""
    now = [100.0]
    monkeypatch.setattr(monitor.time, "perf_counter", lambda: now[0])
    return now


def test_the_page_is_drawn_at_most_as_often_as_asked(clock):
    watch, history = TrainingMonitor(every=1.0), make_history(RECORDS)
    pages: list[str] = []
    watch.widget.children[1].observe(lambda change: pages.append(change["new"]), names="value")
    for number in range(1, 11):
        watch(step_of(number, history=history))
        clock[0] += 0.3
    drawn = [re.search(r"step (\d+) of", page).group(1) for page in pages]
    assert drawn == ["1", "5", "9"]
    for number in range(1, 11):
        watch(step_of(number, 2, history=history))
    assert "epoch 2 of 2, step 10 of 10" in text_of(pages[-1])


def test_losses_are_read_from_the_device_only_when_the_page_is_drawn(clock):
    watch, history, read = TrainingMonitor(every=1.0), make_history(RECORDS), []
    for number in range(1, 6):
        watch(step_of(number, history=history, read_loss=lambda n=number: read.append(n) or n / 10))
        clock[0] += 0.3
        assert read == ([1] if number < 5 else [1, 2, 3, 4, 5])
    assert watch.loss == 0.5


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_monitor_readable(clock):
    def fail() -> float:
        raise FloatingPointError("the loss is nan")

    watch, history = TrainingMonitor(every=1.0), make_history(RECORDS)
    watch(step_of(1, history=history))
    watch(step_of(2, history=history, read_loss=fail))
    assert watch.loss == 1.0
    assert "step 2 of 10, loss 1.000" in watch.words
    clock[0] += 1.0
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        watch(step_of(3, history=history, read_loss=fail))
    assert "step 3 of 10, loss 1.000" in watch.words


def test_the_time_left_is_that_of_the_pace_so_far(clock):
    watch, history = TrainingMonitor(), make_history(RECORDS)
    watch(step_of(1, history=history))
    assert watch.seconds_left is None
    clock[0] += 10.0
    watch(step_of(2, history=history))
    assert watch.seconds_left == pytest.approx(180.0)
    assert "3 min 0 s left" in watch.words


def test_a_run_that_has_ended_is_done_and_cannot_be_stopped():
    watch, history = TrainingMonitor(), make_history(RECORDS)
    for number in range(1, 11):
        assert not watch(step_of(number, 2, history=history))
    assert watch.words.endswith("; done")
    watch.stop()
    assert watch.words.endswith("; done")
    assert text_of(watch.to_html()).count("done") == 1


def test_a_stop_without_a_run_does_nothing():
    watch, history = TrainingMonitor(), make_history(RECORDS)
    watch.stop()
    assert not watch(step_of(1, history=history))
    watch.stop()
    assert watch(step_of(2, history=history))
    assert "stopped" in watch.words


def test_a_run_whose_cell_is_over_cannot_be_stopped():
    watch, history = TrainingMonitor(), make_history(RECORDS)
    watch(step_of(1, history=history))
    watch._after_cell(None)
    watch.stop()
    assert "stopped" not in watch.words


@pytest.mark.parametrize("cells", [{}, {"val": ()}, {"train": ()}], ids=repr)
def test_epochs_without_validation_are_drawn_without_accuracies(cells):
    history = make_history(RECORDS)
    history.epochs[:] = [replace(epoch, cells=cells) for epoch in history.epochs]
    watch = TrainingMonitor(PETS)
    watch(step_of(1, history=history))
    assert "validation accuracy" not in text_of(watch.to_html())


def test_the_stop_button_says_what_to_do_where_it_is_not_answered():
    button = control(TrainingMonitor(), "stop and keep what was learned")
    assert "interrupt the kernel" in button.tooltip


def test_levels_have_their_names_or_those_of_any_tree():
    named, unnamed = TrainingMonitor(PETS), TrainingMonitor()
    deep = random_records(20, hierarchy=DEEP)
    for watch in (named, unnamed):
        watch(step_of(1))
        assert "validation accuracy coarse fine" in text_of(watch.to_html())
    unnamed(step_of(1, history=make_history(deep)))
    assert "level 3" in text_of(unnamed.to_html())


def test_a_tree_with_too_few_levels_is_answered_in_words_and_training_goes_on():
    watch = TrainingMonitor(PETS)
    deep = random_records(20, hierarchy=DEEP)
    assert watch(step_of(1, history=make_history(deep))) is False
    assert "more levels than the tree" in text_of(watch.to_html())


def test_the_last_epoch_is_drawn_when_the_cell_is_done(monkeypatch, tiny_network, tiny_splits):
    registered: list[Callable[[object], None]] = []

    class Events:
        def register(self, name: str, function: Callable[[object], None]) -> None:
            assert name == "post_run_cell"
            registered.append(function)

        def unregister(self, name: str, function: Callable[[object], None]) -> None:
            registered.remove(function)

    class Shell:
        events = Events()

    monkeypatch.setattr(monitor, "get_ipython", Shell)
    watch = TrainingMonitor(tiny_splits.hierarchy)
    config = TrainConfig(epochs=1, batch_size=16)
    history = fit(tiny_network(), tiny_splits, config, on_step=watch, progress=False)
    page = watch.widget.children[-1]
    button = control(watch, "stop and keep what was learned")
    assert not button.disabled
    assert "validation accuracy" not in page.value
    (after_cell,) = registered
    after_cell(None)
    assert registered == []
    assert button.disabled
    assert f"{100 * history.epochs[0].cells['val'][0].top1:.1f} %" in text_of(page.value)


@pytest.mark.parametrize("every", [-1.0, math.nan])
def test_time_between_drawings_is_not_negative(every):
    with pytest.raises(ValueError, match="every must be 0 or more seconds"):
        TrainingMonitor(every=every)
