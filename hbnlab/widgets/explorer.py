"""One policy among others of its kind: its evaluation while its numbers move."""

import html
from functools import cache, partial
from typing import Literal, NamedTuple

import ipywidgets as w

from hbnlab.formatting import millions, percent
from hbnlab.metrics import Constraints, Evaluation, best, sweep
from hbnlab.plots.canvas import describe_records
from hbnlab.policies import Policy, starting_policies
from hbnlab.records import ExitRecords
from hbnlab.types import Number
from hbnlab.widgets.controls import Choice, button, number_box, row, text_line, whole_number
from hbnlab.widgets.html_tables import explorer_page
from hbnlab.widgets.panel import StatusLine
from hbnlab.widgets.planes import Planes
from hbnlab.widgets.policy_panel import PolicyPanel, PolicySliders
from hbnlab.widgets.problems import records_problem

_BY = ("image", "batch")
_BATCH_SIZE = 64


class Candidates(NamedTuple):
    """Policies of one kind, and the evaluation of each."""

    policies: tuple[Policy, ...]
    evaluations: tuple[Evaluation, ...]


class PolicyExplorer(PolicyPanel):
    """The evaluation of a policy while its numbers move, among other policies of its kind.

    Displays accuracy, specificity, information, FLOPs and the share answered at each cell, and the
    policy as a point in two planes, accuracy against specificity and against FLOPs: over a cloud of
    policies of the same kind with their Pareto front, and the line along which the policy trades
    specificity. The kind of policy, its numbers, and whether images decide one by one or by batch,
    are set on the page or from Python:

        explorer = PolicyExplorer(records)
        explorer                               # as the last line of a cell
        explorer.thresholds = [0.8, 0.5]
        explorer.fine_tolerance = 0.3
        explorer.batch_size = 64               # None: each image decides alone
        explorer.kind = "entropy threshold"    # one of explorer.kinds
        explorer.policy = FineTolerance([0.8, 0.5], 0.3)      # all at once
        explorer.evaluation.accuracy
        explorer.best_for_accuracy(0.8, specificity=0.5)
        explorer.best_for_budget(5e6)
        print(explorer.python_line)            # the policy, to copy
        explorer.static()                      # a picture of the panel, for where no widget runs

    Choose a policy on validation records and report it on test records. With a problem, every
    attribute below ``problem`` raises it as a ValueError.

    Args:
        records: of validation images to choose a policy, of test images to look at one.
        policy: where to start, any policy that fits the records; None = the first of
            ``starting_policies``. It also chooses the coarse level, for trees of more than two
            levels.
    """

    def __init__(self, records: ExitRecords, policy: Policy | None = None) -> None:
        super().__init__(records_problem(records))
        if self.problem:
            return
        self._records, self._coarse_level = records, 0
        self._known: dict[str, Candidates] = {}
        self._starting = cache(partial(starting_policies, records))
        kinds = starting_policies(records)
        try:
            self._work_out(policy or next(iter(kinds.values())))
        except ValueError as error:
            super().__init__(f"The policy does not fit: {error}.")
            return
        self._kinds = kinds
        self._planes = Planes(records)
        self._sliders = PolicySliders(records.hierarchy, self._on_page(self._take))
        self._message, self._page_widget = StatusLine(), w.HTML()
        menus = self._make_menus()
        # What a person types into the line is undone.
        self._line = text_line("Python line", lambda _: self._line.show(self.python_line))
        self._draw()
        parts = [menus, self._sliders.widget, self._make_search(), self._message.widget]
        self._widget = w.VBox([*parts, self._page_widget, self._line.widget])

    # ------------------------------------------------------------------ the policy

    @property
    def kinds(self) -> tuple[str, ...]:
        """Titles of the policies that the records have the heads for."""
        return tuple(self._kinds)

    @property
    def kind(self) -> str:
        """Title of the policy. Setting another keeps the numbers that mean the same there.

        Raises:
            ValueError: when set to a title that is not one of ``kinds``.
        """
        return self._policy.title

    @kind.setter
    def kind(self, kind: str) -> None:
        if kind not in self.kinds:
            raise ValueError(f"kind must be one of {list(self.kinds)}, got {kind!r}")
        starts = self._starting(batch_size=self.batch_size, coarse_level=self._coarse_level)
        self._take(starts.get(kind, self._kinds[kind]).with_numbers_of(self._policy))

    @property
    def batch_size(self) -> int | None:
        """Number of images that decide together by their mean scores; None = each alone.

        Raises:
            ValueError: when set to less than 1, or for a policy that cannot decide by batch.
        """
        return self._policy.view_batch_size

    @batch_size.setter
    def batch_size(self, batch_size: int | None) -> None:
        self._take(self._policy.with_batch_size(batch_size))

    # ------------------------------------------------------------------ its evaluation

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation of the policy on the records."""
        return self._evaluation

    @property
    def candidates(self) -> Candidates:
        """The policies of the cloud, among which the best is searched."""
        return self._candidates

    @property
    def python_line(self) -> str:
        """The policy as a line of Python that makes it again."""
        return self._policy.python_line()

    def best_for_accuracy(self, accuracy: Number, *, specificity: Number = 0.0) -> Policy | None:
        """Go to the cheapest policy of the cloud with at least this accuracy and specificity.

        Args:
            accuracy: share right at the level of the answer, in [0, 1].
            specificity: share answered at the finest level, in [0, 1].

        Returns:
            The policy; None when there is none, and ``message`` then says what can be reached.

        Raises:
            ValueError: when a share is outside [0, 1].
        """
        constraints = Constraints(accuracy=accuracy, specificity=specificity)
        self._least_accuracy.value = round(100 * accuracy, 6)
        words = f"the cheapest with an accuracy of at least {percent(accuracy)}"
        return self._go_to(constraints, words, "cost")

    def best_for_budget(self, flops: Number, *, specificity: Number = 0.0) -> Policy | None:
        """Go to the most accurate policy of the cloud within this cost and specificity.

        Args:
            flops: most FLOPs per image on average.
            specificity: share answered at the finest level, in [0, 1].

        Returns:
            The policy; None when there is none, and ``message`` then says what can be reached.

        Raises:
            ValueError: when the share is outside [0, 1], or the FLOPs are negative.
        """
        constraints = Constraints(flops=flops, specificity=specificity)
        self._most_flops.value = round(flops / 1e6, 6)
        words = f"the most accurate within {millions(flops)} million FLOPs per image"
        return self._go_to(constraints, words, "accuracy")

    def _words(self) -> str:
        now = self._evaluation
        return (
            f"{self.python_line} on {describe_records(self._records)}: accuracy "
            f"{percent(now.accuracy)}, specificity {percent(now.specificity)}, "
            f"{now.information:.2f} bits per answer, {millions(now.mean_flops)} million FLOPs per "
            "image"
        )

    def _page(self) -> str:
        page = explorer_page(self._records, self._evaluation, self._picture)
        return f"{page}<pre>{html.escape(self.python_line)}</pre>"

    # ------------------------------------------------------------------ within

    def _take(self, policy: Policy) -> None:
        self._work_out(policy)
        self._draw()

    def _work_out(self, policy: Policy) -> None:
        """Replace the policy once everything about the new one is known."""
        records = self._records
        policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
        candidates = self._candidates_like(policy)
        evaluation, *line = sweep([policy, *policy.trade_off(records)], records)
        self._policy, self._evaluation, self._trade_off = policy, evaluation, line
        self._candidates = candidates
        self._coarse_level = getattr(policy, "coarse_level", self._coarse_level)

    def _candidates_like(self, policy: Policy) -> Candidates:
        """The candidates of the kind of a policy, evaluated once."""
        key = policy.grid_key(self._records.hierarchy)
        if key not in self._known:
            policies = tuple(policy.grid(self._records))
            self._known[key] = Candidates(policies, tuple(sweep(policies, self._records)))
        return self._known[key]

    def _go_to(
        self, constraints: Constraints, words: str, prefer: Literal["accuracy", "cost"]
    ) -> Policy | None:
        """Go to the best of the candidates, and say what it is the best of."""
        policies, evaluations = self._candidates
        index = best(evaluations, constraints, prefer=prefer)
        self._least_specificity.value = round(100 * constraints.specificity, 6)
        if constraints.specificity:
            words += f" and a specificity of at least {percent(constraints.specificity)}"
        if index is None:
            reachable = constraints.alternative(evaluations)
            none = f"None of {len(policies)} policies is {words}."
            self._message.show(f"{none} {reachable}", is_problem=True)
            return None
        self._take(policies[index])
        self._message.show(
            f"Of {len(policies)} policies this one is {words}. It was chosen on "
            f"{describe_records(self._records)}: report it on other records."
        )
        return policies[index]

    def _make_menus(self) -> w.Widget:
        """The controls that every policy has."""
        set_kind = self._on_page(partial(setattr, self, "kind"))
        set_size = self._on_page(partial(setattr, self, "batch_size"))
        self._kind_menu = Choice("policy", self.kinds, set_kind)
        self._by_menu = Choice("decide by", _BY, self._on_page(self._decide_by))
        self._size = whole_number("batch size", (1, len(self._records)), set_size)
        self._size.show(_BATCH_SIZE)
        return row(self._kind_menu.widget, self._by_menu.widget, self._size.widget)

    def _decide_by(self, by: str) -> None:
        self.batch_size = None if by == _BY[0] else self._size.value

    def _make_search(self) -> w.Widget:
        """The constraints, and the two buttons that search with them."""
        now, most = self._evaluation, self._records.macs_to(self._records.num_exits - 1)
        accuracy = number_box("accuracy of at least (%)", (0.0, 100.0), round(100 * now.accuracy))
        budget = number_box(
            "at most (million FLOPs)", (0.0, 2e-6 * most), float(millions(now.mean_flops))
        )
        specificity = number_box("specificity of at least (%)", (0.0, 100.0), 0.0)

        def for_accuracy() -> None:
            self.best_for_accuracy(accuracy.value / 100, specificity=specificity.value / 100)

        def for_budget() -> None:
            self.best_for_budget(1e6 * budget.value, specificity=specificity.value / 100)

        self._least_accuracy, self._most_flops = accuracy, budget
        self._least_specificity = specificity
        return row(
            accuracy,
            button("best for this accuracy", for_accuracy),
            budget,
            button("best for this budget", for_budget),
            specificity,
        )

    def _draw(self) -> None:
        batch_size = self.batch_size
        self._kinds.setdefault(self.kind, self._policy)
        self._message.show("")
        if self._planes.cloud is not self._candidates.evaluations:
            self._planes.lay(self._candidates.evaluations)
        self._picture = self._planes.at(self._evaluation, self._trade_off)
        self._kind_menu.show(self.kind)
        self._by_menu.show(_BY[0] if batch_size is None else _BY[1])
        if batch_size is not None:
            self._size.show(batch_size)
        self._sliders.show(self._policy)
        self._page_widget.value = explorer_page(self._records, self._evaluation, self._picture)
        self._line.show(self.python_line)
