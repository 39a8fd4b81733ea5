"""What the widgets share: how they are shown, and their twin for where no widget runs."""

import html
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import ipywidgets as w

from hbnlab.widgets.controls import close_tree

_MESSAGE = "border-left: 4px solid; color: #111; padding: 8px 12px; line-height: 1.35"
_PROBLEM = f"{_MESSAGE}; border-color: #D55E00; background: #FFF4EC"
_NEWS = f"{_MESSAGE}; border-color: #0072B2; background: #EEF6FB"


@dataclass(frozen=True)
class StaticPanel:
    """What a widget shows, as a page that nothing moves on; Jupyter shows it as it is.

    Attributes:
        html: the page.
        words: the same in one line.
    """

    html: str
    words: str

    def __repr__(self) -> str:
        return f"<{self.words}>"

    def _repr_html_(self) -> str:
        return self.html


class Panel(ABC):
    """A widget that is a plain object: attributes move it, and say what it shows.

    Where no widget runs (a page on the web, a notebook opened without its kernel) the display
    falls back to the static twin.

    Attributes:
        widget: the ipywidgets box, for use in a layout of one's own.
        problem: what is wrong with what the panel was given, in words; empty where nothing is.
            A panel with a problem shows it in the place of everything else.
    """

    widget: w.Widget

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        if problem:
            self.widget = w.HTML(message(problem))

    @abstractmethod
    def _words(self) -> str:
        """What a panel without a problem shows, in one line."""

    @abstractmethod
    def _page(self) -> str:
        """What a panel without a problem shows, as HTML that nothing moves on."""

    @property
    def words(self) -> str:
        """What the panel shows, in one line; its problem where it has one."""
        return self.problem or self._words()

    def to_html(self) -> str:
        """What the panel shows, as HTML that nothing moves on; its problem where it has one."""
        return message(self.problem) if self.problem else self._page()

    def static(self) -> StaticPanel:
        """The twin for where no widget runs: what the panel shows now, with alternative text."""
        return StaticPanel(self.to_html(), self.words)

    def close(self) -> None:
        """Take the panel off every page for good, so that it and its records can be forgotten.

        Closed, it still answers from Python, and shows its static twin.
        """
        close_tree(self.widget)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.words}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        del include, exclude
        # ipywidgets puts None in the place of the method when a widget is closed.
        bundle = self.widget._repr_mimebundle_
        shown = dict((bundle() if bundle else None) or {})
        return shown | {"text/plain": repr(self), "text/html": self.to_html()}

    def _check(self) -> None:
        """Refuse to go on with what the panel cannot show."""
        if self.problem:
            raise ValueError(self.problem)


class StatusLine:
    """Words with a place of their own on the page, so that they alone change when they do.

    Attributes:
        widget: what is put on the page.
    """

    def __init__(self) -> None:
        self.widget = w.HTML()

    def show(self, words: str, *, is_problem: bool = False) -> None:
        """Show other words, or none."""
        self.widget.value = message(words, is_problem=is_problem) if words else ""


def message(text: str, *, is_problem: bool = True) -> str:
    """Words that a screen reader reads out as they come: a problem or, else, news."""
    style = _PROBLEM if is_problem else _NEWS
    return f'<div role="status" style="{style}">{html.escape(text)}</div>'
