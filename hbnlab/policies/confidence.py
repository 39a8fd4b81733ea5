"""Rules that leave when a head is sure enough: by its largest probability or by its margin."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from hbnlab.policies.entropy_threshold import one_cell_an_exit
from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.policies.view import ExitView


@dataclass(frozen=True)
class ConfidenceThreshold(ThresholdPolicy):
    """Leave at exit n if the largest probability there is strictly above its threshold T_n.

    Here a larger threshold lets *fewer* images leave: 0 lets all, 1 and more none.

    Attributes:
        level: level that is looked at and answered; None = the finest head that each exit has.

    Source:
        The exit criterion of MSDNet (Huang et al., ICLR 2018).
    """

    larger_leaves_more: ClassVar[bool] = False
    top_score: ClassVar[float] = 1.0

    level: int | None = None

    def answers(
        self, exit_index: int, view: ExitView
    ) -> Mapping[int, Bool[Tensor, "*policy sample"]]:
        """Images that are surer than the threshold; at the last exit all."""
        level = view.finest_level(exit_index) if self.level is None else self.level
        if view.is_last:
            return {level: view.all_images()}
        return {level: self.score(exit_index, level, view) > self.thresholds[exit_index]}

    def score(self, exit_index: int, level: int, view: ExitView) -> Float[Tensor, " sample"]:
        """How sure the head is, in [0, 1]."""
        return view.confidence(exit_index, level)

    def consults(self, exit_index: int) -> bool:
        """Whether the branch is looked at: no score is above a threshold of 1."""
        return exit_index >= len(self.thresholds) or self.thresholds[exit_index] < 1

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """One cell for each exit that is looked at."""
        return one_cell_an_exit(self.consulted_exits(len(head_mask)), head_mask, self.level)


@dataclass(frozen=True)
class MarginThreshold(ConfidenceThreshold):
    """Leave at exit n if the two largest probabilities lie strictly further apart than T_n.

    A larger threshold lets fewer images leave: 0 lets all but ties, 1 and more none.
    """

    def score(self, exit_index: int, level: int, view: ExitView) -> Float[Tensor, " sample"]:
        """How far the first class leads the second, in [0, 1]."""
        return view.margin(exit_index, level)
