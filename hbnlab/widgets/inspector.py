"""One image, its path through the network, and why the policy sends it there."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ipywidgets as w

from hbnlab.formatting import plural
from hbnlab.policies import Policy
from hbnlab.records import Decisions, ExitRecords
from hbnlab.widgets.controls import Choice, button, row, whole_number
from hbnlab.widgets.image_filter import ANY, KINDS, ImageFilter, class_choices, difficulty_choices
from hbnlab.widgets.image_trace import ImageDecision, ImageTrace
from hbnlab.widgets.inspector_page import inspector_page, outcome_line, reasons
from hbnlab.widgets.panel import StatusLine
from hbnlab.widgets.policy_panel import PolicyPanel, PolicySliders
from hbnlab.widgets.problems import Images, images_problem, policy_problem, records_problem

_LABELS = {"kind": "kind of image", "class_name": "class", "difficulty": "difficulty"}


def _choice(described: Callable[..., Any]) -> property:
    """A field of the filter as a property, which can be set to one of a few words."""
    name = described.__name__
    return property(
        lambda panel: getattr(panel._filter, name),
        lambda panel, value: panel._look_for(name, value),
        doc=described.__doc__,
    )


class ExitInspector(PolicyPanel):
    """Why an image leaves where it leaves, and what would make it leave elsewhere.

    Displays the image, its path through the network, what each branch says (the most probable
    classes of each head, and its entropy), and the comparisons that the policy makes up to where
    the image leaves. Choose an image by its index, or step through those of a class, of a quarter
    of difficulty, that leave early, that are answered wrong, or that get a fine answer at coarse
    confidence (the fine entropy is lower than the coarse one). Move the numbers of the policy with
    sliders, arrow keys or number boxes; or do all of it from Python:

        panel = ExitInspector(records, split.images, FineTolerance([1.0, 1.0], 0.5))
        panel                            # as the last line of a cell
        panel.image_index = 7
        panel.fine_tolerance = 0.4
        panel.decision.exit_index, panel.decision.answer, panel.decision.is_right
        print(panel.verdict)             # "... 1.20 - 0.50 < 0.80: yes, answer fine ..."
        panel.kind = "wrong"             # jumps to the first image that is answered wrong
        panel.next()
        panel.static()                   # a picture of the panel, for where no widget runs

    With a problem, every attribute below ``problem`` raises it as a ValueError.

    Args:
        records: what every exit said, such as ``collect_records`` returns.
        images: those of the records, in their order, as bytes (3, height, width); of a split,
            ``split.images``.
        policy: any policy that fits the records. Each number that it calls adjustable gets a
            slider; one that decides by batch is explained by the means over the batch.
    """

    def __init__(self, records: ExitRecords, images: Images, policy: Policy) -> None:
        problem = records_problem(records) or images_problem(images, records)
        super().__init__(problem or policy_problem(policy, records))
        if self.problem:
            return
        self._records, self._images, self._policy = records, images, policy
        self._index, self._filter = 0, ImageFilter()
        self._choices = {
            "kind": [ANY, *KINDS],
            "class_name": [ANY, *class_choices(records.hierarchy)],
            "difficulty": [ANY, *difficulty_choices(records)],
        }
        self._decisions = policy.decide(records)
        self._matches = self._find()
        self._make_pickers()
        self._sliders = PolicySliders(records.hierarchy, self._on_page(self._take))
        self._message, self._found = StatusLine(), w.HTML()
        self._outcome, self._reasons = w.HTML(), w.HTML()
        pickers = row(*self._pickers, self._found)
        controls = [pickers, self._sliders.widget, self._message.widget]
        self._widget = w.VBox([*controls, self._outcome, self._reasons])
        self._draw()

    # ------------------------------------------------------------------ the image

    @property
    def image_index(self) -> int:
        """Index of the image, from 0. Set it to go to another image.

        Raises:
            ValueError: when set to an index outside the records.
        """
        return self._index

    @image_index.setter
    def image_index(self, index: int) -> None:
        if not 0 <= index < len(self._records):
            raise ValueError(f"image_index must be in 0..{len(self._records) - 1}, got {index}")
        self._index = int(index)
        self._draw()

    @_choice
    def kind(self) -> Any:
        """What the policy does with the images to step through.

        ``"any"``, ``"leaves early"``, ``"wrong"`` or ``"fine answer at coarse confidence"``.
        Setting this, ``class_name`` or ``difficulty`` goes to the first image that matches, unless
        the current one does.

        Raises:
            ValueError: when set to anything else.
        """

    @_choice
    def class_name(self) -> Any:
        """Class of the images to step through, with its level: ``"fine: poodle"``; or ``"any"``.

        Raises:
            ValueError: when set to a class that is not in the tree.
        """

    @_choice
    def difficulty(self) -> Any:
        """Difficulty of the images to step through, such as ``"easiest quarter"``; or ``"any"``.

        Raises:
            ValueError: when set to anything else, or to a quarter although difficulty is not known
                for every image.
        """

    @property
    def matches(self) -> tuple[int, ...]:
        """Indices of all images with the chosen kind, class and difficulty."""
        return self._matches

    def next(self) -> None:
        """Go to the next image that matches; after the last, to the first."""
        later = [index for index in self._matches if index > self._index]
        self._go([*later, *self._matches])

    def previous(self) -> None:
        """Go to the previous image that matches; before the first, to the last."""
        earlier = [index for index in self._matches if index < self._index]
        self._go([*reversed(earlier), *reversed(self._matches)])

    # ------------------------------------------------------------------ what comes of it

    @property
    def decision(self) -> ImageDecision:
        """What the policy decides about the current image."""
        return self._trace.decision

    @property
    def decisions(self) -> Decisions:
        """What the policy decides about all images."""
        return self._decisions

    @property
    def verdict(self) -> str:
        """The policy's comparisons, one line per exit up to where the image leaves.

        The last line says where it leaves, with what answer, and whether that is right.
        """
        return self._trace.verdict

    def _words(self) -> str:
        return f"image {self._index} of {self._records.split} {self.decision}"

    def _page(self) -> str:
        return inspector_page(self._trace)

    # ------------------------------------------------------------------ within

    def _take(self, policy: Policy) -> None:
        self._decisions = policy.decide(self._records)
        self._policy = policy
        self._matches = self._find()
        self._draw()

    def _make_pickers(self) -> None:
        self._index_box = whole_number(
            "image", (0, len(self._records) - 1), partial(setattr, self, "image_index")
        )
        self._menus = {
            name: Choice(label, self._choices[name], partial(setattr, self, name))
            for name, label in _LABELS.items()
        }
        steps = [
            button("previous", self.previous, tooltip="the previous image that matches"),
            button("next", self.next, tooltip="the next image that matches"),
        ]
        menus = (menu.widget for menu in self._menus.values())
        self._pickers = (self._index_box.widget, *steps, *menus)

    def _look_for(self, what: str, value: str) -> None:
        if value not in self._choices[what]:
            raise ValueError(f"{what} must be one of {self._choices[what]}, got {value!r}")
        self._filter = replace(self._filter, **{what: value})
        self._matches = self._find()
        self._go([self._index] if self._index in self._matches else self._matches)

    def _find(self) -> tuple[int, ...]:
        level = getattr(self._policy, "coarse_level", 0)
        found = self._filter.matches(self._records, self._decisions, level)
        return tuple(found.nonzero()[:, 0].tolist())

    def _go(self, indices: Sequence[int]) -> None:
        """Go to the first of some images; without any, stay at the current one."""
        self._index = indices[0] if indices else self._index
        self._draw()

    def _draw(self) -> None:
        """Bring the page up to date, without a message."""
        self._trace = ImageTrace(
            self._index, self._images[self._index], self._records, self._policy, self._decisions
        )
        self._message.show("")
        self._index_box.show(self._index)
        for what, menu in self._menus.items():
            menu.show(getattr(self._filter, what))
        self._sliders.show(self._policy)
        found, total = len(self._matches), plural(len(self._records), "image")
        here = "does" if self._index in self._matches else "does not"
        self._found.value = f"{found:,} of {total} match, this one {here}."
        self._outcome.value = outcome_line(self._trace)
        self._reasons.value = reasons(self._trace)
