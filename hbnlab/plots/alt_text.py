"""What a figure shows, in words: kept with its Axes and written beside every picture of it.

Every figure function of this package composes one line of text with the numbers in it and sets it
as the label of the Axes that it returns (``Axes.get_label``), so the text lives as long as they do.
``describe`` reads it. Jupyter shows plain figures without alternative text, whatever their
metadata say; ``to_html`` gives an image that has it.
"""

import base64
import html
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# With these, the bytes would depend on the version of matplotlib and on the date.
_WITHOUT_METADATA = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}

Drawing = Axes | np.ndarray | Figure
"""What a figure function of this package returns, or a figure that several of them drew on."""


def set_description(axes: Axes | np.ndarray, text: str) -> None:
    """Keep one line of text with the Axes of a figure.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, ax = plt.subplots()
        >>> set_description(ax, "Two lines that cross at 3.")
        >>> describe(figure)
        'Two lines that cross at 3.'
        >>> plt.close(figure)
    """
    for ax in all_axes(axes):
        ax.set_label(" ".join(text.split()))


def describe(axes: Drawing) -> str:
    """Say in one line what a figure shows, numbers included: its alternative text.

    Args:
        axes: what a figure function of this package returned, or a figure that several of them
            drew on; their descriptions are joined.

    Raises:
        ValueError: when none of them drew there.
    """
    labels = [str(ax.get_label()) for ax in all_axes(axes)]
    # Matplotlib names the axes of colour bars "<colorbar>".
    found = [text for text in dict.fromkeys(labels) if text and not text.startswith("<")]
    if not found:
        raise ValueError(
            f"a figure drawn by hbnlab.plots is expected, got {axes!r} without a description"
        )
    return " ".join(found)


@dataclass(frozen=True)
class HtmlFigure:
    """A picture with alternative text, which Jupyter shows as the output of a cell.

    Attributes:
        png: the content of a PNG file.
        alt: what the picture shows, in words.
        width: in CSS pixels.
    """

    png: bytes
    alt: str
    width: int

    def __repr__(self) -> str:
        return f"<figure: {self.alt}>"

    def _repr_html_(self) -> str:
        return image_element(self.png, "png", self.alt, self.width, "max-width: 100%")


@dataclass(frozen=True)
class FigureFiles:
    """The content of the files of a figure.

    Attributes:
        svg: scalable, with its text as text.
        png: for where SVG is not shown.
        alt: what the figure shows, in words.
    """

    svg: bytes
    png: bytes
    alt: str


def to_html(axes: Drawing, *, dpi: int = 110) -> HtmlFigure:
    """Turn a figure into a picture that carries its description, and close the figure.

    It is closed so that Jupyter does not show it a second time, without the description. Leave the
    call as the last line of a cell: ``plots.to_html(plots.reliability_diagrams(records))``.

    Args:
        axes: what a figure function returned, or the figure.
        dpi: pixels per inch.

    Raises:
        ValueError: for a figure without a description; it is closed all the same.
    """
    with _closing(axes) as (figure, words):
        return HtmlFigure(saved(figure, "png", dpi), words, round(figure.get_figwidth() * 100))


def to_files(axes: Drawing, *, dpi: int = 100) -> FigureFiles:
    """Turn a figure into the content of an SVG and a PNG file, and close the figure.

    Equal figures give equal bytes.

    Args:
        axes: what a figure function returned, or the figure.
        dpi: pixels per inch, of the PNG and of pictures within the SVG.

    Raises:
        ValueError: for a figure without a description; it is closed all the same.
    """
    with _closing(axes) as (figure, words):
        return FigureFiles(saved(figure, "svg", dpi), saved(figure, "png", dpi), words)


def image_element(data: bytes, kind: str, words: str, width: int, style: str) -> str:
    """An HTML image element that contains its data, with alternative text."""
    encoded = base64.b64encode(data).decode("ascii")
    return (
        f'<img alt="{html.escape(words)}" width="{width}" style="{style}" '
        f'src="data:image/{kind};base64,{encoded}">'
    )


def figure_of(axes: Drawing) -> Figure:
    """The figure that holds these Axes.

    Raises:
        ValueError: for Axes that are in no figure, or an array without Axes.
    """
    if isinstance(axes, Figure):
        return axes
    figure = next((ax.get_figure(root=True) for ax in all_axes(axes)), None)
    if not isinstance(figure, Figure):
        raise ValueError(f"Axes in a figure are expected, got {axes!r} in {figure!r}")
    return figure


@contextmanager
def _closing(axes: Drawing) -> Iterator[tuple[Figure, str]]:
    """The figure and its description; the figure is closed afterwards, whatever happens."""
    figure = figure_of(axes)
    try:
        yield figure, describe(axes)
    finally:
        plt.close(figure)


def saved(figure: Figure, kind: str, dpi: int = 100) -> bytes:
    """The content of an SVG or PNG file of a figure; equal figures give equal bytes."""
    file = io.BytesIO()
    # Text as outlines would make up most of an SVG; without the salt its ids are random. The
    # settings hold within this block only.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hbnlab"}):
        figure.savefig(file, format=kind, dpi=dpi, metadata=_WITHOUT_METADATA[kind])
    return file.getvalue()


def all_axes(axes: Drawing) -> Iterable[Axes]:
    """The Axes of a drawing, one after the other."""
    return axes.axes if isinstance(axes, Figure) else np.ravel(np.asarray(axes, dtype=object))
