"""Curves of a run that trains: the loss of every step, the validation accuracy of every head."""

from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hbnlab.history import History
from hbnlab.plots import HtmlFigure
from hbnlab.plots.canvas import as_percent, light_grid
from hbnlab.plots.palette import GREY, head_style
from hbnlab.widgets.pictures import snapshot

_SIZE = (9.4, 3.2)
_DPI = 100
_MOST_POINTS = 1000
_ROOM_BELOW = 0.05


class LiveCurves:
    """A figure that is made once per run and then only updated, which takes a third of the time.

    Args:
        epochs: number of epochs of the run, where the axes end.
    """

    def __init__(self, epochs: int) -> None:
        self._figure = Figure(figsize=_SIZE, dpi=_DPI)
        self._canvas = FigureCanvasAgg(self._figure)
        self._left, self._right = self._figure.subplots(1, 2)
        self._figure.subplots_adjust(left=0.07, right=0.82, bottom=0.15, top=0.95, wspace=0.28)
        (self._loss,) = self._left.plot([], [], color=GREY, linewidth=1.0)
        self._left.set_ylabel("loss per step")
        self._right.set_ylabel("accuracy on validation images")
        as_percent(self._right.yaxis)
        for ax in (self._left, self._right):
            ax.set(xlabel="epoch", xlim=(0, epochs))
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            light_grid(ax)
        self._heads: dict[tuple[int, int], Line2D] = {}

    def draw(
        self,
        steps: Sequence[tuple[float, float]],
        history: History,
        level_names: Sequence[str],
        words: str,
    ) -> HtmlFigure:
        """The figure with what is known so far.

        Args:
            steps: epochs done, with fractions, and the loss, after each step.
            history: the finished epochs of this phase.
            level_names: names of the levels of the heads.
            words: alternative text.
        """
        drawn = steps[:: 1 + len(steps) // _MOST_POINTS]
        self._loss.set_data([done for done, _ in drawn], [loss for _, loss in drawn])
        self._left.relim()
        self._left.autoscale_view(scalex=False)
        lowest = 1.0
        validated = [epoch.number for epoch in history.epochs if epoch.cells.get("val")]
        for exit_index, level in history.cell_indices:
            values = history.curve("top1", exit_index, level)
            self._head(exit_index, level, level_names).set_data(validated, values)
            lowest = min([lowest, *values])
        self._right.set_ylim(max(0.0, lowest - _ROOM_BELOW), 1.0)
        self._canvas.draw()
        return snapshot(self._canvas, words)

    def _head(self, exit_index: int, level: int, level_names: Sequence[str]) -> Line2D:
        """The curve of one head: colour and marker tell the exit, the line style the level."""
        if (exit_index, level) not in self._heads:
            style = head_style(exit_index, level, len(level_names))
            look = style.line | {"markersize": 5, "clip_on": False}
            name = f"exit {exit_index + 1} {level_names[level]}"
            (self._heads[exit_index, level],) = self._right.plot([], [], **look, label=name)
            self._right.legend(
                loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, handlelength=4
            )
        return self._heads[exit_index, level]
