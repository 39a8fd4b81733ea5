"""The sheet that a figure is drawn on: new Axes or those given, and how numbers are written."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from hbnlab.formatting import plural
from hbnlab.metrics import PublishedResults
from hbnlab.records import ExitRecords

FLOPS_LABEL = "FLOPs per image (millions)"

LEGEND: dict[str, Any] = {"fontsize": 8, "handlelength": 3.5}
"""Of every legend with lines: these are so long that the longest dashes are seen whole."""

AS_IT_IS: dict[str, Any] = {"parse_math": False}
"""For texts with names of classes: two dollar signs in a name do not make a formula of it."""

AxesGrid = np.ndarray | Sequence[Axes]
"""Several Axes: an array as ``plt.subplots`` returns it, or a list."""

Sharing = bool | Literal["none", "all", "row", "col"]
"""Which panels of a new figure have one axis, as ``plt.subplots`` takes it."""


def one_axes(ax: Axes | None, size: tuple[float, float] = (7.0, 4.5)) -> Axes:
    """The Axes given, or those of a new figure of this size in inches."""
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def many_axes(
    axes: AxesGrid | None,
    shape: tuple[int, int],
    panel: tuple[float, float],
    *,
    sharex: Sharing = False,
    sharey: Sharing = False,
    ratios: Sequence[int] | None = None,
) -> np.ndarray:
    """The Axes given, or those of a new figure, as an array (row, column).

    Args:
        axes: as many as there are panels, or None.
        shape: rows and columns of panels.
        panel: width and height of one, in inches.
        sharex: as in ``plt.subplots``, for a new figure.
        sharey: likewise.
        ratios: heights of the rows of a new figure.

    Raises:
        ValueError: for Axes of another number.
    """
    rows, columns = shape
    if axes is None:
        _, grid = plt.subplots(
            rows,
            columns,
            figsize=(panel[0] * columns, panel[1] * rows),
            layout="constrained",
            squeeze=False,
            sharex=sharex,
            sharey=sharey,
            height_ratios=ratios,
        )
        return grid
    given = np.asarray(axes, dtype=object)
    if given.size != rows * columns:
        raise ValueError(
            f"axes must be {rows} x {columns}, one a panel, got {given.size} of them "
            f"in shape {given.shape}"
        )
    return given.reshape(rows, columns)


def panel_size(columns: int, height: float) -> tuple[float, float]:
    """Width and height of a panel of which so many stand beside each other, in inches."""
    return min(4.5, 10.0 / columns), height


def as_percent(axis: Axis) -> None:
    """Write the ticks of a share in [0, 1] as percentages."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 6):g} %"))


def shared_legend(grid: np.ndarray, *, outside: bool, columns: int = 5) -> None:
    """One legend for all panels: under the figure if it is ours, else in the last panel.

    Under the figure it has as many columns as have room, up to ``columns``.
    """
    entries: dict[str, Artist] = {}
    for ax in grid.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    handles, labels = list(entries.values()), list(entries)
    if not outside:
        grid.flat[-1].legend(handles, labels, **LEGEND)
        return
    figure = grid.flat[0].get_figure(root=True)
    for wide in range(columns, 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=wide, **LEGEND)
        if wide == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def light_grid(ax: Axes) -> None:
    """Thin lines behind the data, and no frame where there is no axis."""
    ax.grid(True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def array(values: Tensor) -> np.ndarray:
    """A tensor of any device as an array."""
    return values.detach().cpu().numpy()


# ---------------------------------------------------------------------- words


def listed(parts: Iterable[str]) -> str:
    """Parts of a description, one after the other."""
    return "; ".join(parts)


def describe_records(records: ExitRecords) -> str:
    """What records were made from: ``"glyphs test, 2,000 images"``."""
    return ", ".join(part for part in (records.split, plural(len(records), "image")) if part)


def decided(batch_size: int) -> str:
    """By what decisions are made: ``"decided by image"``, ``"decided by batch of 512"``."""
    return "decided by image" if batch_size == 1 else f"decided by batch of {batch_size}"


def published_words(published: PublishedResults | None) -> str:
    """What a description adds where published results are drawn too."""
    return "" if published is None else " The published results are in grey."
