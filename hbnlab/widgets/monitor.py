"""Training while it happens, with a button that ends it."""

import html
import threading
import time
from collections.abc import Sequence

import ipywidgets as w
from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell

from hbnlab.formatting import percent
from hbnlab.hierarchy import Hierarchy, default_level_names
from hbnlab.history import History, Step
from hbnlab.widgets.controls import button, row
from hbnlab.widgets.html_tables import PAGE, ROW, table
from hbnlab.widgets.live_curves import LiveCurves
from hbnlab.widgets.panel import Panel, message


class TrainingMonitor(Panel):
    """Loss and accuracy per head while a network learns, the time left, and a stop button.

    It is an ``on_step`` of ``fit`` and ``post_train``. The page is drawn at most once in ``every``
    seconds, when a run starts and ends, and when the cell that trains is done:

        monitor = TrainingMonitor(splits.hierarchy)
        display(monitor)
        history = fit(network, splits, config, on_step=monitor)

    The button, or ``monitor.stop()``, ends the run after the present step; network and history
    keep what was learned. The button acts where widgets are answered while a cell runs, as by
    JupyterLab 4.6 with ipykernel 7.4. Elsewhere interrupt the kernel: the network keeps what it
    has learned, and ``monitor.history`` the epochs. ``monitor.static()`` gives a picture of it,
    for where no widget runs.

    Args:
        hierarchy: names the levels; without it they are named as for any tree of as many levels.
        every: seconds between two drawings, at least.
    """

    def __init__(self, hierarchy: Hierarchy | None = None, *, every: float | int = 1.0) -> None:
        super().__init__()
        if not every >= 0:
            raise ValueError(f"every must be 0 or more seconds, got {every}")
        self._hierarchy, self._every = hierarchy, every
        self._step: Step | None = None
        self._stopping, self._is_running = threading.Event(), False
        self._losses: list[tuple[float, float]] = []
        self._curves: LiveCurves | None = None
        self._shell: InteractiveShell | None = None
        tooltip = "If nothing happens, interrupt the kernel: what was learned is kept as well."
        self._button = button("stop and keep what was learned", self.stop, tooltip=tooltip)
        self._button.disabled = True
        self._status, self._page_widget = w.HTML(self._status_line()), w.HTML()
        self.widget = w.VBox([row(self._button), self._status, self._page_widget])

    def __call__(self, step: Step) -> bool:
        """Take note of a step; ``fit`` calls this.

        Returns:
            Whether the run shall end here.
        """
        if self._is_first(step):
            self._begin(step)
        self._step, self._last_time = step, time.perf_counter()
        done = step.epoch - 1 + step.number / step.steps
        self._losses.append((done, step.loss))
        shall_end = self._stopping.is_set()
        self._is_running = not (shall_end or self._is_done)
        if not self._is_running or time.perf_counter() >= self._draw_after:
            self._draw()
        return shall_end

    def stop(self) -> None:
        """End the run after the present step, and keep what was learned; without one, nothing."""
        if self._is_running:
            self._stopping.set()

    @property
    def history(self) -> History:
        """The epochs of the run so far, and those before it that it goes on from."""
        return History() if self._step is None else self._step.history

    @property
    def loss(self) -> float | None:
        """Loss of the last step; None before the first."""
        return self._losses[-1][1] if self._losses else None

    @property
    def seconds_left(self) -> float | None:
        """How long the run will take yet at its pace so far; None before the second step."""
        if self._step is None or len(self._losses) < 2:
            return None
        (first, _), (last, _) = self._losses[0], self._losses[-1]
        return (self._last_time - self._first_time) / (last - first) * (self._step.epochs - last)

    def _words(self) -> str:
        step = self._step
        if step is None:
            return "no step yet; give it to fit(..., on_step=monitor)"
        words = (
            f"{step.phase}, epoch {step.epoch} of {step.epochs}, step {step.number} of "
            f"{step.steps}, loss {step.loss:.3f}"
        )
        if self._is_done:
            return f"{words}; done"
        if self._stopping.is_set():
            return f"{words}; stopped, what was learned is kept"
        left = self.seconds_left
        return words if left is None else f"{words}; {_duration(left)} left"

    def _page(self) -> str:
        """Where the run stands, the last accuracies, and the curves."""
        return self._status_line() + self._drawing()

    def _status_line(self) -> str:
        """Where the run stands; a screen reader reads it out as it comes."""
        return f'<div role="status" style="{PAGE}">{html.escape(self._words())}</div>'

    def _drawing(self) -> str:
        """The last accuracies and the curves; nothing before the first step."""
        if self._step is None or self._curves is None:
            return ""
        seen = self._step.history.of_phase(self._step.phase)
        names = self._level_names(seen)
        if not names:
            return message(
                f"The network that is trained has more levels than the tree that the monitor was "
                f"given, {list(self._hierarchy.level_names) if self._hierarchy else []}."
            )
        rows = self._last_scores(seen, len(names))
        words = self._words()
        if rows:
            said = (f"{name} {', '.join(texts)}" for name, texts in rows)
            words += f". Accuracy on validation images ({', '.join(names)}): {'; '.join(said)}"
        picture = self._curves.draw(self._losses, seen, names, f"Training curves: {words}.")
        scores = table("validation accuracy", names, rows) if rows else ""
        return (
            f'<div style="{PAGE}"><div style="{ROW}"><div>{scores}</div>'
            f"{picture._repr_html_()}</div></div>"
        )

    def _level_names(self, seen: History) -> Sequence[str]:
        """Names of the levels; none where the tree given has too few."""
        needed = 1 + max((level for _, level in seen.cell_indices), default=0)
        if self._hierarchy is None:
            return default_level_names(needed)
        return self._hierarchy.level_names if needed <= self._hierarchy.num_levels else ()

    def _last_scores(self, seen: History, levels: int) -> list[tuple[str, list[str]]]:
        """The accuracies after the last epoch that is over: a row an exit, a text a level."""
        last = seen.epochs[-1].cells.get("val", ()) if seen.epochs else ()
        if not last:
            return []
        scores = {(s.exit_index, s.level_index): s.top1 for s in last}
        exits = range(1 + max(exit_index for exit_index, _ in scores))
        return [
            (
                f"exit {e + 1}",
                [percent(scores[e, k]) if (e, k) in scores else "no head" for k in range(levels)],
            )
            for e in exits
        ]

    @property
    def _is_done(self) -> bool:
        """Whether the last step of the last epoch was taken."""
        if self._step is None or not self._losses:
            return False
        return self._losses[-1][0] >= self._step.epochs

    def _is_first(self, step: Step) -> bool:
        before = self._step
        return (
            before is None
            or before.history is not step.history
            or before.phase != step.phase
            or (step.epoch, step.number) <= (before.epoch, before.number)
        )

    def _begin(self, step: Step) -> None:
        """Forget the run before this one."""
        self._losses, self._curves = [], LiveCurves(step.epochs)
        self._stopping.clear()
        self._button.disabled = False
        _let_act_at_once(self._button)
        self._first_time = self._draw_after = time.perf_counter()
        if self._shell is None and (shell := get_ipython()) is not None:
            # The last epoch is over only after its last step, when nobody calls any more.
            self._shell = shell
            shell.events.register("post_run_cell", self._after_cell)

    def _after_cell(self, result: object) -> None:
        """Draw what the history holds at the end."""
        del result
        if self._shell is not None:
            self._shell.events.unregister("post_run_cell", self._after_cell)
            self._shell = None
        self._is_running, self._button.disabled = False, True
        self._draw()

    def _draw(self) -> None:
        self._status.value = self._status_line()
        self._page_widget.value = self._drawing()
        self._draw_after = time.perf_counter() + self._every


def _let_act_at_once(widget: w.Widget) -> None:
    """Let what somebody does with a widget be answered while a cell runs.

    JupyterLab asks for that: it sends messages of widgets to a thread beside that of the cells.
    ipykernel 7.4 notes with the widget's channel where it was last used, and prefers that: the
    thread that is busy. Without the note, JupyterLab's wish counts. Other versions have no note.
    """
    if widget.comm is not None:
        vars(widget.comm).pop("_reply_subshell_id", None)


def _duration(seconds: float) -> str:
    """Seconds, or minutes and seconds, as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
