"""How far the sliders of thresholds and tolerances go: beyond what any image can need."""

import math

from hbnlab.entropy import max_entropy
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies import ConfidenceThreshold, MarginThreshold, ThresholdPolicy


def threshold_limits(kind: type[ThresholdPolicy], hierarchy: Hierarchy) -> tuple[float, float]:
    """From the threshold that no score is under to one that every score is under.

    Confidence and margin lie in [0, 1]; an entropy does not exceed that of the most classes.
    """
    if issubclass(kind, ConfidenceThreshold | MarginThreshold):
        return 0.0, 1.0
    return 0.0, _beyond(max(map(max_entropy, hierarchy.num_classes)))


def tolerance_limits(hierarchy: Hierarchy, coarse_level: int) -> tuple[float, float]:
    """From a tolerance that no image is within to one that every image is within."""
    lowest = max_entropy(hierarchy.num_classes[coarse_level])
    return -_beyond(lowest), _beyond(max_entropy(hierarchy.num_classes[-1]))


def _beyond(entropy: float) -> float:
    """The next hundredth above."""
    return (math.floor(100 * entropy) + 1) / 100
