"""The network as a picture, with the share of the images that leaves at each cell."""

import math

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Polygon

from hbnlab.formatting import millions, percent
from hbnlab.metrics import Evaluation, evaluate
from hbnlab.plots.alt_text import set_description
from hbnlab.plots.canvas import describe_records, listed, one_axes
from hbnlab.plots.palette import BLACK, GREY, level_style
from hbnlab.records import Decisions, ExitRecords

# Heights of the three rows and sizes, in units in which all images make a band 1 wide. A stage is
# higher than the band that enters it.
_TRUNK, _BRANCH, _HEAD = 0.0, -1.6, -3.15
_BOX = (1.3, 0.62)
_STAGE_BOX = (1.3, 1.1)
_ABOVE = 0.58
_RADIUS = 0.56
_HEAD_STEP = 1.25
_WIDEST_INCHES = 10.0


def network_diagram(decisions: Decisions, records: ExitRecords, *, ax: Axes | None = None) -> Axes:
    """Draw stages from left to right, branches and heads below, and where the images leave.

    Bands are as wide as the share of the images that goes that way. A disc at each head has the
    area of the share answered there; the ring around it is the area of all images.

    Raises:
        ValueError: when the decisions are not of these records.
    """
    result = evaluate(decisions, records)
    step = max(2.6, _HEAD_STEP * records.hierarchy.num_levels + 0.35)
    left, right = -step / 2 - 0.7, step * (records.num_exits - 0.5)
    low, high = _HEAD - 1.05, 0.9
    scale = min(1.05, _WIDEST_INCHES / (right - left))
    ax = one_axes(ax, (scale * (right - left), scale * (high - low) + 0.4))
    ax.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    ax.axis("off")
    ax.set_title(
        f"{percent(result.accuracy)} right at the level of the answer, specificity "
        f"{percent(result.specificity)}, {millions(result.mean_flops)} MFLOPs an image",
        fontsize=9,
    )
    going = 1.0
    _band(ax, (left + 0.1, _TRUNK), (0.0, _TRUNK), going)
    ax.text(left + 0.1, _ABOVE, "all images", fontsize=8, va="bottom")
    for exit_index, share in enumerate(result.exit_shares):
        _draw_exit(ax, records, result, exit_index, exit_index * step, step)
        going = max(0.0, going - share)
        if exit_index < records.num_exits - 1:
            _band(ax, (exit_index * step, _TRUNK), ((exit_index + 1) * step, _TRUNK), going)
            middle = (exit_index + 0.5) * step
            ax.text(middle, _ABOVE, f"{percent(going)} go on", fontsize=8, ha="center", va="bottom")
    set_description(ax, _words(records, result))
    return ax


def _draw_exit(
    ax: Axes, records: ExitRecords, result: Evaluation, exit_index: int, x: float, step: float
) -> None:
    """One stage, its branch and its heads, with the bands between them."""
    number = exit_index + 1
    cost = f"{millions(2 * records.stage_macs[exit_index])} MFLOPs"
    _box(ax, (x, _TRUNK), _STAGE_BOX, f"stage {number}", cost)
    name = f"branch {number}" + (", gate" if records.has_gate and exit_index == 0 else "")
    _box(ax, (x, _BRANCH), _BOX, name, f"{millions(2 * records.branch_macs[exit_index])} MFLOPs")
    _band(ax, (x, _TRUNK), (x, _BRANCH), result.exit_shares[exit_index])
    levels = [level for level, has in enumerate(records.head_mask[exit_index]) if has]
    start = x - result.exit_shares[exit_index] / 2
    for place, level in enumerate(levels):
        head_x = x + (place - (len(levels) - 1) / 2) * _HEAD_STEP
        share = result.shares[exit_index][level]
        style = level_style(level, records.hierarchy.num_levels)
        _band(ax, (start + share / 2, _BRANCH), (head_x, _HEAD), share, style.color)
        start += share
        ax.add_patch(Circle((head_x, _HEAD), _RADIUS, facecolor="white", edgecolor=GREY, zorder=3))
        ax.add_patch(
            Circle((head_x, _HEAD), _RADIUS * math.sqrt(share), color=style.color, zorder=4)
        )
        text = f"{records.hierarchy.level_names[level]}\n{percent(share)}"
        ax.text(head_x, _HEAD - _RADIUS - 0.08, text, ha="center", va="top", fontsize=8.5)


def _box(
    ax: Axes, place: tuple[float, float], size: tuple[float, float], title: str, cost: str
) -> None:
    (x, y), (width, height) = place, size
    box = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor="white",
        edgecolor=BLACK,
        linewidth=1.0,
        zorder=5,
    )
    ax.add_patch(box)
    ax.text(x, y + 0.12, title, ha="center", va="center", fontsize=8.5, weight="bold", zorder=6)
    ax.text(x, y - 0.15, cost, ha="center", va="center", fontsize=7, zorder=6)


def _band(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    share: float,
    color: str = "#CCCCCC",
) -> None:
    """A band from start to end, as wide as the share, on a hair line for a share of none."""
    (x0, y0), (x1, y1) = start, end
    ax.plot([x0, x1], [y0, y1], color=color, linewidth=0.8, zorder=1)
    # All but the bands along the trunk are cut off level, also those that lean.
    dx, dy = (0.0, share / 2) if y0 == y1 else (share / 2, 0.0)
    corners = [(x0 - dx, y0 - dy), (x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy)]
    ax.add_patch(Polygon(corners, facecolor=color, edgecolor="none", zorder=2))


def _words(records: ExitRecords, result: Evaluation) -> str:
    names = records.hierarchy.level_names
    cells = listed(
        f"exit {exit_index + 1} {names[level]} {percent(result.shares[exit_index][level])}"
        for exit_index, level in records.cells
    )
    return (
        "The network with the share of images that leaves at each cell "
        f"({describe_records(records)}): {cells}. {percent(result.accuracy)} of the answers are "
        f"right, for {millions(result.mean_flops)} million FLOPs per image."
    )
