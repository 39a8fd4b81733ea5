"""Controls that have a name for a screen reader and tell their panel when somebody moves them."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

_STEP, _DIGITS = 0.01, 2


class Control:
    """One value on the page that tells when somebody moves it.

    Args:
        part: has a ``value``.
        on_change: called with the new value when the part is moved on the page, or from Python
            through the part itself; ``show`` calls nothing.

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
        """What the control stands at."""
        return self._part.value

    def show(self, value: Any) -> None:
        """Put the control at a value without telling anybody."""
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
    stands once on the page, beside the slider; that of the box is there to be read out.

    On the page a slider stands at whole steps only, with the rounding of binary fractions, and it
    sends that back as if somebody had moved it. So the number is that of the box, and the slider
    only follows it, or moves it by half a step at least. A slider that is near enough is left
    alone: whoever is moving it would be thrown back.

    Args:
        name: of the number.
        limits: lowest and highest value; what lies outside is shown at the nearer one.
        on_change: as for ``Control``. Sliders move by hundredths, the box takes any number.
    """

    def __init__(
        self, name: str, limits: tuple[float, float], on_change: Callable[[float], None]
    ) -> None:
        self._limits = limits
        shared: dict[str, Any] = {"min": limits[0], "max": limits[1], "step": _STEP}
        shared |= {"value": limits[0], "description": name}
        # A label of no width is not seen but read.
        box = w.BoundedFloatText(
            **shared, style={"description_width": "0px"}, layout={"width": "80px"}
        )
        self._slider = w.FloatSlider(
            **shared,
            readout=False,
            style={"description_width": "initial"},
            layout={"flex": "1 1 auto", "min_width": "240px"},
        )
        super().__init__(box, on_change)
        self._slider.observe(self._slid, names="value")
        layout = {"flex": "1 1 360px", "max_width": "520px", "overflow": "hidden"}
        self.widget = w.HBox([self._slider, box], layout=layout)

    def _put(self, value: float) -> None:
        low, high = self._limits
        self._part.value = min(max(value, low), high)
        if self._is_apart(self._slider.value):
            self._slider.value = self._part.value

    def _slid(self, change: Any) -> None:
        value = round(change["new"], _DIGITS)
        if not self._is_showing and self._is_apart(value):
            self._part.value = value

    def _is_apart(self, value: float) -> bool:
        return abs(value - self._part.value) >= _STEP / 2


def choice(name: str, options: Sequence[str], on_change: Callable[[str], None]) -> Control:
    """One of several words, from a list that opens."""
    menu = w.Dropdown(
        description=name,
        options=list(options),
        disabled=len(options) < 2,
        style={"description_width": "initial"},
        layout={"width": "auto", "max_width": "300px"},
    )
    return Control(menu, on_change)


def whole_number(name: str, limits: tuple[int, int], on_change: Callable[[int], None]) -> Control:
    """A number box for whole numbers."""
    box = w.BoundedIntText(
        description=name,
        min=limits[0],
        max=limits[1],
        value=limits[0],
        style={"description_width": "initial"},
        layout={"width": "150px"},
    )
    return Control(box, on_change)


def number(name: str, limits: tuple[float, float], value: float | int) -> w.BoundedFloatText:
    """A number box that nothing happens at by itself."""
    return w.BoundedFloatText(
        description=name,
        min=limits[0],
        max=limits[1],
        value=value,
        style={"description_width": "initial"},
        layout={"width": f"calc({len(name)}ch + 80px)"},
    )


class CopyLine(Control):
    """A line of text to mark and copy; what is typed into it does not stay."""

    def __init__(self, name: str) -> None:
        style, layout = {"description_width": "initial"}, {"width": "auto"}
        self._text = ""
        line = w.Text(description=name, style=style, layout=layout, continuous_update=False)
        super().__init__(line, lambda _: self.show(self._text))

    def show(self, value: str) -> None:
        """Show another text."""
        self._text = value
        super().show(value)


def button(name: str, on_click: Callable[[], object], *, tooltip: str = "") -> w.Button:
    """A button that says what it does."""
    made = w.Button(description=name, tooltip=tooltip or name, layout={"width": "auto"})
    made.on_click(lambda _: on_click())
    return made


def close_tree(widget: w.Widget) -> None:
    """Close a widget and all that belongs to it: ipywidgets holds what is not closed for ever."""
    for child in getattr(widget, "children", ()):
        close_tree(child)
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, w.Widget):
            part.close()
    widget.close()


def row(*parts: w.Widget) -> w.Box:
    """Controls beside each other, in as many lines as they need."""
    return w.Box(
        list(parts),
        layout={"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 14px"},
    )
