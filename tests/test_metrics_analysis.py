"""Mistakes in the tree, operating curve and region, overlap, calibration, intervals, confusion."""

import math
from dataclasses import replace

import pytest
import torch
from random_records import DEEP, PETS, random_records
from torch.nn.functional import cross_entropy

from hbnlab.hierarchy import Hierarchy
from hbnlab.metrics import (
    bootstrap,
    confusion,
    entropy_gap,
    evaluate,
    evaluation_intervals,
    failure_auroc,
    fit_temperatures,
    lca_scores,
    operating_curve,
    operating_region,
    overlap_coefficient,
    reliability,
    severity,
    sweep,
    tolerance_bound,
    top_k_accuracy,
    uncertainties,
    uncertainty_overlap,
    with_temperatures,
)
from hbnlab.policies import FineTolerance, ForcedExit
from hbnlab.trees import CIFAR100, FASHION_MNIST_THREE


def _seed(number=0):
    return torch.Generator().manual_seed(number)


# ---------------------------------------------------------------------- mistakes in the tree


def _by_paths(tree, level, answer, truth):
    """LCA scores from sets of leaves alone: the smallest node that holds both."""
    leaves = {(-1, 0): set(range(tree.num_classes[-1]))}
    for lv in range(tree.num_levels):
        for c in range(tree.num_classes[lv]):
            leaves[lv, c] = set(tree.leaves(lv, c))
    total = tree.num_classes[-1]

    def info(node):
        return math.log2(total / len(leaves[node]))

    answer, truth = (level, answer), (tree.finest, truth)
    both = leaves[answer] | leaves[truth]
    # Of nodes with the same leaves the deeper, but not deeper than the answer.
    holders = [node for node in leaves if both <= leaves[node] and node[0] <= level]
    lca = max(holders, key=lambda node: (info(node), node[0]))
    precision = info(lca) / info(answer) if info(answer) else 1.0
    recall = info(lca) / info(truth) if info(truth) else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    distance = info(truth) + info(answer) - 2 * info(lca)
    height = tree.finest - lca[0]
    return [float(lca == answer), info(answer), precision, recall, f1, distance, float(height)]


@pytest.mark.parametrize("tree", [PETS, DEEP, FASHION_MNIST_THREE])
def test_lca_scores_equal_those_found_from_sets_of_leaves(tree):
    nodes = [(-1, 0)] + [
        (lv, c) for lv in range(tree.num_levels) for c in range(tree.num_classes[lv])
    ]
    pairs = [(lv, c, truth) for lv, c in nodes for truth in range(tree.num_classes[-1])]
    columns = torch.tensor(pairs)
    scores = lca_scores(columns[:, 0], columns[:, 1], tree.label_table(columns[:, 2]), tree)
    found = torch.stack([column.double() for column in vars(scores).values()], dim=1)
    expected = torch.tensor([_by_paths(tree, *pair) for pair in pairs], dtype=torch.float64)
    assert torch.allclose(found, expected, atol=1e-6)


def test_severity_over_all_images_is_that_of_mistakes_times_their_rate():
    records = random_records(120, hierarchy=DEEP, signal=3.0)
    decisions = FineTolerance([1.0, 1.0], 0.2).decide(records)
    found = severity(decisions, records)
    assert found.mistake_rate == pytest.approx(1 - evaluate(decisions, records).accuracy)
    assert found.height_over_all == pytest.approx(found.mistake_rate * found.height_of_mistakes)
    assert 1 <= found.height_of_mistakes <= 3


def test_a_network_that_is_always_right_makes_no_severe_mistake():
    records = random_records(30, signal=100.0)
    found = severity(ForcedExit(0).decide(records), records)
    assert (found.mistake_rate, found.height_of_mistakes, found.height_over_all) == (0, 0, 0)
    assert (found.precision, found.recall, found.f1, found.distance_over_all) == (1, 1, 1, 0)
    coarse = severity(ForcedExit(0, 0).decide(records), records)
    assert (coarse.mistake_rate, coarse.precision, coarse.height_over_all) == (0, 1, 0)
    assert coarse.recall < 1
    assert coarse.distance_over_all > 0


# ---------------------------------------------------------------------- operating curve


def _answers_at(records, exit_index, theta):
    """By the definition: of the nodes at least so probable, the most informative."""
    tree = records.hierarchy
    levels, classes = [], []
    cells = [records.cell(exit_index, level) for level in range(tree.num_levels)]
    probs = [cell.prob.tolist() for cell in cells]
    bits = [tree.information(level).tolist() for level in range(tree.num_levels)]
    for i in range(len(records)):
        best = (0.0, 1.0, -1, 0)  # information, probability, level, class; the root
        for level in range(tree.num_levels):
            for c, (p, b) in enumerate(zip(probs[level][i], bits[level], strict=True)):
                if p >= theta and (b, p, level) > best[:3]:
                    best = (b, p, level, c)
        levels.append(best[2])
        classes.append(best[3])
    return lca_scores(torch.tensor(levels), torch.tensor(classes), records.labels, tree)


@pytest.mark.parametrize("marginal", [True, False])
@pytest.mark.parametrize("tree", [PETS, DEEP])
def test_the_operating_curve_passes_through_every_threshold_of_a_grid(tree, marginal):
    records = random_records(25, hierarchy=tree)
    if marginal:
        records = records.marginalised()
    curve = operating_curve(records, 1)
    for theta in torch.linspace(0.01, 0.99, 15, dtype=torch.float64).tolist():
        point = int((curve.theta >= theta).sum()) - 1
        expected = _answers_at(records, 1, theta)
        for name in ("correct", "information", "precision", "recall", "f1"):
            value = float(getattr(expected, name).double().mean())
            assert float(getattr(curve, name)[point]) == pytest.approx(value, abs=1e-6)


def test_the_operating_curve_runs_from_the_root_to_the_most_probable_leaf():
    records = random_records(200, hierarchy=CIFAR100, signal=5.0).marginalised()
    curve = operating_curve(records, 0)
    assert (curve.correct[0], curve.precision[0], curve.information[0]) == (1, 1, 0)
    assert float(curve.correct[-1]) == pytest.approx(top_k_accuracy(records, 0, -1, 1))
    assert float(curve.information[-1]) == pytest.approx(math.log2(100), abs=1e-5)
    assert (curve.theta[:-1] > curve.theta[1:]).all()
    assert (curve.information.diff() > -1e-9).all()
    assert (curve.recall <= 1).all()


def test_the_area_under_the_operating_curve_is_1_for_a_network_that_is_always_right():
    right = random_records(30, signal=200.0).marginalised()
    assert operating_curve(right, 0).area() == pytest.approx(1)
    better, worse = (random_records(300, signal=s).marginalised() for s in (4.0, 1.0))
    assert operating_curve(better, 0).area() > operating_curve(worse, 0).area() > 0
    assert operating_curve(better, 0).area("correct") <= 1


# ---------------------------------------------------------------------- operating region


@pytest.mark.parametrize("batch_size", [1, 16])
def test_specificity_is_0_at_the_low_end_of_the_region_and_1_just_above_the_high_end(batch_size):
    records = random_records(100, signal=3.0)
    region = operating_region(records, 1, batch_size=batch_size)
    batch = {} if batch_size == 1 else {"per": "batch", "batch_size": batch_size}
    taus = [region.low, (region.low + region.high) / 2, region.high + 1e-5]
    policies = [replace(FineTolerance.at_exit(1, 3, tau), **batch) for tau in taus]
    low, middle, high = (result.specificity for result in sweep(policies, records))
    assert (low, high) == (0, 1)
    assert 0 < middle < 1


def test_the_region_narrows_as_the_batch_grows_and_with_its_coverage():
    records = random_records(2000, signal=3.0)
    widths = [operating_region(records, 0, batch_size=size).width for size in (1, 8, 64, 512)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 5
    assert operating_region(records, 0, coverage=0.9).width < widths[0]
    gap = entropy_gap(records, 0, batch_size=64)
    assert len(gap) == 32  # 31 whole batches and a short one


@pytest.mark.parametrize(("tree", "level"), [(PETS, 0), (DEEP, 0), (DEEP, 1), (CIFAR100, 0)])
def test_with_marginal_heads_the_region_lies_within_its_bound(tree, level):
    records = random_records(500, hierarchy=tree, signal=1.0).marginalised()
    low, high = tolerance_bound(tree, level)
    for exit_index in range(3):
        region = operating_region(records, exit_index, coarse_level=level)
        assert low - 1e-5 <= region.low <= region.high <= high + 1e-5
    assert tolerance_bound(CIFAR100) == (0, pytest.approx(math.log(5)))


def test_bad_settings_of_the_region_are_refused():
    records = random_records(heads=[[True, False], [True, True], [True, True]])
    with pytest.raises(ValueError, match="no head at exit 1, level 'fine'"):
        operating_region(records, 0)
    with pytest.raises(ValueError, match=r"coverage must be in \(0, 1\], got 0"):
        operating_region(records, 1, coverage=0.0)
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        operating_region(records, 1, batch_size=0)


# ---------------------------------------------------------------------- overlap


def test_overlap_equals_counting_pairs():
    records = random_records(150)
    fine, coarse = records.entropy[:, 0, 1], records.entropy[:, 0, 0]
    found = uncertainty_overlap(records, 0, quantile=0.25)
    above = (fine[:, None] > coarse[None]).double() + 0.5 * (fine[:, None] == coarse[None]).double()
    assert found.auroc == pytest.approx(float(above.mean()))
    under = (fine < torch.quantile(coarse, 0.25)).double().mean()
    assert found.share_under_quantile == pytest.approx(float(under))


def test_the_overlap_coefficient_is_1_for_the_same_values_and_0_for_values_apart():
    values = torch.rand(100, generator=_seed())
    assert overlap_coefficient(values, values) == pytest.approx(1)
    assert overlap_coefficient(values, values + 2) == 0
    assert overlap_coefficient(torch.ones(3), torch.ones(5)) == 1
    # Uniform on [0, 1] and on [0.5, 1.5] share half of their area.
    many = torch.rand(200_000, generator=_seed())
    assert overlap_coefficient(many, many + 0.5, bins=30) == pytest.approx(0.5, abs=0.01)


def test_batch_means_overlap_less_than_images():
    records = random_records(3000, hierarchy=CIFAR100, signal=5.0)
    by_size = [uncertainty_overlap(records, 0, batch_size=size).coefficient for size in (1, 64)]
    assert by_size[0] > 0.2 > by_size[1]


def test_normalised_uncertainties_lie_between_0_and_1():
    records = random_records(100)
    for level, classes in ((0, 3), (1, 6)):
        raw = uncertainties(records, 0, level)
        normalised = uncertainties(records, 0, level, normalised=True)
        assert torch.allclose(raw, normalised * math.log(classes))
        assert 0 <= float(normalised.min()) <= float(normalised.max()) <= 1
    assert uncertainty_overlap(records, 0, normalised=True).normalised
    assert len(uncertainties(records, 0, 0, batch_size=64)) == 2


def test_bad_settings_of_the_overlap_are_refused():
    with pytest.raises(ValueError, match=r"quantile must be in \[0, 1\], got 1.5"):
        uncertainty_overlap(random_records(), 0, quantile=1.5)
    with pytest.raises(ValueError, match="bins must be 1 or more, got 0"):
        uncertainty_overlap(random_records(), 0, bins=0)
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        uncertainties(random_records(), 0, 0, batch_size=0)


# ---------------------------------------------------------------------- calibration


def test_reliability_equals_sorting_the_images_into_bins_by_hand():
    records = random_records(300)
    cell = records.cell(0, "fine")
    found = reliability(records, 0, "fine", bins=10)
    error = 0.0
    for place in range(10):
        low, high = place / 10, (place + 1) / 10
        here = (cell.confidence.double() > low) & (cell.confidence.double() <= high)
        assert int(found.count[place]) == int(here.sum())
        if here.any():
            accuracy = float(cell.correct[here].double().mean())
            confidence = float(cell.confidence[here].double().mean())
            assert float(found.accuracy[place]) == pytest.approx(accuracy)
            assert float(found.confidence[place]) == pytest.approx(confidence)
            error += int(here.sum()) / 300 * abs(accuracy - confidence)
    assert found.expected_error == pytest.approx(error)
    assert found.count.sum() == 300
    with pytest.raises(ValueError, match="bins must be 1 or more, got 0"):
        reliability(records, 0, "fine", bins=0)


def test_a_head_that_is_sure_and_right_is_calibrated():
    assert reliability(random_records(40, signal=200.0), 0, 1).expected_error == pytest.approx(0)


def test_a_fitted_temperature_has_the_least_cross_entropy():
    records = random_records(400, heads=[[True, False], [True, True], [True, True]])
    temperatures = fit_temperatures(records)
    assert temperatures[0, 1].isnan()
    for exit_index, level in records.cells:
        cell = records.cell(exit_index, level)
        best = float(temperatures[exit_index, level])
        losses = [
            float(cross_entropy(cell.logits.double() / (best * factor), cell.labels))
            for factor in (0.99, 1.0, 1.01)
        ]
        assert losses[1] == min(losses)


def test_temperatures_follow_the_scale_of_the_logits_and_change_no_prediction():
    records = random_records(400)
    temperatures = fit_temperatures(records)
    sharper = replace(records, logits=tuple(3 * logits for logits in records.logits))
    assert torch.allclose(fit_temperatures(sharper), 3 * temperatures, rtol=1e-4)
    cooled, again = (with_temperatures(r, fit_temperatures(r)) for r in (sharper, records))
    assert torch.equal(cooled.prediction, records.prediction)
    assert torch.allclose(cooled.entropy, again.entropy, atol=1e-3)
    assert reliability(cooled, 0, 1).expected_error < reliability(sharper, 0, 1).expected_error


def test_a_truth_that_is_impossible_leaves_the_temperature_alone():
    records = random_records(20)
    logits = [tensor.clone() for tensor in records.logits]
    logits[1][0, 0, records.labels[0, 1]] = -math.inf
    assert fit_temperatures(replace(records, logits=tuple(logits)))[0, 1] == 1


def test_temperatures_that_do_not_fit_are_refused():
    records = random_records()
    with pytest.raises(ValueError, match=r"must be \(exit, level\) = \(3, 2\), got \(2, 2\)"):
        with_temperatures(records, torch.ones(2, 2))
    with pytest.raises(ValueError, match="finite and above 0"):
        with_temperatures(records, torch.zeros(3, 2))


def test_failure_prediction_judges_the_order_alone():
    records = random_records(200)
    cell = records.cell(0, "fine")
    right, wrong = cell.entropy[cell.correct], cell.entropy[~cell.correct]
    lower = (right[:, None] < wrong[None]).double() + 0.5 * (right[:, None] == wrong[None]).double()
    assert failure_auroc(records, 0, "fine") == pytest.approx(float(lower.mean()))
    assert math.isnan(failure_auroc(random_records(signal=200.0), 0, "fine"))


# ---------------------------------------------------------------------- intervals


def test_the_same_seed_gives_the_same_interval():
    records = random_records(60)

    def error(chosen):
        return uncertainty_overlap(records.subset(chosen), 0).auroc

    first, again = (bootstrap(error, 60, generator=_seed(3), repeats=20) for _ in range(2))
    assert first == again
    assert first.low <= first.estimate <= first.high
    assert first != bootstrap(error, 60, generator=_seed(4), repeats=20)


def test_intervals_of_an_evaluation_are_as_wide_as_the_normal_ones():
    records = random_records(1000)
    decisions = FineTolerance([0.9, 0.9], 0.3).decide(records)
    found = evaluate(decisions, records)
    intervals = evaluation_intervals(decisions, records, generator=_seed(), repeats=2000)
    assert intervals["mean_macs"].estimate == pytest.approx(found.mean_macs)
    for name in ("accuracy", "hierarchical_accuracy", "specificity"):
        share = getattr(found, name)
        half = 1.96 * math.sqrt(share * (1 - share) / 1000)
        assert intervals[name].estimate == pytest.approx(share)
        assert intervals[name].low == pytest.approx(share - half, abs=0.005)
        assert intervals[name].high == pytest.approx(share + half, abs=0.005)


def test_a_wider_confidence_gives_a_wider_interval():
    values = torch.rand(100, generator=_seed())

    def width(confidence):
        found = bootstrap(
            lambda chosen: float(values[chosen].mean()),
            100,
            generator=_seed(),
            confidence=confidence,
        )
        return found.high - found.low

    assert width(0.99) > width(0.9) > width(0.5)


def test_bad_settings_of_the_bootstrap_are_refused():
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), got 1.0"):
        bootstrap(float, 10, generator=_seed(), confidence=1.0)
    with pytest.raises(ValueError, match="1 or more, got 0 and 200"):
        bootstrap(float, 0, generator=_seed())


# ---------------------------------------------------------------------- confusion


def test_a_confusion_matrix_puts_the_classes_of_a_coarse_class_side_by_side():
    records = random_records(300, hierarchy=CIFAR100, signal=5.0)
    found = confusion(records, 0)
    assert found.block_sizes == (5,) * 20
    assert found.names[:5] == ("beaver", "dolphin", "otter", "seal", "whale")
    cell = records.cell(0, "fine")
    place = {c: n for n, c in enumerate(found.classes)}
    counts = torch.zeros(100, 100, dtype=torch.long)
    for truth, answer in zip(cell.labels.tolist(), cell.prediction.tolist(), strict=True):
        counts[place[truth], place[answer]] += 1
    assert torch.equal(found.counts, counts)
    lifted = CIFAR100.ancestors(0)
    wrong = cell.prediction != cell.labels
    within = wrong & (lifted[cell.prediction] == lifted[cell.labels])
    assert found.within_blocks == pytest.approx(float(within.sum() / wrong.sum()))


def test_blocks_follow_any_coarser_level():
    records = random_records(50, hierarchy=DEEP, signal=100.0)
    assert confusion(records, 0, "fine").block_sizes == (5, 1)
    assert confusion(records, 0, "fine", coarse_level="coarse").block_names == PETS.class_names[0]
    assert confusion(records, 0, "coarse").block_sizes == (2, 1)
    assert confusion(records, 0).within_blocks == 0


def test_classes_that_no_image_has_keep_their_row():
    tree = Hierarchy.from_dict({"a": ["p", "q"], "b": ["r", "s"]})
    found = confusion(random_records(1, hierarchy=tree), 0)
    assert found.counts.shape == (4, 4)
    assert found.counts.sum() == 1


def test_records_with_temperatures_have_a_fingerprint_of_their_own():
    records = random_records(30)
    temperatures = torch.full((3, 2), 2.0)
    scaled = with_temperatures(records, temperatures)
    assert scaled.fingerprint != records.fingerprint
    assert scaled.fingerprint == with_temperatures(records, temperatures).fingerprint
    assert scaled.fingerprint != with_temperatures(records, 2 * temperatures).fingerprint
