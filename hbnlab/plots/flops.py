"""What accuracy costs: exits, rules and networks against FLOPs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hbnlab.formatting import millions, percent, plural
from hbnlab.metrics import (
    Evaluation,
    PublishedResults,
    ReferenceCurve,
    cell_table,
    reference_curve,
    sweep,
)
from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import (
    FLOPS_LABEL,
    LEGEND,
    as_percent,
    describe_records,
    light_grid,
    listed,
    one_axes,
    published_words,
    shared_legend,
)
from hbnlab.plots.palette import BLACK, GREY, REFERENCE, SEQUENTIAL, level_style, series_style
from hbnlab.policies import FineTolerance, Policy
from hbnlab.records import ExitRecords


def exits_and_policies(
    records: ExitRecords, policies: Sequence[Policy] = (), *, ax: Axes | None = None
) -> Axes:
    """Accuracy against FLOPs of every exit and level, with the operating points of rules.

    A line joins the exits at each level; all images would leave there. The diamonds are the
    policies, coloured by specificity and joined in the order given, such as that of a rising
    tolerance.

    Args:
        records: of one network.
        policies: decide about the same records.
        ax: where to draw.

    Raises:
        ValueError: when a policy asks for a head that is not there.
    """
    rows, results = cell_table(records), sweep(policies, records)
    ax = one_axes(ax, (7.5, 4.6))
    for level, name in enumerate(records.hierarchy.level_names):
        here = [row for row in rows if row["level"] == name]
        if not here:
            continue
        style = level_style(level, records.hierarchy.num_levels)
        x, y = [row["flops"] / 1e6 for row in here], [row["accuracy"] for row in here]
        ax.plot(x, y, **style.line, markersize=7, label=f"all images {name}")
        for row in here:
            _note_exit(ax, row, rows, results)
    if results:
        _draw_rules(ax, rows, policies, results)
    ax.set(xlabel=FLOPS_LABEL, ylabel="accuracy at the level of the answer")
    as_percent(ax.yaxis)
    ax.margins(0.1)
    light_grid(ax)
    ax.legend(**LEGEND)
    set_description(ax, _words(records, rows, results))
    return ax


def accuracy_against_flops(
    networks: Mapping[str, ExitRecords],
    *,
    published: PublishedResults | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Accuracy of every head against the FLOPs to its exit: a line for each network and level.

    FLOPs are counted as the study does, all branches on the way included. Marker and colour tell
    the network, the line the level (dashed coarse, solid fine).

    Args:
        networks: records by name; the names of the study where its results are wanted too.
        published: results of the networks of the same names, drawn in grey. The axis of FLOPs is
            then logarithmic, because those networks have full width.
        ax: where to draw.

    Raises:
        ValueError: without networks, and for one without published results.

    Source:
        The notebooks beside the code of Sanati et al.
    """
    if not networks:
        raise ValueError("networks must hold the records of at least one, got none")
    curves = {name: _reference_curves(published, name, r.num_exits) for name, r in networks.items()}
    is_new, ax = ax is None, one_axes(ax, (8.0, 4.8))
    said = []
    for number, (name, records) in enumerate(networks.items()):
        rows = cell_table(records)
        _draw_network(ax, rows, records, name, number)
        _draw_reference(ax, curves[name], name, number)
        best = max(rows, key=lambda row: row["accuracy"])
        said.append(
            f"{name} at best {percent(best['accuracy'])} ({best['level']}, exit {best['exit']}, "
            f"{millions(best['flops'])} million FLOPs)"
        )
    if published is not None:
        _logarithmic(ax)
    ax.set(xlabel=FLOPS_LABEL, ylabel="accuracy")
    as_percent(ax.yaxis)
    light_grid(ax)
    shared_legend(np.array([ax]), outside=is_new, columns=4)
    words = f"Accuracy of every head against FLOPs: {listed(said)}."
    set_description(ax, words + published_words(published))
    return ax


def _draw_rules(
    ax: Axes,
    rows: Sequence[Mapping[str, Any]],
    policies: Sequence[Policy],
    results: Sequence[Evaluation],
) -> None:
    """Operating points, with the tolerances of the first and the last.

    Specificity is their colour where they differ in it.
    """
    x = [result.mean_flops / 1e6 for result in results]
    y = [result.accuracy for result in results]
    ax.plot(x, y, color=GREY, linewidth=1.0, zorder=1)
    shade = [result.specificity for result in results]
    look: dict[str, Any] = {"cmap": SEQUENTIAL, "vmin": 0.0, "vmax": 1.0, "zorder": 3}
    look |= {"marker": "D", "s": 42, "edgecolors": BLACK, "linewidths": 0.6}
    names = ", ".join(dict.fromkeys(type(policy).__name__ for policy in policies))
    if max(shade) - min(shade) > 0:
        points = ax.scatter(x, y, c=shade, label=names, **look)
        bar = ax.figure.colorbar(points, ax=ax, label="specificity of the rule (answered finely)")
        as_percent(bar.ax.yaxis)
    else:
        ax.scatter(x, y, c=shade, label=f"{names}, {percent(shade[0])} fine", **look)
    # The higher of the two notes stands above its point, the lower one below; both on the side
    # where no exit is near, for the exits have notes of their own.
    ends = sorted({0, len(policies) - 1}, key=lambda number: -y[number])
    for number, (offset, upright) in zip(ends, ((3, "bottom"), (-3, "top")), strict=False):
        policy = policies[number]
        if isinstance(policy, FineTolerance):
            text = f"tolerance {policy.fine_tolerance:.2g}: {percent(shade[number])} fine"
            nearest = min((row["flops"] / 1e6 for row in rows), key=lambda at: abs(at - x[number]))
            aside, side = (8, "left") if nearest < x[number] else (-8, "right")
            _note(ax, text, (x[number], y[number]), (aside, offset), ha=side, va=upright)


def _note_exit(
    ax: Axes,
    row: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[Evaluation],
) -> None:
    """The number of an exit above its point, or below where a rule stands just above."""
    width = max(cell["flops"] for cell in rows) / 10
    near = [r.accuracy for r in results if abs(r.mean_flops - row["flops"]) < width]
    height = max(cell["accuracy"] for cell in rows) - min(cell["accuracy"] for cell in rows)
    crowded = any(0 <= accuracy - row["accuracy"] < height / 10 for accuracy in near)
    offset, upright = ((0, -7), "top") if crowded else ((0, 7), "bottom")
    place = row["flops"] / 1e6, row["accuracy"]
    _note(ax, f"exit {row['exit']}", place, offset, ha="center", va=upright)


def _note(
    ax: Axes, text: str, place: tuple[float, float], offset: tuple[int, int], **how: Any
) -> None:
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.7}
    ax.annotate(text, place, offset, textcoords="offset points", fontsize=7.5, bbox=white, **how)


def _logarithmic(ax: Axes) -> None:
    """A logarithmic horizontal axis with ticks at 1, 2, 5, 10 ... written out."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _draw_network(
    ax: Axes, rows: Sequence[Mapping[str, Any]], records: ExitRecords, name: str, number: int
) -> None:
    """A line for each level of one network, over its exits."""
    for level, level_name in enumerate(records.hierarchy.level_names):
        here = [row for row in rows if row["level"] == level_name]
        if here:
            line = level_style(level, records.hierarchy.num_levels).linestyle
            look: dict[str, Any] = series_style(number).line | {"linestyle": line}
            x, y = [row["flops"] / 1e6 for row in here], [row["accuracy"] for row in here]
            ax.plot(x, y, **look, label=f"{name}, {level_name}")


def _reference_curves(
    published: PublishedResults | None, name: str, num_exits: int
) -> list[ReferenceCurve]:
    if published is None:
        return []
    curves = [reference_curve(published, name, e, num_exits) for e in range(num_exits)]
    return [curve for curve in curves if curve is not None]


def _draw_reference(ax: Axes, found: Sequence[ReferenceCurve], name: str, number: int) -> None:
    """The study's exits: a line for a single value each, two for the ends of the tolerance."""
    if not found:
        return
    look: dict[str, Any] = {"color": REFERENCE.color, "markerfacecolor": "none"}
    look |= {"marker": series_style(number).marker, "linestyle": REFERENCE.linestyle}
    label = f"published, {name}"
    for end in sorted({0, *(-1 for curve in found if curve.tolerances)}, reverse=True):
        x, y = [curve.flops / 1e6 for curve in found], [curve.accuracy[end] for curve in found]
        ax.plot(x, y, **look, label=label)
        label = "_" + label


def _words(
    records: ExitRecords, rows: Sequence[Mapping[str, Any]], results: Sequence[Evaluation]
) -> str:
    cells = listed(
        f"exit {row['exit']} {row['level']} {percent(row['accuracy'])} at {millions(row['flops'])}"
        for row in rows
    )
    text = f"Accuracy against million FLOPs an image ({describe_records(records)}): {cells}."
    if results:
        first, last = results[0], results[-1]
        text += (
            f" {plural(len(results), 'operating point')} of rules, from {percent(first.accuracy)} "
            f"at {millions(first.mean_flops)} and specificity {first.specificity:.2f} to "
            f"{percent(last.accuracy)} at {millions(last.mean_flops)} and {last.specificity:.2f}."
        )
    return text
