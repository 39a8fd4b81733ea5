"""The study's published numbers, in the form that its curves can be laid under ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Study = Mapping[str, Any]
"""Published results as JSON holds them.

``results[network][exit]`` has ``accuracy``, ``hierarchical_accuracy`` (in per cent) and
``specificity`` (in [0, 1]), each a list with one value a tolerance or a single one, and ``flops``;
exits are ``"1"``, ``"2"``, ... or ``"final"``, the last one of a network with a single exit.
``protocol.fine_tolerance`` lists the tolerances, ``operating_region[exit]`` the lowest and highest.
"""


@dataclass(frozen=True)
class StudyCurve:
    """What the study published for one exit of one network; shares in [0, 1].

    Attributes:
        tolerances: one a value, or none where there is a single value.
        accuracy: right at the level of the answer.
        hierarchical_accuracy: right at the coarsest level.
        specificity: answered finely.
        flops: to this exit.
    """

    tolerances: tuple[float, ...]
    accuracy: tuple[float, ...]
    hierarchical_accuracy: tuple[float, ...]
    specificity: tuple[float, ...]
    flops: int


def study_curve(study: Study, network: str, exit_index: int, num_exits: int) -> StudyCurve | None:
    """The published curve of an exit; None when the network has no such exit in the study.

    Raises:
        ValueError: when the study has nothing of the network, naming those it has.
    """
    results = study.get("results", {})
    if network not in results:
        raise ValueError(f"study must have results of {network!r}, got those of {list(results)}")
    exits = results[network]
    found = exits.get("final" if num_exits == 1 else str(exit_index + 1))
    if found is None:
        return None
    many = len(found["accuracy"]) > 1
    return StudyCurve(
        tolerances=tuple(study["protocol"]["fine_tolerance"]) if many else (),
        accuracy=tuple(value / 100 for value in found["accuracy"]),
        hierarchical_accuracy=tuple(value / 100 for value in found["hierarchical_accuracy"]),
        specificity=tuple(found["specificity"]),
        flops=int(found["flops"]),
    )


def study_words(study: Study | None) -> str:
    """What a description adds where the study's results are drawn too."""
    return "" if study is None else " In grey what the study published."
