"""Policies that leave at the first exit that is sure enough, by one score of one head."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.base import one_cell_per_exit
from hbnlab.policies.explanation import Comparison
from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.policies.view import ExitView


@dataclass(frozen=True)
class ScoreThreshold(ThresholdPolicy):
    """Leave at exit n if the score of a head there passes its threshold T_n.

    Each subclass names its ``score`` and its ``comparison``.

    Attributes:
        level: level that is consulted and answered; None = the finest head that each exit has,
            so that the policy serves Sem-HBN too.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> class FinestMargin(ScoreThreshold):
        ...     comparison, score, question = ">", "margin", "margin above"
        >>> decisions = FinestMargin([0.8, 0.8]).decide(simulated_records(100))
        >>> decisions.exit_index.bincount().tolist()
        [17, 16, 67]
    """

    question: ClassVar[str]
    """The words that follow the level's name in the explanation."""

    level: int | None = None

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, Bool[Tensor, " sample"]]:
        """Images whose score passes the threshold; at the last exit all."""
        level = view.finest_level(exit_index) if self.level is None else self.level
        if view.is_last:
            return {level: view.all_images()}
        score, threshold = self._score(level, view), self.thresholds[exit_index]
        return {level: score < threshold if self.comparison == "<" else score > threshold}

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """One cell for each exit that is consulted."""
        return one_cell_per_exit(self.consulted_exits(len(head_mask)), head_mask, self.level)

    def explain(self, view: ExitView, row: int, hierarchy: Hierarchy) -> list[str]:
        """The one comparison."""
        outcome = self.outcome(view, row, hierarchy)
        if view.is_last:
            return [f"last exit: {outcome}"]
        level = view.finest_level(view.exit_index) if self.level is None else self.level
        question = f"{hierarchy.level_names[level]} {self.question} the threshold"
        terms = (self._score(level, view)[row],)
        limit = self.thresholds[view.exit_index]
        return [Comparison(question, terms, limit, self.comparison).line(outcome)]

    def _score(self, level: int, view: ExitView) -> Float[Tensor, " sample"]:
        return getattr(view, str(self.score))(view.exit_index, level)


@dataclass(frozen=True)
class EntropyThreshold(ScoreThreshold):
    """Leave at exit n if the entropy there is strictly under its threshold T_n.

    A larger threshold lets more images leave; 0 lets none, +inf all.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> decisions = EntropyThreshold([0.4, 0.4]).decide(simulated_records(100))
        >>> decisions.exit_index.bincount().tolist()
        [13, 12, 75]

    Source:
        BranchyNet (Teerapittayanon et al., ICPR 2016).
    """

    score: ClassVar[str | None] = "entropy"
    question: ClassVar[str] = "entropy under"


@dataclass(frozen=True)
class ConfidenceThreshold(ScoreThreshold):
    """Leave at exit n if the largest probability there is strictly above its threshold T_n.

    Here a larger threshold lets *fewer* images leave: 0 lets all, 1 and more none.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> decisions = ConfidenceThreshold([0.9, 0.9]).decide(simulated_records(100))
        >>> decisions.exit_index.bincount().tolist()
        [13, 14, 73]

    Source:
        The exit criterion of MSDNet (Huang et al., ICLR 2018).
    """

    comparison: ClassVar[Literal["<", ">"]] = ">"
    score: ClassVar[str | None] = "confidence"
    question: ClassVar[str] = "largest probability above"


@dataclass(frozen=True)
class MarginThreshold(ScoreThreshold):
    """Leave at exit n if the two largest probabilities lie strictly further apart than T_n.

    A larger threshold lets fewer images leave: 0 lets all but ties, 1 and more none.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> decisions = MarginThreshold([0.8, 0.8]).decide(simulated_records(100))
        >>> decisions.exit_index.bincount().tolist()
        [17, 16, 67]
    """

    comparison: ClassVar[Literal["<", ">"]] = ">"
    score: ClassVar[str | None] = "margin"
    question: ClassVar[str] = "first probability minus the second above"
