"""hbnlab.plots: what the figures draw is what the metrics say, and bad input is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle, StepPatch
from plot_inputs import images_of, make_history, published_of, some_curves, some_policies
from random_records import DEEP, PETS, random_records

from hbnlab import metrics, plots
from hbnlab.hierarchy import Hierarchy
from hbnlab.history import History
from hbnlab.policies import EntropyThreshold, FineTolerance, ForcedExit


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_the_tolerance_curves_are_those_of_a_sweep_at_each_exit():
    records = random_records(64, gate=False)
    tolerances = [0.4, -0.3, 0.1]
    grid = plots.accuracy_against_tolerance(records, tolerances=tolerances)
    for exit_index in range(3):
        policies = [FineTolerance.at_exit(exit_index, 3, t) for t in sorted(tolerances)]
        results = metrics.sweep(policies, records)
        above, below = grid[0, exit_index].lines, grid[1, exit_index].lines
        assert list(above[0].get_xdata()) == sorted(tolerances)
        assert list(above[0].get_ydata()) == [r.accuracy for r in results]
        assert list(above[1].get_ydata()) == [r.hierarchical_accuracy for r in results]
        assert list(below[0].get_ydata()) == [r.specificity for r in results]


@pytest.mark.parametrize("batch_size", [1, 8])
def test_specificity_goes_from_none_to_all_over_the_tolerances_shown(batch_size):
    grid = plots.accuracy_against_tolerance(random_records(64, gate=False), batch_size=batch_size)
    for ax in grid[1]:
        values = list(ax.lines[0].get_ydata())
        assert values == sorted(values)
        assert (values[0], values[-1]) == (0.0, 1.0)


def test_networks_with_gate_two_heads_or_one_stand_at_their_specificity():
    networks = {
        "alexnet": random_records(64, gate=False, heads=[[False, True]]),
        "sem-hbn": random_records(
            64, gate=False, heads=[[True, False], [True, False], [False, True]]
        ),
        "gran-hbn": random_records(64, gate=False),
        "ag-hbn": random_records(64),
    }
    grid = plots.accuracy_against_specificity(networks)
    shown = [{line.get_label(): list(line.get_xdata()) for line in ax.lines} for ax in grid]
    assert [sorted(panel) for panel in shown[:2]] == [["ag-hbn", "gran-hbn", "sem-hbn"]] * 2
    assert [panel["sem-hbn"] for panel in shown] == [[0.0], [0.0], [1.0]]
    assert shown[2]["alexnet"] == [1.0]
    gate = networks["ag-hbn"].gate_logits
    assert gate is not None
    share = float((gate[:, 1] > gate[:, 0]).float().mean())
    for panel in shown:
        assert panel["ag-hbn"] == [pytest.approx(share)]
        assert (panel["gran-hbn"][0], panel["gran-hbn"][-1]) == (0.0, 1.0)


def test_the_bars_of_the_operating_regions_are_those_of_the_metrics():
    records = random_records(64, gate=False)
    ax = plots.operating_regions(records, batch_sizes=[1, 4], coverage=0.9)
    for exit_index, bars in enumerate(c for c in ax.collections if isinstance(c, LineCollection)):
        for size, bar in zip([1, 4], bars.get_segments(), strict=True):
            region = metrics.operating_region(records, exit_index, batch_size=size, coverage=0.9)
            np.testing.assert_allclose(bar[:, 1], [region.low, region.high])


@pytest.mark.parametrize("normalised", [False, True])
def test_the_shaded_area_is_the_overlap_coefficient(normalised):
    records = random_records(64, gate=False)
    grid = plots.entropy_densities(records, normalised=normalised)
    for exit_index, ax in enumerate(grid):
        shaded = next(p for p in ax.patches if isinstance(p, StepPatch) and p.get_fill())
        heights, edges, _ = shaded.get_data()
        expected = metrics.uncertainty_overlap(records, exit_index, normalised=normalised, bins=16)
        assert (heights * np.diff(edges)).sum() == pytest.approx(expected.coefficient, abs=1e-4)


def test_entropies_of_many_images_are_thinned_out_but_their_range_is_not():
    records = random_records(64, gate=False).subset(torch.arange(64).repeat(40))
    grid = plots.entropies(records)
    for exit_index in range(3):
        values = records.entropy[:, exit_index, 0]
        points = grid[0, exit_index].collections[0].get_offsets()
        assert len(points) <= 1000
        segment = grid[1, exit_index].collections[0].get_segments()[0]
        np.testing.assert_allclose(segment[:, 0], [values.min(), values.max()], rtol=1e-6)


def test_a_legend_has_as_many_columns_as_have_room():
    records = random_records(64, gate=False)
    for words, least in (("short", 2), ("a name that takes up half of the width of the sheet", 1)):
        ax = plots.accuracy_against_flops({f"{words} {n}": records for n in range(2)})
        figure = plots.figure_of(ax)
        (legend,) = figure.legends
        assert legend._ncols >= least
        assert legend.get_window_extent().width <= figure.bbox.width
    assert legend._ncols < 4


def test_a_colour_bar_is_there_only_where_rules_differ_in_specificity():
    records = random_records(64, gate=False)
    alike = [EntropyThreshold([0.5, 0.5]), EntropyThreshold([0.1, 0.1])]
    for policies, bars in ((some_policies(records), 1), (alike, 0)):
        figure = plots.figure_of(plots.exits_and_policies(records, policies))
        assert len(figure.axes) == 1 + bars


def test_the_staircase_rises_at_what_each_exit_costs_when_no_other_branch_runs():
    records = random_records(64, gate=False)
    (steps, *_) = plots.staircase(records, chosen=ForcedExit(0, 1)).lines
    results = metrics.sweep([ForcedExit(exit_index, 1) for exit_index in range(3)], records)
    np.testing.assert_allclose(steps.get_xdata(), [r.mean_flops / 1e6 for r in results])
    np.testing.assert_allclose(steps.get_ydata(), [r.accuracy for r in results])
    assert steps.get_drawstyle() == "steps-post"


def test_the_points_of_a_curve_are_joined_from_cheap_to_expensive():
    records = random_records(64, gate=False)
    ax = plots.staircase(records, {1: some_curves(records)[1][::-1]})
    assert list(ax.lines[0].get_xdata()) == sorted(ax.lines[0].get_xdata())


def test_the_title_of_the_staircase_compares_the_chosen_policy_with_the_last_exit():
    records = random_records(64, gate=False)
    (policy, *_) = some_curves(records)[1]
    ax = plots.staircase(records, some_curves(records), chosen=policy)
    chosen, last = metrics.sweep([policy, ForcedExit(2, 1)], records)
    (marker,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert marker.get_xydata()[0] == pytest.approx([chosen.mean_flops / 1e6, chosen.accuracy])
    assert f"each image decides: {100 * chosen.accuracy:.1f} % for" in ax.get_title()
    assert f"exit 3 for all: {100 * last.accuracy:.1f} % for" in ax.get_title()


def test_a_level_without_heads_is_not_in_the_legend():
    records = random_records(64, gate=False, heads=[[False, True]] * 3)
    ax = plots.exits_and_policies(records)
    assert ax.get_legend_handles_labels()[1] == ["exits, fine"]


def test_the_area_of_a_disc_is_the_share_that_leaves_there():
    records = random_records(64, gate=False)
    decisions = some_policies(records)[1].decide(records)
    ax = plots.network_diagram(decisions, records)
    rings, discs = ([p for p in ax.patches if isinstance(p, Circle)][n::2] for n in (0, 1))
    shares = metrics.evaluate(decisions, records).shares
    drawn = [(d.radius / ring.radius) ** 2 for ring, d in zip(rings, discs, strict=True)]
    np.testing.assert_allclose(drawn, [shares[e][k] for e, k in records.cells])


@pytest.mark.parametrize(("heads", "names"), [([[False, True]], 1), ([[True, True]] * 4, 4)])
def test_a_network_is_drawn_with_as_many_stages_and_branches_as_it_has_exits(heads, names):
    records = random_records(64, heads=heads, gate=False)
    decisions = ForcedExit(len(heads) - 1, 1).decide(records)
    texts = [text.get_text() for text in plots.network_diagram(decisions, records).texts]
    assert [text for text in texts if text.startswith("stage")] == [
        f"stage {number + 1}" for number in range(names)
    ]
    assert sum(text.startswith("branch") for text in texts) == names
    assert sum(text.startswith("fine\n") for text in texts) == names


def test_the_confusion_matrix_has_rows_that_sum_to_one_and_a_box_a_coarse_class():
    records = random_records(64, seed=3, gate=False)
    ax = plots.confusion_matrix(records, 1)
    np.testing.assert_allclose(ax.images[0].get_array().sum(axis=1), 1.0)
    assert [p.get_width() for p in ax.patches] == list(metrics.confusion(records, 1).block_sizes)
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == ["poodle", "collie", "husky", "siamese", "persian", "koi"]


def test_a_class_without_images_leaves_its_row_of_the_matrix_and_its_picture_empty():
    records = random_records(64, gate=False)
    records = records.subset(records.labels[:, -1] != 2)
    shares = plots.confusion_matrix(records).images[0].get_array()
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1, 0, 1, 1, 1])
    ax = plots.class_sheet(images_of(records), records.labels, PETS)
    assert len(ax.images) == 5
    assert "5 of the 6 fine classes" in plots.describe(ax)


def test_a_cell_without_a_head_is_named_so():
    records = random_records(64, gate=False, heads=[[True, False], [True, False], [False, True]])
    grid = plots.reliability_diagrams(records)
    missing = [[any(t.get_text() == "no head" for t in ax.texts) for ax in row] for row in grid]
    assert missing == [[False, False, True], [True, True, False]]
    bars = plots.example(images_of(records)[0], records, 0)
    assert [len(ax.containers) for ax in bars[1:]] == [2, 1]


def test_the_sheet_of_leaving_images_shows_each_where_it_left():
    records = random_records(64, gate=False)
    decisions = EntropyThreshold([0.5, 0.5]).decide(records)
    ax = plots.leaving_sheet(images_of(records), decisions, records.labels, PETS, columns=3)
    counts = decisions.exit_index.bincount(minlength=3).tolist()
    assert len(ax.images) == sum(min(3, count) for count in counts)
    for exit_index, count in enumerate(counts):
        assert f"exit {exit_index + 1} ({100 * count / 64:.1f} %)" in plots.describe(ax)


def test_a_tree_has_a_marker_for_every_class():
    for hierarchy in (PETS, DEEP, Hierarchy.from_table([(f"c{n}",) for n in range(90)])):
        ax = plots.hierarchy_tree(hierarchy)
        assert len(ax.lines) == sum(hierarchy.num_classes)


def test_training_curves_leave_post_training_out_and_the_other_way_round():
    records = random_records(64, gate=False)
    history = make_history(records)
    top1 = plots.training_curves(history, PETS)[1, 0]
    assert len(top1.lines) == len(records.cells)
    assert list(top1.lines[0].get_ydata()) == [0.2, 0.4, pytest.approx(0.6)]
    product = plots.post_training_curve(history).lines[0].get_ydata()
    assert list(product) == pytest.approx([0.16, 0.25, 0.36])


def test_what_is_lost_to_the_last_exit_is_the_accuracy_minus_that_of_the_last_exit():
    exits = metrics.CostCurve((1e6, 4e6, 9e6), (0.6, 0.7, 0.8))
    rule = metrics.CostCurve((1e6, 4e6, 9e6), (0.6, 0.81, 0.8))
    left, right = plots.does_depth_pay({"ours": (exits, rule), "theirs": (exits, rule)})
    for ax, base in ((left, 0.0), (right, 0.8)):
        lines = {line.get_label(): line for line in ax.lines}
        for name in ("ours", "theirs"):
            points = lines[f"{name}: everybody at exit 1, 2, ..."]
            assert points.get_xdata().tolist() == [1.0, 4.0, 9.0]
            assert points.get_ydata() == pytest.approx([y - base for y in exits.accuracy])
            x, y = (getattr(lines[f"{name}: by the rule"], f"get_{k}data")() for k in "xy")
            heights = [rule.accuracy_at(1e6 * flops) - base for flops in x]
            assert y == pytest.approx(heights)
        assert [text.get_text() for text in ax.texts] == ["1", "2", "3"] * 2
    words = plots.describe(left)
    assert "on the trunk ours, everybody at one exit 60.0 % at 1, 70.0 % at 4, 80.0 % at 9" in words
    assert "the rule is within 0.5 points of the last exit at 3.79 and gains" in words


def test_the_line_joins_the_points_on_the_pareto_front():
    records = random_records(64, gate=False)
    results = {
        "tolerance": metrics.sweep(some_policies(records), records),
        "threshold": metrics.sweep([EntropyThreshold([t, t]) for t in (0.2, 0.6, 1.0)], records),
    }
    everything = [result for row in results.values() for result in row]
    left, right = plots.pareto_fronts(results)
    for ax, gain in ((left, "accuracy"), (right, "information")):
        best = [everything[n] for n in metrics.pareto_front(everything, gain=gain)]
        assert list(ax.lines[0].get_ydata()) == [getattr(result, gain) for result in best]


# ---------------------------------------------------------------------- published results


def test_published_results_are_laid_under_ours_and_named():
    records, published = random_records(64, gate=False), published_of("gran-hbn")
    drawn = [
        plots.accuracy_against_tolerance(records, published=published),
        plots.accuracy_against_specificity({"gran-hbn": records}, published=published),
        plots.accuracy_against_flops({"gran-hbn": records}, published=published),
        plots.operating_regions(records, published=published),
    ]
    for figure in drawn:
        assert plots.describe(figure).endswith("The published results are in grey.")
    line = next(x for x in drawn[0][0, 0].lines if x.get_label() == "published, accuracy")
    assert list(line.get_ydata()) == [0.64, 0.52]
    assert [t.get_text() for t in drawn[3].get_xticklabels()][-1] == "published, 512"


def test_an_exit_without_published_results_is_left_out_and_a_network_refused():
    records, published = random_records(64, num_exits=4, gate=False), published_of("b-alexnet")
    with pytest.raises(ValueError, match=r"results of 'gran-hbn', got those of \['b-alexnet'\]"):
        plots.accuracy_against_tolerance(records, published=published)
    assert not plt.get_fignums()
    grid = plots.accuracy_against_tolerance(records, published=published_of("gran-hbn"))
    assert [len(ax.lines) for ax in grid[1]] == [2, 2, 2, 1]


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda r: plots.training_curves(History(), PETS), "epochs of training is expected"),
        (lambda r: plots.post_training_curve(History()), "epochs of post-training is expected"),
        (
            lambda r: plots.training_curves(make_history(r), PETS, split="train"),
            "no scores on split 'train'",
        ),
        (lambda r: plots.accuracy_against_flops({}), "at least one network, got none"),
        (lambda r: plots.accuracy_against_specificity({}), "at least one network, got none"),
        (lambda r: plots.does_depth_pay({}), "at least one trunk"),
        (lambda r: plots.pareto_fronts({"none": []}), "at least one evaluation"),
        (lambda r: plots.operating_regions(r, batch_sizes=[]), "at least one size"),
        (lambda r: plots.operating_regions(r, batch_sizes=[0]), "1 or more, got 0"),
        (lambda r: plots.accuracy_against_tolerance(r, tolerances=[]), "at least one tolerance"),
        (lambda r: plots.confusion_matrix(r, 3), r"must be in 0\.\.2, got 3"),
        (lambda r: plots.reliability_diagrams(r, bins=0), "bins must be 1 or more, got 0"),
        (lambda r: plots.example(images_of(r)[0], r, 64), r"must be in 0\.\.63, got 64"),
        (lambda r: plots.example(images_of(r)[0], r, 0, top=0), "top must be 1 or more, got 0"),
        (
            lambda r: plots.class_sheet(images_of(r)[:3], r.labels, PETS),
            "3 images, 64 labels",
        ),
        (
            lambda r: plots.class_sheet(images_of(r), r.labels, DEEP),
            r"shape \(sample, 3\), one column for each of .*, got \(64, 2\)",
        ),
        (
            lambda r: plots.leaving_sheet(
                images_of(r), some_policies(r)[0].decide(r), r.labels, PETS, columns=0
            ),
            "columns must be 1 or more, got 0",
        ),
    ],
)
def test_bad_input_is_refused_with_the_rule_and_the_value(draw, message):
    with pytest.raises(ValueError, match=message):
        draw(random_records(64, gate=False))
    assert not plt.get_fignums(), "an empty figure is left"


def test_a_missing_head_is_named():
    records = random_records(64, gate=False, heads=[[True, False], [True, False], [False, True]])
    for draw in (plots.accuracy_against_tolerance, plots.entropies, plots.entropy_densities):
        with pytest.raises(ValueError, match="there is no head at exit 1, level 'fine'"):
            draw(records)
    assert not plt.get_fignums()
