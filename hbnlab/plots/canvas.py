"""What figures share: Axes with their labels, axes in per cent, the last steps, and phrases."""

from collections.abc import Sequence
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor

from hbnlab.formatting import plural
from hbnlab.metrics import PublishedResults, ReferenceCurve, reference_curve
from hbnlab.plots.alt_text import all_axes, figure_of, set_description
from hbnlab.records import ExitRecords

FLOPS_LABEL = "FLOPs per image (millions)"
SPECIFICITY_LABEL = "specificity (share of fine answers)"
TOLERANCE_LABEL = "fine tolerance (nats)"

PLAIN_TEXT: dict[str, Any] = {"parse_math": False}
"""For texts with class names: two dollar signs in a name do not make a formula of it."""

AxesGrid = np.ndarray | Sequence[Axes]
"""Several Axes: an array as ``plt.subplots`` returns it, or a list."""

WIDEST = 10.0
"""The widest that a figure becomes, in inches; that is as much as a page holds."""

_MOST_WIDE_PANELS = 3  # of so many side by side, each has room for one line of text
_LEGEND: dict[str, Any] = {"fontsize": 8, "handlelength": 3.5}  # shows the longest dashes whole

_Drawn = TypeVar("_Drawn", Axes, np.ndarray)


def one_axes(
    ax: Axes | None, size: tuple[float, float], *, x: str = "", y: str = "", percent: str = ""
) -> Axes:
    """The Axes given, or those of a new figure of this size in inches; labels as in ``many_axes``.

    Example:
        >>> one_axes(None, (5.0, 3.0), x="exit", y="accuracy").get_xlabel()
        'exit'
    """
    given = None if ax is None else [ax]
    labels = {"x": x, "y": [y], "percent": percent}
    return many_axes(given, (1, 1), size[1], width=size[0], **labels)[0, 0]


def many_axes(
    axes: AxesGrid | None,
    shape: tuple[int, int],
    height: float,
    *,
    width: float = 4.5,
    x: str = "",
    y: Sequence[str] = (),
    percent: str = "",
    **layout: Any,
) -> np.ndarray:
    """The Axes given, or those of a new figure, as an array (row, column).

    Args:
        axes: one for each panel, or None.
        shape: numbers of rows and columns.
        height: of one panel of a new figure, in inches.
        width: of one panel, in inches; less where several side by side would become too wide.
        x: label of the horizontal axes, below the lowest row, of narrow panels only once; panels
            with labels have a light grid.
        y: labels of the vertical axes, one per row from above, left of the first column.
        percent: as in ``light_grid``.
        **layout: of a new figure, as ``plt.subplots`` takes it, such as ``sharex=True``.

    Raises:
        ValueError: for another number of Axes.
    """
    rows, columns = shape
    if axes is None:
        _, grid = plt.subplots(
            rows,
            columns,
            figsize=(min(width * columns, max(width, WIDEST)), height * rows),
            layout="constrained",
            squeeze=False,
            **layout,
        )
    else:
        grid = np.asarray(axes, dtype=object)
        if grid.size != rows * columns:
            raise ValueError(
                f"axes must be {rows} x {columns}, one per panel, got {grid.size} of them "
                f"in shape {grid.shape}"
            )
        grid = grid.reshape(rows, columns)
    if x:
        for ax in grid[-1] if columns <= _MOST_WIDE_PANELS else [grid[-1, columns // 2]]:
            ax.set_xlabel(x)
        for ax, label in zip(grid[:, 0], y, strict=False):
            ax.set_ylabel(label)
        for ax in grid.flat:
            light_grid(ax, percent)
    return grid


def panel_title(ax: Axes, columns: int, size: float, name: str, *numbers: str) -> None:
    """Name a panel, with its numbers: on one line, or on a line for each where it is narrow."""
    wide = f"{name}: {', '.join(numbers)}"
    narrow = "\n".join((name, *numbers))
    ax.set_title(wide if columns <= _MOST_WIDE_PANELS else narrow, fontsize=size)


def as_percent(*axis: Axis) -> None:
    """Write the ticks of a share in [0, 1] as percentages."""
    for one in axis:
        one.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 6):g} %"))


def finish(
    drawn: _Drawn, words: str, *, below: bool = False, columns: int = 5, **legend: Any
) -> _Drawn:
    """Describe a figure and give its panels one legend if they have labels; then it is done.

    Args:
        drawn: the Axes.
        words: the description.
        below: whether the legend stands below a new figure, in as many columns as there is room
            for; else it stands in the last panel.
        columns: at most, below a figure.
        **legend: of a legend in a panel, as ``Axes.legend`` takes it.

    Returns:
        the Axes.
    """
    set_description(drawn, words)
    panels = list(all_axes(drawn))
    entries: dict[str, Artist] = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return drawn
    named = {"handles": list(entries.values()), "labels": list(entries)} | _LEGEND | legend
    if not below:
        panels[-1].legend(**named)
        return drawn
    figure = figure_of(drawn)
    for wide in range(columns, 0, -1):
        under = figure.legend(**named, loc="outside lower center", ncols=wide)
        if wide == 1 or under.get_window_extent().width <= figure.bbox.width:
            break
        under.remove()
    return drawn


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


def logarithmic(ax: Axes) -> None:
    """A logarithmic horizontal axis with ticks at 1, 2, 5, 10 ... written out."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


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
