"""What training recorded, epoch by epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hbnlab.formatting import percent, plural
from hbnlab.hierarchy import Hierarchy
from hbnlab.history import History, SplitName
from hbnlab.plots.canvas import (
    AxesGrid,
    as_percent,
    finish,
    many_axes,
    one_axes,
)
from hbnlab.plots.palette import GREY, Style, head_style, series_style

_PANELS = {
    "loss": "cross-entropy (nats)",
    "specificity": "specificity",
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
}


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
        split: scores on validation images, or on the training images during training.
        axes: four Axes.

    Raises:
        ValueError: for a history without epochs of training, or without scores on that split.

    Example:
        >>> from hbnlab.history import CellScore, Epoch
        >>> from hbnlab.records.simulated import PETS
        >>> score = CellScore(exit_index=0, level_index=1, loss=0.7, top1=0.8, top5=1.0)
        >>> epoch = Epoch(1, "train", 0.7, 1e-3, {"val": (score,)}, (1.0,), (0.8,))
        >>> training_curves(History([epoch]), PETS)[1, 0].get_ylabel()
        'top-1 accuracy'
    """
    trained = history.of_phase("train")
    if not trained.epochs:
        raise ValueError("a history with epochs of training is expected, got none")
    curves = {quantity: list(_curves(trained, hierarchy, quantity, split)) for quantity in _PANELS}
    grid = many_axes(axes, (2, 2), 2.9, width=4.2, x="epoch", sharex=True)
    numbers = [epoch.number for epoch in trained.epochs]
    losses = [epoch.loss for epoch in trained.epochs]
    for ax, (quantity, label) in zip(grid.flat, _PANELS.items(), strict=True):
        for name, style, values in curves[quantity]:
            ax.plot(numbers, values, **style.line, markersize=3.5, label=name)
        ax.set(ylabel=label)
        _epoch_axis(ax, numbers)
        if quantity == "loss":
            ax.plot(numbers, losses, color=GREY, linewidth=2.5, alpha=0.5, label="joint loss")
        else:
            as_percent(ax.yaxis)
    images = "validation" if split == "val" else "training"
    last = "; ".join(f"{name} {percent(values[-1])}" for name, _, values in curves["top1"])
    words = (
        f"Training curves over {plural(len(numbers), 'epoch')}: joint loss from {losses[0]:.2f} "
        f"to {losses[-1]:.2f}; top-1 accuracy on {images} images at the end: {last}."
    )
    return finish(grid, words, below=axes is None, columns=4)


def post_training_curve(history: History, *, ax: Axes | None = None) -> Axes:
    """Accuracy times specificity against the epoch of post-training, a curve for each exit.

    The product is high only where the gate asks for fine answers and they are right.

    Raises:
        ValueError: for a history without epochs of post-training.

    Example:
        >>> from hbnlab.history import Epoch
        >>> epoch = Epoch(1, "post-train", 0.7, 1e-3, {}, specificity=(1.0,), accuracy=(0.8,))
        >>> ax = post_training_curve(History([epoch]))
        >>> ax.get_label()
        'Accuracy times specificity over 1 epoch of post-training: exit 1 from 0.800 to 0.800.'
    """
    tuned = history.of_phase("post-train").epochs
    if not tuned:
        raise ValueError("a history with epochs of post-training is expected, got none")
    ax = one_axes(ax, (6.0, 3.8), x="epoch of post-training", y="accuracy x specificity (0 to 1)")
    numbers = [epoch.number for epoch in tuned]
    ends = []
    for exit_index in range(len(tuned[0].accuracy)):
        product = [epoch.accuracy[exit_index] * epoch.specificity[exit_index] for epoch in tuned]
        style, name = series_style(exit_index), f"exit {exit_index + 1}"
        ax.plot(numbers, product, **style.line, markersize=4, label=name)
        ends.append(f"{name} from {product[0]:.3f} to {product[-1]:.3f}")
    _epoch_axis(ax, numbers)
    words = f"Accuracy times specificity over {plural(len(numbers), 'epoch')} of post-training"
    return finish(ax, f"{words}: {'; '.join(ends)}.")


def _curves(
    history: History, hierarchy: Hierarchy, quantity: str, split: SplitName
) -> Iterator[tuple[str, Style, Sequence[float]]]:
    """Name, style and values of every curve of a panel."""
    if quantity == "specificity":
        for exit_index in range(len(history.epochs[0].specificity)):
            style = replace(series_style(exit_index), linestyle="-")
            values = [epoch.specificity[exit_index] for epoch in history.epochs]
            # The names of the heads explain colour and marker already: "_" keeps out of legends.
            yield "_specificity", style, values
        return
    for exit_index, level in history.cell_indices:
        values = history.curve(quantity, exit_index, level, split)
        if not values:
            raise ValueError(f"the history has no scores on split {split!r}")
        style = head_style(exit_index, level, hierarchy.num_levels)
        yield f"exit {exit_index + 1} {hierarchy.level_names[level]}", style, values


def _epoch_axis(ax: Axes, numbers: list[int]) -> None:
    ax.set_xlim(numbers[0] - 0.3, numbers[-1] + 0.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
