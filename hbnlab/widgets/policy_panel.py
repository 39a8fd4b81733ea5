"""What the two widgets share that show one policy: its numbers as attributes and as sliders."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies import FineTolerance, Policy, ThresholdPolicy
from hbnlab.types import Number
from hbnlab.widgets.controls import NumberControl, close_tree, row
from hbnlab.widgets.limits import threshold_limits, tolerance_limits
from hbnlab.widgets.panel import Panel, StatusLine

_P = TypeVar("_P", bound=Policy)


class PolicyPanel(Panel, Generic[_P]):
    """A panel that shows one policy, and lets its numbers be moved.

    A change that does not fit raises a ValueError from Python. On the page, where an error would
    go unseen, the controls go back to what is shown, and the words of the error stand there.

    Attributes:
        message: what stands on the page beside policy and numbers; gone at the next change.
    """

    _policy: _P
    _message: StatusLine

    def __init__(self, problem: str = "") -> None:
        super().__init__(problem)
        self.message = ""

    @abstractmethod
    def _take(self, policy: Policy) -> None:
        """Show another policy.

        Raises:
            ValueError: for one that does not fit; the panel then stays as it is.
        """

    @abstractmethod
    def _draw(self) -> None:
        """Put everything on the page where the state says it is, with no message."""

    def _say(self, words: str, *, is_problem: bool = False) -> None:
        self.message = words
        self._message.show(words, is_problem=is_problem)

    def _from_page(self, change: Callable[..., object]) -> Callable[..., None]:
        """A change for the page to make: where it is refused, it is undone there."""

        def changed(*values: Any) -> None:
            try:
                change(*values)
            except ValueError as error:
                self._draw()
                self._say(f"This does not fit: {error}.", is_problem=True)

        return changed

    @property
    def policy(self) -> _P:
        """The rule with its numbers. Set it to another that fits the records."""
        self._check()
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._check()
        self._take(policy)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """One threshold for each exit but the last, of a rule that has them."""
        return tuple(self._threshold_policy().thresholds)

    @thresholds.setter
    def thresholds(self, thresholds: Sequence[Number]) -> None:
        self._take(replace(self._threshold_policy(), thresholds=tuple(thresholds)))

    @property
    def fine_tolerance(self) -> float:
        """The tolerance tau in nats, of a rule that has one."""
        return float(self._tolerant_policy().fine_tolerance)

    @fine_tolerance.setter
    def fine_tolerance(self, fine_tolerance: Number) -> None:
        self._take(replace(self._tolerant_policy(), fine_tolerance=fine_tolerance))

    def _threshold_policy(self) -> ThresholdPolicy:
        policy: Policy = self.policy
        if not isinstance(policy, ThresholdPolicy):
            raise ValueError(f"a rule with thresholds is needed, got {policy!r}")
        return policy

    def _tolerant_policy(self) -> FineTolerance:
        policy: Policy = self.policy
        if not isinstance(policy, FineTolerance):
            raise ValueError(f"a rule with a fine tolerance is needed, got {policy!r}")
        return policy


class PolicySliders:
    """A slider with a number box for each number of a policy; none for rules without numbers.

    Args:
        hierarchy: of the records, for how far the sliders go.
        on_change: called with the new policy when somebody moves one.

    Attributes:
        widget: what is put on the page.
    """

    def __init__(self, hierarchy: Hierarchy, on_change: Callable[[Policy], None]) -> None:
        self._hierarchy, self._on_change = hierarchy, on_change
        self._controls: list[NumberControl] = []
        self._likeness: object = None
        self.widget = row()

    def show(self, policy: Policy) -> None:
        """Put the sliders where the policy's numbers are, after making those that it needs."""
        numbers: list[float] = []
        if isinstance(policy, ThresholdPolicy):
            numbers += [float(threshold) for threshold in policy.thresholds]
        if isinstance(policy, FineTolerance):
            numbers.append(float(policy.fine_tolerance))
        self._policy = policy
        likeness = (type(policy), len(numbers), getattr(policy, "coarse_level", None))
        if likeness != self._likeness:
            self._likeness, before = likeness, self._controls
            self._controls = self._made(policy)
            self.widget.children = tuple(control.widget for control in self._controls)
            for control in before:
                close_tree(control.widget)
        for control, value in zip(self._controls, numbers, strict=True):
            control.show(value)

    def _made(self, policy: Policy) -> list[NumberControl]:
        made = []
        if isinstance(policy, ThresholdPolicy):
            limits = threshold_limits(type(policy), self._hierarchy)
            for number in range(len(policy.thresholds)):
                name = f"threshold, exit {number + 1}"
                made.append(NumberControl(name, limits, partial(self._set_threshold, number)))
        if isinstance(policy, FineTolerance):
            limits = tolerance_limits(self._hierarchy, policy.coarse_level)
            made.append(NumberControl("fine tolerance", limits, self._set_tolerance))
        return made

    def _set_threshold(self, number: int, value: float) -> None:
        policy = self._policy
        if isinstance(policy, ThresholdPolicy):
            thresholds = list(policy.thresholds)
            thresholds[number] = value
            self._on_change(replace(policy, thresholds=tuple(thresholds)))

    def _set_tolerance(self, value: float) -> None:
        if isinstance(self._policy, FineTolerance):
            self._on_change(replace(self._policy, fine_tolerance=value))
