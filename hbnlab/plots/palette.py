"""One look for every figure: colours that colour-blind readers tell apart, and never colour alone.

Every style is a colour with a marker, a line and a hatch of its own, so that a figure can be read
in grey as well. Levels keep their style from figure to figure, and so do exits.
"""

from dataclasses import dataclass, replace
from typing import Any

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

SEQUENTIAL = "cividis"
"""Colour map for quantities: evenly rising brightness, alike for all kinds of colour vision."""

GREY = "#666666"
PALE = "#E8E8E8"


LineStyle = str | tuple[int, tuple[int, ...]]
"""A name that matplotlib knows, or an offset and the lengths of dashes and gaps in points."""


@dataclass(frozen=True)
class Style:
    """How one series is drawn: each of the four tells it from the others.

    Attributes:
        color: of lines, markers and areas.
        marker: at the points.
        linestyle: of lines.
        hatch: of areas.
    """

    color: str
    marker: str
    linestyle: LineStyle
    hatch: str

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for ``Axes.plot``."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.linestyle}


_SERIES = (
    Style(BLUE, "o", "-", ""),
    Style(ORANGE, "s", "--", "//"),
    Style(GREEN, "^", "-.", ".."),
    Style(PURPLE, "D", (0, (5, 1, 1, 1, 1, 1)), "xx"),
    Style(SKY, "v", (0, (7, 2)), "\\\\"),
    Style(VERMILLION, "P", (0, (3, 1)), "++"),
    Style(BLACK, "X", (0, (1, 1)), "--"),
)

_FINEST = Style(VERMILLION, "s", "-", "")
_COARSEST = Style(BLUE, "o", "--", "//")
_BETWEEN = (*_SERIES[2:5], _SERIES[6])


def series_style(index: int) -> Style:
    """Style of the exit, network or series with this index; the styles repeat after seven.

    Example:
        >>> series_style(0).marker, series_style(7) == series_style(0)
        ('o', True)
    """
    return _SERIES[index % len(_SERIES)]


def level_style(level: int, num_levels: int) -> Style:
    """Style of a level: vermillion squares for the finest, blue circles for the coarsest.

    Trees of up to six levels have a style for each.

    Example:
        >>> level_style(0, 2).marker, level_style(1, 2).marker
        ('o', 's')
    """
    if level == num_levels - 1:
        return _FINEST
    if level == 0:
        return _COARSEST
    return _BETWEEN[(level - 1) % len(_BETWEEN)]


def head_style(index: int, level: int, num_levels: int) -> Style:
    """Style of a head: colour and marker tell the exit or network, the line tells the level.

    Example:
        >>> head_style(1, 0, 2).line
        {'color': '#E69F00', 'marker': 's', 'linestyle': '--'}
    """
    return replace(series_style(index), linestyle=level_style(level, num_levels).linestyle)


def reference_line(index: int) -> dict[str, Any]:
    """Keywords for ``Axes.plot``: published results in grey, with the marker of our series."""
    marker = series_style(index).marker
    return {"color": GREY, "marker": marker, "linestyle": ":", "markerfacecolor": "none"}
