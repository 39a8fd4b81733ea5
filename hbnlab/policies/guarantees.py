"""P-values and bounds for promises: how surely a mean loss lies under a limit.

Each p-value is for the hypothesis that the true mean loss of new images is above the limit, and so
a small one is evidence for the promise. All hold for any number of images that are drawn alike.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hbnlab.types import Number

_STEPS = 50
Numbers = Number | Sequence[Number] | np.ndarray | np.number
"""One number, or an array of them."""


def binomial_p_value(errors: Numbers, num_images: Numbers, limit: Number) -> NDArray[np.float64]:
    """Exact p-value for losses of 0 and 1: how probable so few errors are at the limit.

    Args:
        errors: number of errors.
        num_images: number of images among which they are; 0 images are no evidence, p = 1.
        limit: of the error rate, in [0, 1].

    Example:
        >>> binomial_p_value([0, 3], 10, limit=0.25).round(3).tolist()
        [0.056, 0.776]
    """
    from scipy.stats import binom

    return np.asarray(binom.cdf(errors, num_images, limit), dtype=np.float64)


def hoeffding_bentkus_p_value(
    mean_loss: Numbers, num_images: int, limit: Number
) -> NDArray[np.float64]:
    """P-value for losses anywhere in [0, 1]: the smaller of Hoeffding's and Bentkus's.

    Args:
        mean_loss: over the images.
        num_images: number of images.
        limit: of the true mean, in [0, 1].

    Example:
        >>> hoeffding_bentkus_p_value([0.0, 0.1, 0.3], 100, limit=0.2).round(2).tolist()
        [0.0, 0.02, 1.0]

    Source:
        Bates et al., "Distribution-free, risk-controlling prediction sets", JACM 2021.
    """
    from scipy.special import rel_entr
    from scipy.stats import binom

    mean = np.asarray(mean_loss, dtype=np.float64)
    low = np.minimum(mean, limit)
    distance = rel_entr(low, limit) + rel_entr(1 - low, 1 - limit)
    hoeffding = np.exp(-num_images * distance)
    bentkus = np.e * binom.cdf(np.ceil(num_images * mean - 1e-9), num_images, limit)
    return np.asarray(np.minimum(np.minimum(hoeffding, bentkus), 1.0))


def upper_bound(p_value: Callable[[float], float], error: float) -> float:
    """The lowest limit that can be promised: where the p-value falls to ``error``.

    Args:
        p_value: of a limit in [0, 1], falling.
        error: largest probability of a broken promise, such as 0.1.

    Example:
        >>> round(upper_bound(lambda limit: float(binomial_p_value(0, 10, limit)), 0.1), 3)
        0.206
    """
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(middle) <= error else (middle, high)
    return high
