"""A training run as it happens, with a button that stops it."""

import html
import threading
import time
from contextlib import suppress

import ipywidgets as w
from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell

from hbnlab.formatting import percent
from hbnlab.hierarchy import Hierarchy, default_level_names
from hbnlab.history import History, Step
from hbnlab.widgets.controls import button, row
from hbnlab.widgets.html_tables import PAGE, ROW, cell_rows, table
from hbnlab.widgets.live_curves import LiveCurves
from hbnlab.widgets.panel import Panel, message


class TrainingMonitor(Panel):
    """Loss, accuracy of each head and time left while a network trains, and a stop button.

    Pass it to ``fit`` or ``post_train`` as ``on_step``. The page is drawn when a run starts and
    ends, when the cell that trains has finished, and in between at most once in ``every`` seconds:

        monitor = TrainingMonitor(splits.hierarchy)
        display(monitor)
        history = fit(network, splits, config, on_step=monitor)

    The button, or ``monitor.stop()``, stops the run after the current step; network and history
    keep what was learned. The button needs a kernel that answers widgets while a cell runs, such
    as ipykernel 7.4 with JupyterLab 4.6. Elsewhere interrupt the kernel: the network keeps what it
    has learned, and ``monitor.history`` the epochs. ``monitor.static()`` returns a picture, for
    where no widget runs.

    Args:
        hierarchy: names the levels; without it they get the default names.
        every: least number of seconds between two drawings.

    Raises:
        ValueError: when ``every`` is negative or NaN.
    """

    def __init__(self, hierarchy: Hierarchy | None = None, *, every: float | int = 1.0) -> None:
        super().__init__()
        if not every >= 0:
            raise ValueError(f"every must be 0 or more seconds, got {every}")
        self._hierarchy, self._every = hierarchy, every
        self._step: Step | None = None
        self._stopping, self._is_running = threading.Event(), False
        self._losses: list[tuple[float, float]] = []
        self._unread: list[Step] = []
        self._curves: LiveCurves | None = None
        self._shell: InteractiveShell | None = None
        tooltip = "If nothing happens, interrupt the kernel: what was learned is kept as well."
        self._button = button("stop and keep what was learned", self.stop, tooltip=tooltip)
        self._button.disabled = True
        self._status, self._page_widget = w.HTML(self._status_line()), w.HTML()
        self._widget = w.VBox([row(self._button), self._status, self._page_widget])

    def __call__(self, step: Step) -> bool:
        """Record a step; ``fit`` calls this.

        The losses are read from the device only when the page is drawn, because reading waits for
        the device.

        Returns:
            Whether the run should stop here.

        Raises:
            FloatingPointError: when a loss or a gradient was not finite.
        """
        if self._is_first(step):
            self._begin(step)
        self._step, self._last_time = step, time.perf_counter()
        self._unread.append(step)
        must_stop = self._stopping.is_set()
        self._is_running = not (must_stop or self._is_done)
        if not self._is_running or time.perf_counter() >= self._draw_after:
            self._read_losses()
            self._draw()
        return must_stop

    def stop(self) -> None:
        """Stop the run after the current step and keep what was learned; without a run, nothing."""
        if self._is_running:
            self._stopping.set()

    @property
    def history(self) -> History:
        """The epochs of the run so far, after those of the run that it resumes."""
        return History() if self._step is None else self._step.history

    @property
    def loss(self) -> float | None:
        """Loss at the last step; None before the first."""
        with suppress(FloatingPointError):  # the run itself raises it
            self._read_losses()
        return self._losses[-1][1] if self._losses else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the run ends, at its speed so far; None before the second step."""
        if self._step is None or (done := _epochs_done(self._step)) == self._first_done:
            return None
        seconds_per_epoch = (self._last_time - self._first_time) / (done - self._first_done)
        return seconds_per_epoch * (self._step.epochs - done)

    def _words(self) -> str:
        step = self._step
        if step is None:
            return "no step yet; give it to fit(..., on_step=monitor)"
        words = (
            f"{step.phase}, epoch {step.epoch} of {step.epochs}, step {step.number} of {step.steps}"
        )
        if self.loss is not None:
            words += f", loss {self.loss:.3f}"
        if self._is_done:
            return f"{words}; done"
        if self._stopping.is_set():
            return f"{words}; stopped, what was learned is kept"
        left = self.seconds_left
        return words if left is None else f"{words}; {_duration(left)} left"

    def _page(self) -> str:
        """The progress of the run, the last accuracies and the curves."""
        return self._status_line() + self._drawing()

    def _status_line(self) -> str:
        """The progress of the run, which a screen reader reads out when it changes."""
        return f'<div role="status" style="{PAGE}">{html.escape(self._words())}</div>'

    def _drawing(self) -> str:
        """The last accuracies and the curves; empty before the first step."""
        if self._step is None or self._curves is None:
            return ""
        history = self._step.history.of_phase(self._step.phase)
        depth = 1 + max((level for _, level in history.cell_indices), default=0)
        names = self._hierarchy.level_names if self._hierarchy else default_level_names(depth)
        if depth > len(names):
            return message(
                f"The network that is trained has more levels than the tree that the monitor was "
                f"given, {list(names)}."
            )
        last = history.epochs[-1].cells.get("val", ()) if history.epochs else ()
        texts = {(score.exit_index, score.level_index): percent(score.top1) for score in last}
        rows = cell_rows(texts, len(names))
        words = self._words()
        if rows:
            scores = (f"{name} {', '.join(texts)}" for name, texts in rows)
            words += f". Accuracy on validation images ({', '.join(names)}): {'; '.join(scores)}"
        picture = self._curves.draw(self._losses, history, names, f"Training curves: {words}.")
        accuracies = table("validation accuracy", names, rows) if rows else ""
        return (
            f'<div style="{PAGE}"><div style="{ROW}"><div>{accuracies}</div>'
            f"{picture._repr_html_()}</div></div>"
        )

    @property
    def _is_done(self) -> bool:
        """Whether the last step of the last epoch is done."""
        return self._step is not None and _epochs_done(self._step) >= self._step.epochs

    def _read_losses(self) -> None:
        """Read the losses of the steps since they were last read."""
        unread, self._unread = self._unread, []
        self._losses += [(_epochs_done(step), step.loss) for step in unread]

    def _is_first(self, step: Step) -> bool:
        before = self._step
        return (
            before is None
            or before.history is not step.history
            or before.phase != step.phase
            or (step.epoch, step.number) <= (before.epoch, before.number)
        )

    def _begin(self, step: Step) -> None:
        """Start recording a run, without the one before it."""
        self._losses, self._unread, self._curves = [], [], LiveCurves(step.epochs)
        self._first_done = _epochs_done(step)
        self._stopping.clear()
        self._button.disabled = False
        _answer_while_a_cell_runs(self._button)
        self._first_time = self._draw_after = time.perf_counter()
        if self._shell is None and (shell := get_ipython()) is not None:
            # The last epoch ends after its last step, when no further call comes.
            self._shell = shell
            shell.events.register("post_run_cell", self._after_cell)

    def _after_cell(self, result: object) -> None:
        """Draw the history as it is at the end."""
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


def _answer_while_a_cell_runs(widget: w.Widget) -> None:
    """Let a widget be answered while a cell runs.

    JupyterLab asks for that: it sends messages of widgets to another thread than that of the cells.
    ipykernel 7.4 notes with the widget's channel which thread used it last, and prefers that one,
    which is busy. Without the note JupyterLab's request counts. Other versions have no note.
    """
    if widget.comm is not None:
        vars(widget.comm).pop("_reply_subshell_id", None)


def _epochs_done(step: Step) -> float:
    return step.epoch - 1 + step.number / step.steps


def _duration(seconds: float) -> str:
    """Seconds, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
