"""hbnlab.exercises: what a reader is told, for right, wrong, missing and hopeless answers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hbnlab.exercises import Verdict, check, check_function

TABLE = torch.tensor([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])


ENDLESS: list[Any] = [1]
ENDLESS.append(ENDLESS)

singles = st.one_of(st.booleans(), st.integers(), st.floats(), st.text())
answers = st.recursive(singles, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner))
anything = st.one_of(
    answers,
    st.sampled_from([
        ..., None, (1, ...), object, lambda: 1, {1: 2}, {1, 2}, 1j, b"x",
        torch.zeros(0), torch.zeros(2, 3), torch.zeros((), requires_grad=True), torch.eye(2) > 0,
        torch.zeros(2, 3, dtype=torch.complex64), np.float32(0.5), np.zeros(3), np.array(["a"]),
        Exception("x"), range(3), float, 10**400, ENDLESS, [ENDLESS] * 2,
        np.ndarray, torch.Tensor, torch.eye(2).to_sparse(),
    ]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, True),
        (torch.tensor(True), True),
        (np.bool_(False), False),
        (3, 3),
        (3.0, 3),
        (torch.tensor(3), 3),
        (0.1 + 0.2, 0.3),
        (1, 1.0),
        (np.float32(0.1), 0.1),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (1_000_000.5, 1_000_000.0),  # relative above 1
        (math.inf, math.inf),
        (math.nan, math.nan),
        (10**400, 10**400),
        (" Coarse", "coarse"),
        ([1, 2], (1, 2)),
        (torch.tensor([1, 2]), (1, 2)),
        ((True, 0.5, "fine"), [True, 0.5, "FINE "]),
        ([[1, 2], [3]], ((1, 2), (3,))),
        (TABLE + 1e-9, TABLE),
        (TABLE.double(), TABLE),
        (TABLE.numpy(), TABLE),
        (TABLE.tolist(), TABLE),
        (torch.tensor([1.0, math.nan]), torch.tensor([1.0, math.nan])),
        (torch.eye(2) > 0, torch.eye(2) > 0),
    ],
)
def test_a_right_answer_is_right_in_any_reasonable_form(answer, expected):
    verdict = check(answer, expected)
    assert repr(verdict) == "Right."
    assert verdict.right


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (1, True, "True or False is expected, got 1"),
        (True, 1, "a whole number is expected, got True"),
        ("0.5", 0.5, "a number is expected, got '0.5'"),
        (0.5, "fine", "a text is expected, got 0.5"),
        (0.4, 0.5, "0.4 is too small"),
        (2, 1, "2 is too large"),
        (1_000_075, 1_000_000, "1000075 is too large"),  # whole numbers are compared exactly
        (math.nan, 0.5, "nan is not it"),
        (5, 10**400, "5 is too small"),
        (-(10**30), 0.5, f"-1{30 * '0'} is too small"),
        (torch.Tensor, (1, 2), "a function cannot be compared with what is expected"),
        (
            TABLE.to_sparse(),
            TABLE,
            "a tensor of shape (2, 3) cannot be compared with what is expected",
        ),
        (1.0, math.inf, "1.0 is too small"),
        ("coarse", "fine", "'coarse' is not it"),
        (False, True, "False is not it"),
        (torch.tensor([0.5]), 0.5, "a number is expected, got a tensor of shape (1,)"),
        (1j, 0.5, "a number is expected, got an object of type complex"),
        (abs, 0.5, "a number is expected, got a function"),
        (3, (1, 2), "a list or tuple of length 2 is expected, got 3"),
        (torch.tensor(3), (1, 2), "a list or tuple of length 2 is expected, got 3"),
        ((1, 2, 3), (1, 2), "a list or tuple of length 2 is expected, got length 3"),
        ((1, 3), (1, 2), "at position 1 3 is too large"),
        ({1, 2}, (1, 2), "a list or tuple of length 2 is expected, got an object of type set"),
        (TABLE.T, TABLE, "a tensor of shape (2, 3) is expected, got shape (3, 2)"),
        ("table", TABLE, "a tensor of shape (2, 3) is expected, got 'table'"),
        (TABLE > 0, TABLE, "a tensor of real numbers is expected, got torch.bool"),
        (TABLE, TABLE > 0, "a tensor of True and False is expected, got torch.float32"),
        (
            TABLE.clamp(max=2.0),
            TABLE,
            "1 of 6 numbers differ, the first at [1, 2]: 2, where 3 is expected",
        ),
        (torch.tensor(2.0), torch.tensor(1.0), "2.0 is too large"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(answer, expected, words):
    verdict = check(answer, expected)
    assert repr(verdict) == f"Not yet: {words}."
    assert not verdict.right


@pytest.mark.parametrize("answer", [..., None, (1, ...), [..., ...], ((1, None), 2)])
def test_what_is_left_open_is_not_answered_yet(answer):
    verdict = check(answer, (1, 2))
    assert repr(verdict).startswith("Not answered yet: ")
    assert not verdict.right


def test_the_hint_follows_a_wrong_answer_only():
    assert repr(check(1, 2, hint="count again.")) == "Not yet: 1 is too small. Hint: count again."
    assert repr(check(2, 2, hint="count again.")) == "Right."
    assert "count" not in repr(check(..., 2, hint="count again."))


def test_the_tolerance_is_the_authors():
    assert check(0.52, 0.5, tolerance=0.05).right
    assert not check(0.52, 0.5, tolerance=0.01).right
    assert check(11, 10, tolerance=1).right
    assert check(TABLE + 0.01, TABLE, tolerance=0.02).right


@given(anything, answers | st.sampled_from([TABLE, TABLE > 0, torch.tensor(1)]))
def test_no_answer_makes_the_checker_stumble(answer, expected):
    for verdict in (check(answer, expected), check_function(answer, [((), expected)])):
        assert isinstance(verdict, Verdict)
        assert verdict.right == (repr(verdict) == "Right.")
        assert "\n" not in repr(verdict)
        assert len(repr(verdict)) < 350


@pytest.mark.parametrize("expected", [5, 0.5, -0.5, math.inf, (1, 2)])
def test_a_number_beyond_all_floats_is_wrong_in_words(expected):
    assert repr(check(10**400, expected)).startswith("Not yet: ")
    assert not check(-(10**400), expected)


def test_a_list_that_holds_itself_is_wrong_in_words():
    words = "at position 1 a whole number is expected, got [1, [...]]"
    assert repr(check(ENDLESS, (1, 2))) == f"Not yet: {words}."
    assert repr(check(ENDLESS, 2)) == "Not yet: a whole number is expected, got [1, [...]]."


def test_a_verdict_is_true_where_the_answer_is_right():
    assert check(1, 1)
    assert not check(1, 2)
    assert not check(..., 2)


@given(answers)
def test_every_answer_equals_itself(answer):
    assert check(answer, answer).right
    assert check_function(lambda: answer, [((), answer)]).right


@pytest.mark.parametrize("expected", [None, ..., {1: 2}, (1, None), 1j])
def test_a_lesson_that_expects_the_impossible_is_refused(expected):
    with pytest.raises(ValueError, match="expected must be"):
        check(1, expected)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_a_lesson_with_a_bad_tolerance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        check(1, 1, tolerance=tolerance)


@pytest.mark.parametrize("cases", [[], [(3, 9)]])
def test_a_lesson_without_proper_cases_is_refused(cases: Any):
    with pytest.raises(ValueError, match="cases"):
        check_function(abs, cases)


# ---------------------------------------------------------------------- functions

SQUARES = [((2,), 4), ((-3,), 9)]


def test_a_right_function_is_right():
    assert check_function(lambda x: x**2, SQUARES).right


def test_a_wrong_function_is_told_the_first_case_that_fails():
    verdict = check_function(lambda x: 2 * x, SQUARES, hint="multiply.")
    assert repr(verdict) == "Not yet: for (-3) -6 is too small, 9 is expected. Hint: multiply."


def test_a_function_that_returns_nothing_is_not_answered_yet():
    def stub(x):
        del x
        ...

    assert repr(check_function(stub, SQUARES)).startswith("Not answered yet: ")
    assert repr(check_function(lambda x: ..., SQUARES)).startswith("Not answered yet: ")
    assert repr(check_function(..., SQUARES)).startswith("Not answered yet: ")


def test_a_function_that_forgets_one_case_is_told_which():
    verdict = check_function(lambda x: x**2 if x > 0 else None, SQUARES)
    assert repr(verdict) == "Not yet: for (-3) a whole number is expected, got nothing."


def test_an_exception_of_the_readers_function_is_told_in_words():
    verdict = check_function(lambda x: x / 0, SQUARES)
    words = "for (2) your function raised ZeroDivisionError: division by zero"
    assert repr(verdict) == f"Not yet: {words}."


def test_a_function_of_other_arguments_is_told_so():
    assert "takes 0 positional arguments but 1 was given" in repr(
        check_function(lambda: 1, SQUARES)
    )


def test_a_function_that_changes_its_arguments_spoils_no_case():
    rows, numbers = torch.ones(2), [1, 2]

    def greedy(tensor, items):
        tensor.zero_()
        items.clear()
        return True

    assert check_function(greedy, [((rows, numbers), True)]).right
    assert rows.tolist() == [1, 1]
    assert numbers == [1, 2]


def test_what_lists_and_tuples_hold_is_copied_too():
    rows, numbers = torch.ones(2), [1, 2]

    def greedy(pair, items):
        pair[0].zero_()
        items[0][1].clear()
        return True

    assert check_function(greedy, [(((rows, 1), [(rows, numbers)]), True)])
    assert rows.tolist() == [1, 1]
    assert numbers == [1, 2]


def test_tensors_are_shown_by_their_shape():
    verdict = check_function(lambda x: x.sum(), [((TABLE,), 1.0)])
    assert repr(verdict).startswith("Not yet: for (a tensor of shape (2, 3)) ")
