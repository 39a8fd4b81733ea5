"""One image, and what every head says about it."""

import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib.axes import Axes
from torch import Tensor

from hbnlab.formatting import percent, spoken
from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import (
    AS_IT_IS,
    AxesGrid,
    array,
    as_percent,
    listed,
    many_axes,
    shared_legend,
)
from hbnlab.plots.palette import series_style
from hbnlab.records import ExitRecords


def example(
    image: UInt8[Tensor, "3 height width"],
    records: ExitRecords,
    index: int,
    *,
    top: int = 5,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Show one image beside its most probable classes: a panel a level, a bar an exit.

    Args:
        image: in bytes from 0 to 255.
        records: hold what the exits said about it.
        index: of the image in the records.
        top: classes a panel: those to which any exit gives most, and the truth is marked.
        axes: one more than there are levels.

    Raises:
        ValueError: for an image of another form, an index outside the records, or ``top`` below 1.
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(
            f"image must be bytes (3, height, width), got {image.dtype} {tuple(image.shape)}"
        )
    if not 0 <= index < len(records):
        raise ValueError(f"index must be in 0..{len(records) - 1}, got {index}")
    if top < 1:
        raise ValueError(f"top must be 1 or more, got {top}")
    levels = records.hierarchy.num_levels
    grid = many_axes(axes, (1, levels + 1), (9.5 / (levels + 1), 3.2))[0]
    names = records.hierarchy.class_names
    grid[0].imshow(array(image.permute(1, 2, 0)), interpolation="nearest")
    grid[0].set_title(spoken(names[-1][int(records.labels[index, -1])]), fontsize=10, **AS_IT_IS)
    grid[0].axis("off")
    for level in range(levels):
        _bars(grid[level + 1], records, index, level, top)
    shared_legend(grid, outside=axes is None)
    said = listed(
        f"exit {exit_index + 1} {records.hierarchy.level_names[level]}: "
        f"{spoken(names[level][int(records.prediction[index, exit_index, level])])} "
        f"{percent(float(records.confidence[index, exit_index, level]))}"
        for exit_index, level in records.cells
    )
    truth = ", ".join(
        spoken(names[level][label]) for level, label in enumerate(records.labels[index].tolist())
    )
    set_description(grid, f"Image {index} ({truth}) and its most probable classes: {said}.")
    return grid


def _bars(ax: Axes, records: ExitRecords, index: int, level: int, top: int) -> None:
    """Probabilities of the classes of a level that matter for this image, a bar an exit."""
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
            [row + (place - (len(exits) - 1) / 2) * height for row in range(len(chosen))],
            prob[place, chosen].tolist(),
            height,
            color=style.color,
            hatch=style.hatch,
            edgecolor="white",
            linewidth=0.4,
            label=f"exit {exit_index + 1}",
        )
    truth = int(records.labels[index, level])
    names = [spoken(records.hierarchy.class_names[level][cls]) for cls in chosen]
    marked = [
        f"{name} (true)" if cls == truth else name for cls, name in zip(chosen, names, strict=True)
    ]
    ax.set_yticks(range(len(chosen)), marked, fontsize=8, **AS_IT_IS)
    ax.invert_yaxis()
