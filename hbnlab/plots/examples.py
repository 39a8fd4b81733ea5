"""One image, and what every head says about it."""

import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib.axes import Axes
from torch import Tensor

from hbnlab.formatting import percent, spoken
from hbnlab.plots.canvas import (
    PLAIN_TEXT,
    AxesGrid,
    array,
    as_percent,
    finish,
    many_axes,
)
from hbnlab.plots.palette import series_style
from hbnlab.records import ExitRecords

_WIDTH = 9.5
_MOST_IN_A_ROW = 4


def example(
    image: UInt8[Tensor, "3 height width"],
    records: ExitRecords,
    index: int,
    *,
    top: int = 5,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Show one image beside its most probable classes: a panel per level, a bar per exit.

    Args:
        image: in bytes from 0 to 255.
        records: hold what the exits said about it.
        index: of the image in the records.
        top: classes per panel, those with the highest probability at any exit; the truth is marked.
        axes: one more than there are levels.

    Raises:
        ValueError: for an image of another shape, an index outside the records, or ``top`` below 1.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> image = torch.zeros(3, 8, 8, dtype=torch.uint8)
        >>> [ax.get_title() for ax in example(image, simulated_records(), 0)][1:]
        ['coarse', 'fine']
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(
            f"image must be bytes (3, height, width), got {image.dtype} {tuple(image.shape)}"
        )
    if not 0 <= index < len(records):
        raise ValueError(f"index must be in 0..{len(records) - 1}, got {index}")
    if top < 1:
        raise ValueError(f"top must be 1 or more, got {top}")
    tree = records.hierarchy
    names = tree.class_names
    grid = _panels(axes, 1 + tree.num_levels)
    truth = [spoken(names[k][label]) for k, label in enumerate(records.labels[index].tolist())]
    grid[0].imshow(array(image.permute(1, 2, 0)), interpolation="nearest")
    grid[0].set_title(truth[-1], fontsize=10, **PLAIN_TEXT)
    grid[0].axis("off")
    for level in range(tree.num_levels):
        _bars(grid[level + 1], records, index, level, top)
    answers = "; ".join(
        f"exit {exit_index + 1} {tree.level_names[level]}: "
        f"{spoken(names[level][int(records.prediction[index, exit_index, level])])} "
        f"{percent(float(records.confidence[index, exit_index, level]))}"
        for exit_index, level in records.cells
    )
    words = f"Image {index} ({', '.join(truth)}) and its most probable classes: {answers}."
    return finish(grid, words, below=axes is None)


def _panels(axes: AxesGrid | None, number: int) -> np.ndarray:
    """The Axes given, or new ones in rows of at most four."""
    if axes is not None or number <= _MOST_IN_A_ROW:
        return many_axes(axes, (1, number), 3.2, width=_WIDTH / number)[0]
    rows = -(-number // _MOST_IN_A_ROW)
    grid = many_axes(None, (rows, _MOST_IN_A_ROW), 3.2, width=_WIDTH / _MOST_IN_A_ROW).ravel()
    for ax in grid[number:]:
        ax.remove()
    return grid[:number]


def _bars(ax: Axes, records: ExitRecords, index: int, level: int, top: int) -> None:
    """Probabilities of the classes of a level that matter for this image, a bar per exit."""
    exits = [exit_index for exit_index, here in records.cells if here == level]
    ax.set(xlim=(0, 1), xlabel="probability", title=records.hierarchy.level_names[level])
    as_percent(ax.xaxis)
    ax.spines[["top", "right"]].set_visible(False)
    if not exits:
        ax.set_yticks([])
        return
    prob = records.logits[level][index, exits].softmax(dim=-1)
    chosen = prob.amax(dim=0).topk(min(top, prob.shape[1])).indices.tolist()
    height = 0.8 / len(exits)
    for place, exit_index in enumerate(exits):
        style = series_style(exit_index)
        ax.barh(
            np.arange(len(chosen)) + (place - (len(exits) - 1) / 2) * height,
            prob[place, chosen].tolist(),
            height,
            color=style.color,
            hatch=style.hatch,
            edgecolor="white",
            linewidth=0.4,
            label=f"exit {exit_index + 1}",
        )
    truth, names = int(records.labels[index, level]), records.hierarchy.class_names[level]
    labels = [spoken(names[cls]) + (" (true)" if cls == truth else "") for cls in chosen]
    ax.set_yticks(range(len(chosen)), labels, fontsize=8, **PLAIN_TEXT)
    ax.invert_yaxis()
