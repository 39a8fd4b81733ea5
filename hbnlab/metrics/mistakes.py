"""How wrong an answer is, by the lowest common ancestor of answer and truth."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.metrics.evaluation import checked_columns
from hbnlab.records import Decisions, ExitRecords
from hbnlab.records.answers import look_up


@dataclass(frozen=True, eq=False)
class LcaScores:
    """Scores of answers by the lowest common ancestor (lca) of answer and truth.

    I(v) is the information of a node in bits, 0 for the root. 0/0 counts as 1.

    Attributes:
        correct: whether the answer contains the true class.
        information: I(answer).
        precision: I(lca) / I(answer), in [0, 1]; 1 for a right answer.
        recall: I(lca) / I(truth), in [0, 1].
        f1: harmonic mean of the two, 0 where both are 0.
        distance: I(truth) + I(answer) - 2 I(lca), in bits.
        height: number of levels from the finest up to the lca: 0 where that is the true class.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> coarse, answers = torch.zeros(100).long(), records.prediction[:, 0, 0]
        >>> scores = lca_scores(coarse, answers, records.labels, records.hierarchy)
        >>> int(scores.correct.sum()), sorted(set(scores.height.tolist()))
        (54, [1, 2])

    Source:
        Valmadre, "Hierarchical classification at multiple operating points", NeurIPS 2022; height
        after Bertinetto et al., "Making better mistakes", CVPR 2020.
    """

    correct: Bool[Tensor, " answer"]
    information: Float[Tensor, " answer"]
    precision: Float[Tensor, " answer"]
    recall: Float[Tensor, " answer"]
    f1: Float[Tensor, " answer"]
    distance: Float[Tensor, " answer"]
    height: Int[Tensor, " answer"]


def lca_scores(
    level_index: Int[Tensor, " answer"],
    prediction: Int[Tensor, " answer"],
    labels: Int[Tensor, "answer level"],
    hierarchy: Hierarchy,
) -> LcaScores:
    """Compare answers at any level with the true path from coarse to fine.

    Args:
        level_index: level of each answer; -1 = the root, which says nothing and is never wrong.
        prediction: class within that level; ignored for the root.
        labels: the true class at every level.
        hierarchy: the tree of both.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> fine, answers = torch.ones(100).long(), records.prediction[:, 0, 1]
        >>> scores = lca_scores(fine, answers, records.labels, records.hierarchy)
        >>> bool((scores.precision[scores.correct] == 1).all())
        True
    """
    depth = range(hierarchy.num_levels)
    bits = {level: hierarchy.information(level).to(labels.device) for level in depth}
    said = look_up(bits, level_index, prediction)
    shared, lca = torch.zeros_like(said), torch.full_like(level_index, -1)
    for level in depth:
        above = {source: hierarchy.ancestors(level, source) for source in depth[level:]}
        agrees = look_up(above, level_index, prediction, missing=-1) == labels[:, level]
        lca[agrees] = level
        shared[agrees] = bits[level][labels[agrees, level]]
    truth = bits[hierarchy.finest][labels[:, -1]]
    precision = torch.where(said > 0, shared / said, 1.0)
    recall = torch.where(truth > 0, shared / truth, 1.0)
    return LcaScores(
        correct=lca == level_index,
        information=said,
        precision=precision,
        recall=recall,
        f1=torch.nan_to_num(2 * precision * recall / (precision + recall)),
        distance=truth + said - 2 * shared,
        height=hierarchy.finest - lca,
    )


@dataclass(frozen=True, kw_only=True)
class Severity:
    """How severe mistakes are, over the mistakes and over all images.

    A mean over the mistakes only would reward making many harmless ones.

    Attributes:
        mistake_rate: share of wrong answers.
        height_of_mistakes: mean height of the lca over the wrong answers, 0 without any.
        height_over_all: sum of the heights over the wrong answers, divided by the number of all
            images: a right answer adds 0, even a coarse one.
        distance_over_all: mean distance in bits over all images, including what a right but coarse
            answer leaves unsaid.
        precision: mean over all images.
        recall: mean over all images.
        f1: mean over all images.

    Example:
        >>> from hbnlab.policies import FineTolerance
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> decisions = FineTolerance([0.8, 0.6], 0.3).decide(records)
        >>> severity(decisions, records).mistake_rate
        0.32
    """

    mistake_rate: float
    height_of_mistakes: float
    height_over_all: float
    distance_over_all: float
    precision: float
    recall: float
    f1: float


def severity(decisions: Decisions, records: ExitRecords) -> Severity:
    """Measure how far from the truth the answers lie in the tree.

    Example:
        >>> from hbnlab.policies import FineTolerance
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(100)
        >>> decisions = FineTolerance([0.8, 0.6], 0.3).decide(records)
        >>> round(severity(decisions, records).height_of_mistakes, 2)
        1.94
    """
    _, levels, prediction, _ = checked_columns(decisions, records)
    scores = lca_scores(levels, prediction, records.labels, records.hierarchy)
    mistakes = int((~scores.correct).sum())
    total = int(scores.height[~scores.correct].sum())
    return Severity(
        mistake_rate=mistakes / len(records),
        height_of_mistakes=total / mistakes if mistakes else 0.0,
        height_over_all=total / len(records),
        distance_over_all=_mean(scores.distance),
        precision=_mean(scores.precision),
        recall=_mean(scores.recall),
        f1=_mean(scores.f1),
    )


def _mean(values: Float[Tensor, " answer"]) -> float:
    return float(values.double().mean())
