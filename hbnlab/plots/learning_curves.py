"""What training recorded, epoch by epoch."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hbnlab.formatting import percent, plural
from hbnlab.hierarchy import Hierarchy
from hbnlab.history import History, SplitName
from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import (
    LEGEND,
    AxesGrid,
    as_percent,
    light_grid,
    listed,
    many_axes,
    one_axes,
    shared_legend,
)
from hbnlab.plots.palette import GREY, Style, level_style, series_style

_PANELS = (
    ("loss", "cross-entropy (nats)"),
    ("specificity", "specificity"),
    ("top1", "top-1 accuracy"),
    ("top5", "top-5 accuracy"),
)


def training_curves(
    history: History,
    hierarchy: Hierarchy,
    *,
    split: SplitName = "val",
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Loss, specificity, top-1 and top-5 accuracy against the epoch: a curve for each head.

    Colour and marker tell the exit, the line the level (dashed coarse, solid fine). Epochs of
    post-training, which leave the heads as they are, are not drawn.

    Args:
        history: of ``fit``.
        hierarchy: names the levels.
        split: scores on validation images, or on the training images as they went by.
        axes: four Axes.

    Raises:
        ValueError: for a history without epochs of training, or without scores on that split.
    """
    trained = history.of_phase("train")
    if not trained.epochs:
        raise ValueError("a history with epochs of training is expected, got none")
    words = _training_words(trained, hierarchy, split)
    grid = many_axes(axes, (2, 2), (4.2, 2.9), sharex=True)
    numbers = [epoch.number for epoch in trained.epochs]
    for ax, (quantity, label) in zip(grid.flat, _PANELS, strict=True):
        for style, values, name in _lines(trained, hierarchy, quantity, split):
            ax.plot(numbers, values, **style.line, markersize=3.5, label=name)
        ax.set(ylabel=label)
        if quantity == "loss":
            losses = [epoch.loss for epoch in trained.epochs]
            ax.plot(numbers, losses, color=GREY, linewidth=2.5, alpha=0.5, label="joint loss")
        else:
            as_percent(ax.yaxis)
        _epoch_axis(ax, numbers)
    for ax in grid[1]:
        ax.set_xlabel("epoch")
    shared_legend(grid, outside=axes is None, columns=4)
    set_description(grid, words)
    return grid


def post_training_curve(history: History, *, ax: Axes | None = None) -> Axes:
    """Accuracy times specificity against the epoch of post-training, a curve for each exit.

    The product is high only where the gate asks for fine answers and these are right.

    Raises:
        ValueError: for a history without epochs of post-training.
    """
    tuned = history.of_phase("post-train")
    if not tuned.epochs:
        raise ValueError("a history with epochs of post-training is expected, got none")
    ax = one_axes(ax, (6.0, 3.8))
    numbers = [epoch.number for epoch in tuned.epochs]
    said = []
    for exit_index in range(len(tuned.epochs[0].accuracy)):
        product = [e.accuracy[exit_index] * e.specificity[exit_index] for e in tuned.epochs]
        style = series_style(exit_index)
        ax.plot(numbers, product, **style.line, markersize=4, label=f"exit {exit_index + 1}")
        said.append(f"exit {exit_index + 1} from {product[0]:.3f} to {product[-1]:.3f}")
    ax.set(xlabel="epoch of post-training", ylabel="accuracy x specificity (0 to 1)")
    _epoch_axis(ax, numbers)
    ax.legend(**LEGEND)
    epochs = plural(len(numbers), "epoch")
    set_description(
        ax, f"Accuracy times specificity over {epochs} of post-training: {listed(said)}."
    )
    return ax


def _lines(
    history: History, hierarchy: Hierarchy, quantity: str, split: SplitName
) -> Iterator[tuple[Style, list[float], str]]:
    """Style, values and name of every curve of a panel."""
    if quantity == "specificity":
        for exit_index in range(len(history.epochs[0].specificity)):
            values = [epoch.specificity[exit_index] for epoch in history.epochs]
            style = series_style(exit_index)
            # The names of the heads explain colour and marker already: "_" keeps out of legends.
            yield Style(style.color, style.marker, "-", style.hatch), values, "_specificity"
        return
    for exit_index, level in history.cell_indices:
        values = history.curve(quantity, exit_index, level, split)
        if not values:
            raise ValueError(f"the history has no scores on split {split!r}")
        of_exit, of_level = series_style(exit_index), level_style(level, hierarchy.num_levels)
        style = Style(of_exit.color, of_exit.marker, of_level.linestyle, of_exit.hatch)
        yield style, values, f"exit {exit_index + 1} {hierarchy.level_names[level]}"


def _epoch_axis(ax: Axes, numbers: list[int]) -> None:
    light_grid(ax)
    ax.set_xlim(numbers[0] - 0.3, numbers[-1] + 0.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _training_words(history: History, hierarchy: Hierarchy, split: SplitName) -> str:
    last = [
        f"{name} {percent(values[-1])}"
        for _, values, name in _lines(history, hierarchy, "top1", split)
    ]
    first, end = history.epochs[0].loss, history.epochs[-1].loss
    images = "validation" if split == "val" else "training"
    return (
        f"Training curves over {plural(len(history.epochs), 'epoch')}: joint loss from {first:.2f} "
        f"to {end:.2f}; top-1 accuracy on {images} images at the end: {listed(last)}."
    )
