"""What all policies with one threshold per exit have in common."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar, Literal, TypeVar

import torch

from hbnlab.entropy import max_entropy
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.base import Policy
from hbnlab.policies.grid import (
    MOST_POLICIES,
    even_values,
    next_hundredth,
    quantiles,
    value_rows,
)
from hbnlab.policies.settings import Setting
from hbnlab.policies.view import ExitView
from hbnlab.records import ExitRecords
from hbnlab.types import Number

_P = TypeVar("_P", bound="ThresholdPolicy")

_QUARTILES = 5
"""Values of which ``typical`` takes one: both ends, the quartiles and the median."""


@dataclass(frozen=True)
class ThresholdPolicy(Policy):
    """Compares a score at each exit but the last with the threshold of that exit.

    A policy of your own says with the class attributes ``score`` and ``comparison`` what it
    compares; ``fit_thresholds`` and the panels go by them.

    Attributes:
        thresholds: one per exit but the last, 0 or more, +inf allowed; compared strictly.
        per: ``"sample"``: every image decides alone. ``"batch"``: scores are averaged over
            consecutive images and the whole batch leaves together, as in the study's code.
        batch_size: images per batch, for ``per="batch"``; the last batch may be shorter.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> class CoarseMargin(ThresholdPolicy):
        ...     score, comparison = "margin", ">"
        ...     def answers(self, exit_index, view):
        ...         if view.is_last:
        ...             return {0: view.all_images()}
        ...         return {0: view.margin(exit_index, 0) > self.thresholds[exit_index]}
        ...     def cells(self, head_mask):
        ...         return [(exit_index, 0) for exit_index in range(len(head_mask))]
        >>> records = simulated_records(100)
        >>> CoarseMargin([0.5, 0.5]).decide(records).exit_index.bincount().tolist()
        [62, 24, 14]
    """

    comparison: ClassVar[Literal["<", ">"]] = "<"
    """Images leave whose score is under (``"<"``) or over (``">"``) the threshold."""
    score: ClassVar[str | None] = None
    """What is compared: ``"entropy"``, ``"confidence"`` or ``"margin"``; None = something else."""

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

    @classmethod
    def at_exit(cls: type[_P], exit_index: int, num_exits: int, *settings: Any, **more: Any) -> _P:
        """The policy under which every image leaves at one exit.

        Args:
            exit_index: from 0.
            num_exits: of the network.
            settings: what the class takes after its thresholds, such as the fine tolerance.
            more: the same by name, such as ``batch_size``.
        """
        if not 0 <= exit_index < num_exits:
            raise ValueError(f"exit_index must be in 0..{num_exits - 1}, got {exit_index}")
        for_all, for_none = cls.extreme_thresholds()
        early = range(num_exits - 1)
        return cls([for_all if n == exit_index else for_none for n in early], *settings, **more)

    @classmethod
    def extreme_thresholds(cls) -> tuple[float, float]:
        """A threshold under which every image leaves, and one under which none does."""
        return (math.inf, 0.0) if cls.comparison == "<" else (0.0, cls.highest_score())

    @property
    def view_batch_size(self) -> int | None:
        """Number of images that leave together; None when each decides alone."""
        return self.batch_size

    def with_batch_size(self: _P, batch_size: int | None) -> _P:
        """The same policy deciding by batches of so many images; None = image by image."""
        return replace(self, per="sample" if batch_size is None else "batch", batch_size=batch_size)

    @classmethod
    def highest_score(cls) -> float:
        """The highest score that an image can have."""
        return 1.0 if cls.score in ("confidence", "margin") else math.inf

    def consults(self, exit_index: int) -> bool:
        """Whether the branch is consulted: not where no score can pass the threshold."""
        if exit_index >= len(self.thresholds):
            return True
        threshold = self.thresholds[exit_index]
        return threshold > 0 if self.comparison == "<" else threshold < self.highest_score()

    def check_fits(
        self, head_mask: Sequence[Sequence[bool]], hierarchy: Hierarchy, has_gate: bool
    ) -> None:
        """Validate the number of exits, and that the network has the cells and the tree."""
        if len(self.thresholds) != len(head_mask) - 1:
            raise ValueError(
                f"{type(self).__name__} needs one threshold for each exit but the last: a network "
                f"of {len(head_mask)} exits takes {len(head_mask) - 1}, "
                f"got {len(self.thresholds)}"
            )
        super().check_fits(head_mask, hierarchy, has_gate)

    # ------------------------------------------------------------------ explaining itself

    def threshold_range(self, hierarchy: Hierarchy) -> tuple[float, float]:
        """From a threshold that no score is under to one that no score is over.

        Confidence and margin lie in [0, 1], and so does a score of your own that is compared by
        ``">"``; an entropy does not exceed that of the level with the most classes.
        """
        if self.score != "entropy" and (self.highest_score() == 1.0 or self.comparison == ">"):
            return 0.0, 1.0
        return 0.0, next_hundredth(max(map(max_entropy, hierarchy.num_classes)))

    def adjustable(self, hierarchy: Hierarchy) -> tuple[Setting, ...]:
        """The thresholds, and the other numbers that are no counts or indices."""
        low, high = self.threshold_range(hierarchy)
        thresholds = (
            Setting("thresholds", n, f"threshold, exit {n + 1}", low, high)
            for n in range(len(self.thresholds))
        )
        others = (
            setting
            for setting in super().adjustable(hierarchy)
            if setting.field != "thresholds" and not setting.is_whole
        )
        return (*thresholds, *others)

    def grid(self: _P, records: ExitRecords) -> Sequence[_P]:
        """The same policy with thresholds from those that let no image leave to those that let all.

        Thresholds are quantiles of what they are compared with, rounded, in all combinations;
        where these would be too many, all exits take the same quantile.

        Raises:
            ValueError: when the policy does not fit the records once it consults every branch.
        """
        return [replace(self, thresholds=row) for row in self._threshold_rows(records)]

    def typical(self: _P, records: ExitRecords) -> _P:
        """The same policy with thresholds that most scores pass."""
        quartile = 3 if self.comparison == "<" else 1
        columns = self._threshold_columns(records, _QUARTILES)
        return replace(self, thresholds=[column[quartile] for column in columns])

    def with_numbers_of(self: _P, other: Policy) -> _P:
        """The same policy with thresholds, tolerance, ... of one that compares the same score."""
        if self.score is None or getattr(other, "score", None) != self.score:
            return self
        shared = {one.name for one in fields(self)} & {one.name for one in fields(other)}
        numbers = {name for name in shared if isinstance(getattr(self, name), float | tuple)}
        return replace(self, **{name: getattr(other, name) for name in numbers})

    def _threshold_rows(
        self, records: ExitRecords, most: int = MOST_POLICIES
    ) -> list[tuple[Number, ...]]:
        return value_rows(
            lambda number: self._threshold_columns(records, number), records.num_exits - 1, most
        )

    def _threshold_columns(self, records: ExitRecords, number: int) -> list[list[float]]:
        """For each exit but the last, ``number`` thresholds that span the range."""
        low, high = self.threshold_range(records.hierarchy)
        cells = self._cells_of_a_grid(records)
        columns = []
        for exit_index in range(records.num_exits - 1):
            if self.score is None:
                columns.append(even_values(number, low, high))
                continue
            view = ExitView.from_records(records, exit_index, self.batch_size)
            here = [level for e, level in cells if e == exit_index]
            scores = [getattr(view, self.score)(exit_index, level) for level in here]
            # Every image has the mean of its batch: one of them is enough.
            scores = torch.cat([column[:: self.batch_size] for column in scores])
            columns.append(quantiles(scores, number, low, high))
        return columns

    def _cells_of_a_grid(self, records: ExitRecords) -> list[tuple[int, int]]:
        """The cells that are consulted once every branch is."""
        curious = replace(self, thresholds=[0.5] * (records.num_exits - 1))
        try:
            curious.check_fits(records.head_mask, records.hierarchy, records.has_gate)
        except ValueError as error:
            raise ValueError(f"a grid moves every threshold, and then {error}") from error
        return list(curious.cells(records.head_mask))


class TwoLevelPolicy(ThresholdPolicy):
    """Answers at the finest level or at a coarser one, by the heads of both.

    Each policy declares the field ``coarse_level`` itself, after its own; here stand the cells that
    such a policy consults, and what it needs of a tree.

    Example:
        >>> from hbnlab.policies import FineTolerance
        >>> list(FineTolerance([0.5, 0.0], 0.2).cells([[True, True]] * 3))
        [(0, 0), (0, 1), (2, 0), (2, 1)]
    """

    score: ClassVar[str | None] = "entropy"

    coarse_level: int

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """The coarse and the finest cell of each exit that is consulted."""
        exits = self.consulted_exits(len(head_mask))
        levels = (self.coarse_level, len(head_mask[0]) - 1)
        return [(exit_index, level) for exit_index in exits for level in levels]

    def check_fits(
        self, head_mask: Sequence[Sequence[bool]], hierarchy: Hierarchy, has_gate: bool
    ) -> None:
        """Validate also that the coarse level lies above the finest."""
        if not 0 <= self.coarse_level < hierarchy.finest:
            raise ValueError(
                f"coarse_level must be one above the finest of {list(hierarchy.level_names)}, "
                f"got {self.coarse_level}"
            )
        super().check_fits(head_mask, hierarchy, has_gate)
