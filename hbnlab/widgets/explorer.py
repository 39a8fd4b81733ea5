"""All policies of a rule as a cloud, and one of them to move about in it."""

import html
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import ipywidgets as w

from hbnlab.formatting import millions, percent
from hbnlab.metrics import Evaluation, sweep
from hbnlab.plots.canvas import describe_records
from hbnlab.policies import Policy, ThresholdPolicy, TwoLevelPolicy
from hbnlab.records import ExitRecords
from hbnlab.types import Number
from hbnlab.widgets.controls import CopyLine, button, choice, number, row, whole_number
from hbnlab.widgets.html_tables import explorer_page
from hbnlab.widgets.panel import StatusLine
from hbnlab.widgets.planes import Planes
from hbnlab.widgets.policy_panel import PolicyPanel, PolicySliders
from hbnlab.widgets.problems import records_problem
from hbnlab.widgets.rulebook import Cloud, Rulebook, Setting
from hbnlab.widgets.rules import python_line
from hbnlab.widgets.wishes import Wish

_BY = ("image", "batch")
_BATCH_SIZE = 64


class PolicyExplorer(PolicyPanel[ThresholdPolicy]):
    """What a policy is worth while its numbers move, amid the policies of its rule.

    Shows accuracy, specificity, information, FLOPs and the share answered at each cell, and where
    the policy stands on the planes of accuracy against specificity and against FLOPs: over a cloud
    of policies of the same rule, the best of them joined, and the line along which a fine tolerance
    moves it. Rule, thresholds and tolerance, and whether images decide alone or by batch, are set
    on the page or from Python:

        explorer = PolicyExplorer(records)
        explorer                               # as the last line of a cell
        explorer.thresholds = [0.8, 0.5]
        explorer.fine_tolerance = 0.3
        explorer.batch_size = 64               # None: every image decides for itself
        explorer.rule = "entropy"              # one of explorer.rules
        explorer.policy = FineTolerance([0.8, 0.5], 0.3)      # all at once
        explorer.evaluation.accuracy
        explorer.best_for_accuracy(0.8, specificity=0.5)
        explorer.best_for_budget(5e6)
        print(explorer.python_line)            # the policy, to copy
        explorer.static()                      # a picture of it, for where no widget runs

    Whoever looks for a policy should do so on validation records and report it on test records.

    Args:
        records: of validation images, for choosing; of test images, for looking.
        policy: where to start; None = from the first rule that fits, where most images leave early.
            It also chooses the coarse level, for trees of more than two levels.

    Attributes:
        problem: why nothing can be shown, in words, or empty. With a problem everything below
            raises a ValueError that says it.
        message: what came of the last search for a best policy, or why the last change on the page
            was refused; empty once the policy has moved.
    """

    def __init__(self, records: ExitRecords, policy: Policy | None = None) -> None:
        super().__init__(records_problem(records))
        if self.problem:
            return
        self._records, self._rulebook, self._coarse_level = records, Rulebook(records), 0
        try:
            self._work_out(self._start() if policy is None else policy)
        except ValueError as error:
            super().__init__(f"The policy does not fit: {error}.")
            return
        self._planes, self._laid = Planes(records), None
        self._sliders = PolicySliders(records.hierarchy, self._from_page(self._take))
        self._message, self._page_widget = StatusLine(), w.HTML()
        menus, self._line = self._make_menus(), CopyLine("Python line")
        self._draw()
        parts = [menus, self._sliders.widget, self._make_search(), self._message.widget]
        self.widget = w.VBox([*parts, self._page_widget, self._line.widget])

    # ------------------------------------------------------------------ the policy

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that the records have the heads for."""
        self._check()
        return tuple(self._rulebook.kinds)

    @property
    def rule(self) -> str:
        """Name of the rule. Setting another keeps the numbers where they mean the same.

        Raises:
            ValueError: when set to a name that is not one of ``rules``.
        """
        self._check()
        return self._rulebook.kind_of(self._policy).name

    @rule.setter
    def rule(self, name: str) -> None:
        if name not in self.rules:
            raise ValueError(f"rule must be one of {list(self.rules)}, got {name!r}")
        kind = self._rulebook.kinds[name]
        self._take(self._rulebook.under(kind, self._policy, self._coarse_level))

    @property
    def batch_size(self) -> int | None:
        """Images that decide together by their mean scores; None = each for itself.

        Raises:
            ValueError: when set to less than 1.
        """
        self._check()
        return self._policy.batch_size

    @batch_size.setter
    def batch_size(self, batch_size: int | None) -> None:
        self._check()
        per = "sample" if batch_size is None else "batch"
        self._take(replace(self._policy, per=per, batch_size=batch_size))

    # ------------------------------------------------------------------ what it is worth

    @property
    def evaluation(self) -> Evaluation:
        """What the policy is worth on the records."""
        self._check()
        return self._evaluation

    @property
    def cloud(self) -> Cloud:
        """The policies of the cloud that is drawn, and what each is worth."""
        self._check()
        return self._cloud

    @property
    def python_line(self) -> str:
        """The policy as a line of Python that makes it again."""
        self._check()
        return python_line(self._policy)

    def best_for_accuracy(
        self, accuracy: Number, *, specificity: Number = 0.0
    ) -> ThresholdPolicy | None:
        """Go to the cheapest policy of the cloud that is at least so accurate and so specific.

        Args:
            accuracy: share right at the level of the answer, in [0, 1].
            specificity: share answered finely, in [0, 1].

        Returns:
            The policy; None where there is none, and ``message`` says what can be had.

        Raises:
            ValueError: when a share is outside [0, 1].
        """
        self._check()
        wish = Wish(accuracy=accuracy, specificity=specificity)
        self._wished_accuracy.value = round(100 * accuracy, 6)
        return self._go_to_best(
            wish,
            f"the cheapest with an accuracy of at least {percent(accuracy)}",
            lambda result: (-result.mean_macs, result.information, result.accuracy),
        )

    def best_for_budget(
        self, flops: Number, *, specificity: Number = 0.0
    ) -> ThresholdPolicy | None:
        """Go to the most accurate policy of the cloud within so many FLOPs and so specific.

        Args:
            flops: that an image may take on average.
            specificity: share answered finely, in [0, 1].

        Returns:
            The policy; None where there is none, and ``message`` says what can be had.

        Raises:
            ValueError: when the share is outside [0, 1], or the FLOPs are under 0.
        """
        self._check()
        wish = Wish(flops=flops, specificity=specificity)
        self._wished_budget.value = round(flops / 1e6, 6)
        return self._go_to_best(
            wish,
            f"the most accurate within {millions(flops)} million FLOPs an image",
            lambda result: (result.accuracy, result.information, -result.mean_macs),
        )

    def _words(self) -> str:
        now = self._evaluation
        return (
            f"{self.python_line} on {describe_records(self._records)}: "
            f"accuracy {percent(now.accuracy)}, specificity {percent(now.specificity)}, "
            f"{now.information:.2f} bits an answer, "
            f"{millions(now.mean_flops)} million FLOPs an image"
        )

    def _page(self) -> str:
        page = explorer_page(self._records, self._evaluation, self._picture)
        return f"{page}<pre>{html.escape(self.python_line)}</pre>"

    # ------------------------------------------------------------------ within

    def _start(self) -> ThresholdPolicy:
        """Where to start under the first rule."""
        kind = next(iter(self._rulebook.kinds.values()))
        return self._rulebook.start(kind, self._rulebook.setting(kind, None, self._coarse_level))

    def _take(self, policy: Policy) -> None:
        self._work_out(policy)
        self._draw()

    def _work_out(self, policy: Policy) -> None:
        """Make a policy the one shown once all that is shown about it is known."""
        checked = self._rulebook.checked(policy)
        evaluation, *along = sweep([checked, *self._rulebook.line(checked)], self._records)
        kind = self._rulebook.kind_of(checked)
        self._cloud = self._rulebook.cloud(kind, Setting.of(checked))
        self._policy, self._evaluation, self._along = checked, evaluation, along
        if isinstance(checked, TwoLevelPolicy):
            self._coarse_level = checked.coarse_level

    def _go_to_best(
        self, wish: Wish, words: str, worth: Callable[[Evaluation], tuple[Number, ...]]
    ) -> ThresholdPolicy | None:
        self._wished_specificity.value = round(100 * wish.specificity, 6)
        policies, results = self._cloud.policies, self._cloud.results
        if wish.specificity:
            words += f", answering at least {percent(wish.specificity)} finely"
        found = [number for number, result in enumerate(results) if wish.is_met(result)]
        if not found:
            none = f"None of {len(results)} policies is {words}."
            self._say(f"{none} {wish.alternative(results)}", is_problem=True)
            return None
        best = max(found, key=lambda n: worth(results[n]))
        self._take(policies[best])
        self._say(
            f"Of {len(results)} policies this one is {words}. It was chosen on "
            f"{describe_records(self._records)}: report it on other records."
        )
        return policies[best]

    def _make_menus(self) -> w.Widget:
        """The controls that every rule has."""
        set_rule = self._from_page(partial(setattr, self, "rule"))
        set_size = self._from_page(partial(setattr, self, "batch_size"))
        self._rule_menu = choice("rule", self.rules, set_rule)
        self._by_menu = choice("decide by", _BY, self._from_page(self._decide_by))
        self._size = whole_number("batch size", (1, len(self._records)), set_size)
        self._size.show(_BATCH_SIZE)
        return row(self._rule_menu.widget, self._by_menu.widget, self._size.widget)

    def _decide_by(self, by: str) -> None:
        self.batch_size = None if by == _BY[0] else self._size.value

    def _make_search(self) -> w.Widget:
        """What is wished, and the two buttons that look for it."""
        now, most = self._evaluation, self._records.macs_to(self._records.num_exits - 1)
        accuracy = number("accuracy of at least (%)", (0.0, 100.0), round(100 * now.accuracy))
        budget = number(
            "at most (million FLOPs)", (0.0, 2e-6 * most), float(millions(now.mean_flops))
        )
        specificity = number("and finely at least (%)", (0.0, 100.0), 0.0)

        def for_accuracy() -> None:
            self.best_for_accuracy(accuracy.value / 100, specificity=specificity.value / 100)

        def for_budget() -> None:
            self.best_for_budget(1e6 * budget.value, specificity=specificity.value / 100)

        self._wished_accuracy, self._wished_budget = accuracy, budget
        self._wished_specificity = specificity
        return row(
            accuracy,
            button("best for this accuracy", for_accuracy),
            budget,
            button("best for this budget", for_budget),
            specificity,
        )

    def _draw(self) -> None:
        policy = self._policy
        self._say("")
        if self._laid is not self._cloud:
            self._planes.lay(self._cloud.results)
            self._laid = self._cloud
        self._picture = self._planes.at(self._evaluation, self._along)
        self._rule_menu.show(self.rule)
        self._by_menu.show(_BY[0] if policy.batch_size is None else _BY[1])
        if policy.batch_size is not None:
            self._size.show(policy.batch_size)
        self._sliders.show(policy)
        self._page_widget.value = explorer_page(self._records, self._evaluation, self._picture)
        self._line.show(self.python_line)
