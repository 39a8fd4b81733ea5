"""All operating points of one exit: answers become coarser as more certainty is demanded."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hbnlab.metrics.mistakes import lca_scores
from hbnlab.records import ExitRecords

_NAMES = ("correct", "information", "precision", "recall", "f1")


@dataclass(frozen=True, eq=False, kw_only=True)
class OperatingCurve:
    """Mean scores when each answer is the most informative node with a probability >= theta.

    Point n holds for theta from ``theta[n]`` down to, but excluding, ``theta[n + 1]``. The first is
    the root for every image: no information, never wrong.

    Attributes:
        theta: least probability of an answer, decreasing; above 1 at the first point.
        correct: share of answers that contain the true class.
        information: mean bits of the answers, right or wrong.
        precision: mean of I(lca) / I(answer).
        recall: mean of I(lca) / I(truth).
        f1: mean over images of the harmonic mean of the two.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> curve = operating_curve(records, 0)
        >>> float(curve.correct[0]), round(curve.area(), 2)
        (1.0, 0.4)
    """

    theta: Float[Tensor, " point"]
    correct: Float[Tensor, " point"]
    information: Float[Tensor, " point"]
    precision: Float[Tensor, " point"]
    recall: Float[Tensor, " point"]
    f1: Float[Tensor, " point"]

    def area(self, height: str = "precision", along: str = "recall") -> float:
        """Area under one score along another, both in [0, 1].

        The height at each position is the best that any point reaches there or further right, so
        that only operating points that are worth choosing count.
        """
        order = getattr(self, along).sort(stable=True)
        best = getattr(self, height)[order.indices].flip(0).cummax(0).values.flip(0)
        widths = torch.diff(order.values, prepend=order.values.new_zeros(1))
        return float((best * widths).sum())


def operating_curve(records: ExitRecords, exit_index: int) -> OperatingCurve:
    """The exact operating curve of one exit, without a grid of thresholds.

    Nodes are the classes of all levels that have a head at the exit, with the probabilities of
    their own head; ``records.marginalised()`` makes them agree, as in the source. Each image
    changes its answer only where theta passes a node more informative than all more probable
    ones, so the changes of all images, sorted and summed, give every point exactly. Among nodes
    of equal information the more probable one answers.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> curve = operating_curve(records, 2)
        >>> bool((curve.theta.diff() < 0).all()), float(curve.information[0])
        (True, 0.0)

    Source:
        Valmadre, "Hierarchical classification at multiple operating points", NeurIPS 2022.
    """
    candidates = _candidates(records, exit_index)
    root = torch.full_like(records.labels[:, 0], -1)
    previous = _scores(root, root, records)
    start = previous.mean(dim=0)
    thetas, changes = [], []
    for prob, levels, classes, kept in candidates:
        current = _scores(levels, classes, records)
        thetas.append(prob[kept])
        changes.append((current - previous)[kept])
        previous = torch.where(kept[:, None], current, previous)
    theta, at = torch.cat(thetas).unique(return_inverse=True)
    theta, at = theta.flip(0), len(theta) - 1 - at
    steps = start.new_zeros(len(theta), len(_NAMES)).index_add_(0, at, torch.cat(changes))
    means = torch.cat([start[None], start + steps.cumsum(0) / len(records)])
    # Rounding of a long sum must not leave the range that the docstring promises.
    columns = dict(zip(_NAMES, means.clamp(min=0.0).unbind(1), strict=True))
    for name in ("correct", "precision", "recall", "f1"):
        columns[name] = columns[name].clamp(max=1.0)
    return OperatingCurve(theta=torch.cat([theta.new_full((1,), 2.0), theta]).double(), **columns)


_Candidate = tuple[Tensor, Tensor, Tensor, Tensor]


def _candidates(records: ExitRecords, exit_index: int) -> list[_Candidate]:
    """For each amount of information, least first: each image's best node, and whether it counts.

    A node counts when no node of at least as much information is as probable.
    """
    hierarchy = records.hierarchy
    levels = [
        level for level in range(hierarchy.num_levels) if (exit_index, level) in records.cells
    ]
    probs = torch.cat([records.cell(exit_index, level).prob for level in levels], dim=1)
    bits = torch.cat([hierarchy.information(level) for level in levels])
    level_of = torch.cat([torch.full((hierarchy.num_classes[lv],), lv) for lv in levels])
    class_of = torch.cat([torch.arange(hierarchy.num_classes[level]) for level in levels])
    found: list[_Candidate] = []
    rival = probs.new_zeros(len(probs))
    for amount in bits.unique().flip(0).tolist():
        if amount <= 0:
            break  # as good as the root
        nodes = (bits == amount).nonzero()[:, 0]
        among = probs[:, nodes.to(probs.device)]
        best = among.argmax(dim=1)
        prob = among.gather(1, best[:, None])[:, 0]
        chosen = nodes[best.cpu()]
        kept = prob > rival
        place = records.labels.device
        found.append((prob, level_of[chosen].to(place), class_of[chosen].to(place), kept))
        rival = torch.maximum(rival, prob)
    return found[::-1]


def _scores(
    levels: Int[Tensor, " sample"], classes: Int[Tensor, " sample"], records: ExitRecords
) -> Float[Tensor, "sample score"]:
    scores = lca_scores(levels, classes, records.labels, records.hierarchy)
    return torch.stack([getattr(scores, name).double() for name in _NAMES], dim=1)
