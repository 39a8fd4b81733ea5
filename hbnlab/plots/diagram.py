"""One drawing of a network: figures draw it on Axes, the exit inspector writes it as an image.

The drawing is data first, in units in which all images make a band 1 wide: stages from left to
right, branches and heads below them, and bands for the images that pass.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Polygon

from hbnlab.formatting import millions, percent
from hbnlab.metrics import Evaluation, evaluate
from hbnlab.plots.alt_text import set_description
from hbnlab.plots.canvas import describe_records, one_axes
from hbnlab.plots.palette import BLACK, GREY, level_style
from hbnlab.records import Decisions, ExitRecords
from hbnlab.types import Number

# Heights of the three rows, and sizes. A stage is higher than the band that enters it.
_TRUNK, _BRANCH, _HEAD = 0.0, -1.6, -3.15
_BOX = (1.3, 0.62)
_STAGE_BOX = (1.3, 1.1)
_ABOVE = 0.58
_BAND_COLOR = "#CCCCCC"
_INCHES_PER_UNIT, _WIDEST_INCHES = 1.05, 10.0
_LEAST_FONT = 3.0
RADIUS = 0.56
"""Radius of the ring of a head."""
HEAD_STEP = 1.25
"""Distance of two heads of an exit."""

Point = tuple[Number, Number]


@dataclass(frozen=True)
class Band:
    """Images that pass from one point to another, ``share`` of all; a thin line for none."""

    start: Point
    end: Point
    share: Number
    color: str = _BAND_COLOR

    @property
    def corners(self) -> tuple[Point, ...]:
        """The outline: cut vertically along the trunk, horizontally everywhere else."""
        (x0, y0), (x1, y1) = self.start, self.end
        dx, dy = (0.0, self.share / 2) if y0 == y1 else (self.share / 2, 0.0)
        return (x0 - dx, y0 - dy), (x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy)


@dataclass(frozen=True)
class Box:
    """A stage or a branch with its cost; dashed where no image passes."""

    center: Point
    size: Point
    title: str
    cost: str
    is_passed: bool


@dataclass(frozen=True)
class Head:
    """A ring for all images, in it a disc whose area is the share answered; words below."""

    center: Point
    share: Number
    color: str
    name: str
    value: str


@dataclass(frozen=True)
class Label:
    """Words above the trunk."""

    at: Point
    text: str
    is_centered: bool = True


@dataclass(frozen=True)
class NetworkDrawing:
    """All shapes of the drawing and the edges around them."""

    left: float
    right: float
    bottom: float
    top: float
    bands: tuple[Band, ...]
    boxes: tuple[Box, ...]
    heads: tuple[Head, ...]
    labels: tuple[Label, ...]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Where images pass, as shares of all of them.

    Attributes:
        entering: one share per stage.
        branching: one share per branch.
        answered: one share per (exit, level).
        start: words at the entrance.
        above: words above the trunk, by position: 0 = the first stage, 0.5 = halfway to the next.
        values: words below a head, by (exit, level).
    """

    entering: Sequence[Number]
    branching: Sequence[Number]
    answered: Sequence[Sequence[float]]
    start: str
    above: Mapping[Number, str]
    values: Mapping[tuple[int, int], str]


def network_drawing(records: ExitRecords, flow: Flow) -> NetworkDrawing:
    """Lay out the network of the records with the images that pass."""
    step = max(2.6, HEAD_STEP * records.hierarchy.num_levels + 0.35)
    left = -step / 2 - 0.7
    bands = [Band((left + 0.1, _TRUNK), (0.0, _TRUNK), flow.entering[0])]
    boxes: list[Box] = []
    heads: list[Head] = []
    for exit_index in range(records.num_exits):
        x = exit_index * step
        if exit_index + 1 < records.num_exits:
            going_on = flow.entering[exit_index + 1]
            bands.append(Band((x, _TRUNK), (x + step, _TRUNK), going_on))
        bands.append(Band((x, _TRUNK), (x, _BRANCH), flow.branching[exit_index]))
        boxes += _boxes(records, flow, exit_index, x)
        here = _heads(records, flow, exit_index, x)
        start = x - math.fsum(head.share for head in here) / 2
        for head in here:
            middle = start + head.share / 2
            bands.append(Band((middle, _BRANCH), head.center, head.share, head.color))
            start += head.share
        heads += here
    labels = [Label((left + 0.1, _ABOVE), flow.start, is_centered=False)]
    labels += [Label((at * step, _ABOVE), text) for at, text in flow.above.items()]
    return NetworkDrawing(
        left=left,
        right=step * (records.num_exits - 0.5),
        bottom=_HEAD - 1.05,
        top=0.9,
        bands=tuple(bands),
        boxes=tuple(boxes),
        heads=tuple(heads),
        labels=tuple(labels),
    )


def network_diagram(decisions: Decisions, records: ExitRecords, *, ax: Axes | None = None) -> Axes:
    """Draw stages from left to right, branches and heads below, and where the images leave.

    Bands are as wide as the share of the images that goes that way. A disc at each head has the
    area of the share answered there; the ring around it is the area of all images. A box is dashed
    where no image goes.

    Raises:
        ValueError: when the decisions are not of these records.
    """
    result = evaluate(decisions, records)
    drawing = network_drawing(records, _flow_of_all(records, result))
    width, height = drawing.right - drawing.left, drawing.top - drawing.bottom
    scale = min(_INCHES_PER_UNIT, _WIDEST_INCHES / width)
    ax = one_axes(ax, (scale * width, scale * height + 0.4))
    ax.set(xlim=(drawing.left, drawing.right), ylim=(drawing.bottom, drawing.top), aspect="equal")
    ax.axis("off")
    ax.set_title(
        f"{percent(result.accuracy)} right at the level of the answer, specificity "
        f"{percent(result.specificity)}, {millions(result.mean_flops)} MFLOPs per image",
        fontsize=9,
    )
    _draw(ax, drawing, scale / _INCHES_PER_UNIT)
    set_description(ax, _words(records, result))
    return ax


def _flow_of_all(records: ExitRecords, result: Evaluation) -> Flow:
    entering = [1.0]
    for share in result.exit_shares[:-1]:
        entering.append(max(0.0, entering[-1] - share))
    return Flow(
        entering=entering,
        branching=result.exit_shares,
        answered=result.shares,
        start="all images",
        above={
            number - 0.5: f"{percent(share)} go on"
            for number, share in enumerate(entering)
            if number
        },
        values={(e, level): percent(result.shares[e][level]) for e, level in records.cells},
    )


def _boxes(records: ExitRecords, flow: Flow, exit_index: int, x: float) -> list[Box]:
    """A stage and its branch."""
    number, gate = exit_index + 1, ", gate" if records.has_gate and exit_index == 0 else ""
    stage, branch = (
        f"{millions(2 * macs[exit_index])} MFLOPs"
        for macs in (records.stage_macs, records.branch_macs)
    )
    passed = flow.entering[exit_index] > 0, flow.branching[exit_index] > 0
    return [
        Box((x, _TRUNK), _STAGE_BOX, f"stage {number}", stage, passed[0]),
        Box((x, _BRANCH), _BOX, f"branch {number}{gate}", branch, passed[1]),
    ]


def _heads(records: ExitRecords, flow: Flow, exit_index: int, x: float) -> list[Head]:
    """The heads of one exit, side by side."""
    tree = records.hierarchy
    levels = [level for level, has_head in enumerate(records.head_mask[exit_index]) if has_head]
    left = x - HEAD_STEP * (len(levels) - 1) / 2
    return [
        Head(
            (left + HEAD_STEP * place, _HEAD),
            flow.answered[exit_index][level],
            level_style(level, tree.num_levels).color,
            tree.level_names[level],
            flow.values.get((exit_index, level), ""),
        )
        for place, level in enumerate(levels)
    ]


def _draw(ax: Axes, drawing: NetworkDrawing, shrink: float) -> None:
    """Draw all shapes on Axes; words shrink with the boxes of a wide network."""

    def write(x: Number, y: Number, text: str, size: Number, **look: Any) -> None:
        ax.text(x, y, text, fontsize=max(_LEAST_FONT, size * shrink), **look)

    for band in drawing.bands:
        (x0, y0), (x1, y1) = band.start, band.end
        ax.plot([x0, x1], [y0, y1], color=band.color, linewidth=0.8, zorder=1)
        ax.add_patch(Polygon(band.corners, facecolor=band.color, edgecolor="none", zorder=2))
    for head in drawing.heads:
        ax.add_patch(Circle(head.center, RADIUS, facecolor="white", edgecolor=GREY, zorder=3))
        radius = RADIUS * math.sqrt(head.share)
        ax.add_patch(Circle(head.center, radius, color=head.color, zorder=4))
        x, y = head.center
        text = f"{head.name}\n{head.value}"
        write(x, y - RADIUS - 0.08, text, 8.5, ha="center", va="top")
    for box in drawing.boxes:
        ax.add_patch(_patch(box))
        (x, y), look = box.center, {"ha": "center", "va": "center", "zorder": 6}
        write(x, y + 0.12, box.title, 8.5, weight="bold", **look)
        write(x, y - 0.15, box.cost, 7, **look)
    for label in drawing.labels:
        side = "center" if label.is_centered else "left"
        write(*label.at, label.text, 8, ha=side, va="bottom")


def _patch(box: Box) -> FancyBboxPatch:
    (x, y), (width, height) = box.center, box.size
    return FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor="white",
        edgecolor=BLACK,
        linewidth=1.0,
        linestyle="-" if box.is_passed else "--",
        zorder=5,
    )


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
