"""A policy decides where an image leaves and how specific its answer is; it never computes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial, reduce
from itertools import accumulate, combinations
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hbnlab.head_mask import describe_cells, finest_level
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.grid import MOST_POLICIES, even_values, value_rows
from hbnlab.policies.settings import Setting, class_name_in_words, plain_settings, python_line
from hbnlab.policies.view import ExitView
from hbnlab.records import Decisions, ExitRecords
from hbnlab.types import Number

_P = TypeVar("_P", bound="Policy")

GOES_ON, AMBIGUOUS = -1, -2
"""``Policy.step`` returns these for an image that goes on, and for one answered at two levels."""


@dataclass(frozen=True, kw_only=True)
class Policy(ABC):
    """Picks a cell for each image: the exit where it leaves and the level of its answer.

    A policy of your own defines ``answers`` and ``cells``. All else has a default that works:
    ``decide``, ``sweep``, inference, reports and panels take any policy. What the class says
    beyond that (``consults``, ``explain``, ``adjustable``, ``grid``) makes it cheaper to run and
    better to read.

    Attributes:
        hierarchy: the tree that the policy was fitted for; records of another one are refused.
            None for a policy that was written by hand.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> class AllCoarse(Policy):
        ...     def answers(self, exit_index, view):
        ...         return {0: view.all_images()}
        ...     def cells(self, head_mask):
        ...         return [(0, 0)]
        >>> decisions = AllCoarse().decide(simulated_records(3))
        >>> decisions.exit_index.tolist(), decisions.level_index.tolist()
        ([0, 0, 0], [0, 0, 0])
    """

    hierarchy: Hierarchy | None = field(default=None, repr=False)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "answers" in vars(cls) and "explain" not in vars(cls):
            # The parent's explanation is of the parent's rule.
            cls.explain = Policy.explain

    # ------------------------------------------------------------------ the rule

    @abstractmethod
    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, Bool[Tensor, " sample"]]:
        """For each level that may be answered at this exit, a mask of the images answered there.

        No image is answered at two levels, and the last exit (``view.is_last``) answers all.
        Images that left at an earlier exit may be among them; their first answer counts.
        """

    @abstractmethod
    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """The (exit, level) cells that the policy may consult or answer with."""

    def consults(self, exit_index: int) -> bool:
        """Whether the policy consults the branch of this exit at all.

        A branch that is not consulted need not be run. The last exit is always consulted.
        """
        del exit_index
        return True

    @property
    def needs_gate(self) -> bool:
        """Whether the policy reads a learned gate."""
        return False

    @property
    def view_batch_size(self) -> int | None:
        """Number of images that leave together, for ``ExitView``; None when each decides alone."""
        return None

    def with_batch_size(self: _P, batch_size: int | None) -> _P:
        """The same policy deciding by batches of so many images; None = image by image.

        Raises:
            ValueError: when this policy cannot decide by batch.
        """
        if batch_size is not None:
            raise ValueError(f"a policy of {self.title} decides image by image, got {batch_size=}")
        return self

    # ------------------------------------------------------------------ deciding

    def step(self, exit_index: int, view: ExitView) -> Int[Tensor, " sample"]:
        """The level at which each image is answered at this exit.

        Returns:
            A level index; -1 for an image that goes on, -2 for one that is answered at two levels,
            which ``check_answered`` refuses.
        """
        levels = torch.full((view.num_images,), GOES_ON, device=view.device)
        for level, answered in self._answers_once(exit_index, view).items():
            levels.masked_fill_(answered, level)
        return levels

    def leaving(
        self, records: ExitRecords, view_at: Callable[[int, int | None], ExitView] | None = None
    ) -> Iterator[tuple[int, int, Bool[Tensor, " sample"]]]:
        """Yields, for each cell in order, its exit, its level and the images that leave there.

        Args:
            records: what is decided about.
            view_at: gives the view of the records at an exit and a batch size, where many policies
                share one.

        Raises:
            ValueError: when an image is answered at two levels or not at all.
        """
        view_at = view_at or partial(ExitView.from_records, records)
        waiting = torch.ones(len(records), dtype=torch.bool, device=records.labels.device)
        for exit_index in self.consulted_exits(records.num_exits):
            answers = self._answers_once(exit_index, view_at(exit_index, self.view_batch_size))
            twice = answers.pop(AMBIGUOUS, None)
            if twice is not None:
                self.check_answered(twice=int(twice.count_nonzero()), total=len(records))
            for level, answered in answers.items():
                leaves = waiting & answered
                waiting = waiting ^ leaves
                yield exit_index, level, leaves
        self.check_answered(never=int(waiting.count_nonzero()), total=len(records))

    def decide(self, records: ExitRecords) -> Decisions:
        """Decide about every image from records alone.

        Raises:
            ValueError: when the records lack the cells, the gate or the tree that the policy needs,
                or when it answers an image at two levels or not at all.
        """
        self.check_fits(records.head_mask, records.hierarchy, records.has_gate)
        exits = torch.empty_like(records.labels[:, 0])
        levels, prediction = torch.empty_like(exits), torch.empty_like(exits)
        for exit_index, level, leaves in self.leaving(records):
            exits[leaves], levels[leaves] = exit_index, level
            prediction[leaves] = records.prediction[leaves, exit_index, level]
        costs = torch.tensor(self.macs_to_exits(records), device=exits.device)
        return Decisions(exits, levels, prediction, costs[exits])

    def check_answered(self, *, twice: int = 0, never: int = 0, total: int) -> None:
        """Validate how many images are answered at two levels of an exit, and how many never.

        Raises:
            ValueError: when there is one.
        """
        name = type(self).__name__
        if twice:
            raise ValueError(
                f"an exit must answer each image at one level, {name} answered {twice} of {total} "
                "at two"
            )
        if never:
            raise ValueError(
                f"the last exit must answer every image, {name} left {never} of {total} without "
                "an answer"
            )

    def _answers_once(self, exit_index: int, view: ExitView) -> dict[int, Bool[Tensor, " sample"]]:
        """``answers``, and under the key ``AMBIGUOUS`` the images answered at two levels."""
        answers = dict(self.answers(exit_index, view))
        for level in answers:
            view.logits(exit_index, level)  # refuses an answer where there is no head
        pairs = [first & second for first, second in combinations(answers.values(), 2)]
        return answers | ({AMBIGUOUS: reduce(torch.logical_or, pairs)} if pairs else {})

    def consulted_exits(self, num_exits: int) -> list[int]:
        """Indices of the exits whose branches the policy consults; the last always is one."""
        return [n for n in range(num_exits) if n == num_exits - 1 or self.consults(n)]

    def check_fits(
        self, head_mask: Sequence[Sequence[bool]], hierarchy: Hierarchy, has_gate: bool
    ) -> None:
        """Validate that the policy can work on a network or on records.

        Raises:
            ValueError: naming what the policy needs and what there is.
        """
        if self.hierarchy is not None and self.hierarchy != hierarchy:
            raise ValueError(
                f"the policy was fitted for a tree of {_named(self.hierarchy)}, "
                f"got records of {_named(hierarchy)}"
            )
        for exit_index, level in self.cells(head_mask):
            known = 0 <= exit_index < len(head_mask) and 0 <= level < hierarchy.num_levels
            if not known or not head_mask[exit_index][level]:
                name = hierarchy.level_names[level] if 0 <= level < hierarchy.num_levels else level
                raise ValueError(
                    f"{type(self).__name__} asks for exit {exit_index + 1}, level {name!r}, where "
                    f"there is no head; the cells are: {describe_cells(head_mask, hierarchy)}"
                )
        if self.needs_gate and not has_gate:
            raise ValueError(f"{type(self).__name__} asks for a gate, and the network has none")

    def macs_to_exits(self, records: ExitRecords) -> list[int]:
        """What runs for an image that leaves at each exit: stages and consulted branches."""
        return policy_macs(self, records.stage_macs, records.branch_macs)

    # ------------------------------------------------------------------ explaining itself

    @property
    def title(self) -> str:
        """The name that people read, such as ``"fine tolerance"``; the class name in words."""
        return class_name_in_words(type(self))

    @property
    def point_label(self) -> str:
        """A few words that tell the policy from others of its kind, for a point in a figure."""
        return ""

    def explain(self, view: ExitView, row: int, hierarchy: Hierarchy) -> list[str]:
        """The comparisons that are made for one image at the view's exit, with their verdicts.

        Args:
            view: of the image or, for a policy that decides by batch, of its whole batch.
            row: index of the image within the view.
            hierarchy: names the levels and the classes.
        """
        outcome = self.outcome(view, row, hierarchy)
        return [f"{_last(view)}{type(self).__name__} says: {outcome}"]

    def outcome(self, view: ExitView, row: int, hierarchy: Hierarchy) -> str:
        """What the policy does with one image at the view's exit, in two to four words."""
        level = int(self.step(view.exit_index, view)[row])
        if level == GOES_ON:
            return f"go on to exit {view.exit_index + 2}"
        return f"answer {hierarchy.level_names[level]}"

    def adjustable(self, hierarchy: Hierarchy) -> tuple[Setting, ...]:
        """Each number that a person can move, with the range in which it makes sense."""
        del hierarchy
        return tuple(plain_settings(self))

    def with_setting(self: _P, setting: Setting, value: Number) -> _P:
        """The same policy with another value for one of its ``adjustable`` numbers.

        Raises:
            ValueError: when the policy refuses the value.
        """
        new: Any = round(value) if setting.is_whole else float(value)
        if setting.position is not None:
            row = list(getattr(self, setting.field))
            row[setting.position] = new
            new = tuple(row)
        return replace(self, **{setting.field: new})

    def grid(self: _P, records: ExitRecords) -> Sequence[_P]:
        """The same policy over the range of its settings: at most 180 policies.

        Explorers draw them as a cloud, and choose among them. Values that the policy refuses are
        left out.

        Raises:
            ValueError: when no policy of the grid fits the records.
        """
        settings = self.adjustable(records.hierarchy)
        rows = value_rows(
            lambda number: [even_values(number, one.low, one.high) for one in settings],
            len(settings),
            MOST_POLICIES,
        )
        made, problem = [], None
        for row in rows:
            policy = self
            try:
                for setting, value in zip(settings, row, strict=True):
                    policy = policy.with_setting(setting, value)
                policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
            except ValueError as error:
                problem = error
            else:
                if policy not in made:
                    made.append(policy)
        if not made and problem is not None:
            raise problem
        return made

    def grid_key(self, hierarchy: Hierarchy) -> str:
        """Equal for policies that differ only in their adjustable numbers, and so share a grid."""
        moved = {setting.field for setting in self.adjustable(hierarchy)}
        kept = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name not in moved]
        return f"{type(self)} {kept}"

    def trade_off(self: _P, records: ExitRecords) -> Sequence[_P]:
        """The same policy along the line on which specificity is traded, from coarse to fine.

        Empty for a policy that has no such line.
        """
        del records
        return []

    def typical(self: _P, records: ExitRecords) -> _P:
        """The same policy with settings that suit the records, as a point to start from."""
        del records
        return self

    def with_numbers_of(self: _P, other: "Policy") -> _P:
        """The same policy with the numbers of another one that have the same meaning here."""
        del other
        return self

    def python_line(self) -> str:
        """The policy as an expression that makes it again, without the tree it was fitted for."""
        return python_line(self)

    def settings(self) -> dict[str, Any]:
        """Name and settings, for tables; the tree that it was fitted for is left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "hierarchy"}
        return {"policy": type(self).__name__} | values


def policy_macs(policy: Policy, stage_macs: Sequence[int], branch_macs: Sequence[int]) -> list[int]:
    """Multiply-accumulates that run for an image that leaves at each exit under a policy.

    All stages up to the exit count, and of the branches those that the policy consults.

    Example:
        >>> from hbnlab.policies import EntropyThreshold
        >>> policy_macs(EntropyThreshold([0.0, 1.0]), [100, 200, 300], [10, 20, 30])
        [100, 320, 650]
    """
    consulted = policy.consulted_exits(len(stage_macs))
    branches = [macs if e in consulted else 0 for e, macs in enumerate(branch_macs)]
    return list(accumulate(map(sum, zip(stage_macs, branches, strict=True))))


def one_cell_per_exit(
    exits: Iterable[int], head_mask: Sequence[Sequence[bool]], level: int | None
) -> list[tuple[int, int]]:
    """The cell of each exit at a level; None = at the finest head that the exit has."""
    return [(e, finest_level(head_mask[e]) if level is None else level) for e in exits]


def _named(hierarchy: Hierarchy) -> str:
    return f"{hierarchy.summary} (fingerprint {hierarchy.fingerprint})"


def _last(view: ExitView) -> str:
    return "last exit: " if view.is_last else ""
