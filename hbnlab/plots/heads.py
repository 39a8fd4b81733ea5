"""Each head by itself: what it takes for what, and whether its confidence can be believed."""

import math
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from hbnlab.formatting import percent, spoken
from hbnlab.metrics import Confusion, Reliability, confusion, failure_auroc, reliability
from hbnlab.plots.canvas import (
    PLAIN_TEXT,
    AxesGrid,
    array,
    as_percent,
    describe_records,
    finish,
    light_grid,
    many_axes,
    one_axes,
    panel_title,
)
from hbnlab.plots.palette import GREY, VERMILLION, level_style
from hbnlab.records import ExitRecords

_MOST_NAMES = 30


def confusion_matrix(
    records: ExitRecords,
    exit_index: int = -1,
    *,
    level: int | str = -1,
    coarse_level: int | str = 0,
    ax: Axes | None = None,
) -> Axes:
    """What one head takes for what, ordered by coarse class, with the coarse classes boxed.

    A row is a true class and sums to 1; the shading rises steeply at first, so that rare mistakes
    can be seen. Mistakes inside a box would have been right as coarse answers.

    Args:
        records: of one network.
        exit_index: from 0; negative counts from the last.
        level: of the head.
        coarse_level: whose classes are boxed.
        ax: where to draw.

    Raises:
        ValueError: for an exit that does not exist, or one without a head at that level.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> confusion_matrix(simulated_records()).get_title()
        'exit 3, fine'

    Source:
        The notebooks beside the code of Sanati et al.
    """
    if not -records.num_exits <= exit_index < records.num_exits:
        raise ValueError(f"exit_index must be in 0..{records.num_exits - 1}, got {exit_index}")
    exit_index %= records.num_exits
    matrix = confusion(records, exit_index, level, coarse_level=coarse_level)
    ax = one_axes(ax, (7.2, 6.2))
    counts = array(matrix.counts).astype(float)
    # A class without images has an empty row.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    image = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.4, 0.0, 1.0), interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, label="share of the images of the true class")
    as_percent(bar.ax.yaxis)
    ends = np.cumsum(matrix.block_sizes)
    look = {"fill": False, "edgecolor": VERMILLION, "linewidth": 1.0}
    for end, size in zip(ends, matrix.block_sizes, strict=True):
        ax.add_patch(Rectangle((end - size - 0.5, end - size - 0.5), size, size, **look))
    _name_classes(ax, matrix, ends)
    name = records.hierarchy.level_names[records.hierarchy.level_index(level)]
    ax.set(xlabel=f"{name} class answered", ylabel=f"true {name} class")
    ax.set_title(f"exit {exit_index + 1}, {name}")
    right = percent(float(counts.trace() / counts.sum()))
    return finish(
        ax,
        f"Confusion matrix of exit {exit_index + 1} {name} over {len(counts)} classes "
        f"({describe_records(records)}): {right} on the diagonal; "
        f"{percent(matrix.within_blocks)} of the mistakes lie within the "
        f"{len(matrix.block_sizes)} boxed coarse classes.",
    )


def reliability_diagrams(
    records: ExitRecords, *, bins: int = 15, axes: AxesGrid | None = None
) -> np.ndarray:
    """Accuracy against confidence of every head: a row per level, a column per exit.

    A calibrated head lies on the diagonal, an overconfident one below. The area of a marker is the
    share of the images in its bin. ECE is the expected calibration error; AUROC tells how well low
    entropy separates right answers from wrong ones, which is what an exit threshold uses.

    Args:
        records: of one network.
        bins: of confidence, of equal width.
        axes: a row per level with a column for each exit.

    Raises:
        ValueError: for ``bins`` below 1.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> reliability_diagrams(simulated_records(num_exits=4)).shape
        (2, 4)
    """
    levels, exits = records.hierarchy.num_levels, records.num_exits
    found = {
        (e, k): (reliability(records, e, k, bins=bins), failure_auroc(records, e, k))
        for e, k in records.cells
    }
    grid = many_axes(axes, (levels, exits), 2.9, sharex=True, sharey=True)
    heads = []
    for level, exit_index in product(range(levels), range(exits)):
        ax = grid[level, exit_index]
        name = f"exit {exit_index + 1} {records.hierarchy.level_names[level]}"
        if (exit_index, level) not in found:
            ax.text(0.5, 0.5, "no head", ha="center", va="center")
            ax.set_title(name, fontsize=9)
            continue
        result, ranking = found[exit_index, level]
        _draw_reliability(ax, result, records, level)
        auroc = [] if math.isnan(ranking) else [f"AUROC {ranking:.2f}"]
        numbers = [f"ECE {percent(result.expected_error)}", *auroc]
        panel_title(ax, exits, 9.0, name, *numbers)
        heads.append(f"{name} {', '.join(numbers)}")
    for ax in grid[-1]:
        ax.set_xlabel("confidence")
    for ax in grid[:, 0]:
        ax.set_ylabel("accuracy")
    words = f"Accuracy against confidence of every head ({describe_records(records)})"
    return finish(grid, f"{words}: {'; '.join(heads)}.")


def _name_classes(ax: Axes, matrix: Confusion, ends: np.ndarray) -> None:
    """Names of all classes where there is room, else of the coarse classes at their boxes."""
    places, names = np.arange(len(matrix.names)), matrix.names
    if len(names) > _MOST_NAMES:
        places, names = ends - np.array(matrix.block_sizes) / 2 - 0.5, matrix.block_names
    texts = [spoken(name) for name in names]
    ax.set_xticks(places, texts, rotation=90, fontsize=7, **PLAIN_TEXT)
    ax.set_yticks(places, texts, fontsize=7, **PLAIN_TEXT)
    ax.tick_params(length=0)


def _draw_reliability(ax: Axes, result: Reliability, records: ExitRecords, level: int) -> None:
    style = level_style(level, records.hierarchy.num_levels)
    filled = result.count > 0
    x, y = array(result.confidence[filled]), array(result.accuracy[filled])
    share = array(result.count[filled] / result.count.sum())
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
    ax.plot(x, y, color=style.color, linestyle=style.linestyle, linewidth=1.2)
    look = {"color": style.color, "marker": style.marker, "alpha": 0.55, "clip_on": False}
    ax.scatter(x, y, s=8 + 500 * share, **look)
    ax.set(xlim=(0, 1.04), ylim=(-0.04, 1.04))
    light_grid(ax, percent="xy")
