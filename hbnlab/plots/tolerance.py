"""What the fine tolerance does at each exit, and over which values it does anything."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from hbnlab.formatting import percent
from hbnlab.metrics import (
    Evaluation,
    OperatingRegion,
    PublishedResults,
    ReferenceCurve,
    operating_region,
    reference_curve,
    sweep,
)
from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import (
    LEGEND,
    AxesGrid,
    as_percent,
    decided,
    describe_records,
    light_grid,
    listed,
    many_axes,
    one_axes,
    panel_size,
    published_words,
    shared_legend,
)
from hbnlab.plots.palette import GREEN, PALE, REFERENCE, VERMILLION, series_style
from hbnlab.policies import FineTolerance
from hbnlab.records import ExitRecords

_POINTS = 101
_REFERENCE_BATCH = 512


def accuracy_against_tolerance(
    records: ExitRecords,
    *,
    tolerances: Sequence[float] | None = None,
    batch_size: int = 1,
    coarse_level: int = 0,
    published: PublishedResults | None = None,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Accuracy above and specificity below against the fine tolerance, one column an exit.

    Every image leaves at the exit of the column. The operating region is shaded.

    Args:
        records: with a fine and a coarse head at every exit.
        tolerances: None = a hundred steps over the operating regions of all exits.
        batch_size: images a decision, 1 = each decides for itself; the study has 512.
        coarse_level: level of the coarse answers.
        published: published results; those of Gran-HBN are drawn too.
        axes: two rows with a column for each exit.

    Raises:
        ValueError: without tolerances, for an exit that lacks one of the heads, and for published
            results without Gran-HBN.

    Source:
        Figure 3 of Sanati et al.; the shading is ours.
    """
    if tolerances is not None and not len(tolerances):
        raise ValueError("tolerances must hold at least one tolerance, got none")
    exits = range(records.num_exits)
    regions = [
        operating_region(records, e, coarse_level=coarse_level, batch_size=batch_size)
        for e in exits
    ]
    curves = _reference_curves(published, len(exits))
    values = _spread(regions, curves) if tolerances is None else sorted(tolerances)
    grid = many_axes(axes, (2, len(exits)), panel_size(len(exits), 2.6), sharex=True, sharey="row")
    said = []
    for exit_index, region in enumerate(regions):
        policies = [at_exit(records, exit_index, t, coarse_level, batch_size) for t in values]
        results = sweep(policies, records)
        _draw_column(grid[:, exit_index], values, results, region)
        _draw_reference(grid[:, exit_index], curves[exit_index])
        grid[0, exit_index].set_title(f"exit {exit_index + 1}")
        said.append(_words(exit_index, results, region))
    grid[0, 0].set_ylabel("accuracy")
    grid[1, 0].set_ylabel("specificity (answered finely)")
    shared_legend(grid, outside=axes is None)
    set_description(
        grid,
        f"Accuracy and specificity against the fine tolerance from {values[0]:.2f} to "
        f"{values[-1]:.2f} nats, {decided(batch_size)} ({describe_records(records)}): "
        f"{listed(said)}." + published_words(published),
    )
    return grid


def operating_regions(
    records: ExitRecords,
    *,
    batch_sizes: Sequence[int] | None = None,
    coverage: float = 1.0,
    coarse_level: int = 0,
    published: PublishedResults | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The operating region of every exit against the number of images that decide together.

    It narrows as the batch grows, for it then measures the spread of batch means.

    Args:
        records: with a fine and a coarse head at every exit.
        batch_sizes: None = powers of two up to 512, while there are four batches or more.
        coverage: share of the decisions that change within the region.
        coarse_level: level of the coarse answers.
        published: published results; its regions, of batches of 512, are drawn beside ours.
        ax: where to draw.

    Raises:
        ValueError: without batch sizes, for one below 1, and for an exit that lacks one of the
            heads.
    """
    sizes = _default_sizes(len(records)) if batch_sizes is None else list(batch_sizes)
    if not sizes:
        raise ValueError("batch_sizes must hold at least one size, got none")
    regions = [
        _regions(records, exit_index, sizes, coverage, coarse_level)
        for exit_index in range(records.num_exits)
    ]
    ax = one_axes(ax, (8.0, 4.2))
    for exit_index, row in enumerate(regions):
        _draw_bars(ax, row, exit_index, records.num_exits)
    labels = [str(size) for size in sizes]
    if published is not None:
        labels.append(f"published, {_REFERENCE_BATCH}")
        _draw_reference_regions(ax, published, len(sizes), records.num_exits)
    ax.set_xticks(range(len(labels)), labels)
    ax.set(xlabel="images that decide together (batch size)", ylabel="fine tolerance (nats)")
    light_grid(ax)
    ax.grid(False, axis="x")
    ax.legend(**LEGEND)
    said = [
        f"exit {e + 1} from {row[0].width:.2f} nats at {row[0].batch_size} to "
        f"{row[-1].width:.2f} at {row[-1].batch_size}"
        for e, row in enumerate(regions)
    ]
    set_description(
        ax,
        "Operating region of the fine tolerance against the batch size "
        f"({describe_records(records)}); width: {listed(said)}." + published_words(published),
    )
    return ax


def at_exit(
    records: ExitRecords, exit_index: int, tolerance: float, coarse_level: int, batch_size: int
) -> FineTolerance:
    """The tolerance rule under which every image leaves at one exit."""
    policy = FineTolerance.at_exit(exit_index, records.num_exits, tolerance)
    if batch_size > 1:
        policy = replace(policy, per="batch", batch_size=batch_size)
    return replace(policy, coarse_level=coarse_level)


def _reference_curves(
    published: PublishedResults | None, num_exits: int
) -> list[ReferenceCurve | None]:
    if published is None:
        return [None] * num_exits
    return [reference_curve(published, "gran-hbn", e, num_exits) for e in range(num_exits)]


def _spread(
    regions: Sequence[OperatingRegion], curves: Sequence[ReferenceCurve | None]
) -> list[float]:
    """Tolerances from a little below all regions, the study's included, to a little above."""
    published = [tolerance for curve in curves if curve for tolerance in curve.tolerances]
    low = min([region.low for region in regions] + published)
    high = max([region.high for region in regions] + published)
    margin = 0.05 * (high - low) or 0.1
    return np.linspace(low - margin, high + margin, _POINTS).tolist()


def _regions(
    records: ExitRecords,
    exit_index: int,
    sizes: Sequence[int],
    coverage: float,
    coarse_level: int,
) -> list[OperatingRegion]:
    """The operating region of one exit at every batch size."""
    return [
        operating_region(
            records, exit_index, coarse_level=coarse_level, batch_size=size, coverage=coverage
        )
        for size in sizes
    ]


def _default_sizes(num_images: int) -> list[int]:
    return [2**power for power in range(10) if power == 0 or 4 * 2**power <= num_images]


def _draw_column(
    column: np.ndarray,
    tolerances: Sequence[float],
    results: Sequence[Evaluation],
    region: OperatingRegion,
) -> None:
    above, below = column
    above.plot(tolerances, [r.accuracy for r in results], color=VERMILLION, label="accuracy")
    above.plot(
        tolerances,
        [r.hierarchical_accuracy for r in results],
        color=GREEN,
        linestyle="--",
        label="hierarchical accuracy",
    )
    below.plot(tolerances, [r.specificity for r in results], color=VERMILLION)
    below.set_xlabel("fine tolerance (nats)")
    for ax in column:
        ax.axvspan(region.low, region.high, color=PALE, zorder=0, label="operating region")
        light_grid(ax)
        as_percent(ax.yaxis)


def _draw_reference(column: np.ndarray, curve: ReferenceCurve | None) -> None:
    if curve is None:
        return
    look = {"color": REFERENCE.color, "linestyle": REFERENCE.linestyle}
    column[0].plot(curve.tolerances, curve.accuracy, **look, label="published, accuracy")
    column[1].plot(curve.tolerances, curve.specificity, **look)


def _draw_bars(
    ax: Axes, regions: Sequence[OperatingRegion], exit_index: int, num_exits: int
) -> None:
    """A bar from low to high at each batch size, with the exit's marker at both ends."""
    style = series_style(exit_index)
    places = [place + _shift(exit_index, num_exits) for place in range(len(regions))]
    lows, highs = [region.low for region in regions], [region.high for region in regions]
    ax.vlines(places, lows, highs, color=style.color, linewidth=2.5)
    name = f"exit {exit_index + 1}"
    ax.plot(places, lows, style.marker, color=style.color, markersize=5, label=name)
    ax.plot(places, highs, style.marker, color=style.color, markersize=5)


def _draw_reference_regions(
    ax: Axes, published: PublishedResults, place: int, num_exits: int
) -> None:
    regions = published.get("operating_region", {})
    for exit_index in range(num_exits):
        if str(exit_index + 1) in regions:
            low, high = regions[str(exit_index + 1)]
            x, marker = place + _shift(exit_index, num_exits), series_style(exit_index).marker
            ax.vlines(x, low, high, color=REFERENCE.color, linewidth=2.5)
            ax.plot([x, x], [low, high], marker, color=REFERENCE.color, markersize=5)


def _shift(exit_index: int, num_exits: int) -> float:
    """How far the bars of an exit stand beside the middle of their group."""
    return (exit_index - (num_exits - 1) / 2) * 0.7 / num_exits


def _words(exit_index: int, results: Sequence[Evaluation], region: OperatingRegion) -> str:
    first, last = percent(results[0].accuracy), percent(results[-1].accuracy)
    return (
        f"exit {exit_index + 1} accuracy from {first} to {last}, operating region "
        f"{region.low:.2f} to {region.high:.2f} nats"
    )
