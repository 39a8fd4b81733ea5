"""Which operating points are worth choosing, of all that policies can reach."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from hbnlab import metrics
from hbnlab.formatting import millions, percent, plural
from hbnlab.metrics import Evaluation
from hbnlab.plots.canvas import (
    FLOPS_LABEL,
    AxesGrid,
    as_percent,
    finish,
    light_grid,
    many_axes,
)
from hbnlab.plots.palette import BLACK, SEQUENTIAL, series_style

_LABELS = {"accuracy": "accuracy", "information": "information (bits per answer)"}


def pareto_fronts(
    results: Mapping[str, Sequence[Evaluation]], *, axes: AxesGrid | None = None
) -> np.ndarray:
    """Accuracy and information against FLOPs of many policies, with the Pareto front of each.

    Left accuracy, coloured by information; right information, coloured by accuracy. The line joins
    the points on the Pareto front of that panel, over all policies.

    Args:
        results: evaluations by the name of their policies, as ``metrics.sweep`` gives them.
        axes: two Axes.

    Raises:
        ValueError: without a single evaluation.

    Example:
        >>> from hbnlab.policies import EntropyThreshold
        >>> from hbnlab.records import simulated_records
        >>> policies = [EntropyThreshold([t, t]) for t in (0.2, 0.8)]
        >>> left, right = pareto_fronts({"ours": metrics.sweep(policies, simulated_records())})
        >>> left.get_ylabel(), right.get_ylabel()
        ('accuracy', 'information (bits per answer)')
    """
    everything = [result for row in results.values() for result in row]
    if not everything:
        raise ValueError("results must hold at least one evaluation, got none")
    grid = many_axes(axes, (1, 2), 4.2, width=5.0)[0]
    fronts = []
    pairs = (("accuracy", "information"), ("information", "accuracy"))
    for ax, (gain, shade) in zip(grid, pairs, strict=True):
        front = [everything[index] for index in metrics.pareto_front(everything, gain=gain)]
        x, y = [r.mean_flops / 1e6 for r in front], [getattr(r, gain) for r in front]
        ax.plot(x, y, color=BLACK, linewidth=1.2, zorder=1, label="Pareto front")
        shades = [getattr(result, shade) for result in everything]
        scale = Normalize(min(shades), max(shades))
        _scatter(ax, results, gain, shade, scale)
        bar = ax.figure.colorbar(ScalarMappable(scale, SEQUENTIAL), ax=ax, label=_LABELS[shade])
        ax.set(xlabel=FLOPS_LABEL, ylabel=_LABELS[gain])
        ax.locator_params(axis="x", nbins=6)
        light_grid(ax)
        as_percent(ax.yaxis if gain == "accuracy" else bar.ax.yaxis)
        fronts.append(_words(gain, front))
    words = f"Pareto fronts of {plural(len(everything), 'operating point')} against FLOPs"
    return finish(grid, f"{words}: {'; '.join(fronts)}.", below=axes is None)


def _scatter(
    ax: Axes, results: Mapping[str, Sequence[Evaluation]], gain: str, shade: str, scale: Normalize
) -> None:
    """The points of every kind of policy, with a marker of its own."""
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


def _words(gain: str, front: Sequence[Evaluation]) -> str:
    ends = []
    for result in (front[0], front[-1]):
        value = getattr(result, gain)
        text = percent(value) if gain == "accuracy" else f"{value:.2f} bits per answer"
        ends.append(f"{text} at {millions(result.mean_flops)}")
    return f"{gain} from {ends[0]} to {ends[1]} million FLOPs per image"
