"""The numbers that the study published, so that they can stand beside ours."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("published.json")


def published_results() -> dict[str, Any]:
    """What the study reports for CIFAR-100, in the form that ``hbnlab.plots`` lays under ours.

    ``results[network][exit]`` has ``accuracy`` and ``hierarchical_accuracy`` (per cent),
    ``specificity`` (in [0, 1]) and ``seconds_for_10000_images``, each a list with one value a
    tolerance or a single one, ``flops`` and ``memory_mb``; exits are ``"1"``, ``"2"``, ``"3"`` or
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
    """What the study reports for all images leaving at one exit.

    Attributes:
        accuracy: right at the level of the answer, in [0, 1].
        hierarchical_accuracy: right at the coarsest level, in [0, 1].
        specificity: answered finely, in [0, 1].
        flops: an image.
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
    exits = published["results"].get(network, {})
    key = str(exit_index + 1)
    found = exits.get("final" if key not in exits and exit_index == 0 else key)
    if found is None:
        raise ValueError(f"the study has no exit {exit_index + 1} of {network!r}")
    places = range(len(found["accuracy"]))
    if specificity is not None:
        places = [n for n in places if found["specificity"][n] == specificity]
    if tolerance is not None:
        places = [
            n for n in places if math.isclose(_tolerances(published)[n], tolerance, abs_tol=1e-9)
        ]
    if not places:
        raise ValueError(
            f"the study has no value of {network!r} at exit {exit_index + 1} for specificity "
            f"{specificity} and tolerance {tolerance}"
        )

    def mean(key: str) -> float:
        return math.fsum(found[key][n] for n in places) / len(places)

    return PublishedRow(
        accuracy=mean("accuracy") / 100,
        hierarchical_accuracy=mean("hierarchical_accuracy") / 100,
        specificity=mean("specificity"),
        flops=found["flops"],
    )


def _tolerances(published: Mapping[str, Any]) -> list[float]:
    return published["protocol"]["fine_tolerance"]
