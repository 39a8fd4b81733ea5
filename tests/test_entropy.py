"""hbnlab.entropy against scipy, and at the edges of its ranges."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hbnlab.entropy import (
    entropy,
    information,
    max_entropy,
    normalised_entropy,
    within_tolerance,
)

logit_rows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 30)),
    elements=st.floats(-60, 60, width=32),
).map(torch.from_numpy)


@given(logit_rows)
def test_entropy_is_that_of_scipy(logits):
    expected = scipy.stats.entropy(logits.double().softmax(-1).numpy(), axis=-1)
    np.testing.assert_allclose(entropy(logits).numpy(), expected, atol=1e-5)


@given(logit_rows)
def test_every_range_holds_to_the_last_digit(logits):
    classes = logits.shape[-1]
    assert ((entropy(logits) >= 0) & (entropy(logits) <= math.log(classes))).all()
    assert ((normalised_entropy(logits) >= 0) & (normalised_entropy(logits) <= 1)).all()
    assert ((information(logits) >= 0) & (information(logits) <= math.log2(classes) + 1e-6)).all()


@pytest.mark.parametrize("classes", [2, 3, 7, 10, 20, 100, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_logits_give_the_maximum_and_never_pass_it(classes, dtype):
    logits = torch.full((5, classes), 0.3, dtype=dtype)
    assert (entropy(logits) <= math.log(classes)).all()
    torch.testing.assert_close(entropy(logits), torch.full((5,), math.log(classes), dtype=dtype))
    assert (normalised_entropy(logits) <= 1.0).all()
    torch.testing.assert_close(normalised_entropy(logits), torch.ones(5, dtype=dtype))
    torch.testing.assert_close(
        information(logits), torch.zeros(5, dtype=dtype), atol=1e-5, rtol=0.0
    )


def test_a_certain_answer_has_no_entropy_and_all_the_information():
    logits = torch.tensor([[0.0, 200.0, 0.0, 0.0]])
    assert entropy(logits).item() == 0.0
    assert normalised_entropy(logits).item() == 0.0
    assert information(logits).item() == pytest.approx(2.0)


def test_a_class_with_probability_zero_adds_nothing():
    with_zero = torch.tensor([[1.0, 2.0, -math.inf]])
    torch.testing.assert_close(entropy(with_zero), entropy(with_zero[:, :2]))
    only_one = torch.tensor([[-math.inf, 3.0, -math.inf]])
    assert entropy(only_one).item() == 0.0


def test_a_class_with_probability_zero_leaves_the_gradient_finite():
    logits = torch.tensor([[0.0, -1.0, -300.0], [2.0, 0.0, -torch.inf]], requires_grad=True)
    (slope,) = torch.autograd.grad(entropy(logits).sum(), logits)
    pair = logits.detach()[:, :2].requires_grad_()
    (of_pair,) = torch.autograd.grad(entropy(pair).sum(), pair)
    assert torch.allclose(slope[:, :2], of_pair, atol=1e-6)
    assert not slope[:, 2].any()


def test_a_cell_without_a_head_stays_nan():
    logits = torch.stack([torch.zeros(4), torch.full((4,), math.nan)])
    for function in (entropy, normalised_entropy, information):
        assert function(logits).isnan().tolist() == [False, True]


@given(logit_rows, st.floats(-5, 5))
def test_adding_a_constant_to_all_logits_changes_nothing(logits, shift):
    torch.testing.assert_close(entropy(logits + shift), entropy(logits), atol=2e-4, rtol=1e-4)


@given(logit_rows)
def test_the_order_of_the_classes_does_not_matter(logits):
    torch.testing.assert_close(entropy(logits.flip(-1)), entropy(logits), atol=1e-5, rtol=1e-5)


@given(logit_rows)
def test_entropy_and_information_share_out_the_maximum(logits):
    total = entropy(logits) / math.log(2) + information(logits)
    torch.testing.assert_close(
        total, torch.full_like(total, math.log2(logits.shape[-1])), atol=1e-5, rtol=1e-5
    )


def test_only_the_last_axis_goes():
    logits = torch.randn(2, 3, 4, 5)
    assert entropy(logits).shape == (2, 3, 4)
    torch.testing.assert_close(entropy(logits)[1, 2], entropy(logits[1, 2]))


def test_one_class_has_no_entropy_and_no_normalised_entropy():
    assert entropy(torch.randn(3, 1)).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        normalised_entropy(torch.randn(3, 1))


def test_the_maximum_needs_a_class():
    assert max_entropy(1) == 0.0
    assert max_entropy(100) == math.log(100)
    with pytest.raises(ValueError, match="at least 1 class, got 0"):
        max_entropy(0)


def test_the_tolerance_is_compared_strictly_and_infinity_allows_all_or_nothing():
    fine, coarse = torch.tensor([0.25, 0.5, 0.75, 9.0]), torch.tensor([0.25] * 4)
    assert within_tolerance(fine, coarse, 0.25).tolist() == [True, False, False, False]
    assert within_tolerance(fine, coarse, 0).tolist() == [False] * 4
    assert within_tolerance(fine, coarse, math.inf).all()
    assert not within_tolerance(fine, coarse, -math.inf).any()
    many = within_tolerance(fine, coarse, torch.tensor([[0.25], [1.0]]))
    assert many.sum(dim=1).tolist() == [1, 3]
