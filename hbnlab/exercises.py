"""Checks for the exercises of the notebooks: a verdict in words, whatever the answer is."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hbnlab.types import Number

_KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


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


def check(answer: Any, expected: Any, *, tolerance: Number = 1e-6, hint: str = "") -> Verdict:
    """Compare an answer with the right one, without giving it away (of a tensor, one number).

    Args:
        answer: of the reader, anything; Ellipsis and None stand for no answer.
        expected: a bool, int, float, text, tensor, or a tuple or list of these. Texts are compared
            without regard to case; a number may come as a tensor without dimensions, a list as a
            tensor, and the other way round.
        tolerance: by how much a number may differ; relative where a float above 1 is expected.
        hint: added to the verdict on a wrong answer.

    Raises:
        ValueError: for an ``expected`` of another type or a negative tolerance: mistakes of the
            notebook, not of its reader.

    Example:
        >>> check(0.4, 0.5, hint="add both parts.")
        Not yet: 0.4 is too small. Hint: add both parts.
        >>> check(0.5, 0.5)
        Right.
    """
    _check_lesson(expected, tolerance)
    if _is_open(answer):
        return Verdict(False, "Not answered yet: replace the ... by your answer.")
    return _verdict(_complaint(answer, expected, tolerance), hint)


def check_function(
    function: Any,
    cases: Sequence[tuple[Any, Any]],
    *,
    tolerance: Number = 1e-6,
    hint: str = "",
) -> Verdict:
    """Call the reader's function and compare what it returns, up to the first difference.

    The verdict names an exception that it raises. The arguments are passed as copies, so that a
    function that changes them spoils nothing.

    Args:
        function: of the reader, anything; one that returns Ellipsis or None is not written yet.
        cases: arguments, as a tuple, and what is expected for them, as in ``check``.
        tolerance: as in ``check``.
        hint: as in ``check``.

    Raises:
        ValueError: without cases, and as ``check``.

    Example:
        >>> check_function(lambda x: 2 * x, [((2,), 4), ((-3,), 9)])
        Not yet: for (-3) -6 is too small, 9 is expected.
    """
    if not cases or not all(isinstance(arguments, tuple) for arguments, _ in cases):
        raise ValueError(f"cases must be pairs of a tuple and a result, got {cases!r}")
    for _, expected in cases:
        _check_lesson(expected, tolerance)
    if _is_open(function):
        return Verdict(False, "Not answered yet: replace the ... by your function.")
    if not callable(function):
        return _verdict(f"a function is expected, got {_phrase(function)}", hint)
    for number, (arguments, expected) in enumerate(cases):
        given = ", ".join(_phrase(argument) for argument in arguments)
        try:
            result = function(*copy.deepcopy(arguments))
        except Exception as error:
            words = _shortened(f"your function raised {type(error).__name__}: {error}", 180)
            return _verdict(f"for ({given}) {words}", hint)
        if number == 0 and _is_open(result):
            return Verdict(False, f"Not answered yet: your function returns nothing for ({given}).")
        complaint = _complaint(result, expected, tolerance)
        if complaint.endswith(("too small", "too large")):
            complaint += f", {_phrase(expected)} is expected"
        if complaint:
            return _verdict(f"for ({given}) {complaint}", hint)
    return _verdict("", hint)


def _verdict(complaint: str, hint: str) -> Verdict:
    if not complaint:
        return Verdict(True, "Right.")
    words = f"Not yet: {complaint}." + (f" Hint: {hint}" if hint else "")
    return Verdict(False, " ".join(words.split()))


def _check_lesson(expected: Any, tolerance: Number) -> None:
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


def _is_open(answer: Any, depth: int = 3) -> bool:
    """Whether the answer, or an element of it, is one that the reader has yet to write."""
    if depth and isinstance(answer, tuple | list):
        return any(_is_open(element, depth - 1) for element in answer)
    return answer is None or answer is ...


# ---------------------------------------------------------------------- differences, in words


def _complaint(answer: Any, expected: Any, tolerance: Number) -> str:
    """What is wrong with the answer, also where it cannot be compared at all."""
    try:
        return _difference(answer, expected, tolerance)
    except Exception:
        return f"{_phrase(answer)} cannot be compared with what is expected"


def _difference(answer: Any, expected: Any, tolerance: Number) -> str:
    """What is wrong with the answer; nothing when it is as expected."""
    expected = _unpacked(expected)
    if isinstance(expected, Tensor):
        return _tensor_difference(answer, expected.detach().cpu(), tolerance)
    if isinstance(expected, tuple | list):
        return _list_difference(answer, expected, tolerance)
    answer = _unpacked(answer)
    kinds = {bool: bool, int: int | float, float: int | float, str: str}[type(expected)]
    if not isinstance(answer, kinds) or isinstance(answer, bool) != isinstance(expected, bool):
        return f"{_KINDS[type(expected)]} is expected, got {_phrase(answer)}"
    if isinstance(expected, str):
        same = answer.strip().casefold() == expected.strip().casefold()
        return "" if same else f"{_phrase(answer)} is not it"
    if answer == expected or (answer != answer and expected != expected):
        return ""
    if isinstance(expected, bool) or answer != answer or expected != expected:
        return f"{answer} is not it"
    margin = tolerance * max(1.0, abs(expected)) if isinstance(expected, float) else tolerance
    if abs(expected) < math.inf and abs(answer - expected) <= margin:
        return ""
    return f"{_phrase(answer)} is too {'small' if answer < expected else 'large'}"


def _list_difference(answer: Any, expected: Sequence[Any], tolerance: Number) -> str:
    if hasattr(answer, "tolist"):
        answer = answer.tolist()  # a tensor or an array
    kind = f"a list or tuple of length {len(expected)} is expected, got"
    if not isinstance(answer, tuple | list):
        return f"{kind} {_phrase(answer)}"
    if len(answer) != len(expected):
        return f"{kind} length {len(answer)}"
    pairs = enumerate(zip(answer, expected, strict=True))
    complaints = ((n, _difference(mine, theirs, tolerance)) for n, (mine, theirs) in pairs)
    return next((f"at position {n} {words}" for n, words in complaints if words), "")


def _tensor_difference(answer: Any, expected: Tensor, tolerance: Number) -> str:
    kind = f"a tensor of shape {tuple(expected.shape)} is expected, got"
    try:
        found = torch.as_tensor(answer).detach().cpu()
    except Exception:  # whatever torch says of an object that is no table of numbers
        return f"{kind} {_phrase(answer)}"
    if found.shape != expected.shape:
        return f"{kind} shape {tuple(found.shape)}"
    if (found.dtype == torch.bool) != (expected.dtype == torch.bool) or found.is_complex():
        numbers = "True and False" if expected.dtype == torch.bool else "real numbers"
        return f"a tensor of {numbers} is expected, got {found.dtype}"
    relative = tolerance if expected.is_floating_point() else 0.0
    same = torch.isclose(
        found.double(), expected.double(), rtol=relative, atol=tolerance, equal_nan=True
    )
    if same.all():
        return ""
    first = tuple((~same).nonzero()[0].tolist())
    return (
        f"{int((~same).sum())} of {same.numel()} numbers differ, the first at {list(first)}: "
        f"{found[first].item():.6g}, where {expected[first].item():.6g} is expected"
    )


def _unpacked(answer: Any) -> Any:
    """The Python number in a tensor or an array without dimensions; anything else as it is."""
    if hasattr(answer, "item") and getattr(answer, "shape", None) == ():
        return answer.item()
    return answer


def _phrase(answer: Any) -> str:
    """The answer as a phrase of one short line."""
    if answer is None or answer is ...:
        return "nothing"
    if isinstance(answer, Tensor) and answer.ndim:
        return f"a tensor of shape {tuple(answer.shape)}"
    if isinstance(answer, bool | int | float | str | tuple | list | Tensor):
        return _shortened(repr(answer))
    return "a function" if callable(answer) else f"an object of type {type(answer).__name__}"


def _shortened(text: str, longest: int = 60) -> str:
    """The text as one line, cut where it is longer than so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."
