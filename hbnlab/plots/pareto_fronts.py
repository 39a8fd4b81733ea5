"""Which operating points are worth choosing, of all that rules can reach."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from hbnlab import metrics
from hbnlab.formatting import millions, percent, plural
from hbnlab.metrics import Evaluation
from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import (
    FLOPS_LABEL,
    AxesGrid,
    as_percent,
    light_grid,
    listed,
    many_axes,
    shared_legend,
)
from hbnlab.plots.palette import BLACK, SEQUENTIAL, series_style

_LABELS = {"accuracy": "accuracy", "information": "information (bits an answer)"}


def pareto_fronts(
    results: Mapping[str, Sequence[Evaluation]], *, axes: AxesGrid | None = None
) -> np.ndarray:
    """Accuracy, information and FLOPs of many policies, and those that no other beats.

    Left accuracy, coloured by information; right information, coloured by accuracy; both against
    FLOPs. The line joins the points that no other of any rule beats in that panel.

    Args:
        results: evaluations by the name of their rule, such as ``metrics.sweep`` gives them.
        axes: two Axes.

    Raises:
        ValueError: without a single evaluation.
    """
    everything = [result for row in results.values() for result in row]
    if not everything:
        raise ValueError("results must hold at least one evaluation, got none")
    grid = many_axes(axes, (1, 2), (5.0, 4.2))[0]
    said = []
    pairs = (("accuracy", "information"), ("information", "accuracy"))
    for ax, (gain, shade) in zip(grid, pairs, strict=True):
        best = [everything[number] for number in metrics.pareto_front(everything, gain=gain)]
        x, y = [r.mean_flops / 1e6 for r in best], [getattr(r, gain) for r in best]
        ax.plot(x, y, color=BLACK, linewidth=1.2, zorder=1, label="not beaten")
        shades = [getattr(result, shade) for result in everything]
        scale = Normalize(min(shades), max(shades))
        _scatter(ax, results, gain, shade, scale)
        bar = ax.figure.colorbar(ScalarMappable(scale, SEQUENTIAL), ax=ax, label=_LABELS[shade])
        ax.set(xlabel=FLOPS_LABEL, ylabel=_LABELS[gain])
        as_percent(ax.yaxis if gain == "accuracy" else bar.ax.yaxis)
        light_grid(ax)
        said.append(_words(gain, best))
    shared_legend(grid, outside=axes is None)
    total = plural(len(everything), "operating point")
    set_description(grid, f"What {total} reach for their FLOPs, at best: {listed(said)}.")
    return grid


def _scatter(
    ax: Axes, results: Mapping[str, Sequence[Evaluation]], gain: str, shade: str, scale: Normalize
) -> None:
    """The points of every rule, with its own marker."""
    for number, (name, row) in enumerate(results.items()):
        ax.scatter(
            [result.mean_flops / 1e6 for result in row],
            [getattr(result, gain) for result in row],
            c=[getattr(result, shade) for result in row],
            norm=scale,
            cmap=SEQUENTIAL,
            marker=series_style(number).marker,
            s=26,
            edgecolors=BLACK,
            linewidths=0.3,
            label=name,
        )


def _words(gain: str, best: Sequence[Evaluation]) -> str:
    first, last = best[0], best[-1]
    values = [getattr(first, gain), getattr(last, gain)]
    texts = [percent(v) if gain == "accuracy" else f"{v:.2f} bits" for v in values]
    return (
        f"{gain} from {texts[0]} at {millions(first.mean_flops)} to {texts[1]} at "
        f"{millions(last.mean_flops)} million FLOPs"
    )
