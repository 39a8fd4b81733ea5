"""How much accuracy is paid for specific answers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from hbnlab.formatting import percent
from hbnlab.metrics import (
    Evaluation,
    PublishedResults,
    ReferenceCurve,
    operating_region,
    reference_curve,
    sweep,
)
from hbnlab.plots.alt import set_description
from hbnlab.plots.canvas import (
    AxesGrid,
    as_percent,
    decided,
    light_grid,
    listed,
    many_axes,
    panel_size,
    published_words,
    shared_legend,
)
from hbnlab.plots.palette import REFERENCE, series_style
from hbnlab.plots.tolerance import at_exit
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
    """Accuracy against specificity of several networks, one panel an exit.

    All images leave at the exit of the panel. A network with a gate decides by it, image by image;
    one with a fine and a coarse head there gives a curve, over all fine tolerances that matter;
    one with a single head gives a point. A network with fewer exits stands in the last panels.

    Args:
        networks: records by name; the names of the study, such as ``"gran-hbn"``, where its
            results are wanted too.
        batch_size: images a decision, 1 = each decides for itself.
        coarse_level: level of the coarse answers.
        published: published results of the networks of the same names, in grey.
        axes: one for each exit.

    Raises:
        ValueError: without networks, and for one without published results.

    Source:
        Figure 4 of Sanati et al.
    """
    if not networks:
        raise ValueError("networks must hold the records of at least one, got none")
    panels = max(records.num_exits for records in networks.values())
    series = [
        _Series.of(name, number, records, exit_index, coarse_level, batch_size, published)
        for number, (name, records) in enumerate(networks.items())
        for exit_index in range(records.num_exits)
    ]
    grid = many_axes(axes, (1, panels), panel_size(panels, 3.6), sharey=True)[0]
    for one in series:
        one.draw(grid[panels - one.exits_left])
    for panel, ax in enumerate(grid):
        ax.set(
            title=f"exit {panel + 1}", xlabel="specificity (answered finely)", xlim=(-0.04, 1.04)
        )
        light_grid(ax)
        as_percent(ax.xaxis)
        as_percent(ax.yaxis)
    said = [one.words(panels - one.exits_left) for one in series]
    grid[0].set_ylabel("accuracy")
    shared_legend(grid, outside=axes is None)
    set_description(
        grid,
        f"Accuracy against specificity, {decided(batch_size)}: {listed(said)}."
        + published_words(published),
    )
    return grid


@dataclass(frozen=True)
class _Series:
    """What one network reaches at one exit, and what the study published of it.

    Attributes:
        name: of the network.
        number: its place among the networks, for its style.
        exits_left: exits from this one to the last, both counted.
        results: from coarse to fine.
        published: None where nothing is published or wanted.
    """

    name: str
    number: int
    exits_left: int
    results: tuple[Evaluation, ...]
    published: ReferenceCurve | None

    @classmethod
    def of(
        cls,
        name: str,
        number: int,
        records: ExitRecords,
        exit_index: int,
        coarse_level: int,
        batch_size: int,
        published: PublishedResults | None,
    ) -> "_Series":
        """Evaluate the network there."""
        exits = records.num_exits
        results = sweep(_policies(records, exit_index, coarse_level, batch_size), records)
        curve = None if published is None else reference_curve(published, name, exit_index, exits)
        return cls(name, number, exits - exit_index, tuple(results), curve)

    def draw(self, ax: Axes) -> None:
        """A curve with markers at its ends, or a point."""
        x = [result.specificity for result in self.results]
        y = [result.accuracy for result in self.results]
        look = series_style(self.number).line
        if len(x) == 1:
            look |= {"linestyle": "none", "markersize": 8}
        ax.plot(x, y, **look, markevery=[0, len(x) - 1], label=self.name)
        if self.published is not None:
            x, y = self.published.specificity, self.published.accuracy
            look = {"color": REFERENCE.color, "markerfacecolor": "none", "zorder": 1}
            look |= {"linestyle": REFERENCE.linestyle if len(x) > 1 else "none"}
            look |= {"marker": series_style(self.number).marker, "markevery": [0, len(x) - 1]}
            ax.plot(x, y, **look, label=f"published, {self.name}")

    def words(self, panel: int) -> str:
        """Both ends, or the point, with numbers."""
        first, last = self.results[0], self.results[-1]
        text = f"{self.name} at exit {panel + 1} {percent(first.accuracy)} at specificity "
        if len(self.results) == 1:
            return f"{text}{first.specificity:.2f}"
        return (
            f"{text}{first.specificity:.2f} to {percent(last.accuracy)} at {last.specificity:.2f}"
        )


def _policies(
    records: ExitRecords, exit_index: int, coarse_level: int, batch_size: int
) -> list[Policy]:
    """What a network can do with all images at one exit, from coarse to fine."""
    last = records.num_exits - 1
    if records.has_gate:
        thresholds = [float("inf") if n == exit_index else 0.0 for n in range(last)]
        return [SemanticGate(thresholds, coarse_level=coarse_level)]
    levels = [level for level, has in enumerate(records.head_mask[exit_index]) if has]
    if len(levels) == 1:
        return [ForcedExit(exit_index, levels[0])]
    region = operating_region(records, exit_index, coarse_level=coarse_level, batch_size=batch_size)
    # The rule is strict, so the highest gap itself needs a tolerance a little above it.
    tolerances = np.linspace(region.low, region.high + 1e-3, _POINTS).tolist()
    return [at_exit(records, exit_index, t, coarse_level, batch_size) for t in tolerances]
