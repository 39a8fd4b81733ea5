"""How much accuracy is paid for specific answers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from hbnlab.formatting import percent
from hbnlab.metrics import Evaluation, PublishedResults, ReferenceCurve, operating_region, sweep
from hbnlab.plots.canvas import (
    SPECIFICITY_LABEL,
    AxesGrid,
    decided,
    finish,
    many_axes,
    published_words,
    reference_curves,
)
from hbnlab.plots.palette import reference_line, series_style
from hbnlab.plots.tolerance import policies_at_exit
from hbnlab.policies import ForcedExit, Policy, SemanticGate
from hbnlab.records import ExitRecords

_POINTS = 81


def accuracy_against_specificity(
    networks: Mapping[str, ExitRecords],
    *,
    batch_size: int = 1,
    coarse_level: int = 0,
    published: PublishedResults | None = None,
    axes: AxesGrid | None = None,
) -> np.ndarray:
    """Accuracy against specificity of several networks, one panel per exit.

    All images leave at the exit of the panel. A network with a gate decides by it, image by image;
    one with a fine and a coarse head there gives a curve, over all fine tolerances that matter;
    one with a single head gives a point. A network with fewer exits is drawn in the last panels.

    Args:
        networks: records by name; use the names of the study, such as ``"gran-hbn"``, to see its
            results too.
        batch_size: images per decision; 1 = each image decides for itself.
        coarse_level: level of the coarse answers.
        published: results of the networks of the same names, drawn in grey.
        axes: one for each exit.

    Raises:
        ValueError: without networks, and for a network without published results.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> grid = accuracy_against_specificity({"ours": simulated_records(gate=False)})
        >>> [ax.get_title() for ax in grid]
        ['exit 1', 'exit 2', 'exit 3']

    Source:
        Figure 4 of Sanati et al.
    """
    if not networks:
        raise ValueError("networks must hold the records of at least one network, got none")
    drawn = []
    for number, (name, records) in enumerate(networks.items()):
        curves = reference_curves(published, name, records.num_exits)
        for exit_index, curve in enumerate(curves):
            policies = _policies(records, exit_index, coarse_level, batch_size)
            from_last = exit_index - records.num_exits
            drawn.append((number, name, from_last, sweep(policies, records), curve))
    panels = max(records.num_exits for records in networks.values())
    labels = {"x": SPECIFICITY_LABEL, "y": ["accuracy"], "percent": "xy"}
    grid = many_axes(axes, (1, panels), 3.6, sharey=True, **labels)[0]
    ends = []
    for number, name, from_last, results, curve in drawn:
        _draw(grid[from_last], number, name, results, curve)
        ends.append(f"{name} at exit {panels + from_last + 1} {_ends(results)}")
    for panel, ax in enumerate(grid, start=1):
        ax.set(title=f"exit {panel}", xlim=(-0.04, 1.04))
    words = f"Accuracy against specificity, {decided(batch_size)}: {'; '.join(ends)}."
    return finish(grid, words + published_words(published), below=axes is None)


def _draw(
    ax: Axes, number: int, name: str, results: Sequence[Evaluation], curve: ReferenceCurve | None
) -> None:
    """A curve with markers at its ends, or a point; the published one in grey below."""
    x, y = [r.specificity for r in results], [r.accuracy for r in results]
    look = series_style(number).line
    if len(x) == 1:
        look |= {"linestyle": "", "markersize": 8}
    ax.plot(x, y, **look, markevery=[0, len(x) - 1], label=name)
    if curve is not None:
        look, last = reference_line(number), len(curve.specificity) - 1
        look |= {"markevery": [0, last], "zorder": 1, "label": f"published, {name}"}
        look["linestyle"] = look["linestyle"] if last else ""
        ax.plot(curve.specificity, curve.accuracy, **look)


def _ends(results: Sequence[Evaluation]) -> str:
    """The first and the last result, from coarse to fine, or the only one."""
    first, *others = (f"{percent(r.accuracy)} at specificity {r.specificity:.2f}" for r in results)
    return f"{first} to {others[-1]}" if others else first


def _policies(
    records: ExitRecords, exit_index: int, coarse_level: int, batch_size: int
) -> Sequence[Policy]:
    """What a network can do with all images at one exit, from coarse to fine."""
    if records.has_gate:
        return [SemanticGate.at_exit(exit_index, records.num_exits, coarse_level=coarse_level)]
    levels = [level for e, level in records.cells if e == exit_index]
    if len(levels) == 1:
        return [ForcedExit(exit_index, levels[0])]
    region = operating_region(records, exit_index, coarse_level=coarse_level, batch_size=batch_size)
    # The comparison is strict, so the highest gap itself needs a tolerance a little above it.
    tolerances = np.linspace(region.low, region.high + 1e-3, _POINTS).tolist()
    return policies_at_exit(records, exit_index, tolerances, coarse_level, batch_size)
