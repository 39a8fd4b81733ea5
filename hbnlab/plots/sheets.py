"""Contact sheets: many pictures with a few words each."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int, UInt8
from matplotlib.axes import Axes
from torch import Tensor

from hbnlab.formatting import percent, plural, spoken
from hbnlab.hierarchy import Hierarchy
from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import AS_IT_IS, array, listed, one_axes
from hbnlab.plots.palette import BLUE, VERMILLION
from hbnlab.records import Decisions

Images = UInt8[Tensor, "sample 3 height width"]

# Sheets are laid out in cells: a picture takes this much of one, its caption lies below it.
_PICTURE = 0.88


@dataclass(frozen=True)
class _Layout:
    """Sizes of a sheet: inches a cell, cells a row, and the height of a row in cells."""

    inches: float
    cells: float
    row: float


_BY_CLASS = _Layout(inches=0.62, cells=15.5, row=1.68)
_BY_EXIT = _Layout(inches=0.95, cells=0.0, row=1.55)
_CAPTION: dict[str, Any] = {"ha": "center", "va": "top"} | AS_IT_IS
_TITLE_CHARACTER = 0.115  # cells that a character of a title takes, of the sheet by class


def class_sheet(
    images: Images,
    labels: Int[Tensor, "label level"],
    hierarchy: Hierarchy,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Show the first image of every finest class, siblings side by side under their coarse class.

    Args:
        images: in bytes from 0 to 255.
        labels: at every level, coarsest first.
        hierarchy: the tree that they belong to.
        ax: where to draw.

    Raises:
        ValueError: for images of another form, or labels of other images or another tree.
    """
    _check(images, len(labels), labels, hierarchy)
    blocks = list(_blocks(hierarchy))
    places = [place for _, cells in blocks for place in cells]
    rows = 1 + int(max(y for _, _, y in places) / _BY_CLASS.row)
    ax = _sheet(ax, _BY_CLASS, max(x for _, x, _ in places) + 1.8, rows)
    shown = 0
    for title, cells in blocks:
        _, left, top = cells[0]
        ax.text(left, top - 0.08, title, fontsize=8, weight="bold", **AS_IT_IS)
        for leaf, x, y in cells:
            found = (labels[:, -1] == leaf).nonzero()
            if len(found):
                _picture(ax, images[int(found[0])], x, y)
                shown += 1
            else:
                middle = (x + _PICTURE / 2, y + _PICTURE / 2)
                ax.text(*middle, "no image", fontsize=5.8, ha="center", va="center")
            name = textwrap.fill(spoken(hierarchy.class_names[-1][leaf]), 11)
            ax.text(x + _PICTURE / 2, y + 0.93, name, fontsize=5.8, **_CAPTION)
    classes = hierarchy.num_classes[-1]
    words = f"One image of each of {shown} of the {classes} {hierarchy.level_names[-1]} classes"
    if hierarchy.num_levels > 1:
        words += f", sorted by {hierarchy.level_names[-2]} class ({hierarchy.num_classes[-2]})"
    set_description(ax, f"{words}.")
    return ax


def leaving_sheet(
    images: Images,
    decisions: Decisions,
    labels: Int[Tensor, "label level"],
    hierarchy: Hierarchy,
    *,
    columns: int = 8,
    ax: Axes | None = None,
) -> Axes:
    """Show the images that leave at each exit, a row an exit: early ones above, late ones below.

    They are the first of each exit in the order given, not chosen. A caption says whether the
    answer was right, at which level it was given, the answer, and the truth where it was wrong.

    Args:
        images: in bytes from 0 to 255.
        decisions: one an image.
        labels: at every level, coarsest first.
        hierarchy: the tree of answers and labels.
        columns: images an exit.
        ax: where to draw.

    Raises:
        ValueError: for images of another form, labels or decisions of other images or another
            tree, or ``columns`` below 1.
    """
    _check(images, len(decisions), labels, hierarchy)
    if columns < 1:
        raise ValueError(f"columns must be 1 or more, got {columns}")
    labels = labels.to(decisions.prediction.device)
    exits = int(decisions.exit_index.max()) + 1
    ax = _sheet(ax, _BY_EXIT, columns + 1.2, exits)
    said = []
    for exit_index in range(exits):
        there = (decisions.exit_index == exit_index).nonzero()[:, 0]
        share = percent(len(there) / len(decisions))
        top = exit_index * _BY_EXIT.row
        text = f"exit {exit_index + 1}\n{share}\nof images"
        ax.text(0.0, top + _PICTURE / 2, text, fontsize=9, va="center")
        for place, index in enumerate(there[:columns].tolist()):
            _picture(ax, images[index], place + 1.2, top)
            text, color = _verdict(decisions, labels, hierarchy, index)
            middle = place + 1.2 + _PICTURE / 2
            ax.text(middle, top + 0.92, text, fontsize=6.5, color=color, **_CAPTION)
        shown = there[:columns]
        right = int(_right(decisions, labels, shown).sum())
        said.append(f"exit {exit_index + 1} ({share}) shows {len(shown)}, {right} of them right")
    images_in_all = plural(len(decisions), "image")
    set_description(ax, f"The first of {images_in_all} that leave at each exit: {listed(said)}.")
    return ax


def _blocks(hierarchy: Hierarchy) -> Iterator[tuple[str, list[tuple[int, float, float]]]]:
    """Title and placed cells of each group of siblings, flowing from left to right.

    A group that is longer than a row goes on in the next one.
    """
    if hierarchy.num_levels == 1:
        groups = [("", tuple(range(hierarchy.num_classes[0])))]
    else:
        parents = range(hierarchy.num_classes[-2])
        names = hierarchy.class_names[-2]
        groups = [(spoken(names[p]), hierarchy.leaves(-2, p)) for p in parents]
    x, row = 0.0, 0
    for title, leaves in groups:
        cells = []
        width = max(float(len(leaves)), len(title) * _TITLE_CHARACTER)
        if x and x + width > _BY_CLASS.cells:
            x, row = 0.0, row + 1
        for leaf in leaves:
            if x + 1 > _BY_CLASS.cells:
                x, row = 0.0, row + 1
            cells.append((leaf, x, row * _BY_CLASS.row + 0.3))
            x += 1
        x += width - len(leaves) + 0.25
        yield title, cells


def _verdict(
    decisions: Decisions, labels: Int[Tensor, "label level"], hierarchy: Hierarchy, index: int
) -> tuple[str, str]:
    """Caption and colour of one image."""
    level, answer = int(decisions.level_index[index]), int(decisions.prediction[index])
    names, truth = hierarchy.class_names[level], int(labels[index, level])
    lines = [hierarchy.level_names[level], textwrap.fill(spoken(names[answer]), 14)]
    if answer == truth:
        return "\n".join([f"\u2713 {lines[0]}", lines[1]]), BLUE
    lines.append(textwrap.fill(f"(is {spoken(names[truth])})", 14))
    return "\n".join([f"\u2717 {lines[0]}", *lines[1:]]), VERMILLION


def _right(
    decisions: Decisions, labels: Int[Tensor, "label level"], chosen: Int[Tensor, " chosen"]
) -> Tensor:
    truth = labels[chosen].gather(1, decisions.level_index[chosen, None])[:, 0]
    return decisions.prediction[chosen] == truth


def _sheet(ax: Axes | None, layout: _Layout, cells: float, rows: int) -> Axes:
    """Empty Axes in cells, from the top left corner down."""
    height = rows * layout.row
    ax = one_axes(ax, (cells * layout.inches, height * layout.inches))
    ax.set(xlim=(0, cells), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return ax


def _picture(ax: Axes, image: UInt8[Tensor, "3 height width"], x: float, y: float) -> None:
    extent = (x, x + _PICTURE, y + _PICTURE, y)
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(array(image.permute(1, 2, 0)), extent=extent, interpolation="nearest")
    ax.set(xlim=limits[0], ylim=limits[1])


def _check(images: Images, expected: int, labels: Tensor, hierarchy: Hierarchy) -> None:
    if len(images) != expected or len(labels) != expected or not expected:
        raise ValueError(
            "images, labels and decisions must be of the same images, at least one, got "
            f"{len(images)} images, {len(labels)} labels, {expected} expected"
        )
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            "images must be bytes (sample, 3, height, width), "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    if labels.shape[1] != hierarchy.num_levels:
        raise ValueError(
            f"labels must have a column for each of {hierarchy.num_levels} levels, "
            f"got {labels.shape[1]}"
        )
