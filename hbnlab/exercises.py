"""Checks for the exercises of the notebooks: a verdict in words, whatever the answer is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_SINGLE = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check says; a cell that ends in one shows its words.

    It is true where the answer is right, so ``assert check(...)`` means what it says.

    Attributes:
        right: whether the answer is right.
        words: one line: "Right.", "Not yet: ..." or "Not answered yet: ...".
    """

    right: bool
    words: str

    def __repr__(self) -> str:
        return self.words

    def __bool__(self) -> bool:
        return self.right


def check(answer: Any, expected: Any, *, tolerance: int | float = 1e-6, hint: str = "") -> Verdict:
    """Compare an answer with the right one, without giving that away.

    Args:
        answer: of the reader, anything; Ellipsis and None stand for no answer.
        expected: a bool, int, float, text, tensor, or a tuple or list of these. Texts are compared
            without regard to case; a number may come as a tensor without dimensions, a list as a
            tensor, and the other way round.
        tolerance: by how much a number may differ; where a float above 1 is expected, relatively.
        hint: what to say after a wrong answer.

    Raises:
        ValueError: for an ``expected`` of another type or a negative tolerance: mistakes of the
            notebook, not of its reader.
    """
    _check_lesson(expected, tolerance)
    if _is_open(answer):
        return Verdict(False, "Not answered yet: replace the ... by your answer.")
    return _verdict(_complaint(answer, expected, tolerance), hint)


def check_function(
    function: Any,
    cases: Sequence[tuple[Any, Any]],
    *,
    tolerance: int | float = 1e-6,
    hint: str = "",
) -> Verdict:
    """Call the reader's function and compare what it returns, up to the first difference.

    An exception that it raises is told in words. Tensors and lists, also those within others, are
    passed as copies, so that a function that changes its arguments spoils nothing.

    Args:
        function: of the reader, anything; one that returns Ellipsis or None is not written yet.
        cases: arguments, as a tuple, and what is expected for them, as in ``check``.
        tolerance: as in ``check``.
        hint: as in ``check``.

    Raises:
        ValueError: without cases, and as ``check``.
    """
    if not cases or not all(isinstance(arguments, tuple) for arguments, _ in cases):
        raise ValueError(f"cases must be pairs of a tuple and a result, got {cases!r}")
    for _, expected in cases:
        _check_lesson(expected, tolerance)
    if _is_open(function):
        return Verdict(False, "Not answered yet: replace the ... by your function.")
    if not callable(function):
        return _verdict(f"a function is expected, got {_shown(function)}", hint)
    for number, (arguments, expected) in enumerate(cases):
        given = ", ".join(_shown(argument) for argument in arguments)
        result, complaint = _call(function, arguments)
        if not complaint and number == 0 and _is_open(result):
            return Verdict(False, f"Not answered yet: your function returns nothing for ({given}).")
        complaint = complaint or _complaint(result, expected, tolerance)
        if complaint:
            return _verdict(f"for ({given}) {complaint}", hint)
    return _verdict("", hint)


def _verdict(complaint: str, hint: str) -> Verdict:
    if not complaint:
        return Verdict(True, "Right.")
    words = f"Not yet: {complaint}."
    if hint:
        words += f" Hint: {hint}"
    return Verdict(False, " ".join(words.split()))


def _check_lesson(expected: Any, tolerance: int | float) -> None:
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be finite and at least 0, got {tolerance}")
    if isinstance(expected, tuple | list):
        for element in expected:
            _check_lesson(element, tolerance)
    elif not isinstance(expected, bool | int | float | str | Tensor):
        raise ValueError(
            "expected must be a bool, int, float, str, Tensor, or a tuple or list of these, "
            f"got {type(expected).__name__}"
        )


def _is_open(answer: Any) -> bool:
    try:
        return _has_gap(answer)
    except Exception:  # a list that holds itself, say: it goes on for ever, but without a gap
        return False


def _has_gap(answer: Any) -> bool:
    if isinstance(answer, tuple | list):
        return any(_has_gap(element) for element in answer)
    return answer is None or answer is ...


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, str]:
    """What the function returns, and "" or in words what went wrong."""
    try:
        return function(*(_copied(argument) for argument in arguments)), ""
    except Exception as error:
        return None, f"your function raised {type(error).__name__}: {_text_of(error, str, 150)}"


def _copied(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return argument.clone()
    if type(argument) in (list, tuple):
        return type(argument)(_copied(element) for element in argument)
    return argument


# ---------------------------------------------------------------------- differences, in words


def _complaint(answer: Any, expected: Any, tolerance: int | float) -> str:
    """What is wrong with the answer, in words also where its own methods raise."""
    try:
        return _difference(answer, expected, tolerance)
    except Exception:
        return f"{_shown(answer)} cannot be compared with what is expected"


def _difference(answer: Any, expected: Any, tolerance: int | float) -> str:
    """What is wrong with the answer; nothing when it is as expected."""
    if isinstance(expected, Tensor):
        return _tensor_difference(answer, expected.detach().cpu(), tolerance)
    if isinstance(expected, tuple | list):
        return _list_difference(answer, expected, tolerance)
    return _single_difference(answer, expected, tolerance)


def _single_difference(
    answer: Any, expected: bool | int | float | str, tolerance: int | float
) -> str:
    answer = _unpacked(answer)
    kinds = {bool: bool, int: int | float, float: int | float, str: str}[type(expected)]
    if not isinstance(answer, kinds) or isinstance(answer, bool) != isinstance(expected, bool):
        return f"{_SINGLE[type(expected)]} is expected, got {_shown(answer)}"
    if isinstance(expected, str):
        same = answer.strip().casefold() == expected.strip().casefold()
        return "" if same else f"{_shown(answer)} is not it"
    if isinstance(expected, bool):
        return "" if answer == expected else f"{answer} is not it"
    return _number_difference(answer, expected, tolerance)


def _number_difference(answer: int | float, expected: int | float, tolerance: int | float) -> str:
    scale = max(1.0, abs(expected)) if isinstance(expected, float) else 1.0
    nan, nan_expected = answer != answer, expected != expected
    if answer == expected or (nan and nan_expected):
        return ""
    if nan or nan_expected:
        return f"{answer} is not it"
    if abs(expected) < math.inf and _is_near(answer, expected, tolerance * scale):
        return ""
    return f"{_shown(answer)} is too {'small' if answer < expected else 'large'}"


def _is_near(answer: int | float, expected: int | float, margin: int | float) -> bool:
    try:
        return abs(answer - expected) <= margin
    except OverflowError:  # one is a whole number beyond all floats, the other a float
        return False


def _list_difference(answer: Any, expected: Sequence[Any], tolerance: int | float) -> str:
    if hasattr(answer, "tolist"):
        answer = answer.tolist()  # a tensor or an array
    if not isinstance(answer, tuple | list):
        return f"a list or tuple of length {len(expected)} is expected, got {_shown(answer)}"
    if len(answer) != len(expected):
        return f"a list or tuple of length {len(expected)} is expected, got length {len(answer)}"
    for index, (mine, theirs) in enumerate(zip(answer, expected, strict=True)):
        complaint = _difference(mine, theirs, tolerance)
        if complaint:
            return f"at position {index} {complaint}"
    return ""


def _tensor_difference(answer: Any, expected: Tensor, tolerance: int | float) -> str:
    shape = tuple(expected.shape)
    try:
        found = torch.as_tensor(answer).detach().cpu()
    except Exception:  # whatever torch says of an object that is no table of numbers
        return f"a tensor of shape {shape} is expected, got {_shown(answer)}"
    if tuple(found.shape) != shape:
        return f"a tensor of shape {shape} is expected, got shape {tuple(found.shape)}"
    if (found.dtype == torch.bool) != (expected.dtype == torch.bool) or found.is_complex():
        kind = "True and False" if expected.dtype == torch.bool else "real numbers"
        return f"a tensor of {kind} is expected, got {found.dtype}"
    relative = tolerance if expected.is_floating_point() else 0.0
    same = torch.isclose(
        found.double(), expected.double(), rtol=relative, atol=tolerance, equal_nan=True
    )
    if same.all():
        return ""
    first = (~same).nonzero()[0].tolist()
    where = f", the first at {first}" if first else ""
    return f"{int((~same).sum())} of {same.numel()} numbers differ{where}"


def _unpacked(answer: Any) -> Any:
    """The Python number in a tensor or an array without dimensions; anything else as it is."""
    if hasattr(answer, "item") and getattr(answer, "shape", None) == ():
        return answer.item()
    return answer


def _shown(answer: Any) -> str:
    """The answer as a phrase of one short line."""
    if answer is None or answer is ...:
        return "nothing"
    if isinstance(answer, Tensor) and answer.ndim:
        return f"a tensor of shape {tuple(answer.shape)}"
    if isinstance(answer, bool | int | float | str | tuple | list | Tensor):
        return _text_of(answer, repr)
    if callable(answer):
        return "a function"
    return f"an object of type {type(answer).__name__}"


def _text_of(thing: Any, text: Callable[[Any], str], longest: int = 60) -> str:
    try:
        words = " ".join(text(thing).split())
    except Exception:  # the reader's own __repr__
        return f"an object of type {type(thing).__name__}"
    return words if len(words) <= longest else words[: longest - 3] + "..."
