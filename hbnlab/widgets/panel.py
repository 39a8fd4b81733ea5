"""What all panels share: how they are displayed, and their static twin."""

import html
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import ipywidgets as w

from hbnlab.widgets.controls import close_tree

_MESSAGE = "border-left: 4px solid; color: #111; padding: 8px 12px; line-height: 1.35"
_PROBLEM = f"{_MESSAGE}; border-color: #D55E00; background: #FFF4EC"
_NEWS = f"{_MESSAGE}; border-color: #0072B2; background: #EEF6FB"


@dataclass(frozen=True)
class StaticPanel:
    """What a panel displays, as a page without controls; Jupyter renders it as it is.

    Attributes:
        html: the page.
        words: a summary of one line.
    """

    html: str
    words: str

    def __repr__(self) -> str:
        return f"<{self.words}>"

    def _repr_html_(self) -> str:
        return self.html


class Panel(ABC):
    """A widget that is a plain object: its attributes move it and tell what it displays.

    Where no widget runs (a page on the web, a notebook opened without its kernel) the display
    falls back to the static twin.
    """

    _widget: w.Widget

    def __init__(self, problem: str = "") -> None:
        self._problem = problem
        if problem:
            self._widget = w.HTML(message(problem))

    @property
    def widget(self) -> w.Widget:
        """The ipywidgets box, for use in a layout of your own."""
        return self._widget

    @property
    def problem(self) -> str:
        """What is wrong with what the panel was given, in words; empty where nothing is.

        A panel with a problem displays it instead of everything else.
        """
        return self._problem

    @property
    def words(self) -> str:
        """What the panel displays, in one line; its problem if it has one."""
        return self.problem or self._words()

    def to_html(self) -> str:
        """What the panel displays, as HTML without controls; its problem if it has one."""
        return message(self.problem) if self.problem else self._page()

    def static(self) -> StaticPanel:
        """The twin for where no widget runs: what the panel displays now, with alternative text."""
        return StaticPanel(self.to_html(), self.words)

    def close(self) -> None:
        """Remove the panel from every page for good, so that its memory can be freed.

        A closed panel still answers from Python, and displays its static twin.
        """
        close_tree(self.widget)

    @abstractmethod
    def _words(self) -> str:
        """What a panel without a problem displays, in one line."""

    @abstractmethod
    def _page(self) -> str:
        """What a panel without a problem displays, as HTML without controls."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a misspelt one would otherwise be accepted without effect."""
        if not name.startswith("_"):
            settable = [
                known
                for known in dir(type(self))
                if getattr(getattr(type(self), known), "fset", None)
            ]
            if name not in settable:
                raise AttributeError(
                    f"{type(self).__name__} has no attribute {name!r} that can be set; those that "
                    f"can are: {', '.join(settable) or 'none'}"
                )
        super().__setattr__(name, value)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Raise the problem of a panel that has one, instead of the attribute that it lacks."""
            # Names that end in an underscore are those by which Jupyter finds out how to display.
            if vars(self).get("_problem") and not name.endswith("_"):
                raise ValueError(self._problem)
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.words}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        del include, exclude
        # ipywidgets replaces the method by None when a widget is closed.
        bundle = self.widget._repr_mimebundle_
        interactive = dict((bundle() if bundle else None) or {})
        return interactive | {"text/plain": repr(self), "text/html": self.to_html()}


class StatusLine:
    """A message on the page that a screen reader reads out when it changes.

    Attributes:
        widget: what is put on the page.
        words: the message; empty where there is none.
    """

    def __init__(self) -> None:
        self.widget, self.words = w.HTML(), ""

    def show(self, words: str, *, is_problem: bool = False) -> None:
        """Replace the message; empty words remove it."""
        self.words = words
        self.widget.value = message(words, is_problem=is_problem) if words else ""


def message(text: str, *, is_problem: bool = True) -> str:
    """A message that a screen reader reads out: a problem or, else, news."""
    style = _PROBLEM if is_problem else _NEWS
    return f'<div role="status" style="{style}">{html.escape(text)}</div>'
