"""What the two panels of a policy share: its numbers as attributes and as sliders."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies import Policy, Setting
from hbnlab.widgets.controls import NumberControl, close_tree, row
from hbnlab.widgets.panel import Panel, StatusLine


def _field(name: str, words: str) -> property:
    """A field of the policy as a property of its panel; setting it replaces the policy."""

    def get(panel: "PolicyPanel") -> Any:
        if name not in {field.name for field in fields(panel.policy)}:
            raise ValueError(
                f"a policy with {words.partition(':')[0]} is needed, got {panel.policy!r}"
            )
        return getattr(panel.policy, name)

    def put(panel: "PolicyPanel", value: Any) -> None:
        get(panel)
        panel._take(replace(panel.policy, **{name: value}))

    return property(get, put, doc=f"Of a policy that has {words}.")


class PolicyPanel(Panel):
    """A panel for one policy whose numbers can be moved.

    A change that the policy refuses raises a ValueError from Python. On the page, where nobody
    would see the error, the controls go back to their values and the error is displayed.
    """

    _policy: Policy
    _message: StatusLine

    @abstractmethod
    def _take(self, policy: Policy) -> None:
        """Replace the policy.

        Raises:
            ValueError: for one that does not fit; the panel then stays as it is.
        """

    @abstractmethod
    def _draw(self) -> None:
        """Bring the page up to date, without a message."""

    def _on_page(self, change: Callable[..., object]) -> Callable[..., None]:
        """A change for the controls on the page, which undo it if it is refused."""

        def changed(*values: Any) -> None:
            try:
                change(*values)
            except ValueError as error:
                self._draw()
                self._message.show(f"This does not fit: {error}.", is_problem=True)

        return changed

    @property
    def message(self) -> str:
        """The message on the page; empty after the next change."""
        return "" if self.problem else self._message.words

    @property
    def policy(self) -> Policy:
        """The policy with its numbers. Set it to another one that fits the records."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._take(policy)

    thresholds = _field("thresholds", "thresholds: one per exit but the last")
    fine_tolerance = _field("fine_tolerance", "a fine tolerance: tau, in nats")


class PolicySliders:
    """A slider with a number box for each adjustable number of a policy.

    Args:
        hierarchy: of the records, which determines the ranges.
        on_change: called with the new policy when a person moves a slider.

    Attributes:
        widget: what is put on the page.
    """

    def __init__(self, hierarchy: Hierarchy, on_change: Callable[[Policy], None]) -> None:
        self._hierarchy, self._on_change = hierarchy, on_change
        self._controls: list[tuple[Setting, NumberControl]] = []
        self._key = ""
        self.widget = row()

    def show(self, policy: Policy) -> None:
        """Move the sliders to the policy's numbers, after making those that it needs."""
        self._policy = policy
        if (key := policy.grid_key(self._hierarchy)) != self._key:
            self._key, before = key, self.widget.children
            settings = policy.adjustable(self._hierarchy)
            self._controls = [(setting, self._made(setting)) for setting in settings]
            self.widget.children = tuple(control.widget for _, control in self._controls)
            for slider in before:
                close_tree(slider)
        for setting, control in self._controls:
            control.show(setting.value_in(policy))

    def _made(self, setting: Setting) -> NumberControl:
        limits, set_value = (setting.low, setting.high), partial(self._set, setting)
        return NumberControl(setting.label, limits, set_value, is_whole=setting.is_whole)

    def _set(self, setting: Setting, value: float) -> None:
        self._on_change(self._policy.with_setting(setting, value))
