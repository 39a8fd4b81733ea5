"""Contact sheets: many pictures with a few words each."""

import textwrap
from collections.abc import Iterator
from typing import Any

from jaxtyping import Int, UInt8
from matplotlib.axes import Axes
from torch import Tensor

from hbnlab.formatting import percent, plural, spoken
from hbnlab.hierarchy import Hierarchy
from hbnlab.label_checks import check_images, check_labels
from hbnlab.plots.canvas import PLAIN_TEXT, array, finish, one_axes
from hbnlab.plots.palette import BLUE, VERMILLION
from hbnlab.records import Decisions

Images = UInt8[Tensor, "sample 3 height width"]

# Sheets are laid out in squares: a picture fills this much of one, its caption lies below it. Sizes
# of a square in inches and heights of a row in squares, of the sheets by class and by exit.
_PICTURE = 0.88
_CLASS_INCHES, _CLASS_ROW = 0.62, 1.68
_EXIT_INCHES, _EXIT_ROW = 0.95, 1.55
_WIDEST_ROW = 15.5
_TITLE_CHARACTER = 0.115  # squares that a character of a title takes, on the sheet by class
_CAPTION: dict[str, Any] = {"ha": "center", "va": "top"} | PLAIN_TEXT


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
        hierarchy: the tree of the labels.
        ax: where to draw.

    Raises:
        ValueError: for images of another shape, or labels of other images or another tree.

    Example:
        >>> import torch
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records()
        >>> images = torch.zeros(len(records), 3, 8, 8, dtype=torch.uint8)
        >>> class_sheet(images, records.labels, records.hierarchy).get_label()
        'One image of each of 6 of the 6 fine classes, sorted by coarse class (3).'
    """
    _check(images, len(labels), labels, hierarchy)
    siblings = list(_siblings(hierarchy))
    corners = [corner for _, places in siblings for _, *corner in places]
    rows = 1 + int(max(y for _, y in corners) / _CLASS_ROW)
    ax = _sheet(ax, _CLASS_INCHES, max(x for x, _ in corners) + 1.8, rows * _CLASS_ROW)
    found = 0
    for title, places in siblings:
        _, left, top = places[0]
        ax.text(left, top - 0.08, title, fontsize=8, weight="bold", **PLAIN_TEXT)
        for leaf, x, y in places:
            middle, indices = x + _PICTURE / 2, (labels[:, -1] == leaf).nonzero()
            if len(indices):
                _picture(ax, images[int(indices[0])], x, y)
                found += 1
            else:
                look = {"fontsize": 5.8, "ha": "center", "va": "center"}
                ax.text(middle, y + _PICTURE / 2, "no image", **look)
            name = textwrap.fill(spoken(hierarchy.class_names[-1][leaf]), 11)
            ax.text(middle, y + 0.93, name, fontsize=5.8, **_CAPTION)
    classes = hierarchy.num_classes[-1]
    words = f"One image of each of {found} of the {classes} {hierarchy.level_names[-1]} classes"
    if hierarchy.num_levels > 1:
        words += f", sorted by {hierarchy.level_names[-2]} class ({hierarchy.num_classes[-2]})"
    return finish(ax, f"{words}.")


def leaving_sheet(
    images: Images,
    decisions: Decisions,
    labels: Int[Tensor, "label level"],
    hierarchy: Hierarchy,
    *,
    columns: int = 8,
    ax: Axes | None = None,
) -> Axes:
    """Show the images that leave at each exit, a row per exit: early ones above, late ones below.

    They are the first of each exit in the order given, not chosen. A caption says whether the
    answer was right, at which level it was given, the answer, and the truth where it was wrong.

    Args:
        images: in bytes from 0 to 255.
        decisions: one per image.
        labels: at every level, coarsest first.
        hierarchy: the tree of answers and labels.
        columns: images per exit.
        ax: where to draw.

    Raises:
        ValueError: for images of another shape, labels or decisions of other images or another
            tree, or ``columns`` below 1.

    Example:
        >>> from hbnlab.policies import EntropyThreshold
        >>> import torch
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records()
        >>> images = torch.zeros(len(records), 3, 8, 8, dtype=torch.uint8)
        >>> decisions = EntropyThreshold([0.5, 0.5]).decide(records)
        >>> ax = leaving_sheet(images, decisions, records.labels, records.hierarchy)
        >>> ax.get_label()
        'The first of 40 images that leave at each exit: exit 1 ...'
    """
    _check(images, len(decisions), labels, hierarchy)
    if columns < 1:
        raise ValueError(f"columns must be 1 or more, got {columns}")
    labels = labels.to(decisions.prediction.device)
    right = decisions.prediction == labels.gather(1, decisions.level_index[:, None])[:, 0]
    exits = int(decisions.exit_index.max()) + 1
    ax = _sheet(ax, _EXIT_INCHES, columns + 1.2, exits * _EXIT_ROW)
    rows = []
    for exit_index in range(exits):
        there = (decisions.exit_index == exit_index).nonzero()[:, 0]
        name, share = f"exit {exit_index + 1}", percent(len(there) / len(decisions))
        y, first = exit_index * _EXIT_ROW, there[:columns]
        ax.text(0.0, y + _PICTURE / 2, f"{name}\n{share}\nof images", fontsize=9, va="center")
        for x, index in enumerate(first.tolist(), start=1):
            _picture(ax, images[index], x + 0.2, y)
            look = _CAPTION | {"fontsize": 6.5, "color": BLUE if right[index] else VERMILLION}
            caption = _caption(decisions, labels, hierarchy, index)
            ax.text(x + 0.2 + _PICTURE / 2, y + 0.92, caption, **look)
        rows.append(f"{name} ({share}) shows {len(first)}, {int(right[first].sum())} of them right")
    total = plural(len(decisions), "image")
    return finish(ax, f"The first of {total} that leave at each exit: {'; '.join(rows)}.")


def _siblings(hierarchy: Hierarchy) -> Iterator[tuple[str, list[tuple[int, float, float]]]]:
    """For each group of siblings its title, and each class with the corner of its picture.

    Groups flow from left to right; one that is longer than a row continues in the next row.
    """
    if hierarchy.num_levels == 1:
        groups = [("", tuple(range(hierarchy.num_classes[0])))]
    else:
        parents = enumerate(hierarchy.class_names[-2])
        groups = [(spoken(name), hierarchy.leaves(-2, index)) for index, name in parents]
    x, row = 0.0, 0
    for title, leaves in groups:
        places = []
        width = max(float(len(leaves)), len(title) * _TITLE_CHARACTER)
        if x and x + width > _WIDEST_ROW:
            x, row = 0.0, row + 1
        for leaf in leaves:
            if x + 1 > _WIDEST_ROW:
                x, row = 0.0, row + 1
            places.append((leaf, x, row * _CLASS_ROW + 0.3))
            x += 1
        x += width - len(leaves) + 0.25
        yield title, places


def _caption(
    decisions: Decisions, labels: Int[Tensor, "label level"], hierarchy: Hierarchy, index: int
) -> str:
    """Verdict and level, the answer, and the truth where it is another."""
    level, answer = int(decisions.level_index[index]), int(decisions.prediction[index])
    names, truth = hierarchy.class_names[level], int(labels[index, level])
    mark = "\u2713" if answer == truth else "\u2717"
    lines = [f"{mark} {hierarchy.level_names[level]}", textwrap.fill(spoken(names[answer]), 14)]
    if answer != truth:
        lines.append(textwrap.fill(f"(is {spoken(names[truth])})", 14))
    return "\n".join(lines)


def _sheet(ax: Axes | None, inches: float, width: float, height: float) -> Axes:
    """Empty Axes in squares of so many inches, from the top left corner down."""
    ax = one_axes(ax, (width * inches, height * inches))
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return ax


def _picture(ax: Axes, image: UInt8[Tensor, "3 height width"], x: float, y: float) -> None:
    limits = ax.get_xlim(), ax.get_ylim()
    extent = (x, x + _PICTURE, y + _PICTURE, y)
    ax.imshow(array(image.permute(1, 2, 0)), extent=extent, interpolation="nearest")
    ax.set(xlim=limits[0], ylim=limits[1])


def _check(images: Images, expected: int, labels: Tensor, hierarchy: Hierarchy) -> None:
    check_images(images)
    check_labels(labels, hierarchy)
    if len(images) != expected or len(labels) != expected:
        raise ValueError(
            "images, labels and decisions must be of the same images, got "
            f"{len(images)} images, {len(labels)} labels, {expected} expected"
        )
