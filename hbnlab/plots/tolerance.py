"""What the fine tolerance does at each exit, and over which values it does anything."""

from collections.abc import Mapping, Sequence
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
    sweep,
)
from hbnlab.plots.canvas import (
    SPECIFICITY_LABEL,
    TOLERANCE_LABEL,
    AxesGrid,
    check_coarse_level,
    decided,
    describe_records,
    finish,
    many_axes,
    one_axes,
    published_words,
    reference_curves,
)
from hbnlab.plots.palette import GREEN, GREY, PALE, VERMILLION, series_style
from hbnlab.policies import FineTolerance
from hbnlab.records import ExitRecords

_POINTS = 101
_PUBLISHED_BATCH = 512


def accuracy_against_tolerance(
    records: ExitRecords,
    *,
    tolerances: Sequence[float] | None = None,
    batch_size: int = 1,
    coarse_level: int = 0,
    published: PublishedResults | None = None,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Accuracy above and specificity below against the fine tolerance, one column per exit.

    Every image leaves at the exit of the column. The operating region is shaded.

    Args:
        records: with a fine and a coarse head at every exit.
        tolerances: None = a hundred steps over the operating regions of all exits.
        batch_size: images per decision; 1 = each image decides for itself, 512 in the study.
        coarse_level: level of the coarse answers.
        published: results, of which those of Gran-HBN are drawn too.
        axes: two rows with a column for each exit.

    Raises:
        ValueError: without tolerances, for an exit that lacks one of the heads, and for published
            results without Gran-HBN.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> grid = accuracy_against_tolerance(simulated_records(), tolerances=[0.0, 0.5, 1.0])
        >>> grid.shape
        (2, 3)

    Source:
        Figure 3 of Sanati et al.; the shading is ours.
    """
    if tolerances is not None and not len(tolerances):
        raise ValueError("tolerances must hold at least one tolerance, got none")
    check_coarse_level(records, coarse_level)
    exits, how = records.num_exits, {"coarse_level": coarse_level, "batch_size": batch_size}
    regions = [operating_region(records, exit_index, **how) for exit_index in range(exits)]
    curves = reference_curves(published, "gran-hbn", exits)
    values = _default_tolerances(regions, curves) if tolerances is None else sorted(tolerances)
    labels = {"x": TOLERANCE_LABEL, "y": ("accuracy", SPECIFICITY_LABEL), "percent": "y"}
    grid = many_axes(axes, (2, exits), 2.6, sharex=True, sharey="row", **labels)
    effects = []
    for exit_index, region in enumerate(regions):
        results = sweep(policies_at_exit(records, exit_index, values, **how), records)
        _draw_column(grid[:, exit_index], values, results, region, curves[exit_index])
        grid[0, exit_index].set_title(f"exit {exit_index + 1}")
        effects.append(_effect(exit_index, results, region))
    words = (
        f"Accuracy and specificity against the fine tolerance from {values[0]:.2f} to "
        f"{values[-1]:.2f} nats, {decided(batch_size)} ({describe_records(records)})"
    )
    words = f"{words}: {'; '.join(effects)}.{published_words(published)}"
    return finish(grid, words, below=axes is None)


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

    The region narrows as the batch grows, because it then measures how far batch means differ.

    Args:
        records: with a fine and a coarse head at every exit.
        batch_sizes: None = powers of two up to 512, as long as there are four batches or more.
        coverage: share of the decisions that change within the region.
        coarse_level: level of the coarse answers.
        published: results, whose regions for batches of 512 are drawn beside ours.
        ax: where to draw.

    Raises:
        ValueError: without batch sizes, for one below 1, and for an exit that lacks one of the
            heads.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> ax = operating_regions(simulated_records(64), batch_sizes=[1, 4])
        >>> [label.get_text() for label in ax.get_xticklabels()]
        ['1', '4']
    """
    check_coarse_level(records, coarse_level)
    powers = [2**n for n in range(10) if n == 0 or 4 * 2**n <= len(records)]
    sizes = powers if batch_sizes is None else list(batch_sizes)
    if not sizes:
        raise ValueError("batch_sizes must hold at least one size, got none")
    rows = [
        [
            operating_region(
                records, exit_index, coarse_level=coarse_level, batch_size=size, coverage=coverage
            )
            for size in sizes
        ]
        for exit_index in range(records.num_exits)
    ]
    x = "images that decide together (batch size)"
    ax = one_axes(ax, (8.0, 4.2), x=x, y=TOLERANCE_LABEL)
    _draw_regions(ax, rows, {} if published is None else published.get("operating_region", {}))
    labels = [str(size) for size in sizes]
    if published is not None:
        labels.append(f"published, {_PUBLISHED_BATCH}")
    ax.set_xticks(range(len(labels)), labels)
    ax.grid(False, axis="x")
    words = "Operating region of the fine tolerance against the batch size"
    words = f"{words} ({describe_records(records)}); {_widths(rows)}."
    return finish(ax, words + published_words(published))


def policies_at_exit(
    records: ExitRecords,
    exit_index: int,
    tolerances: Sequence[float],
    coarse_level: int,
    batch_size: int,
) -> list[FineTolerance]:
    """The policies that let every image leave at one exit, one for each fine tolerance."""
    policy = FineTolerance.at_exit(exit_index, records.num_exits, 0.0, coarse_level=coarse_level)
    policy = policy.with_batch_size(None if batch_size == 1 else batch_size)
    return [replace(policy, fine_tolerance=tolerance) for tolerance in tolerances]


def _default_tolerances(
    regions: Sequence[OperatingRegion], curves: Sequence[ReferenceCurve | None]
) -> list[float]:
    """Tolerances from a little below all regions, the published ones included, to above them."""
    published = [tolerance for curve in curves if curve for tolerance in curve.tolerances]
    low = min([region.low for region in regions] + published)
    high = max([region.high for region in regions] + published)
    margin = 0.05 * (high - low) or 0.1
    return np.linspace(low - margin, high + margin, _POINTS).tolist()


def _effect(exit_index: int, results: Sequence[Evaluation], region: OperatingRegion) -> str:
    first, last = percent(results[0].accuracy), percent(results[-1].accuracy)
    return (
        f"exit {exit_index + 1} accuracy from {first} to {last}, operating region "
        f"{region.low:.2f} to {region.high:.2f} nats"
    )


def _draw_column(
    column: np.ndarray,
    tolerances: Sequence[float],
    results: Sequence[Evaluation],
    region: OperatingRegion,
    curve: ReferenceCurve | None,
) -> None:
    """Accuracy above, specificity below, for one exit."""
    above, below = column
    above.plot(tolerances, [r.accuracy for r in results], color=VERMILLION, label="accuracy")
    look = {"color": GREEN, "linestyle": "--", "label": "hierarchical accuracy"}
    above.plot(tolerances, [r.hierarchical_accuracy for r in results], **look)
    below.plot(tolerances, [r.specificity for r in results], color=VERMILLION)
    for ax in column:
        ax.axvspan(region.low, region.high, color=PALE, zorder=0, label="operating region")
    if curve is not None:
        look = {"color": GREY, "linestyle": ":"}
        above.plot(curve.tolerances, curve.accuracy, **look, label="published, accuracy")
        below.plot(curve.tolerances, curve.specificity, **look)


def _draw_regions(
    ax: Axes, rows: Sequence[Sequence[OperatingRegion]], published: Mapping[str, Sequence[float]]
) -> None:
    """A bar for each exit at each batch size, the exits side by side, then the published ones."""
    for exit_index, row in enumerate(rows):
        shift = (exit_index - (len(rows) - 1) / 2) * 0.7 / len(rows)
        style, name = series_style(exit_index), f"exit {exit_index + 1}"
        bars = [(region.low, region.high) for region in row]
        _draw_bars(ax, np.arange(len(row)) + shift, bars, style.marker, style.color, name)
        if str(exit_index + 1) in published:
            bars = [published[str(exit_index + 1)]]
            _draw_bars(ax, np.array([len(row) + shift]), bars, style.marker, GREY)


def _widths(rows: Sequence[Sequence[OperatingRegion]]) -> str:
    return "width: " + "; ".join(
        f"exit {exit_index + 1} from {row[0].width:.2f} nats at {row[0].batch_size} to "
        f"{row[-1].width:.2f} at {row[-1].batch_size}"
        for exit_index, row in enumerate(rows)
    )


def _draw_bars(
    ax: Axes,
    places: np.ndarray,
    bars: Sequence[Sequence[float]],
    marker: str,
    color: str,
    label: str = "_",
) -> None:
    """A bar from low to high at each place, with a marker at both ends."""
    ends = np.array(bars)
    ax.vlines(places, *ends.T, color=color, linewidth=2.5)
    ax.plot(places, ends, marker, color=color, markersize=5, label=[label, "_"])
