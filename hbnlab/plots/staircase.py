"""What deciding image by image gains over one exit for all images."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from hbnlab.formatting import millions, percent
from hbnlab.metrics import Evaluation, sweep
from hbnlab.plots.canvas import FLOPS_LABEL, describe_records, finish, one_axes
from hbnlab.plots.palette import BLACK, level_style
from hbnlab.policies import ForcedExit, Policy
from hbnlab.records import ExitRecords


def staircase(
    records: ExitRecords,
    curves: Mapping[int, Sequence[Policy]] | None = None,
    *,
    chosen: Policy | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Accuracy against FLOPs: one exit for all as a staircase, and policies as a curve above it.

    The staircase rises at each exit: in between, a larger budget gains nothing as long as all
    images leave at the same exit. FLOPs are those that really run, so that a policy is charged for
    every branch that it consults. The finest level stands in front.

    Args:
        records: of one network.
        curves: by level index, policies that answer at this level; their points are joined in
            order of FLOPs.
        chosen: a policy with fine answers that the title compares with the last exit.
        ax: where to draw.

    Raises:
        ValueError: when a policy needs a head that the records do not have.

    Example:
        >>> from hbnlab.policies import EntropyThreshold
        >>> from hbnlab.records import simulated_records
        >>> curve = [EntropyThreshold([limit, limit]) for limit in (0.2, 0.4, 0.8)]
        >>> ax = staircase(simulated_records(), {1: curve})
        >>> ax.get_legend_handles_labels()[1]
        ['fine, each image decides', 'fine, one exit for all', 'coarse, one exit for all']
    """
    ax = one_axes(ax, (7.5, 4.6), x=FLOPS_LABEL, y="accuracy", percent="y")
    finest, words = records.hierarchy.finest, []
    for level in range(finest, -1, -1):
        exits = [exit_index for exit_index, at in records.cells if at == level]
        steps = sweep([ForcedExit(exit_index, level) for exit_index in exits], records)
        curve = sorted(sweep((curves or {}).get(level, ()), records), key=lambda r: r.mean_macs)
        if not exits:
            continue
        _draw_level(ax, records, level, steps, curve)
        if level == finest:
            _name_exits(ax, exits, steps)
        words.append(_words(records.hierarchy.level_names[level], exits, steps, curve))
    if chosen is not None:
        ours, last = sweep([chosen, ForcedExit(records.num_exits - 1, finest)], records)
        _compare(ax, ours, last, records.num_exits)
    ax.set_xlim(left=0)
    ax.margins(y=0.1)
    text = f"Accuracy against millions of FLOPs per image ({describe_records(records)})."
    return finish(ax, " ".join([text, *words]), loc="lower right")


def _draw_level(
    ax: Axes,
    records: ExitRecords,
    level: int,
    steps: Sequence[Evaluation],
    curve: Sequence[Evaluation],
) -> None:
    """The staircase of one level and its curve; coarser levels are thinner and paler."""
    hierarchy = records.hierarchy
    style, name = level_style(level, hierarchy.num_levels), hierarchy.level_names[level]
    in_front = level == hierarchy.finest
    look = {"color": style.color, "alpha": 1.0 if in_front else 0.55, "zorder": 2 + in_front}
    if curve:
        label = f"{name}, each image decides"
        ax.plot(*_points(curve), **look, linewidth=2.8 if in_front else 1.4, label=label)
    look |= {"marker": style.marker, "linestyle": "--", "linewidth": 1.2, "drawstyle": "steps-post"}
    size = 8 if in_front else 5
    ax.plot(*_points(steps), **look, markersize=size, label=f"{name}, one exit for all")


def _points(results: Sequence[Evaluation]) -> tuple[list[float], list[float]]:
    return [one.mean_flops / 1e6 for one in results], [one.accuracy for one in results]


def _name_exits(ax: Axes, exits: Sequence[int], steps: Sequence[Evaluation]) -> None:
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.7}
    for exit_index, x, y in zip(exits, *_points(steps), strict=True):
        how = {"textcoords": "offset points", "ha": "center", "va": "top", "bbox": white}
        ax.annotate(f"exit {exit_index + 1}", (x, y), (0, -8), **how)


def _compare(ax: Axes, chosen: Evaluation, last: Evaluation, num_exits: int) -> None:
    """A diamond for the policy; the title says what it and the last exit give for what."""
    ax.plot(
        *_points([chosen]),
        "D",
        color=BLACK,
        markersize=9,
        zorder=5,
        label="the policy in the title",
    )
    policy, exit_ = (
        f"{percent(one.accuracy)} for {millions(one.mean_flops)} MFLOPs" for one in (chosen, last)
    )
    ax.set_title(f"each image decides: {policy}; exit {num_exits} for all: {exit_}", fontsize=10)


def _words(
    name: str, exits: Sequence[int], steps: Sequence[Evaluation], curve: Sequence[Evaluation]
) -> str:
    at = ", ".join(
        f"exit {exit_index + 1} {percent(one.accuracy)} at {millions(one.mean_flops)}"
        for exit_index, one in zip(exits, steps, strict=True)
    )
    text = f"One exit for all, {name}: {at}."
    if curve:
        top = max(curve, key=lambda one: one.accuracy)
        text += (
            f" Each image decides, {name}: from {percent(curve[0].accuracy)} at "
            f"{millions(curve[0].mean_flops)} up to {percent(top.accuracy)} at "
            f"{millions(top.mean_flops)}."
        )
    return text
