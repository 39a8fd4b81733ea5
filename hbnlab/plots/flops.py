"""What accuracy costs: exits, policies and networks against FLOPs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from hbnlab.formatting import millions, percent, plural
from hbnlab.hierarchy import Hierarchy
from hbnlab.metrics import Evaluation, PublishedResults, ReferenceCurve, cell_table, sweep
from hbnlab.plots.canvas import (
    FLOPS_LABEL,
    SPECIFICITY_LABEL,
    as_percent,
    describe_records,
    finish,
    logarithmic,
    one_axes,
    published_words,
    reference_curves,
)
from hbnlab.plots.palette import BLACK, GREY, SEQUENTIAL, head_style, level_style, reference_line
from hbnlab.policies import Policy
from hbnlab.records import ExitRecords

_Row = Mapping[str, Any]


def exits_and_policies(
    records: ExitRecords, policies: Sequence[Policy] = (), *, ax: Axes | None = None
) -> Axes:
    """Accuracy against FLOPs of every exit and level, with the operating points of policies.

    A line joins the exits at each level, as if all images left there. The diamonds are the
    policies, coloured by specificity and joined in the order given, such as by rising tolerance.

    Args:
        records: of one network.
        policies: evaluated on these records.
        ax: where to draw.

    Raises:
        ValueError: when a policy needs a head that the records do not have.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> ax = exits_and_policies(simulated_records())
        >>> ax.get_xlabel()
        'FLOPs per image (millions)'
    """
    rows, results = cell_table(records), sweep(policies, records)
    y = "accuracy at the level of the answer"
    ax = one_axes(ax, (7.5, 4.6), x=FLOPS_LABEL, y=y, percent="y")
    for level, name, x, y in _exit_lines(rows, records.hierarchy):
        style = level_style(level, records.hierarchy.num_levels)
        ax.plot(x, y, **style.line, markersize=7, label=f"exits, {name}")
    for row in rows:
        _note_exit(ax, row, rows, results)
    if results:
        _draw_policies(ax, rows, policies, results)
    ax.margins(0.1)
    return finish(ax, _words(records, rows, results))


def accuracy_against_flops(
    networks: Mapping[str, ExitRecords],
    *,
    published: PublishedResults | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Accuracy of every head against the FLOPs up to its exit: a line per network and level.

    FLOPs are counted as in the study, with all branches on the way. Marker and colour tell the
    network, the line the level (dashed coarse, solid fine).

    Args:
        networks: records by name; use the names of the study to see its results too.
        published: results of the networks of the same names, drawn in grey. The axis of FLOPs is
            then logarithmic, because those networks have full width.
        ax: where to draw.

    Raises:
        ValueError: without networks, and for a network without published results.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> ax = accuracy_against_flops({"gran-hbn": simulated_records()})
        >>> [line.get_label() for line in ax.lines]
        ['gran-hbn, coarse', 'gran-hbn, fine']

    Source:
        The notebooks beside the code of Sanati et al.
    """
    if not networks:
        raise ValueError("networks must hold the records of at least one network, got none")
    curves = {name: reference_curves(published, name, r.num_exits) for name, r in networks.items()}
    is_new = ax is None
    ax = one_axes(ax, (8.0, 4.8), x=FLOPS_LABEL, y="accuracy", percent="y")
    best_heads = []
    for number, (name, records) in enumerate(networks.items()):
        rows = cell_table(records)
        for level, level_name, x, y in _exit_lines(rows, records.hierarchy):
            style = head_style(number, level, records.hierarchy.num_levels)
            ax.plot(x, y, **style.line, label=f"{name}, {level_name}")
        _draw_published(ax, [curve for curve in curves[name] if curve], name, number)
        best = max(rows, key=lambda row: row["accuracy"])
        best_heads.append(
            f"{name} at best {percent(best['accuracy'])} ({best['level']}, exit {best['exit']}, "
            f"{millions(best['flops'])} million FLOPs)"
        )
    if published is not None:
        logarithmic(ax)
    words = f"Accuracy of every head against FLOPs: {'; '.join(best_heads)}."
    return finish(ax, words + published_words(published), below=is_new, columns=4)


def _exit_lines(
    rows: Sequence[_Row], hierarchy: Hierarchy
) -> Iterator[tuple[int, str, list[float], list[float]]]:
    """For each level that has heads: its index and name, FLOPs in millions and accuracies."""
    for level, name in enumerate(hierarchy.level_names):
        here = [row for row in rows if row["level"] == name]
        if here:
            yield level, name, [row["flops"] / 1e6 for row in here], [r["accuracy"] for r in here]


def _draw_policies(
    ax: Axes, rows: Sequence[_Row], policies: Sequence[Policy], results: Sequence[Evaluation]
) -> None:
    """Operating points, with what tells the first and the last apart.

    Specificity is their colour where they differ in it.
    """
    x = [result.mean_flops / 1e6 for result in results]
    y = [result.accuracy for result in results]
    shade = [result.specificity for result in results]
    ax.plot(x, y, color=GREY, linewidth=1.0, zorder=1)
    look: dict[str, Any] = {"cmap": SEQUENTIAL, "vmin": 0.0, "vmax": 1.0, "zorder": 3}
    look |= {"marker": "D", "s": 42, "edgecolors": BLACK, "linewidths": 0.6}
    names = ", ".join(dict.fromkeys(policy.title for policy in policies))
    differ = max(shade) > min(shade)
    label = names if differ else f"{names}, {percent(shade[0])} fine"
    points = ax.scatter(x, y, c=shade, label=label, **look)
    if differ:
        as_percent(ax.figure.colorbar(points, ax=ax, label=SPECIFICITY_LABEL).ax.yaxis)
    # The higher of the two notes stands above its point, the lower one below; both on the side
    # where no exit is near, for the exits have notes of their own, unless the axis is near there.
    flops = [row["flops"] / 1e6 for row in rows]
    ends = sorted({0, len(policies) - 1}, key=lambda number: -y[number])
    for number, (offset, upright) in zip(ends, ((3, "bottom"), (-3, "top")), strict=False):
        name = policies[number].point_label
        if name:
            nearest = min(flops, key=lambda at: abs(at - x[number]))
            to_right = nearest < x[number] or x[number] < max(flops) / 5
            aside, side = (8, "left") if to_right else (-8, "right")
            text = f"{name}: {percent(shade[number])} fine"
            _note(ax, text, (x[number], y[number]), (aside, offset), ha=side, va=upright)


def _note_exit(ax: Axes, row: _Row, rows: Sequence[_Row], results: Sequence[Evaluation]) -> None:
    """The number of an exit above its point, or below where a policy stands just above."""
    width = max(cell["flops"] for cell in rows) / 10
    near = [r.accuracy for r in results if abs(r.mean_flops - row["flops"]) < width]
    height = max(cell["accuracy"] for cell in rows) - min(cell["accuracy"] for cell in rows)
    crowded = any(0 <= accuracy - row["accuracy"] < height / 10 for accuracy in near)
    offset, upright = ((0, -7), "top") if crowded else ((0, 7), "bottom")
    point = row["flops"] / 1e6, row["accuracy"]
    _note(ax, f"exit {row['exit']}", point, offset, ha="center", va=upright)


def _note(
    ax: Axes, text: str, point: tuple[float, float], offset: tuple[int, int], **how: Any
) -> None:
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.7}
    ax.annotate(text, point, offset, textcoords="offset points", fontsize=7.5, bbox=white, **how)


def _draw_published(ax: Axes, curves: Sequence[ReferenceCurve], name: str, number: int) -> None:
    """The published exits: one line for single values, two for both ends of the tolerance."""
    ends = (0, -1) if any(curve.tolerances for curve in curves) else (0,)
    for end in ends if curves else ():
        x, y = [curve.flops / 1e6 for curve in curves], [curve.accuracy[end] for curve in curves]
        label = f"published, {name}" if end == 0 else None
        ax.plot(x, y, **reference_line(number), label=label)


def _words(records: ExitRecords, rows: Sequence[_Row], results: Sequence[Evaluation]) -> str:
    cells = "; ".join(
        f"exit {row['exit']} {row['level']} {percent(row['accuracy'])} at {millions(row['flops'])}"
        for row in rows
    )
    text = f"Accuracy against millions of FLOPs per image ({describe_records(records)}): {cells}."
    if results:
        first, last = results[0], results[-1]
        text += (
            f" {plural(len(results), 'operating point')} of policies, from "
            f"{percent(first.accuracy)} at {millions(first.mean_flops)} and specificity "
            f"{first.specificity:.2f} to {percent(last.accuracy)} at {millions(last.mean_flops)} "
            f"and {last.specificity:.2f}."
        )
    return text
