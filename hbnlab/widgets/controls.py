"""Controls that have a name for a screen reader and tell their panel when somebody moves them."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

_STEP, _DIGITS = 0.01, 2


class Control:
    """One value in one or more parts of the page, always the same in all of them.

    Args:
        parts: each has a ``value``; the first that somebody moves takes the others along.
        on_change: called with the new value when a part is moved on the page, or from Python
            through the part itself; ``show`` calls nothing.

    Attributes:
        widget: what is put on the page; the first part, where nothing else is said.
    """

    def __init__(self, parts: Sequence[w.ValueWidget], on_change: Callable[[Any], None]) -> None:
        self._parts, self._on_change, self._is_showing = tuple(parts), on_change, False
        self.widget: w.Widget = parts[0]
        for part in parts:
            part.observe(self._moved, names="value")

    @property
    def value(self) -> Any:
        """What the control stands at."""
        return self._parts[0].value

    def show(self, value: Any) -> None:
        """Put all parts at a value without telling anybody."""
        self._is_showing = True
        try:
            for part in self._parts:
                part.value = value
        finally:
            self._is_showing = False

    def _moved(self, change: Any) -> None:
        if not self._is_showing:
            self.show(change["new"])
            self._on_change(change["new"])


class NumberControl(Control):
    """A slider with a number box of the same name.

    JupyterLab gives a slider a role and a value but no accessible name; the box has one. The name
    stands once on the page, beside the slider; that of the box is there to be read out.

    Args:
        name: of the number.
        limits: lowest and highest value; what lies outside is shown at the nearer one.
        on_change: as for ``Control``. Sliders move by hundredths, the box takes any number.
    """

    def __init__(
        self, name: str, limits: tuple[float, float], on_change: Callable[[float], None]
    ) -> None:
        self._limits = limits
        shared: dict[str, Any] = {"min": limits[0], "max": limits[1], "description": name}
        shared["value"] = limits[0]
        slider = w.FloatSlider(
            **shared,
            step=_STEP,
            readout=False,
            style={"description_width": "initial"},
            layout={"flex": "1 1 auto", "min_width": "240px"},
        )
        # A label of no width is not seen but read.
        box = w.BoundedFloatText(
            **shared, step=_STEP, style={"description_width": "0px"}, layout={"width": "80px"}
        )
        super().__init__((slider, box), on_change)
        layout = {"flex": "1 1 360px", "max_width": "520px", "overflow": "hidden"}
        self.widget = w.HBox([slider, box], layout=layout)

    def show(self, value: float) -> None:
        """Put slider and box at a value, or at the nearer limit, without telling anybody."""
        low, high = self._limits
        super().show(min(max(value, low), high))

    def _moved(self, change: Any) -> None:
        slider, box = self._parts
        if change["owner"] is slider:
            # On the page a slider stands at whole steps only, counted from its lowest value with
            # the rounding of binary fractions, and it sends that back as if it had been moved.
            value = round(change["new"], _DIGITS)
            if abs(value - box.value) < _STEP / 2:
                return
            change = change | {"new": value}
        super()._moved(change)


def choice(name: str, options: Sequence[str], on_change: Callable[[str], None]) -> Control:
    """One of several words, from a list that opens."""
    menu = w.Dropdown(
        description=name,
        options=list(options),
        disabled=len(options) < 2,
        style={"description_width": "initial"},
        layout={"width": "auto", "max_width": "300px"},
    )
    return Control((menu,), on_change)


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
    return Control((box,), on_change)


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


def _ignore(_: Any) -> None:
    """Nothing follows."""


class CopyLine(Control):
    """A line of text to mark and copy; what is typed into it does not stay."""

    def __init__(self, name: str) -> None:
        style, layout = {"description_width": "initial"}, {"width": "100%"}
        self._text = ""
        line = w.Text(description=name, style=style, layout=layout, continuous_update=False)
        super().__init__((line,), _ignore)

    def show(self, value: str) -> None:
        """Show another text."""
        self._text = value
        super().show(value)

    def _moved(self, change: Any) -> None:
        if not self._is_showing:
            self.show(self._text)


def button(name: str, on_click: Callable[[], object], *, tooltip: str = "") -> w.Button:
    """A button that says what it does."""
    made = w.Button(description=name, tooltip=tooltip or name, layout={"width": "auto"})
    made.on_click(lambda _: on_click())
    return made


def row(*parts: w.Widget) -> w.Box:
    """Controls beside each other, in as many lines as they need."""
    return w.Box(
        list(parts),
        layout={"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 14px"},
    )
