"""One drawing of a network, for figures and for the exit inspector.

Its unit is the width of a band of all images: stages from left to right, branches and heads below
them, and bands for the images that pass.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Polygon

from hbnlab.formatting import millions, percent
from hbnlab.metrics import Evaluation, evaluate
from hbnlab.plots.canvas import WIDEST, describe_records, finish, one_axes
from hbnlab.plots.palette import BLACK, GREY, level_style
from hbnlab.records import Decisions, ExitRecords
from hbnlab.types import Number

# Heights of the three rows and of the edges. A stage is higher than the band that enters it.
_TRUNK, _BRANCH, _HEAD = 0.0, -1.5, -2.9
_TOP, _ABOVE, _BOTTOM = 0.9, 0.58, -4.15
_BOX_WIDTH, _STAGE_HEIGHT, _BRANCH_HEIGHT = 2.1, 1.1, 0.7
_RADIUS, _HEAD_STEP = 0.56, 1.25
_BAND_COLOR = "#CCCCCC"
_INCHES_PER_UNIT = 1.05
_LEAST_FONT = 3.0
_TITLE_WIDTH = 6.0
"""Inches that the title needs, even above a network of one exit."""
_WIDEST_NAME = 17.0
"""Letters of the usual size that have room below a head."""
_MIDDLE = {"ha": "center", "va": "center", "zorder": 6}

_Point = tuple[Number, Number]


def network_diagram(decisions: Decisions, records: ExitRecords, *, ax: Axes | None = None) -> Axes:
    """Draw stages from left to right, branches and heads below, and where the images leave.

    Bands are as wide as the share of the images that goes that way. A disc at each head has the
    area of the share answered there; the ring around it is the area of all images. A box is dashed
    where no image goes.

    Raises:
        ValueError: when the decisions are not of these records.
    """
    result = evaluate(decisions, records)
    shares = {(e, level): result.shares[e][level] for e, level in records.cells}
    width, height = drawing_size(records)
    ax = one_axes(ax, (max(width, _TITLE_WIDTH), height + 0.4))
    draw_network(
        ax,
        records,
        result.exit_shares,
        shares,
        start="all images",
        above={
            number - 0.5: f"{percent(share)} go on"
            for number, share in enumerate(_entering(records, shares))
            if number
        },
        values={cell: percent(share) for cell, share in shares.items()},
    )
    ax.set_title(
        f"{percent(result.accuracy)} right at the level of the answer, specificity "
        f"{percent(result.specificity)}, {millions(result.mean_flops)} MFLOPs per image",
        fontsize=9,
    )
    return finish(ax, _words(records, result))


def drawing_size(records: ExitRecords) -> tuple[float, float]:
    """Width and height of the drawing of a network, in inches."""
    left, _, right = _stretch(records)
    scale = min(_INCHES_PER_UNIT, WIDEST / (right - left))
    return scale * (right - left), scale * (_TOP - _BOTTOM)


def draw_network(
    ax: Axes,
    records: ExitRecords,
    branching: Sequence[Number],
    answered: Mapping[tuple[int, int], Number],
    *,
    start: str,
    above: Mapping[Number, str],
    values: Mapping[tuple[int, int], str],
    enlarged: Number = 1.0,
) -> None:
    """Draw the network of the records with the images that pass, as shares of all images.

    Args:
        ax: where to draw.
        records: of the network.
        branching: the share that goes into each branch.
        answered: the share answered at each (exit, level); none where it is left out.
        start: words at the entrance, below the band, where those above the trunk do not reach.
        above: words above the trunk, by position: 0 = the first stage, 0.5 = halfway to the next.
        values: words below a head, by (exit, level).
        enlarged: factor on the words, for a drawing that is displayed smaller than it is drawn.
            Names of levels stay so small that they do not overlap.
    """
    left, step, right = _stretch(records)
    shrink = drawing_size(records)[0] / (right - left) / _INCHES_PER_UNIT
    longest = max(len(name) for name in records.hierarchy.level_names)
    below = 8.5 * max(1.0, min(enlarged, _WIDEST_NAME / longest))
    ax.set(xlim=(left, right), ylim=(_BOTTOM, _TOP), aspect="equal")
    ax.axis("off")

    def write(
        x: Number, y: Number, text: str, size: Number, *, enlarged: Number = 1.0, **look: Any
    ) -> None:
        """Words shrink with the boxes of a wide network."""
        ax.text(x, y, text, fontsize=max(_LEAST_FONT, size * enlarged * shrink), **look)

    entering = _entering(records, answered)
    _band(ax, (left + 0.1, _TRUNK), (0.0, _TRUNK), entering[0])
    for exit_index, share in enumerate(entering):
        x, branched = exit_index * step, branching[exit_index]
        for going_on in entering[exit_index + 1 : exit_index + 2]:
            _band(ax, (x, _TRUNK), (x + step, _TRUNK), going_on)
        _band(ax, (x, _TRUNK), (x, _BRANCH), branched)
        gate = ", gate" if records.has_gate and exit_index == 0 else ""
        stage, branch = f"stage {exit_index + 1}", f"branch {exit_index + 1}{gate}"
        costs = records.stage_macs[exit_index], records.branch_macs[exit_index]
        box = partial(_box, ax, partial(write, enlarged=enlarged))
        box((x, _TRUNK), _STAGE_HEIGHT, stage, costs[0], is_passed=share > 0)
        box((x, _BRANCH), _BRANCH_HEIGHT, branch, costs[1], is_passed=branched > 0)
        cells = [cell for cell in records.cells if cell[0] == exit_index]
        for at, cell in zip(_draw_heads(ax, records, cells, answered, x), cells, strict=True):
            text = f"{records.hierarchy.level_names[cell[1]]}\n{values.get(cell, '')}"
            write(at, _HEAD - _RADIUS - 0.08, text, below, ha="center", va="top")
    write(left + 0.1, -_ABOVE, start, 8 * enlarged, ha="left", va="top")
    for position, text in above.items():
        write(position * step, _ABOVE, text, 8 * enlarged, ha="center", va="bottom")


def _stretch(records: ExitRecords) -> tuple[float, float, float]:
    """Where the drawing begins, how far two exits are apart, and where it ends."""
    step = max(2.6, _HEAD_STEP * records.hierarchy.num_levels + 0.35)
    return -step / 2 - 0.7, step, step * (records.num_exits - 0.5)


def _entering(records: ExitRecords, answered: Mapping[tuple[int, int], Number]) -> list[Number]:
    """The share of the images that enters each stage."""
    entering: list[Number] = [1.0]
    for exit_index in range(records.num_exits - 1):
        leaving = math.fsum(share for cell, share in answered.items() if cell[0] == exit_index)
        entering.append(max(0.0, entering[-1] - leaving))
    return entering


def _draw_heads(
    ax: Axes,
    records: ExitRecords,
    cells: Sequence[tuple[int, int]],
    answered: Mapping[tuple[int, int], Number],
    x: float,
) -> list[float]:
    """Draw the heads of one exit side by side, and the bands to them; their horizontal positions.

    A head is a ring for all images, in it a disc whose area is the share answered.
    """
    shares = [answered.get(cell, 0.0) for cell in cells]
    places = [x + _HEAD_STEP * (n - (len(cells) - 1) / 2) for n in range(len(cells))]
    start = x - math.fsum(shares) / 2
    for (_, level), share, at in zip(cells, shares, places, strict=True):
        color = level_style(level, records.hierarchy.num_levels).color
        _band(ax, (start + share / 2, _BRANCH), (at, _HEAD), share, color)
        start += share
        ax.add_artist(Circle((at, _HEAD), _RADIUS, facecolor="white", edgecolor=GREY, zorder=3))
        ax.add_artist(Circle((at, _HEAD), _RADIUS * math.sqrt(share), color=color, zorder=4))
    return places


def _band(ax: Axes, start: _Point, end: _Point, share: Number, color: str = _BAND_COLOR) -> None:
    """Images that pass: cut vertically along the trunk, horizontally elsewhere; a line for none."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = (0.0, share / 2) if y0 == y1 else (share / 2, 0.0)
    corners = [(x0 - dx, y0 - dy), (x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy)]
    ax.plot([x0, x1], [y0, y1], color=color, linewidth=0.8, zorder=1)
    ax.add_artist(Polygon(corners, facecolor=color, edgecolor="none", zorder=2))


def _box(
    ax: Axes,
    write: Callable[..., None],
    center: _Point,
    height: float,
    name: str,
    macs: int,
    *,
    is_passed: bool,
) -> None:
    """A stage or a branch with its cost; dashed where no image passes."""
    look = {"facecolor": "white", "edgecolor": BLACK, "linewidth": 1.0, "zorder": 5}
    look |= {"boxstyle": "round,pad=0,rounding_size=0.08", "linestyle": "-" if is_passed else "--"}
    x, y = center
    corner = x - _BOX_WIDTH / 2, y - height / 2
    ax.add_artist(FancyBboxPatch(corner, _BOX_WIDTH, height, **look))
    write(x, y + 0.14, name, 8.5, weight="bold", **_MIDDLE)
    write(x, y - 0.16, f"{millions(2 * macs)} MFLOPs", 7.5, **_MIDDLE)


def _words(records: ExitRecords, result: Evaluation) -> str:
    names = records.hierarchy.level_names
    cells = "; ".join(
        f"exit {exit_index + 1} {names[level]} {percent(result.shares[exit_index][level])}"
        for exit_index, level in records.cells
    )
    return (
        f"The network with the share of images that leaves at each cell "
        f"({describe_records(records)}): "
        f"{cells}. {percent(result.accuracy)} are answered right, for "
        f"{millions(result.mean_flops)} million FLOPs per image."
    )
