"""A figure as files: SVG and PNG, the same bytes for the same figure."""

import io
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hbnlab.plots.alt import describe, figure_of


@dataclass(frozen=True)
class FigureFiles:
    """A figure ready to be written.

    Attributes:
        svg: scalable, with its text as text.
        png: for where SVG is not shown.
        alt: what it shows, in words.
    """

    svg: bytes
    png: bytes
    alt: str


def to_files(axes: Axes | np.ndarray | Figure, *, dpi: int = 100) -> FigureFiles:
    """Turn a figure into the content of an SVG and a PNG file, and close it.

    Args:
        axes: what a figure function returned, or the figure.
        dpi: pixels an inch, of the PNG and of the pictures within the SVG.

    Raises:
        ValueError: for a figure without words, as ``describe``; it is closed all the same.
    """
    figure = figure_of(axes)
    # Text as outlines would make up most of a file; the salt and the missing date keep equal
    # figures equal. The settings hold within this function only.
    try:
        words = describe(axes)
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hbnlab"}):
            svg = _content(figure, "svg", dpi, {"Date": None, "Creator": None})
        png = _content(figure, "png", dpi, {"Software": None})
    finally:
        plt.close(figure)
    return FigureFiles(svg, png, words)


def _content(figure: Figure, kind: str, dpi: int, metadata: dict[str, None]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=dpi, metadata=metadata)
    return file.getvalue()
