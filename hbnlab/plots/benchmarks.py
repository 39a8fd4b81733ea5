"""What a benchmark measured, beside the most that was possible."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from hbnlab.plots.canvas import finish, one_axes
from hbnlab.plots.palette import BLACK, series_style
from hbnlab.types import Number


def bench_bars(result: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Every comparison as a share of its first limit, with its range and, if any, its target.

    Args:
        result: what ``hbnlab bench`` writes; rows may have a target, ``at_least``, as a multiple
            of the limit named by ``of``, or absolute where ``of`` is None.
        ax: where to draw.

    Raises:
        ValueError: when no comparison has a limit to be held against.

    Example:
        >>> row = {"name": "two at once", "value": 1.8, "lowest": 1.7, "highest": 1.9}
        >>> ax = bench_bars({"rows": [row | {"limits": {"cores": 2.0}}]})
        >>> ax.texts[0].get_text()
        '1.8 of 2, cores'
    """
    rows = [row for row in result.get("rows", ()) if row["limits"]]
    if not rows:
        raise ValueError("a benchmark with at least one limit is expected, got none")
    size = (9.0, 0.6 * len(rows) + 1.4)
    x = "share of the limit named at the bar"
    ax = one_axes(ax, size, x=x, y="comparison", percent="x")
    values = []
    for y, row in enumerate(rows):
        name, limit = next(iter(row["limits"].items()))
        text = f"{row['value']:.3g} of {limit:.3g}"
        values.append(f"{row['name']} {text} ({name})")
        _draw_row(ax, y, row, limit)
        right = max(row["value"], row["highest"], limit) / limit + 0.03
        ax.text(right, y, f"{text}, {name}", va="center", fontsize=8)
    ax.axvline(1.0, color=BLACK, linewidth=1)
    ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.75), xticks=[0, 0.25, 0.5, 0.75, 1.0])
    ax.grid(visible=False, axis="y")
    words = f"Benchmark, each comparison beside its limit: {'; '.join(values)}."
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2, "frameon": False}
    return finish(ax, words, handlelength=2.0, **place)


def _draw_row(ax: Axes, y: int, row: Mapping[str, Any], limit: Number) -> None:
    """The bar of one comparison, with its range and its target."""
    share = row["value"] / limit
    around = [[share - row["lowest"] / limit], [row["highest"] / limit - share]]
    ax.barh(y, share, height=0.55, color=series_style(0).color, alpha=0.75)
    ax.errorbar(share, y, xerr=around, color=BLACK, capsize=3, label="lowest to highest")
    if row.get("at_least") is not None:
        target = row["at_least"] * (row["limits"][row["of"]] if row["of"] else 1.0) / limit
        mark = series_style(1)
        ax.plot(target, y, mark.marker, color=mark.color, markersize=8, label="target")
