"""Controls that have a name for screen readers and tell their panel when a person moves them."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

from hbnlab.types import Number

_STEP, _DIGITS = 0.01, 2
_NAME_IN_FULL = {"description_width": "initial"}


class Control:
    """One value on the page that reports when a person changes it.

    Args:
        part: has a ``value``.
        on_change: called with the new value when the part is moved on the page, or from Python
            through the part itself; not called by ``show``.

    Attributes:
        widget: what is put on the page.
    """

    def __init__(self, part: w.ValueWidget, on_change: Callable[[Any], None]) -> None:
        self._on_change, self._is_showing = on_change, False
        self._part = part
        self.widget: w.Widget = part
        part.observe(self._moved, names="value")

    @property
    def value(self) -> Any:
        """The current value."""
        return self._part.value

    def show(self, value: Any) -> None:
        """Display a value without calling ``on_change``."""
        self._is_showing = True
        try:
            self._put(value)
        finally:
            self._is_showing = False

    def _put(self, value: Any) -> None:
        self._part.value = value

    def _moved(self, change: Any) -> None:
        if not self._is_showing:
            self._on_change(change["new"])


class NumberControl(Control):
    """A number box with a slider of the same name.

    JupyterLab gives a slider a role and a value but no accessible name; the box has one. The name
    appears once on the page, beside the slider; that of the box is only read out.

    On the page a slider has whole steps only, rounded as binary fractions, and it sends such a
    value back as if a person had moved it. So the value is that of the box: the slider follows it,
    and moves it only by half a step or more. A slider that is near enough stays where it is, for a
    person may be moving it at that moment.

    Args:
        name: of the number.
        limits: lowest and highest value; a value outside is displayed as the nearer one.
        on_change: as for ``Control``.
        is_whole: whether only whole numbers make sense; the slider then moves by 1, otherwise by
            hundredths, while the box takes any number.
    """

    def __init__(
        self,
        name: str,
        limits: tuple[Number, Number],
        on_change: Callable[[float], None],
        *,
        is_whole: bool = False,
    ) -> None:
        self._limits = limits
        self._step, self._digits = (1.0, 0) if is_whole else (_STEP, _DIGITS)
        shared: dict[str, Any] = {"min": limits[0], "max": limits[1], "step": self._step}
        shared |= {"value": limits[0], "description": name}
        # A label of no width is invisible but read out.
        box = w.BoundedFloatText(
            **shared, style={"description_width": "0px"}, layout={"width": "80px"}
        )
        self._slider = w.FloatSlider(
            **shared,
            readout=False,
            style=_NAME_IN_FULL,
            layout={"flex": "1 1 auto", "min_width": "240px"},
        )
        super().__init__(box, on_change)
        self._slider.observe(self._slid, names="value")
        layout = {"flex": "1 1 360px", "max_width": "520px", "overflow": "hidden"}
        self.widget = w.HBox([self._slider, box], layout=layout)

    def _put(self, value: Number) -> None:
        low, high = self._limits
        self._part.value = min(max(value, low), high)
        if self._is_apart(self._slider.value):
            self._slider.value = self._part.value

    def _slid(self, change: Any) -> None:
        value = round(change["new"], self._digits)
        if not self._is_showing and self._is_apart(value):
            self._part.value = value

    def _is_apart(self, value: float) -> bool:
        return abs(value - self._part.value) >= self._step / 2


class Choice(Control):
    """A drop-down list of words; a word that it does not have yet is added when it is shown."""

    def __init__(self, name: str, options: Sequence[str], on_change: Callable[[str], None]) -> None:
        layout = {"width": "auto", "max_width": "300px"}
        menu = w.Dropdown(description=name, options=options, style=_NAME_IN_FULL, layout=layout)
        menu.disabled = len(options) < 2
        self._menu = menu
        super().__init__(menu, on_change)

    def _put(self, value: str) -> None:
        if value not in self._menu.options:
            self._menu.options = (*self._menu.options, value)
            self._menu.disabled = False
        super()._put(value)


def number_box(
    name: str,
    limits: tuple[Number, Number],
    value: Number,
    *,
    kind: type[w.ValueWidget] = w.BoundedFloatText,
    room: int = 80,
) -> Any:
    """A number box that waits for a button to use its value.

    Args:
        name: of the number, beside the box.
        limits: lowest and highest value.
        value: to begin with.
        kind: of the box.
        room: width of the box without its name, in pixels.
    """
    low, high = limits
    layout = {"width": f"calc({len(name)}ch + {room}px)"}
    return kind(
        description=name, min=low, max=high, value=value, style=_NAME_IN_FULL, layout=layout
    )


def whole_number(name: str, limits: tuple[int, int], on_change: Callable[[int], None]) -> Control:
    """A number box for whole numbers."""
    return Control(number_box(name, limits, limits[0], kind=w.BoundedIntText, room=120), on_change)


def text_line(name: str, on_change: Callable[[str], None]) -> Control:
    """A line of text to select and copy."""
    layout = {"width": "auto"}
    line = w.Text(description=name, style=_NAME_IN_FULL, layout=layout, continuous_update=False)
    return Control(line, on_change)


def button(name: str, on_click: Callable[[], object], *, tooltip: str = "") -> w.Button:
    """A button named after what it does."""
    made = w.Button(description=name, tooltip=tooltip or name, layout={"width": "auto"})
    made.on_click(lambda _: on_click())
    return made


def close_tree(widget: w.Widget) -> None:
    """Close a widget with all its parts; ipywidgets keeps every widget that is not closed."""
    for child in getattr(widget, "children", ()):
        close_tree(child)
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, w.Widget):
            part.close()
    widget.close()


def row(*parts: w.Widget) -> w.Box:
    """Controls side by side, wrapped into as many lines as they need."""
    return w.Box(
        list(parts),
        layout={"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 14px"},
    )
