"""The study's published numbers, and which of them belong beside ours."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from hbnlab.metrics import PublishedResults, reference_curve

_FILE = Path(__file__).with_name("published.json")


def published_results() -> PublishedResults:
    """What the study reports for CIFAR-100, in the form that ``hbnlab.plots`` draws beside ours.

    ``results[network][exit]`` has ``accuracy`` and ``hierarchical_accuracy`` (in per cent),
    ``specificity`` (in [0, 1]) and ``seconds_for_10000_images``, each a list with one value per
    tolerance or a single value, ``flops`` and ``memory_mb``; exits are ``"1"``, ``"2"``, ``"3"`` or
    ``"final"``. ``protocol`` says how they were measured, ``operating_region[exit]`` holds the
    lowest and the highest tolerance.

    Source:
        analysis_prep.ipynb of ben-sanati/Class-Granular-Classifications (MIT), the public code of
        Sanati et al., "Exploiting class-granular classifications to improve inference efficiency
        with dynamic DNNs": the numbers behind its figures 3 and 4.
    """
    return json.loads(_FILE.read_text(encoding="utf-8"))


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """What the study reports when all images leave at one exit.

    Attributes:
        accuracy: share right at the level of the answer, in [0, 1].
        hierarchical_accuracy: share right at the coarsest level, in [0, 1].
        specificity: share answered at the finest level, in [0, 1].
        flops: per image.
    """

    accuracy: float
    hierarchical_accuracy: float
    specificity: float
    flops: int


def published_row(
    network: str,
    exit_index: int,
    *,
    specificity: float | None = None,
    tolerance: float | None = None,
) -> PublishedRow:
    """One row of the study's table of exits.

    Args:
        network: one of the study's five.
        exit_index: from 0.
        specificity: of Gran-HBN, which was measured at fifty tolerances: take the mean over those
            at which its specificity is this.
        tolerance: of Gran-HBN: take this one of the fifty.

    Raises:
        ValueError: when the study has no such network, exit, specificity or tolerance.
    """
    published = published_results()
    num_exits = len(published["results"].get(network, ()))
    found = 0 <= exit_index < num_exits
    curve = reference_curve(published, network, exit_index, num_exits) if found else None
    if curve is None:
        raise ValueError(f"the study has no exit {exit_index + 1} of {network!r}")
    indices = range(len(curve.accuracy))
    if specificity is not None:
        indices = [i for i in indices if curve.specificity[i] == specificity]
    if tolerance is not None:
        indices = [i for i in indices if math.isclose(curve.tolerances[i], tolerance, abs_tol=1e-9)]
    if not indices:
        raise ValueError(
            f"the study has no value of {network!r} at exit {exit_index + 1} for specificity "
            f"{specificity} and tolerance {tolerance}"
        )

    def mean(values: tuple[float, ...]) -> float:
        return math.fsum(values[i] for i in indices) / len(indices)

    return PublishedRow(
        accuracy=mean(curve.accuracy),
        hierarchical_accuracy=mean(curve.hierarchical_accuracy),
        specificity=mean(curve.specificity),
        flops=curve.flops,
    )


def published_counterpart(
    network: str, exit_index: int, answers: str, level_names: tuple[str, ...]
) -> PublishedRow | None:
    """What the study reports for one of our rows, None where nothing is comparable.

    The study has two levels: the finest, and the one right above it. Answers at any other level of
    a deeper tree have no counterpart, nor has a policy that chooses between other levels.

    Args:
        network: its name.
        exit_index: from 0.
        answers: level of the answers, ``"gate"``, or ``"tolerance"`` with its value.
        level_names: of our tree, coarsest first.
    """
    if answers in level_names[-2:]:
        chosen = {"specificity": float(answers == level_names[-1])}
    elif len(level_names) != 2 or answers in level_names:
        return None
    else:
        chosen = {"tolerance": float(answers.split()[1])} if answers.startswith("tolerance") else {}
    try:
        return published_row(network, exit_index, **chosen)
    except ValueError:
        return None
