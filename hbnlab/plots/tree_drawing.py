"""A label hierarchy as a figure."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from hbnlab.formatting import spoken
from hbnlab.hierarchy import Hierarchy
from hbnlab.plots.canvas import PLAIN_TEXT, WIDEST, finish, one_axes
from hbnlab.plots.palette import GREY, level_style

# The drawing is laid out in characters across and classes down, so that names never overlap.
_CHARACTER_INCHES = 0.066
_ROW_INCHES = 0.16
_FONT = 7.5
_LINK = 4.0
_ROWS_PER_COLUMN = 35
_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
_NAME = {"va": "center", "fontsize": _FONT, "bbox": _WHITE} | PLAIN_TEXT


def hierarchy_tree(hierarchy: Hierarchy, *, ax: Axes | None = None) -> Axes:
    """Draw the tree from left (coarse) to right (fine); a large one in several columns.

    Readable up to some two hundred finest classes; beyond, ``Hierarchy.to_text`` serves better.

    Example:
        >>> tree = Hierarchy.from_dict({"pet": ["cat", "dog"], "bird": ["owl"]})
        >>> ax = hierarchy_tree(tree)
        >>> len(ax.lines)  # a marker for each class
        5
    """
    starts = _level_starts(hierarchy)
    columns = _columns(hierarchy, starts[-1] * _CHARACTER_INCHES)
    rows = max(sum(hierarchy.leaf_counts(0)[c] for c in column) for column in columns)
    width = starts[-1] * len(columns)
    size = (width * _CHARACTER_INCHES + 0.2, (int(rows) + 3) * _ROW_INCHES)
    ax = one_axes(ax, size)
    ax.set(xlim=(-1, width), ylim=(int(rows) + 0.2, -2.2))
    ax.axis("off")
    for number, column in enumerate(columns):
        shifted = [number * starts[-1] + start for start in starts]
        _draw_header(ax, hierarchy, shifted)
        _draw_column(ax, hierarchy, column, shifted)
    return finish(ax, _words(hierarchy))


def _level_starts(hierarchy: Hierarchy) -> list[float]:
    """Where each level begins, and where the next column would, in characters."""
    starts = [0.0]
    for name, classes in zip(hierarchy.level_names, hierarchy.class_names, strict=True):
        header = len(f"{name} ({len(classes)})") + 1
        starts.append(starts[-1] + max(header, *map(len, classes)) + _LINK)
    return starts


def _columns(hierarchy: Hierarchy, inches: float) -> list[list[int]]:
    """Share the coarsest classes out over columns of about the same number of rows."""
    sizes = hierarchy.leaf_counts(0).tolist()
    number = max(1, min(math.ceil(sum(sizes) / _ROWS_PER_COLUMN), int(WIDEST / inches)))
    columns: list[list[int]] = [[] for _ in range(number)]
    above = 0
    for index, size in enumerate(sizes):
        columns[min(number - 1, int((above + size / 2) * number / sum(sizes)))].append(index)
        above += size
    return [column for column in columns if column]


def _draw_header(ax: Axes, hierarchy: Hierarchy, starts: list[float]) -> None:
    for level, name in enumerate(hierarchy.level_names):
        style = level_style(level, hierarchy.num_levels)
        text = f"{name} ({hierarchy.num_classes[level]})"
        ax.text(starts[level], -1.4, text, color=style.color, weight="bold", fontsize=_FONT + 1)


def _draw_column(ax: Axes, hierarchy: Hierarchy, column: list[int], starts: list[float]) -> None:
    """Every class of a column at the middle of its finest classes, with elbows to its children."""
    leaves = [leaf for index in column for leaf in hierarchy.leaves(0, index)]
    # Siblings stand together, whatever their indices are.
    paths = hierarchy.label_table(torch.arange(hierarchy.num_classes[-1])).tolist()
    row = {leaf: y for y, leaf in enumerate(sorted(leaves, key=lambda leaf: paths[leaf]))}
    heights: dict[tuple[int, int], float] = {}
    lines = []
    for level, names in enumerate(hierarchy.class_names):
        x, style = starts[level], level_style(level, hierarchy.num_levels)
        for index, name in enumerate(names):
            rows = [row[leaf] for leaf in hierarchy.leaves(level, index) if leaf in row]
            if not rows:
                continue
            heights[level, index] = y = sum(rows) / len(rows)
            if level:
                elbow, parent = x - _LINK / 2, hierarchy.parents[level][index]
                lines.append([(elbow, heights[level - 1, parent]), (elbow, y), (x, y)])
            if level < hierarchy.finest:
                lines.append([(x, y), (starts[level + 1] - _LINK / 2, y)])
            ax.plot(x - 0.4, y, marker=style.marker, color=style.color, markersize=3.5)
            ax.text(x + 0.4, y, spoken(name), **_NAME)
    ax.add_collection(LineCollection(lines, colors=GREY, linewidths=0.7, zorder=1))


def _words(hierarchy: Hierarchy) -> str:
    counts = ", ".join(
        f"{count} at level {name}"
        for count, name in zip(hierarchy.num_classes, hierarchy.level_names, strict=True)
    )
    text = f"Tree of labels with {hierarchy.num_levels} levels; number of classes: {counts}."
    if hierarchy.num_levels > 1:
        sizes = hierarchy.leaf_counts(0)
        low, high = int(sizes.min()), int(sizes.max())
        held = f"{low}" if low == high else f"{low} to {high}"
        coarsest, finest = hierarchy.level_names[0], hierarchy.level_names[-1]
        text += f" Number of {finest} classes per {coarsest} class: {held}."
    return text
