"""Fine and coarse uncertainty of each exit, side by side: how far they overlap."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from hbnlab.metrics import Overlap, uncertainties, uncertainty_overlap
from hbnlab.plots.canvas import (
    AxesGrid,
    array,
    check_coarse_level,
    describe_records,
    finish,
    many_axes,
    panel_title,
)
from hbnlab.plots.palette import BLACK, PALE, Style, level_style
from hbnlab.records import ExitRecords

_MOST_POINTS = 1000
_MOST_BINS = 50
_LABELS = {False: "entropy (nats)", True: "entropy / ln(classes)"}


def entropies(
    records: ExitRecords,
    *,
    batch_size: int = 1,
    normalised: bool = False,
    coarse_level: int = 0,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Fine and coarse entropies: every value above, their ranges below, one column per exit.

    Above, a row is an image or a batch; at most a thousand are drawn, evenly spaced. Below, the
    thin line spans all values and the thick one the middle half, the marker is the median, and the
    range that both levels share is shaded.

    Args:
        records: with a fine and a coarse head at every exit.
        batch_size: images per mean: 1 = single images, 64 in the study.
        normalised: divide each entropy by ln(classes), because the two have different maxima.
        coarse_level: level of the coarse head.
        axes: two rows with a column for each exit.

    Raises:
        ValueError: for an exit that lacks one of the heads.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> entropies(simulated_records())[1, 0].get_xlabel()
        'entropy (nats)'

    Source:
        Figure 5 of Sanati et al., which shows batch means against tau; an entropy does not depend
        on tau.
    """
    pairs = _pairs(records, batch_size, normalised, coarse_level)
    labels = {
        "x": _LABELS[normalised],
        "y": ["image" if batch_size == 1 else f"batch of {batch_size}"],
    }
    layout = {"sharex": True, "sharey": "row", "height_ratios": (3, 1)}
    grid = many_axes(axes, (2, len(pairs)), 2.4, **labels, **layout)
    for pair, (above, below) in zip(pairs, grid.T, strict=True):
        for y, (name, style, values) in enumerate(pair.series):
            _scatter(above, name, style, values)
            _range(below, y, style, values)
        low = max(values.min() for _, _, values in pair.series)
        high = min(values.max() for _, _, values in pair.series)
        if low < high:
            below.axvspan(low, high, color=PALE, zorder=0)
        below.set(ylim=(-0.6, 1.6))
        below.set_yticks([0, 1], [name for name, _, _ in pair.series])
        above.set_title(pair.name)
    return finish(grid, _words("Scatter and range", records, pairs), below=axes is None)


def entropy_densities(
    records: ExitRecords,
    *,
    batch_size: int = 1,
    normalised: bool = False,
    coarse_level: int = 0,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Densities of fine and coarse entropies, their overlap shaded, one panel per exit.

    The shaded area is the overlap coefficient of ``metrics.uncertainty_overlap``. Most entropies of
    a trained network lie near 0, so the densities have a square-root scale, on which low ones can
    be seen beside high ones.

    Args:
        records: with a fine and a coarse head at every exit.
        batch_size: images per mean; 1 = single images.
        normalised: divide each entropy by ln(classes), because the two have different maxima.
        coarse_level: level of the coarse head.
        axes: one for each exit.

    Raises:
        ValueError: for an exit that lacks one of the heads.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> len(entropy_densities(simulated_records(num_exits=4)))
        4
    """
    pairs = _pairs(records, batch_size, normalised, coarse_level)
    unit = "" if normalised else "1 / nat, "
    labels = {"x": _LABELS[normalised], "y": [f"density ({unit}square-root scale)"]}
    grid = many_axes(axes, (1, len(pairs)), 3.0, sharex=True, sharey=True, **labels)[0]
    for pair, ax in zip(pairs, grid, strict=True):
        _densities(ax, pair)
        panel_title(ax, len(pairs), 10.0, pair.name, f"overlap {pair.overlap.coefficient:.2f}")
        ax.set_yscale("function", functions=(_root, np.square))
    return finish(grid, _words("Densities", records, pairs), below=axes is None)


_Series = tuple[str, Style, Float[np.ndarray, " value"]]
"""Name of a level, its style, and the entropies of its head."""


class _Pair(NamedTuple):
    """The coarse and the finest head of one exit, how far they overlap, and bins for both."""

    name: str
    series: list[_Series]
    overlap: Overlap
    bins: int


def _pairs(
    records: ExitRecords, batch_size: int, normalised: bool, coarse_level: int
) -> list[_Pair]:
    """What the figures of this module draw, for every exit."""
    check_coarse_level(records, coarse_level)
    tree, how = records.hierarchy, {"normalised": normalised, "batch_size": batch_size}
    pairs = []
    for exit_index in range(records.num_exits):
        series = [
            (
                tree.level_names[level],
                level_style(level, tree.num_levels),
                array(uncertainties(records, exit_index, level, **how)),
            )
            for level in (coarse_level, tree.finest)
        ]
        # Few values need few bins.
        bins = min(_MOST_BINS, 2 * math.isqrt(len(series[0][-1])))
        overlap = uncertainty_overlap(
            records, exit_index, coarse_level=coarse_level, bins=bins, **how
        )
        pairs.append(_Pair(f"exit {exit_index + 1}", series, overlap, bins))
    return pairs


def _scatter(ax: Axes, name: str, style: Style, values: np.ndarray) -> None:
    every = math.ceil(len(values) / _MOST_POINTS)
    ax.scatter(
        values[::every],
        np.arange(0, len(values), every),
        s=8,
        marker=style.marker,
        facecolors="none",
        edgecolors=style.color,
        linewidths=0.6,
        alpha=0.7,
        rasterized=True,  # thousands of markers make a heavy SVG
        label=name,
    )


def _range(ax: Axes, y: int, style: Style, values: np.ndarray) -> None:
    low, first, median, third, high = np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0])
    ax.hlines(y, low, high, color=style.color, linewidth=1.5)
    ax.hlines(y, first, third, color=style.color, linewidth=7, alpha=0.6)
    ax.plot(median, y, style.marker, color="white", markeredgecolor=BLACK, markersize=6)


def _densities(ax: Axes, pair: _Pair) -> None:
    low = float(min(values.min() for _, _, values in pair.series))
    high = float(max(values.max() for _, _, values in pair.series))
    edges = np.linspace(low, high if high > low else low + 1e-6, pair.bins + 1)
    heights = [np.histogram(values, edges, density=True)[0] for _, _, values in pair.series]
    ax.stairs(np.minimum(*heights), edges, fill=True, color="#BBBBBB", hatch="///", label="overlap")
    for (name, style, _), height in zip(pair.series, heights, strict=True):
        look = {"color": style.color, "linestyle": style.linestyle, "linewidth": 1.6}
        ax.stairs(height, edges, **look, label=name)


def _root(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(values, 0.0))


def _words(what: str, records: ExitRecords, pairs: Sequence[_Pair]) -> str:
    overlaps = "; ".join(
        f"{pair.name} overlap coefficient {pair.overlap.coefficient:.2f}, "
        f"fine above coarse in {100 * pair.overlap.auroc:.0f} % of pairs"
        for pair in pairs
    )
    overlap = pairs[0].overlap
    unit = "entropies over ln(classes)" if overlap.normalised else "entropies in nats"
    size = overlap.batch_size
    each = "single images" if size == 1 else f"means of {size} images"
    return f"{what} of fine and coarse {unit}, of {each} ({describe_records(records)}): {overlaps}."
