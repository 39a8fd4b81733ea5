"""Whether depth pays: leaving early against one exit for all images, on one or more trunks."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from hbnlab.formatting import millions, percent
from hbnlab.metrics import CostCurve, area_between, flops_for_accuracy
from hbnlab.plots.canvas import (
    FLOPS_LABEL,
    AxesGrid,
    as_percent,
    finish,
    light_grid,
    logarithmic,
    many_axes,
)
from hbnlab.plots.palette import GREY, series_style

_LOSSES = (0.0, -0.005, -0.01)
_DEEPEST = -0.03
"""The right panel goes no further down than a loss of 3 points."""


def does_depth_pay(
    curves: Mapping[str, tuple[CostCurve, CostCurve]], *, axes: AxesGrid | None = None
) -> np.ndarray:
    """Accuracy against FLOPs of every exit and of a rule; right, what is lost to the last exit.

    Markers are the exits, everybody at one of them; a dashed line joins those that no random
    mixture of two others beats. The solid line is the rule. FLOPs are on a logarithmic axis. In
    the right panel, accuracies are minus that of the last exit of the same trunk; exits that lose
    more than 3 points are left out.

    Args:
        curves: by the name of the trunk, the exits and the rule.
        axes: two Axes.

    Raises:
        ValueError: without any curves.

    Example:
        >>> from hbnlab.metrics import CostCurve
        >>> exits, rule = CostCurve((1e6, 9e6), (0.6, 0.8)), CostCurve((1e6, 4e6), (0.6, 0.8))
        >>> left, right = does_depth_pay({"ours": (exits, rule)})
        >>> left.get_ylabel(), right.get_xscale()
        ('accuracy', 'log')
    """
    if not curves:
        raise ValueError("curves must hold those of at least one trunk, got none")
    left, right = many_axes(axes, (1, 2), 4.4, width=5.0)[0]
    for loss in _LOSSES:
        right.axhline(loss, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
    lowest = 0.0
    for number, (name, (exits, rule)) in enumerate(curves.items()):
        last = exits.accuracy[-1]
        _draw(left, number, name, exits, rule, 0.0)
        _draw(right, number, name, exits, rule, last)
        lowest = min(lowest, *(accuracy - last for accuracy in (*exits.accuracy, *rule.accuracy)))
    for ax, label in ((left, "accuracy"), (right, "accuracy minus the last exit's (points)")):
        light_grid(ax)
        logarithmic(ax)
        ax.set(xlabel=FLOPS_LABEL, ylabel=label)
        ax.margins(0.08)
    as_percent(left.yaxis)
    right.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 6):g}"))
    right.set_ylim(bottom=max(lowest, _DEEPEST) - 0.002)
    found = "; ".join(_words(name, *pair) for name, pair in curves.items())
    words = f"Accuracy of finest answers against millions of FLOPs per image: {found}."
    return finish(np.array([left, right]), words, below=axes is None, columns=len(curves))


def _draw(ax: Axes, number: int, name: str, exits: CostCurve, rule: CostCurve, base: float) -> None:
    """The exits with their numbers, mixtures of them, and the rule, above a base."""
    style = series_style(number)
    x, y = np.array(exits.flops) / 1e6, np.array(exits.accuracy) - base
    points = {"color": style.color, "marker": style.marker, "linestyle": "none", "zorder": 3}
    ax.plot(x, y, **points, label=f"{name}: everybody at exit 1, 2, ...")
    for exit_index, point in enumerate(zip(x, y, strict=True)):
        aside = {"textcoords": "offset points", "va": "top", "fontsize": 7.5}
        ax.annotate(f"{exit_index + 1}", point, (5, -3), **aside, annotation_clip=True)
    for curve, line, label in (
        (exits.upper_hull(), "--", f"{name}: at random"),
        (rule, "-", f"{name}: by the rule"),
    ):
        x, y = _line(curve)
        ax.plot(x / 1e6, y - base, color=style.color, linestyle=line, linewidth=1.4, label=label)


def _line(curve: CostCurve) -> tuple[np.ndarray, np.ndarray]:
    """Enough points of a curve that its straight lines bend as a logarithmic axis bends them."""
    first, last = curve.flops[0], curve.flops[-1]
    x = np.union1d(curve.flops, np.geomspace(first, last, 200).clip(first, last))
    return x, np.array([curve.accuracy_at(flops) for flops in x])


def _words(name: str, exits: CostCurve, rule: CostCurve) -> str:
    points = zip(exits.accuracy, exits.flops, strict=True)
    text = ", ".join(f"{percent(accuracy)} at {millions(flops)}" for accuracy, flops in points)
    text = f"on the trunk {name}, everybody at one exit {text}"
    if len(exits.flops) == 1:
        return text
    gain = 100 * area_between(rule, exits.upper_hull())
    needed = flops_for_accuracy(rule, exits.accuracy[-1] - 0.005)
    reached = f"is within 0.5 points of the last exit at {millions(needed)} and "
    return f"{text}; the rule {reached * math.isfinite(needed)}gains {gain:.2f} points on average"
