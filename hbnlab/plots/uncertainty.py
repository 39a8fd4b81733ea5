"""Fine and coarse uncertainty of each exit, side by side: how far they overlap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from hbnlab.metrics import Overlap, uncertainties, uncertainty_overlap
from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import (
    AxesGrid,
    array,
    describe_records,
    light_grid,
    listed,
    many_axes,
    panel_size,
    shared_legend,
)
from hbnlab.plots.palette import BLACK, PALE, level_style
from hbnlab.records import ExitRecords

_MOST_POINTS = 1000
_MOST_BINS = 50


def entropies(
    records: ExitRecords,
    *,
    batch_size: int = 1,
    normalised: bool = False,
    coarse_level: int = 0,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Fine and coarse entropies: every value above, their ranges below, one column an exit.

    Above, a row is an image, or a batch; of more than a thousand every so many-th is drawn. Below,
    the thin line goes from the lowest to the highest, the thick one holds the middle half, the
    marker is the median, and the range that both share is shaded.

    Args:
        records: with a fine and a coarse head at every exit.
        batch_size: images whose mean is one value: 1 = single images, 64 in the study.
        normalised: divide each entropy by ln(classes), for the two have different ceilings.
        coarse_level: level of the coarse head.
        axes: two rows with a column for each exit.

    Raises:
        ValueError: for an exit that lacks one of the heads.

    Source:
        Figure 5 of Sanati et al., there of batch means against tau, which does not enter an
        entropy at all.
    """
    pairs = _pairs(records, batch_size, normalised, coarse_level)
    exits = len(pairs)
    grid = many_axes(
        axes, (2, exits), panel_size(exits, 2.4), sharex=True, sharey="row", ratios=(3, 1)
    )
    for pair, (above, below) in zip(pairs, grid.T, strict=True):
        for level, values in pair.by_level:
            _scatter(above, records, level, values)
            _range(below, records, level, values)
        low, high = pair.shared_range
        if low < high:
            below.axvspan(low, high, color=PALE, zorder=0)
        below.set(xlabel=pair.label, ylim=(-0.6, 1.6))
        below.set_yticks([0, 1], [records.hierarchy.level_names[k] for k, _ in pair.by_level])
        above.set_title(f"exit {pair.exit_index + 1}")
        light_grid(above)
        light_grid(below)
    grid[0, 0].set_ylabel("image" if batch_size == 1 else f"batch of {batch_size}")
    shared_legend(grid, outside=axes is None)
    set_description(grid, _words("Scatter and range", records, pairs))
    return grid


def entropy_densities(
    records: ExitRecords,
    *,
    batch_size: int = 1,
    normalised: bool = False,
    coarse_level: int = 0,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Densities of fine and coarse entropies, their overlap shaded, one panel an exit.

    The shaded area is the overlap coefficient of ``metrics.uncertainty_overlap``. Most entropies of
    a trained network lie close to 0, so the densities have a square-root scale, on which low ones
    can be seen beside high ones.

    Args:
        records: with a fine and a coarse head at every exit.
        batch_size: images whose mean is one value, 1 = single images.
        normalised: divide each entropy by ln(classes), for the two have different ceilings.
        coarse_level: level of the coarse head.
        axes: one for each exit.

    Raises:
        ValueError: for an exit that lacks one of the heads.
    """
    pairs = _pairs(records, batch_size, normalised, coarse_level)
    exits = len(pairs)
    grid = many_axes(axes, (1, exits), panel_size(exits, 3.0), sharex=True, sharey=True)[0]
    for pair, ax in zip(pairs, grid, strict=True):
        _densities(ax, records, pair)
        title = f"exit {pair.exit_index + 1}: overlap {pair.overlap.coefficient:.2f}"
        ax.set_title(title, fontsize=10)
        ax.set_xlabel(pair.label)
        light_grid(ax)
        ax.set_yscale("function", functions=(_root, np.square))
    unit = "" if normalised else "1 / nat, "
    grid[0].set_ylabel(f"density ({unit}square-root scale)")
    shared_legend(grid, outside=axes is None)
    set_description(grid, _words("Densities", records, pairs))
    return grid


@dataclass(frozen=True, eq=False)
class _Pair:
    """Coarse and fine entropies of one exit, and how far they overlap.

    Attributes:
        exit_index: from 0.
        by_level: level and entropies, coarse and then fine.
        overlap: of the two, from as many bins as ``bins``.
        bins: of the histograms that stand for the densities.
    """

    exit_index: int
    by_level: tuple[tuple[int, Float[Tensor, " value"]], tuple[int, Float[Tensor, " value"]]]
    overlap: Overlap
    bins: int

    @property
    def shared_range(self) -> tuple[float, float]:
        """From the larger of the two smallest to the smaller of the two largest."""
        values = [entropies for _, entropies in self.by_level]
        return max(float(v.min()) for v in values), min(float(v.max()) for v in values)

    @property
    def label(self) -> str:
        """Name of the axis of the entropies."""
        return "entropy / ln(classes)" if self.overlap.normalised else "entropy (nats)"


def _pairs(
    records: ExitRecords, batch_size: int, normalised: bool, coarse_level: int
) -> list[_Pair]:
    """What the figures of this module draw, for every exit."""
    pairs = []
    for exit_index in range(records.num_exits):
        coarse, fine = (
            uncertainties(records, exit_index, level, normalised=normalised, batch_size=batch_size)
            for level in (coarse_level, -1)
        )
        # Few values need few bins.
        bins = min(_MOST_BINS, 2 * math.isqrt(len(fine)))
        overlap = uncertainty_overlap(
            records,
            exit_index,
            coarse_level=coarse_level,
            normalised=normalised,
            batch_size=batch_size,
            bins=bins,
        )
        by_level = ((coarse_level, coarse), (records.hierarchy.finest, fine))
        pairs.append(_Pair(exit_index, by_level, overlap, bins))
    return pairs


def _scatter(ax: Axes, records: ExitRecords, level: int, values: Float[Tensor, " value"]) -> None:
    style = level_style(level, records.hierarchy.num_levels)
    every = math.ceil(len(values) / _MOST_POINTS)
    ax.scatter(
        array(values[::every]),
        np.arange(0, len(values), every),
        s=8,
        marker=style.marker,
        facecolors="none",
        edgecolors=style.color,
        linewidths=0.6,
        alpha=0.7,
        rasterized=True,  # thousands of markers make a heavy SVG
        label=records.hierarchy.level_names[level],
    )


def _range(ax: Axes, records: ExitRecords, level: int, values: Float[Tensor, " value"]) -> None:
    style = level_style(level, records.hierarchy.num_levels)
    marks = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], device=values.device, dtype=values.dtype)
    low, first, median, third, high = torch.quantile(values, marks).tolist()
    y = int(level == records.hierarchy.finest)
    ax.hlines(y, low, high, color=style.color, linewidth=1.5)
    ax.hlines(y, first, third, color=style.color, linewidth=7, alpha=0.6)
    ax.plot(median, y, style.marker, color="white", markeredgecolor=BLACK, markersize=6)


def _densities(ax: Axes, records: ExitRecords, pair: _Pair) -> None:
    both = torch.cat([values for _, values in pair.by_level])
    low, high = float(both.min()), float(both.max())
    edges = np.linspace(low, high if high > low else low + 1e-6, pair.bins + 1)
    heights = [np.histogram(array(v), edges, density=True)[0] for _, v in pair.by_level]
    ax.stairs(np.minimum(*heights), edges, fill=True, color="#BBBBBB", hatch="///", label="overlap")
    for (level, _), height in zip(pair.by_level, heights, strict=True):
        style = level_style(level, records.hierarchy.num_levels)
        look = {"color": style.color, "linestyle": style.linestyle, "linewidth": 1.6}
        ax.stairs(height, edges, **look, label=records.hierarchy.level_names[level])


def _root(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(values, 0.0))


def _words(what: str, records: ExitRecords, pairs: Sequence[_Pair]) -> str:
    said = listed(
        f"exit {pair.exit_index + 1} overlap coefficient {pair.overlap.coefficient:.2f}, "
        f"fine above coarse in {100 * pair.overlap.auroc:.0f} % of pairs"
        for pair in pairs
    )
    overlap = pairs[0].overlap
    unit = "entropies over ln(classes)" if overlap.normalised else "entropies in nats"
    size = overlap.batch_size
    each = "single images" if size == 1 else f"means of {size} images"
    return f"{what} of fine and coarse {unit}, of {each} ({describe_records(records)}): {said}."
