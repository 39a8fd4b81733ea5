"""What figures are drawn on and share: Axes, axes in per cent, legends, and common phrases."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from hbnlab.formatting import plural
from hbnlab.metrics import PublishedResults, ReferenceCurve, reference_curve
from hbnlab.plots.alt_text import set_description
from hbnlab.records import ExitRecords

FLOPS_LABEL = "FLOPs per image (millions)"
SPECIFICITY_LABEL = "specificity (share of fine answers)"
TOLERANCE_LABEL = "fine tolerance (nats)"

LEGEND: dict[str, Any] = {"fontsize": 8, "handlelength": 3.5}
"""For every legend with lines: long enough to show the longest dashes whole."""

PLAIN_TEXT: dict[str, Any] = {"parse_math": False}
"""For texts with class names: two dollar signs in a name do not make a formula of it."""

AxesGrid = np.ndarray | Sequence[Axes]
"""Several Axes: an array as ``plt.subplots`` returns it, or a list."""

WIDEST = 10.0
"""The widest that a figure becomes, in inches; that is as much as a page holds."""

_MOST_WIDE_PANELS = 4  # of so many side by side, each has room for one line of text


def one_axes(ax: Axes | None, size: tuple[float, float] = (7.0, 4.5)) -> Axes:
    """The Axes given, or those of a new figure of this size in inches."""
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def many_axes(
    axes: AxesGrid | None,
    shape: tuple[int, int],
    height: float,
    *,
    width: float = 4.5,
    **layout: Any,
) -> np.ndarray:
    """The Axes given, or those of a new figure, as an array (row, column).

    Args:
        axes: one for each panel, or None.
        shape: numbers of rows and columns.
        height: of one panel of a new figure, in inches.
        width: of one panel, in inches; less where the figure would become too wide.
        **layout: of a new figure, as ``plt.subplots`` takes it, such as ``sharex=True``.

    Raises:
        ValueError: for another number of Axes.
    """
    rows, columns = shape
    if axes is None:
        _, grid = plt.subplots(
            rows,
            columns,
            figsize=(min(width * columns, WIDEST), height * rows),
            layout="constrained",
            squeeze=False,
            **layout,
        )
        return grid
    given = np.asarray(axes, dtype=object)
    if given.size != rows * columns:
        raise ValueError(
            f"axes must be {rows} x {columns}, one per panel, got {given.size} of them "
            f"in shape {given.shape}"
        )
    return given.reshape(rows, columns)


def name_columns(row: np.ndarray, label: str) -> None:
    """Name the horizontal axis of each panel in a row; of narrow ones only that in the middle."""
    narrow = len(row) > _MOST_WIDE_PANELS
    for ax in [row[len(row) // 2]] if narrow else row:
        ax.set_xlabel(label)


def panel_title(ax: Axes, columns: int, size: float, name: str, *numbers: str) -> None:
    """Name a panel, with its numbers: on one line, or on a line for each where it is narrow."""
    wide = f"{name}: {', '.join(numbers)}"
    narrow = "\n".join((name, *numbers))
    ax.set_title(wide if columns <= _MOST_WIDE_PANELS else narrow, fontsize=size)


def as_percent(*axis: Axis) -> None:
    """Write the ticks of a share in [0, 1] as percentages."""
    for one in axis:
        one.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 6):g} %"))


def finish(grid: np.ndarray, words: str, *, is_new: bool, columns: int = 5) -> np.ndarray:
    """Describe a figure and give its panels one legend; then it is done.

    The legend stands under a new figure, in as many columns as there is room for, up to
    ``columns``; on Axes that were given it stands in the last panel.

    Returns:
        the Axes.
    """
    set_description(grid, words)
    entries: dict[str, Artist] = {}
    for ax in grid.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    handles, labels = list(entries.values()), list(entries)
    if not is_new:
        grid.flat[-1].legend(handles, labels, **LEGEND)
        return grid
    figure = grid.flat[0].get_figure(root=True)
    for wide in range(columns, 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=wide, **LEGEND)
        if legend.get_window_extent().width <= figure.bbox.width:
            break
        if wide > 1:
            legend.remove()
    return grid


def light_grid(ax: Axes, percent: str = "") -> None:
    """Thin lines behind the data, and no frame where there is no axis.

    Args:
        ax: Axes with data.
        percent: the axes of shares, written as percentages: ``"x"``, ``"y"`` or ``"xy"``.
    """
    as_percent(*(getattr(ax, f"{name}axis") for name in percent))
    ax.grid(True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def array(values: Tensor) -> np.ndarray:
    """A tensor of any device as an array."""
    return values.detach().cpu().numpy()


def check_coarse_level(records: ExitRecords, coarse_level: int) -> None:
    """Refuse a figure of coarse and fine answers where the tree has no such coarse level.

    Raises:
        ValueError: for a coarse level that is not above the finest.
    """
    names = records.hierarchy.level_names
    if not 0 <= coarse_level < len(names) - 1:
        raise ValueError(
            f"coarse_level must be a level above the finest of {list(names)}, got {coarse_level}"
        )


def reference_curves(
    published: PublishedResults | None, network: str, num_exits: int
) -> list[ReferenceCurve | None]:
    """What was published for each exit of a network; None where there is nothing."""
    if published is None:
        return [None] * num_exits
    return [reference_curve(published, network, e, num_exits) for e in range(num_exits)]


# ---------------------------------------------------------------------- words


def describe_records(records: ExitRecords) -> str:
    """What records were made from: ``"glyphs test, 2,000 images"``."""
    return ", ".join(part for part in (records.split, plural(len(records), "image")) if part)


def decided(batch_size: int) -> str:
    """What one decision is made for: ``"decided per image"``, ``"decided per batch of 512"``."""
    return "decided per image" if batch_size == 1 else f"decided per batch of {batch_size}"


def published_words(published: PublishedResults | None) -> str:
    """What a description adds where published results are drawn too."""
    return "" if published is None else " The published results are in grey."
