"""Two planes with a cloud of policies and one point that moves, drawn in a few milliseconds."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hbnlab import metrics
from hbnlab.formatting import millions, percent, plural
from hbnlab.metrics import Evaluation
from hbnlab.plots import HtmlFigure
from hbnlab.plots.canvas import FLOPS_LABEL, as_percent, light_grid
from hbnlab.plots.palette import BLACK, BLUE, GREY, ORANGE, VERMILLION
from hbnlab.records import ExitRecords
from hbnlab.widgets.pictures import snapshot

_SIZE = (8.6, 3.8)
_DPI = 100
_ALONG = ("specificity", "mean_flops")


class Planes:
    """Accuracy against specificity, and accuracy against FLOPs.

    Drawn in three layers, each over a picture of the one below: the axes, which stay; the cloud of
    policies, drawn by ``lay``; the point and its line, drawn by ``at``.

    Args:
        records: their cells span the axes, for no policy costs less or more.

    Attributes:
        cloud: the evaluations of the policies that are drawn.
    """

    cloud: Sequence[Evaluation] = ()

    def __init__(self, records: ExitRecords) -> None:
        self._figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
        self._canvas = FigureCanvasAgg(self._figure)
        self._axes = self._figure.subplots(1, 2, sharey=True)
        dots = {"marker": "o", "markersize": 4, "color": GREY, "alpha": 0.35}
        self._cloud = self._lines("policies of this kind", linestyle="", **dots)
        front = {"color": BLUE, "linewidth": 1.6, "linestyle": "--"}
        self._front = self._lines("Pareto front", **front)
        self._trade_off = self._lines("trade of specificity", color=ORANGE, linewidth=2.2)
        point = {"marker": "D", "markersize": 11, "color": VERMILLION, "markeredgecolor": BLACK}
        self._point = self._lines("this policy", linestyle="", **point)
        handles = [self._cloud[0], self._front[0], self._trade_off[0], self._point[0]]
        self._figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)
        cells = metrics.cell_table(records)
        self._scale(cells)
        accuracies = [row["accuracy"] for row in cells]
        self._draw_axes(min(accuracies), max(accuracies))
        # From here on the labels keep their sizes, and a new layout would take time.
        self._figure.set_layout_engine("none")

    def lay(self, cloud: Sequence[Evaluation]) -> None:
        """Draw a cloud and its Pareto front in each plane."""
        self.cloud = cloud
        self._make_room([result.accuracy for result in cloud])
        self._canvas.restore_region(self._empty)
        self._over(self._cloud, cloud, cloud)
        specific = metrics.pareto_front(cloud, cost="coarse_share")
        cheap = metrics.pareto_front(cloud)
        self._over(self._front, [cloud[n] for n in specific], [cloud[n] for n in cheap])
        self._background = self._canvas.copy_from_bbox(self._figure.bbox)

    def at(self, point: Evaluation, line: Sequence[Evaluation]) -> HtmlFigure:
        """The picture with the point, and the line along which it trades specificity."""
        if self._make_room([point.accuracy, *(result.accuracy for result in line)]):
            self.lay(self.cloud)
        self._canvas.restore_region(self._background)
        self._over(self._trade_off, line, line)
        self._over(self._point, [point], [point])
        words = (
            f"Accuracy {percent(point.accuracy)} at specificity {percent(point.specificity)} and "
            f"{millions(point.mean_flops)} million FLOPs per image, among "
            f"{plural(len(self.cloud), 'operating point')} of the same kind."
        )
        return snapshot(self._canvas, words)

    def _lines(self, label: str, **look: Any) -> list[Line2D]:
        """One line per plane, still without points; only ``_over`` draws it."""
        return [ax.plot([], [], label=label, animated=True, **look)[0] for ax in self._axes]

    def _scale(self, cells: Sequence[Mapping[str, Any]]) -> None:
        """Label the axes, and set the limits of all but accuracy."""
        left, right = self._axes
        least = min(row["pruned_flops"] for row in cells) / 1e6
        most = max(row["flops"] for row in cells) / 1e6
        edge = 0.05 * (most - least) or most
        left.set(xlabel="specificity (answered finely)", ylabel="accuracy", xlim=(-0.05, 1.05))
        right.set(xlabel=FLOPS_LABEL, xlim=(least - edge, most + edge))
        as_percent(left.xaxis)
        for ax in self._axes:
            light_grid(ax)
            as_percent(ax.yaxis)

    def _make_room(self, accuracies: Sequence[float]) -> bool:
        """Draw the lowest layer again if these accuracies lie outside, and say whether it was."""
        low, high = min(self._lowest, *accuracies), max(self._highest, *accuracies)
        if (low, high) == (self._lowest, self._highest):
            return False
        self._draw_axes(low, high)
        return True

    def _draw_axes(self, low: float, high: float) -> None:
        """Draw the lowest layer, with room for accuracies from ``low`` to ``high``."""
        self._lowest, self._highest = low, high
        edge = 0.08 * (high - low) or 0.05
        self._axes[0].set_ylim(low - edge, high + edge)
        self._canvas.draw()
        self._empty = self._canvas.copy_from_bbox(self._figure.bbox)

    def _over(
        self,
        lines: Sequence[Line2D],
        by_specificity: Sequence[Evaluation],
        by_flops: Sequence[Evaluation],
    ) -> None:
        """Draw the line of each plane through some results, over the picture."""
        for ax, line, results, name in zip(
            self._axes, lines, (by_specificity, by_flops), _ALONG, strict=True
        ):
            scale = 1e-6 if name == "mean_flops" else 1.0
            x = [scale * getattr(result, name) for result in results]
            line.set_data(x, [result.accuracy for result in results])
            ax.draw_artist(line)
