"""hbnlab.plots: every figure draws, says what it shows, and leaves everything else alone."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text
from plot_inputs import images_of, make_history, some_curves, some_policies, tree_of
from random_records import DEEP, PETS, random_records

from hbnlab import metrics, plots
from hbnlab.hierarchy import Hierarchy
from hbnlab.plots import palette
from hbnlab.policies import ForcedExit
from hbnlab.records import ExitRecords


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@dataclass(frozen=True)
class Figure:
    """How a figure function is called on records, and how many panels it has."""

    draw: Callable[..., Any]
    panels: Callable[[ExitRecords], int]
    keyword: str
    has_scales: bool = True


def one(draw: Callable[..., Any], *, has_scales: bool = True) -> Figure:
    return Figure(draw, lambda records: 1, "ax", has_scales)


def many(draw: Callable[..., Any], panels: Callable[[ExitRecords], int]) -> Figure:
    return Figure(draw, panels, "axes")


def exits_and_rule(records: ExitRecords) -> tuple[metrics.CostCurve, metrics.CostCurve]:
    """Curves of all images at one exit, and of some policies."""
    exits = [ForcedExit(index) for index in range(records.num_exits)]
    lists = (exits, [exits[0], *some_policies(records), exits[-1]])
    first, second = (metrics.cost_curve(metrics.sweep(one, records)) for one in lists)
    return first, second


BENCH = {
    "rows": [
        {
            "name": "leaving early over all exits",
            "value": 2.0,
            "lowest": 1.9,
            "highest": 2.1,
            "limits": {"FLOPs-ideal": 2.3, "time-ideal": 2.4},
            "at_least": 0.85,
            "of": "FLOPs-ideal",
        },
        {
            "name": "one pass over many runs",
            "value": 83.0,
            "lowest": 82.0,
            "highest": 84.0,
            "limits": {"FLOPs-ideal": 89.5},
            "at_least": 80.0,
            "of": None,
        },
    ]
}

FIGURES = {
    "accuracy_against_flops": one(
        lambda r, **kw: plots.accuracy_against_flops({"gran-hbn": r}, **kw)
    ),
    "accuracy_against_specificity": many(
        lambda r, **kw: plots.accuracy_against_specificity({"gran-hbn": r}, **kw),
        lambda r: r.num_exits,
    ),
    "accuracy_against_tolerance": many(plots.accuracy_against_tolerance, lambda r: 2 * r.num_exits),
    "bench_bars": one(lambda r, **kw: plots.bench_bars(BENCH, **kw)),
    "class_sheet": one(
        lambda r, **kw: plots.class_sheet(images_of(r), r.labels, r.hierarchy, **kw),
        has_scales=False,
    ),
    "confusion_matrix": one(plots.confusion_matrix),
    "does_depth_pay": many(
        lambda r, **kw: plots.does_depth_pay({"alexnet": exits_and_rule(r)}, **kw), lambda r: 2
    ),
    "entropies": many(plots.entropies, lambda r: 2 * r.num_exits),
    "entropy_densities": many(plots.entropy_densities, lambda r: r.num_exits),
    "example": many(
        lambda r, **kw: plots.example(images_of(r)[3], r, 3, **kw),
        lambda r: 1 + r.hierarchy.num_levels,
    ),
    "exits_and_policies": one(lambda r, **kw: plots.exits_and_policies(r, some_policies(r), **kw)),
    "pareto_fronts": many(
        lambda r, **kw: plots.pareto_fronts(
            {"tolerance": metrics.sweep(some_policies(r), r)}, **kw
        ),
        lambda r: 2,
    ),
    "hierarchy_tree": one(
        lambda r, **kw: plots.hierarchy_tree(r.hierarchy, **kw), has_scales=False
    ),
    "leaving_sheet": one(
        lambda r, **kw: plots.leaving_sheet(
            images_of(r), some_policies(r)[1].decide(r), r.labels, r.hierarchy, **kw
        ),
        has_scales=False,
    ),
    "network_diagram": one(
        lambda r, **kw: plots.network_diagram(some_policies(r)[1].decide(r), r, **kw),
        has_scales=False,
    ),
    "operating_regions": one(plots.operating_regions),
    "post_training_curve": one(lambda r, **kw: plots.post_training_curve(make_history(r), **kw)),
    "reliability_diagrams": many(
        plots.reliability_diagrams, lambda r: r.num_exits * r.hierarchy.num_levels
    ),
    "staircase": one(lambda r, **kw: plots.staircase(r, some_curves(r), **kw)),
    "training_curves": many(
        lambda r, **kw: plots.training_curves(make_history(r), r.hierarchy, **kw), lambda r: 4
    ),
}
HELPERS = {
    *("FigureFiles", "HtmlFigure", "Style", "describe", "figure_of", "level_style"),
    *("series_style", "set_description", "to_files", "to_html"),
}

each_figure = pytest.mark.parametrize("name", sorted(FIGURES))
NEEDS_TWO_LEVELS = {
    *("accuracy_against_tolerance", "entropies", "entropy_densities", "operating_regions"),
}

each_network = pytest.mark.parametrize(
    ("exits", "levels"), [(1, 2), (1, 3), *product((2, 4, 7), (1, 2, 3, 6))]
)


def panels_of(drawn: Any) -> list[Axes]:
    return [drawn] if isinstance(drawn, Axes) else list(drawn.flat)


# ---------------------------------------------------------------------- every figure


def test_every_public_figure_is_tested_here():
    assert set(plots.__all__) - HELPERS == set(FIGURES)


@each_figure
@each_network
def test_a_figure_returns_its_axes_with_labels_and_words_and_changes_no_setting(
    name, exits, levels
):
    before = dict(mpl.rcParams)
    records = random_records(32, hierarchy=tree_of(levels), num_exits=exits, gate=False)
    figure = FIGURES[name]
    if levels == 1 and name in NEEDS_TWO_LEVELS:
        with pytest.raises(ValueError, match="must be a level above the finest of"):
            figure.draw(records)
        assert not plt.get_fignums()
        return
    drawn = figure.draw(records)
    panels = panels_of(drawn)
    assert len(panels) == figure.panels(records)
    assert all(isinstance(ax, Axes) for ax in panels)
    assert len(plt.get_fignums()) == 1
    words = plots.describe(drawn)
    assert any(letter.isdigit() for letter in words)
    assert words.endswith(".")
    assert "\n" not in words
    if figure.has_scales:
        assert any(ax.get_xlabel() for ax in panels)
        assert any(ax.get_ylabel() for ax in panels) or name == "example"
    assert plots.figure_of(drawn).get_figwidth() <= 10.5
    assert dict(mpl.rcParams) == before


@each_figure
@pytest.mark.parametrize(("exits", "hierarchy"), [(3, PETS), (3, DEEP), (7, tree_of(6))])
def test_nothing_of_a_figure_is_cut_off_at_the_edge_and_the_page_holds_it(name, exits, hierarchy):
    records = random_records(64, hierarchy=hierarchy, num_exits=exits, gate=False)
    figure = plots.figure_of(FIGURES[name].draw(records))
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert drawn is not None
    assert drawn.x0 >= -0.05
    assert drawn.y0 >= -0.05
    assert drawn.x1 <= width + 0.05
    assert drawn.y1 <= height + 0.05
    assert width <= 10.5


@each_figure
def test_a_figure_is_drawn_on_the_axes_given(name):
    records = random_records(64, gate=False)
    figure = FIGURES[name]
    number = figure.panels(records)
    sheet, grid = plt.subplots(1, number, squeeze=False)
    given = grid[0, 0] if figure.keyword == "ax" else list(grid[0])
    drawn = figure.draw(records, **{figure.keyword: given})
    assert panels_of(drawn) == list(grid[0])
    assert plt.get_fignums() == [sheet.number]
    assert plots.describe(sheet) == plots.describe(drawn)


@pytest.mark.parametrize("name", [n for n, f in sorted(FIGURES.items()) if f.keyword == "axes"])
def test_axes_of_another_number_are_refused(name):
    _, grid = plt.subplots(1, 5)
    with pytest.raises(ValueError, match=r"one per panel, got 5 of them"):
        FIGURES[name].draw(random_records(64, num_exits=1, gate=False), axes=grid)


@pytest.mark.parametrize("names", [("kingdom", "coarse", "fine"), ("order", "superfamily", "kind")])
@pytest.mark.parametrize("exits", [3, 7])
def test_names_of_levels_do_not_overlap_in_the_drawing_of_a_network(names, exits):
    tree = replace(DEEP, level_names=names)
    records = random_records(64, hierarchy=tree, num_exits=exits, gate=False)
    ax = FIGURES["network_diagram"].draw(records)
    plots.figure_of(ax).draw_without_rendering()
    heads = [text for text in ax.texts if text.get_text().startswith(names)]
    edges = [text.get_window_extent() for text in heads]
    assert len(edges) == 3 * exits
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(edges))


# ---------------------------------------------------------------------- words


def test_axes_that_no_figure_was_drawn_on_have_no_words():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"drawn by hbnlab\.plots is expected"):
        plots.describe(ax)


def test_the_words_of_several_figures_on_one_sheet_are_joined():
    sheet, (left, right) = plt.subplots(1, 2)
    plots.hierarchy_tree(PETS, ax=left)
    plots.operating_regions(random_records(64, gate=False), ax=right)
    assert plots.describe(sheet) == f"{plots.describe(left)} {plots.describe(right)}"


def test_a_picture_for_jupyter_carries_its_words_and_is_shown_once():
    tree = Hierarchy.from_dict({"a": ['"x" & <y>']}, ["coarse", 'fine "s"'])
    words = plots.describe(plots.hierarchy_tree(tree))
    pictures = [plots.to_html(plots.hierarchy_tree(tree)) for _ in range(2)]
    assert pictures[0].alt == words
    assert pictures[0].png == pictures[1].png
    assert pictures[0].png.startswith(b"\x89PNG")
    page = pictures[0]._repr_html_()
    assert page.startswith('<img alt="Tree of labels')
    assert "fine &quot;s&quot;" in page
    assert "data:image/png;base64," in page
    assert repr(pictures[0]) == f"<figure: {words}>"
    assert len(plt.get_fignums()) == 1


def test_the_words_hold_the_numbers_of_the_metrics():
    records = random_records(64, gate=False)
    row = metrics.cell_table(records)[0]
    words = plots.describe(plots.exits_and_policies(records))
    assert f"exit 1 coarse {100 * row['accuracy']:.1f} % at {row['flops'] / 1e6:.3g};" in words
    overlap = metrics.uncertainty_overlap(records, 0, batch_size=4, bins=8).coefficient
    words = plots.describe(plots.entropy_densities(records, batch_size=4))
    assert f"exit 1 overlap coefficient {overlap:.2f}" in words
    assert "means of 4 images (simulated test, 64 images)" in words


@pytest.mark.parametrize("keep", [plots.to_html, plots.to_files])
def test_a_figure_that_cannot_be_kept_is_closed_all_the_same(keep, monkeypatch):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="without a description"):
        keep(ax)
    assert not plt.get_fignums()

    def fail(*args, **kwargs):
        raise OSError("no room")

    drawn = plots.hierarchy_tree(PETS)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="no room"):
        keep(drawn)
    assert not plt.get_fignums()


def test_axes_in_no_figure_are_refused():
    with pytest.raises(ValueError, match="Axes in a figure are expected"):
        plots.figure_of(np.array([], dtype=object))


@pytest.mark.parametrize(
    "name", ["class_sheet", "confusion_matrix", "example", "hierarchy_tree", "leaving_sheet"]
)
def test_dollar_signs_in_the_name_of_a_class_make_no_formula(name):
    tree = Hierarchy.from_dict({"a$b$c": ["x$y$", "$\\no$"], "d": ["e"]})
    figure = plots.figure_of(FIGURES[name].draw(random_records(64, hierarchy=tree, gate=False)))
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if "$" in text.get_text()]
    assert texts
    assert not any(text.get_parse_math() for text in texts)


# ---------------------------------------------------------------------- palette


def test_no_two_series_are_told_apart_by_colour_alone():
    styles = [palette.series_style(number) for number in range(7)]
    for trait in ("color", "marker", "linestyle", "hatch"):
        assert len({getattr(style, trait) for style in styles}) == 7
    assert palette.series_style(7) == styles[0]
    for levels in range(1, 6):
        chosen = [palette.level_style(level, levels) for level in range(levels)]
        assert len({style.marker for style in chosen}) == levels
        assert len({str(style.linestyle) for style in chosen}) == levels
        assert chosen[-1] == palette.level_style(0, 1)
