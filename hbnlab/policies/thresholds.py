"""What all rules with one threshold an exit have in common."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.base import Policy
from hbnlab.types import Number


@dataclass(frozen=True)
class ThresholdPolicy(Policy):
    """A rule that compares a score of each exit but the last with the threshold of that exit.

    ``answers`` does nothing with thresholds and tolerance but compare scores with them: a sweep
    puts columns of numbers in their place and so decides for many policies at once.

    Attributes:
        thresholds: one for each exit but the last, from 0 up, +inf allowed; compared strictly.
        per: ``"sample"``: every image decides for itself. ``"batch"``: scores are averaged over
            consecutive images and the whole batch leaves together, as in the study's code.
        batch_size: images a batch, for ``per="batch"``; the last batch may be shorter.
    """

    larger_leaves_more: ClassVar[bool] = True
    """Whether a larger threshold lets more images leave."""
    top_score: ClassVar[float] = 100.0
    """More than any score, being the entropy of a class count that no memory would hold."""

    thresholds: Sequence[Number]
    _: KW_ONLY
    per: str = "sample"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", tuple(float(value) for value in self.thresholds))
        for number, value in enumerate(self.thresholds, start=1):
            if math.isnan(value) or value < 0:
                raise ValueError(f"a threshold must be 0 or more, got {value} at exit {number}")
        if self.per not in ("sample", "batch"):
            raise ValueError(f"per must be 'sample' or 'batch', got {self.per!r}")
        if (self.per == "batch") != (self.batch_size is not None):
            raise ValueError(
                "batch_size must be given for per='batch' and only there, "
                f"got {self.batch_size} for per={self.per!r}"
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")

    @property
    def num_exits(self) -> int:
        """Exits of the networks that the policy fits: one more than it has thresholds."""
        return len(self.thresholds) + 1

    @property
    def view_batch_size(self) -> int | None:
        """Images that leave together; None when each decides for itself."""
        return self.batch_size

    def consults(self, exit_index: int) -> bool:
        """Whether the branch is looked at: no score is under a threshold of 0."""
        return exit_index >= len(self.thresholds) or self.thresholds[exit_index] > 0

    def check_fits(
        self, head_mask: Sequence[Sequence[bool]], hierarchy: Hierarchy, has_gate: bool
    ) -> None:
        """Refuse a network with another number of exits, or without the cells asked for."""
        if len(self.thresholds) != len(head_mask) - 1:
            raise ValueError(
                f"{type(self).__name__} needs one threshold for each exit but the last: a network "
                f"of {len(head_mask)} exits takes {len(head_mask) - 1}, "
                f"got {len(self.thresholds)}"
            )
        super().check_fits(head_mask, hierarchy, has_gate)
