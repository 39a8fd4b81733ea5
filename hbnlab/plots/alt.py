"""What a figure shows, in words, kept on its Axes and put beside it where a page can show it.

Every figure function of this package composes one line of text with the numbers in it and sets it
as the label of the Axes it returns (``Axes.get_label``), where it lives and dies with them.
``describe`` reads it. Jupyter shows plain figures without alternative text, whatever their
metadata say; ``to_html`` gives an image that has it.
"""

import base64
import html
import io
from collections.abc import Iterable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def set_description(axes: Axes | np.ndarray, text: str) -> None:
    """Keep one line of words with the Axes of a figure."""
    for ax in _all_axes(axes):
        ax.set_label(" ".join(text.split()))


def describe(axes: Axes | np.ndarray | Figure) -> str:
    """Say in one line what a figure shows, numbers included: its alternative text.

    Args:
        axes: what a figure function of this package returned, or a figure that several of them
            have drawn on, whose descriptions are then joined.

    Raises:
        ValueError: when none of them drew there.
    """
    labels = [str(ax.get_label()) for ax in _all_axes(axes)]
    # Matplotlib names the axes of colour bars "<colorbar>".
    found = [text for text in dict.fromkeys(labels) if text and not text.startswith("<")]
    if not found:
        raise ValueError(f"a figure drawn by hbnlab.plots is expected, got {axes!r} without words")
    return " ".join(found)


@dataclass(frozen=True)
class HtmlFigure:
    """A picture with alternative text, which Jupyter shows as the output of a cell.

    Attributes:
        png: the picture as a file.
        alt: what it shows, in words.
        width: in CSS pixels.
    """

    png: bytes
    alt: str
    width: int

    def __repr__(self) -> str:
        return f"<figure: {self.alt}>"

    def _repr_html_(self) -> str:
        source = base64.b64encode(self.png).decode("ascii")
        return (
            f'<img alt="{html.escape(self.alt)}" width="{self.width}" style="max-width: 100%" '
            f'src="data:image/png;base64,{source}">'
        )


def to_html(axes: Axes | np.ndarray | Figure, *, dpi: int = 110) -> HtmlFigure:
    """Turn a figure into a picture that carries its description, and close it.

    It is closed so that Jupyter does not show it a second time, without the words. Leave it as the
    last line of a cell: ``plots.to_html(plots.reliability_diagrams(records))``.

    Args:
        axes: what a figure function returned, or the figure.
        dpi: pixels an inch.

    Raises:
        ValueError: for a figure without words, as ``describe``; it is closed all the same.
    """
    figure, picture = figure_of(axes), io.BytesIO()
    try:
        words = describe(axes)
        # Without the metadata equal figures are equal bytes, whatever matplotlib drew them.
        figure.savefig(picture, format="png", dpi=dpi, metadata={"Software": None})
    finally:
        plt.close(figure)
    return HtmlFigure(picture.getvalue(), words, round(figure.get_figwidth() * 100))


def figure_of(axes: Axes | np.ndarray | Figure) -> Figure:
    """The figure that holds these Axes.

    Raises:
        ValueError: for Axes that are in none, or no Axes at all.
    """
    if isinstance(axes, Figure):
        return axes
    figure = next((ax.get_figure(root=True) for ax in _all_axes(axes)), None)
    if not isinstance(figure, Figure):
        raise ValueError(f"Axes in a figure are expected, got {axes!r} in {figure!r}")
    return figure


def _all_axes(axes: Axes | np.ndarray | Figure) -> Iterable[Axes]:
    if isinstance(axes, Axes):
        return [axes]
    return axes.axes if isinstance(axes, Figure) else axes.flat
