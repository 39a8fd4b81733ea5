"""One image, the path it takes, and the rule that sends it there."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import ipywidgets as w

from hbnlab.formatting import plural
from hbnlab.policies import Policy, TwoLevelPolicy
from hbnlab.records import Decisions, ExitRecords
from hbnlab.widgets.controls import button, choice, row, whole_number
from hbnlab.widgets.image_filter import KINDS, ImageFilter, class_choices, difficulty_choices
from hbnlab.widgets.image_trace import ImageDecision, ImageTrace
from hbnlab.widgets.inspector_page import inspector_page, outcome_line, reasons
from hbnlab.widgets.panel import StatusLine
from hbnlab.widgets.policy_panel import PolicyPanel, PolicySliders
from hbnlab.widgets.problems import Images, images_problem, policy_problem, records_problem


class ExitInspector(PolicyPanel[Policy]):
    """Why one image leaves where it leaves, and what it would take for it to leave elsewhere.

    Shows the image, the network with the path taken, what every branch says (the most probable
    classes of each head, and its entropy), and the rule with its numbers and its verdict up to
    where the image leaves. Pick an image by index, or go through those of a class, of a quarter
    of difficulty, that leave early, that are answered wrong, or that get a fine answer at coarse
    confidence (the fine entropy is under the coarse one). Move thresholds and tolerance with the
    sliders, by arrow keys or in the number boxes; or do all of it from Python:

        panel = ExitInspector(records, split.images, FineTolerance([1.0, 1.0], 0.5))
        panel                            # as the last line of a cell
        panel.image_index = 7
        panel.fine_tolerance = 0.4
        panel.decision.exit_index, panel.decision.answer, panel.decision.is_right
        print(panel.verdict)             # "... 1.20 - 0.50 < 0.80: yes, answer fine ..."
        panel.kind = "wrong"             # jumps to the first image that is answered wrong
        panel.next()
        panel.static()                   # a picture of it, for where no widget runs

    Args:
        records: what every exit said, such as ``collect_records`` gives.
        images: those of the records, in their order, as bytes (3, height, width); of a split,
            ``split.images``.
        policy: any rule that fits the records. One with thresholds has a slider for each,
            ``FineTolerance`` one more; one that decides by batch is explained by batch means.

    Attributes:
        problem: why nothing can be shown, in words, or empty. With a problem everything below
            raises a ValueError that says it.
        message: why the last change on the page was refused; empty where it was not.
    """

    def __init__(self, records: ExitRecords, images: Images, policy: Policy) -> None:
        problem = records_problem(records) or images_problem(images, records)
        super().__init__(problem or policy_problem(policy, records))
        if self.problem:
            return
        self._records, self._images, self._policy = records, images, policy
        self._index, self._filter = 0, ImageFilter()
        self._decisions = policy.decide(records)
        self._matches = self._find()
        self._make_pickers()
        self._sliders = PolicySliders(records.hierarchy, self._from_page(self._take))
        self._message, self._found = StatusLine(), w.HTML()
        self._outcome, self._reasons = w.HTML(), w.HTML()
        controls = [self._pickers, self._found, self._sliders.widget, self._message.widget]
        self.widget = w.VBox([*controls, self._outcome, self._reasons])
        self._draw()

    # ------------------------------------------------------------------ the image

    @property
    def image_index(self) -> int:
        """Number of the image shown, from 0. Set it to show another.

        Raises:
            ValueError: when set to an image that is not there.
        """
        self._check()
        return self._index

    @image_index.setter
    def image_index(self, index: int) -> None:
        self._check()
        if not 0 <= index < len(self._records):
            raise ValueError(f"image_index must be in 0..{len(self._records) - 1}, got {index}")
        self._index = int(index)
        self._draw()

    @property
    def kind(self) -> str:
        """What the policy does with the images looked through; one of ``picking.KINDS``.

        ``"any"``, ``"leaves early"``, ``"wrong"`` or ``"fine answer at coarse confidence"``.
        Setting this, ``class_name`` or ``difficulty`` goes to the first image that fits, unless
        the one shown does.

        Raises:
            ValueError: when set to anything else.
        """
        self._check()
        return self._filter.kind

    @kind.setter
    def kind(self, kind: str) -> None:
        self._look_for("kind", kind, KINDS)

    @property
    def class_name(self) -> str:
        """Class of the images looked through, with its level: ``"fine: poodle"``, or ``"any"``.

        Raises:
            ValueError: when set to a class that the tree has not.
        """
        self._check()
        return self._filter.class_name

    @class_name.setter
    def class_name(self, class_name: str) -> None:
        self._check()
        self._look_for("class_name", class_name, class_choices(self._records.hierarchy))

    @property
    def difficulty(self) -> str:
        """Quarter of the images looked through, ``"easiest quarter"`` and so on, or ``"any"``.

        Raises:
            ValueError: when set to anything else, or to a quarter where difficulty is not known of
                every image.
        """
        self._check()
        return self._filter.difficulty

    @difficulty.setter
    def difficulty(self, difficulty: str) -> None:
        self._check()
        self._look_for("difficulty", difficulty, difficulty_choices(self._records))

    @property
    def matches(self) -> tuple[int, ...]:
        """Numbers of all images that are of the kind, the class and the difficulty wished."""
        self._check()
        return self._matches

    def next(self) -> None:
        """Show the next image that fits; after the last, the first."""
        self._check()
        later = [index for index in self._matches if index > self._index]
        self._go([*later, *self._matches])

    def previous(self) -> None:
        """Show the image before that fits; before the first, the last."""
        self._check()
        earlier = [index for index in self._matches if index < self._index]
        self._go([*reversed(earlier), *reversed(self._matches)])

    # ------------------------------------------------------------------ what comes of it

    @property
    def decision(self) -> ImageDecision:
        """What the policy decides about the image shown."""
        self._check()
        return self._trace.decision

    @property
    def decisions(self) -> Decisions:
        """What the policy decides about all images."""
        self._check()
        return self._decisions

    @property
    def verdict(self) -> str:
        """The rule with its numbers, a line for each exit up to where the image leaves.

        The last line says where it leaves, with what answer, and whether that is right.
        """
        self._check()
        return self._trace.verdict

    def _words(self) -> str:
        return f"image {self._index} of {self._records.split} {self.decision}"

    def _page(self) -> str:
        return inspector_page(self._trace, self._records)

    # ------------------------------------------------------------------ within

    def _take(self, policy: Policy) -> None:
        self._decisions = policy.decide(self._records)
        self._policy = policy
        self._matches = self._find()
        self._draw()

    def _make_pickers(self) -> None:
        last = len(self._records) - 1
        self._number = whole_number("image", (0, last), partial(setattr, self, "image_index"))
        self._menus = {
            "kind": choice("kind of image", KINDS, partial(setattr, self, "kind")),
            "class_name": choice(
                "class",
                class_choices(self._records.hierarchy),
                partial(setattr, self, "class_name"),
            ),
            "difficulty": choice(
                "difficulty",
                difficulty_choices(self._records),
                partial(setattr, self, "difficulty"),
            ),
        }
        steps = [
            button("previous", self.previous, tooltip="the image before that matches"),
            button("next", self.next, tooltip="the next image that matches"),
        ]
        self._pickers = row(
            self._number.widget, *steps, *(menu.widget for menu in self._menus.values())
        )

    def _look_for(self, what: str, value: str, choices: Sequence[str]) -> None:
        self._check()
        if value not in choices:
            raise ValueError(f"{what} must be one of {list(choices)}, got {value!r}")
        self._filter = replace(self._filter, **{what: value})
        self._matches = self._find()
        self._go([self._index] if self._index in self._matches else self._matches)

    def _find(self) -> tuple[int, ...]:
        level = self._policy.coarse_level if isinstance(self._policy, TwoLevelPolicy) else 0
        found = self._filter.matches(self._records, self._decisions, level)
        return tuple(found.nonzero()[:, 0].tolist())

    def _go(self, indices: Sequence[int]) -> None:
        """Show the first of some images; where there is none, the one shown stays."""
        self._index = indices[0] if indices else self._index
        self._draw()

    def _draw(self) -> None:
        """Put everything on the page where the state says it is."""
        self._trace = ImageTrace.of(
            self._index, self._images[self._index], self._records, self._policy, self._decisions
        )
        self._say("")
        self._number.show(self._index)
        for what, menu in self._menus.items():
            menu.show(getattr(self._filter, what))
        self._sliders.show(self._policy)
        found, total = len(self._matches), plural(len(self._records), "image")
        here = "this one too" if self._index in self._matches else "this one does not"
        self._found.value = f"{found:,} of {total} match, {here}."
        self._outcome.value = outcome_line(self._trace)
        self._reasons.value = reasons(self._trace, self._records)
