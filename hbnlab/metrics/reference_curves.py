"""Published results, exit by exit, in a form that can be compared with ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PublishedResults = Mapping[str, Any]
"""Published results as JSON holds them.

``results[network][exit]`` has ``accuracy``, ``hierarchical_accuracy`` (in per cent) and
``specificity`` (in [0, 1]), each a list with one value per tolerance or a single value, and
``flops``; exits are ``"1"``, ``"2"``, ... or ``"final"``, the only one of a network with one exit.
``protocol.fine_tolerance`` lists the tolerances, ``operating_region[exit]`` the lowest and highest.
"""


@dataclass(frozen=True, kw_only=True)
class ReferenceCurve:
    """What was published for one exit of one network; shares in [0, 1].

    Attributes:
        tolerances: the fine tolerance of each value; empty where there is a single value.
        accuracy: share right at the level of the answer.
        hierarchical_accuracy: share right at the coarsest level.
        specificity: share answered at the finest level.
        flops: per image, up to this exit.

    Example:
        >>> ReferenceCurve(
        ...     tolerances=(), accuracy=(0.5,), hierarchical_accuracy=(0.6,), specificity=(1.0,),
        ...     flops=96_452_608,
        ... ).accuracy
        (0.5,)
    """

    tolerances: tuple[float, ...]
    accuracy: tuple[float, ...]
    hierarchical_accuracy: tuple[float, ...]
    specificity: tuple[float, ...]
    flops: int


def reference_curve(
    published: PublishedResults, network: str, exit_index: int, num_exits: int
) -> ReferenceCurve | None:
    """What was published for one exit; None when the published network has no such exit.

    Args:
        published: results as ``hbnlab.report.published_results`` gives them.
        network: name of the network there.
        exit_index: from 0.
        num_exits: number of exits of our network; with a single one, the final exit is meant.

    Raises:
        ValueError: when nothing was published for the network; the message lists those there are.

    Example:
        >>> final = {"accuracy": [50.0], "hierarchical_accuracy": [60.0], "specificity": [1.0]}
        >>> published = {"results": {"alexnet": {"final": final | {"flops": 96_452_608}}}}
        >>> reference_curve(published, "alexnet", exit_index=0, num_exits=1).accuracy
        (0.5,)
    """
    results = published.get("results", {})
    if network not in results:
        raise ValueError(
            f"published must have results of {network!r}, got those of {list(results)}"
        )
    found = results[network].get("final" if num_exits == 1 else str(exit_index + 1))
    if found is None:
        return None
    many = len(found["accuracy"]) > 1
    return ReferenceCurve(
        tolerances=tuple(published["protocol"]["fine_tolerance"]) if many else (),
        accuracy=tuple(value / 100 for value in found["accuracy"]),
        hierarchical_accuracy=tuple(value / 100 for value in found["hierarchical_accuracy"]),
        specificity=tuple(found["specificity"]),
        flops=int(found["flops"]),
    )
