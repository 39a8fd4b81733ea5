"""What a benchmark measured, beside the most that was possible."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import as_percent, light_grid, listed, one_axes
from hbnlab.plots.palette import BLACK, series_style


def bench_bars(result: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Every comparison as a share of its first limit, with its range and its target.

    Args:
        result: what ``hbnlab bench`` writes.
        ax: where to draw.

    Raises:
        ValueError: when no comparison has a limit to be held against.
    """
    rows = [row for row in result.get("rows", ()) if row["limits"]]
    if not rows:
        raise ValueError("a benchmark with at least one limit is expected, got none")
    ax = one_axes(ax, (9.0, 0.6 * len(rows) + 1.4))
    for place, row in enumerate(rows):
        _draw_row(ax, place, row)
    ax.axvline(1.0, color=BLACK, linewidth=1)
    ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
    ax.invert_yaxis()
    ax.set(xlabel="share of the limit named at the bar", ylabel="comparison", xlim=(0, 1.75))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    as_percent(ax.xaxis)
    light_grid(ax)
    ax.grid(visible=False, axis="y")
    handles, labels = ax.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2, "frameon": False}
    ax.legend(known.values(), known.keys(), fontsize=8, **place)
    set_description(ax, _words(rows))
    return ax


def _draw_row(ax: Axes, place: int, row: Mapping[str, Any]) -> None:
    name, limit = next(iter(row["limits"].items()))
    share, style = row["value"] / limit, series_style(0)
    spread = [[share - row["lowest"] / limit], [row["highest"] / limit - share]]
    ax.barh(place, share, height=0.55, color=style.color, alpha=0.75)
    ax.errorbar(share, place, xerr=spread, color=BLACK, capsize=3, label="lowest to highest")
    if row["at_least"] is not None:
        target = row["at_least"] * (row["limits"][row["of"]] if row["of"] else 1.0) / limit
        mark = series_style(1)
        ax.plot(target, place, mark.marker, color=mark.color, markersize=8, label="target")
    after = max(share, row["highest"] / limit, 1.0) + 0.03
    ax.text(after, place, f"{row['value']:.3g} of {limit:.3g}, {name}", va="center", fontsize=8)


def _words(rows: list[Mapping[str, Any]]) -> str:
    said = []
    for row in rows:
        name, limit = next(iter(row["limits"].items()))
        said.append(f"{row['name']} {row['value']:.3g} of {limit:.3g} ({name})")
    return f"Benchmark, each beside its limit: {listed(said)}."
