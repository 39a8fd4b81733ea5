"""hbnlab.policies.guarantees: p-values that promise no more than they can hold."""

import math

import numpy as np
import pytest

from hbnlab.policies.guarantees import binomial_p_value, hoeffding_bentkus_p_value, upper_bound


def _binomial(errors: int, images: int, rate: float) -> float:
    """Straight from the definition."""
    terms = range(errors + 1)
    return sum(math.comb(images, n) * rate**n * (1 - rate) ** (images - n) for n in terms)


@pytest.mark.parametrize(("errors", "images", "limit"), [(0, 5, 0.3), (2, 20, 0.2), (50, 400, 0.1)])
def test_the_binomial_p_value_is_that_of_the_definition(errors, images, limit):
    assert binomial_p_value(errors, images, limit) == pytest.approx(
        _binomial(errors, images, limit)
    )


def test_no_image_is_no_evidence():
    assert binomial_p_value(0, 0, 0.3) == 1.0


def test_hoeffding_bentkus_is_that_of_the_formula():
    """With n = 200, mean 0.06, limit 0.1, worked out by hand."""
    mean, images, limit = 0.06, 200, 0.1
    distance = mean * math.log(mean / limit) + (1 - mean) * math.log((1 - mean) / (1 - limit))
    expected = min(math.exp(-images * distance), math.e * _binomial(12, images, limit))
    assert hoeffding_bentkus_p_value(mean, images, limit) == pytest.approx(expected)


@pytest.mark.parametrize("mean", [0.1, 0.2, 0.9, 1.0])
def test_a_mean_that_is_not_under_the_limit_proves_nothing(mean):
    assert hoeffding_bentkus_p_value(mean, 1000, 0.1) > 0.5


def test_a_mean_of_zero_and_limits_at_the_edges_give_numbers():
    assert hoeffding_bentkus_p_value(0.0, 10, 0.5) == pytest.approx(0.5**10)
    assert hoeffding_bentkus_p_value(0.5, 10, 1.0) == 0.0
    assert hoeffding_bentkus_p_value([0.0, 0.5], 10, 0.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("of", ["binomial", "hoeffding-bentkus"])
def test_a_p_value_is_under_any_error_at_most_that_often(of):
    """Losses at the limit itself, where a promise is as hard as it gets."""
    generator, limit, images = np.random.default_rng(0), 0.2, 60
    errors = generator.binomial(images, limit, size=20_000)
    if of == "binomial":
        found = binomial_p_value(errors, images, limit)
    else:
        found = hoeffding_bentkus_p_value(errors / images, images, limit)
    for error in (0.01, 0.05, 0.1, 0.3):
        slack = 2 * math.sqrt(error / len(errors))
        assert (found <= error).mean() <= error + slack
    assert (found <= 0.3).mean() > 0.02


def test_the_bound_of_no_error_is_the_rule_of_the_book():
    """(1 - bound)^n = error."""
    bound = upper_bound(lambda limit: float(binomial_p_value(0, 30, limit)), 0.1)
    assert (1 - bound) ** 30 == pytest.approx(0.1)


def test_the_binomial_bound_is_that_of_clopper_and_pearson():
    from scipy.stats import beta

    bound = upper_bound(lambda limit: float(binomial_p_value(7, 100, limit)), 0.05)
    assert bound == pytest.approx(beta.ppf(0.95, 8, 93))
