"""The numbers of a policy that a person can move, and how policies and names are written."""

import math
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any

from hbnlab.types import Number


@dataclass(frozen=True)
class Setting:
    """One number of a policy that a person can move; ``Policy.adjustable`` lists them.

    Attributes:
        field: name of the policy's field.
        position: index within a field that holds one number per exit; None for a plain number.
        label: what people read beside the slider.
        low: lowest value that makes sense.
        high: highest value that makes sense.
        is_whole: whether only whole numbers make sense.

    Example:
        >>> from hbnlab.policies import FineTolerance
        >>> from hbnlab.records.simulated import PETS
        >>> for setting in FineTolerance([0.8, 0.6], 0.3).adjustable(PETS):
        ...     print(setting.label, setting.low, setting.high)
        threshold, exit 1 0.0 1.8
        threshold, exit 2 0.0 1.8
        fine tolerance -1.1 1.8
    """

    field: str
    position: int | None
    label: str
    low: Number
    high: Number
    is_whole: bool = False

    def value_in(self, policy: Any) -> Number:
        """The value that a policy has for this setting."""
        value = getattr(policy, self.field)
        return value if self.position is None else value[self.position]


def plain_settings(policy: Any) -> Iterator[Setting]:
    """A setting for each number among the fields of a policy that says nothing of their range.

    The range is [0, 1] where the value lies in it, else twice the value in its direction.
    """
    for one in fields(policy):
        value, label = getattr(policy, one.name), one.name.replace("_", " ")
        if _is_number(value):
            yield _plain(one.name, None, label, value)
        elif isinstance(value, tuple) and value and all(map(_is_number, value)):
            for position, item in enumerate(value):
                yield _plain(one.name, position, f"{label}, exit {position + 1}", item)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(field: str, position: int | None, label: str, value: Number) -> Setting:
    edge = 0.0 if 0 <= value <= 1 or not math.isfinite(value) else 2.0 * value
    is_whole = isinstance(value, int)
    return Setting(field, position, label, min(0.0, edge), max(1.0, edge), is_whole)


def class_name_in_words(kind: type) -> str:
    """The name of a class as people write it.

    Example:
        >>> class FineTolerance: ...
        >>> class_name_in_words(FineTolerance)
        'fine tolerance'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", kind.__name__.strip("_")).lower()


def python_line(policy: Any) -> str:
    """The expression that makes a policy again, without the tree that it was fitted for."""
    needed, chosen = [], []
    for one in fields(policy):
        value = getattr(policy, one.name)
        if one.default is MISSING:
            needed.append(_written(value))
        elif one.name != "hierarchy" and value != one.default:
            chosen.append(f"{one.name}={_written(value)}")
    return f"{type(policy).__name__}({', '.join([*needed, *chosen])})"


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_written(item) for item in value)}]"
    if isinstance(value, float) and math.isinf(value):
        return f'float("{value}")'
    return repr(value)
