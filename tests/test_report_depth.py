"""Does depth pay? The numbers of one trunk, the comparison of trunks, and a report on either."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_report import TREE, WIDTH, Colours, measured_of, numbers_in, plan_of, table_under, tree_of

from hbnlab import models
from hbnlab.cli import main
from hbnlab.metrics import evaluate, flops_for_accuracy
from hbnlab.records import ExitRecords, simulated_records
from hbnlab.report import Plan, reproduce
from hbnlab.report.depth import LOSSES, Depth, depth_results
from hbnlab.report.figures import FIGURES
from hbnlab.report.saved_seconds import timed


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("hbnlab.report.results.REPEATS", 5)
    monkeypatch.setattr("hbnlab.report.depth.REPEATS", 20)
    monkeypatch.setattr("hbnlab.report.depth.BUDGETS", 5)
    monkeypatch.setattr("hbnlab.report.saved_seconds.ROUNDS", 1)
    monkeypatch.setattr("hbnlab.report.figures.FIGURES", FIGURES[:1])


def known_records():
    """Eight images: exit 1 is right about four, and surer of these; exit 2 is always right.

    Leaving at exit 1 costs 110 MACs, going on 430, exit 2 by itself 420.
    """
    fine = torch.arange(8) % 5
    sure = torch.tensor([4.0 - 0.3 * image for image in range(8)])
    said = torch.where(torch.arange(8) < 4, fine, (fine + 1) % 5)
    first = torch.nn.functional.one_hot(said, 5) * sure[:, None]
    second = torch.nn.functional.one_hot(fine, 5) * 6.0
    return ExitRecords(
        logits=(torch.zeros(8, 2, 2), torch.stack([first, second], dim=1)),
        head_mask=((True, True), (True, True)),
        labels=TREE.label_table(fine),
        stage_macs=(100, 300),
        branch_macs=(10, 20),
        hierarchy=TREE,
    )


def depth_of(val, test):
    return Depth(replace(measured_of("gran-hbn", 2, TREE), val=val, test=test))


def simulated(num_exits, tree, seed):
    """Records in which later exits are better."""
    parts = [
        simulated_records(200, seed=seed, num_exits=1, hierarchy=tree, gate=False, signal=s)
        for s in torch.linspace(1.0, 5.0, num_exits).tolist()
    ]
    levels = range(tree.num_levels)
    return ExitRecords(
        logits=tuple(torch.cat([one.logits[k] for one in parts], dim=1) for k in levels),
        head_mask=((True,) * tree.num_levels,) * num_exits,
        labels=parts[0].labels,
        stage_macs=tuple(100 * 3**n for n in range(num_exits)),
        branch_macs=(20,) * num_exits,
        hierarchy=tree,
    )


# ---------------------------------------------------------------------- the numbers


def test_gain_and_prices_are_known_where_exit_1_is_right_about_its_surest_half(monkeypatch):
    monkeypatch.setattr("hbnlab.report.depth.BUDGETS", 39)
    records = known_records()
    found = depth_results(depth_of(records, records))
    assert [(row["flops"], row["accuracy"]) for row in found["exits"]] == [(220, 0.5), (840, 1)]
    # The rule rises from (220, 0.5) to (540, 1), where the surest half leaves, and stays there.
    assert found["gain"] == pytest.approx((80 + 150 - 155) / 620, abs=1e-6)
    for row, loss in zip(found["losses"], LOSSES, strict=True):
        assert row["flops"] == pytest.approx(220 + 320 * (0.5 - loss) / 0.5, abs=1e-3)
        assert row["share"] == pytest.approx(row["flops"] / 840, abs=1e-6)
        assert row["trivial_flops"] == pytest.approx(220 + 620 * (0.5 - loss) / 0.5, abs=1e-3)
        assert (row["chosen_accuracy"], row["chosen_loss"], row["chosen_flops"]) == (1, 0, 540)
        assert row["trivial_accuracy"] == pytest.approx(0.5 + 0.5 * 320 / 620, abs=1e-6)


def test_a_rule_gains_nothing_where_its_score_tells_nothing_and_exits_are_alike():
    records = known_records()
    same = torch.stack([records.logits[1][:, 1]] * 2, dim=1)
    alike = replace(records, logits=(records.logits[0], same))
    found = depth_results(depth_of(alike, alike))
    assert found["gain"] == 0
    assert {row["flops"] for row in found["losses"]} == {220}
    assert {row["trivial_flops"] for row in found["losses"]} == {220}


@pytest.mark.parametrize(("num_exits", "num_levels"), [(2, 1), (4, 3), (7, 2)])
def test_numbers_are_those_of_evaluate_for_any_number_of_exits_and_levels(num_exits, num_levels):
    tree = tree_of(num_levels)
    depth = depth_of(*(simulated(num_exits, tree, seed) for seed in (1, 2)))
    found, test = depth_results(depth), depth.measured.test
    assert len(found["exits"]) == num_exits
    for row, policy in zip(found["losses"], depth.chosen, strict=True):
        result = evaluate(policy.decide(test), test)
        assert row["chosen_accuracy"] == pytest.approx(result.accuracy, abs=1e-6)
        assert row["chosen_flops"] == pytest.approx(result.mean_flops, abs=1e-6)
        assert result.specificity == 1
    exits, rule = depth.curves()
    for row, loss in zip(found["losses"], LOSSES, strict=True):
        needed = flops_for_accuracy(rule, exits.accuracy[-1] - loss - 1e-9)
        assert row["flops"] == pytest.approx(needed, abs=1e-5)
    gains = {name: depth.gain(name, depth.measured.val) for name in depth.families}
    assert found["rule"] == max(gains, key=gains.get)
    assert {row["rule"] for row in found["rules"]} == set(gains)


def test_less_accuracy_never_costs_more_and_intervals_hold_their_numbers():
    found = depth_results(depth_of(*(simulated(4, TREE, seed) for seed in (3, 4))))
    for key in ("flops", "trivial_flops", "chosen_flops"):
        values = [row[key] for row in found["losses"]]
        assert values == sorted(values, reverse=True)
    for row in (found, *found["exits"], *found["losses"]):
        for key, (low, high) in row["intervals"].items():
            assert low <= high
            if key in ("gain", "accuracy", "chosen_accuracy", "chosen_flops"):
                assert low - 0.02 * abs(low) <= row[key] <= high + 0.02 * abs(high)


def test_the_order_of_the_images_changes_no_number():
    val, test = (simulated(3, TREE, seed) for seed in (5, 6))
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))

    def numbers(*parts):
        found = depth_results(depth_of(*parts))
        for row in (found, *found["exits"], *found["losses"]):
            del row["intervals"]
        return found

    assert numbers(val.subset(order), test.subset(order)) == numbers(val, test)


def test_what_is_timed_is_every_exit_and_each_chosen_policy_once(monkeypatch):
    monkeypatch.setattr("hbnlab.report.depth.BUDGETS", 39)
    records = known_records()
    depth = depth_of(records, records)
    names = list(timed(depth))
    assert names[:2] == ["everybody at exit 1", "everybody at exit 2"]
    assert names[2:] == [f"{depth.rule}, at most 0 points lost"]


# ---------------------------------------------------------------------- reports


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Weights of Gran-HBN on one trunk, under the name of an AG-HBN, and on both."""
    root = tmp_path_factory.mktemp("bundled")
    for dataset, trunks in {"colours": ("alexnet", "residual"), "moon": ("residual",)}.items():
        for trunk in trunks:
            network = models.create("ag-hbn", TREE, width=WIDTH, seed=1, trunk=trunk)
            models.save_weights(network, root / dataset / trunk / "ag-hbn.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hbnlab.models.weights.BUNDLED", root)
        yield root


def test_a_report_compares_all_trunks_with_weights_and_repeats_itself(both, tmp_path, monkeypatch):
    plan = plan_of(tmp_path, names=("gran-hbn",))
    page = reproduce(plan, progress=False).read_text()
    results = numbers_in(tmp_path)
    rows = table_under(page, "Does depth pay?")
    assert [row[0] for row in rows] == ["gran-hbn, alexnet", "gran-hbn, residual"]
    assert [len(row[2].split(" / ")) for row in rows] == [3, 4]
    assert len(table_under(page, "What the last exit's accuracy costs")) == 2 * len(LOSSES)
    assert "MSDNet (Huang et al., ICLR 2018)" in page
    assert "figures/does-depth-pay.png" in page
    seconds = json.loads((tmp_path / "seconds.json").read_text())
    assert len(table_under(page, "FLOPs saved and seconds saved")) == sum(
        len(one["rows"]) for one in seconds.values()
    )
    for trunk, measured in seconds.items():
        records = results["depth"][trunk][0]
        last = measured["rows"][len(records["exits"]) - 1]
        assert 0 < last["flops_share"] < 1
        assert last["seconds_share"] > 0
    assert "seconds_share" not in json.dumps(results)
    monkeypatch.setattr("hbnlab.report.saved_seconds.predict", None)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert reproduce(plan, progress=False).read_text() == page
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in before if after[path] != before[path]} <= {"times.json"}


def test_a_report_on_our_trunk_has_no_columns_of_the_study_and_says_what_is_missing(both, tmp_path):
    plan = plan_of(
        tmp_path, choice=Colours(name="moon"), trunk="residual", names=("gran-hbn", "ag-hbn")
    )
    page = reproduce(plan, progress=False).read_text()
    assert numbers_in(tmp_path)["trunk"] == "residual"
    assert "study: " not in page
    assert "study's columns" not in page
    assert "was not run here" not in page
    assert "on the trunk residual" in page
    assert "No weights of Gran-HBN on the trunk alexnet are bundled for moon" in page
    assert "hbnlab reproduce --dataset moon --weights train --preset long" in page
    assert [row[0] for row in table_under(page, "Does depth pay?")] == ["gran-hbn, residual"]
    assert {row[1] for row in table_under(page, "All images at one exit")} == {*"1234"}
    assert (tmp_path / "runs" / "bundled-residual" / "gran-hbn").is_dir()
    assert f"    {plan.command}\n" in page
    assert "--dataset moon --trunk residual --models gran-hbn ag-hbn" in plan.command


def test_gran_hbn_is_trained_on_every_trunk_and_seed(tmp_path):
    plan = plan_of(
        tmp_path,
        weights="train",
        names=("gran-hbn",),
        seeds=range(2),
        width=WIDTH,
        settings={"epochs": 1, "batch_size": 20},
    )
    page = reproduce(plan, progress=False).read_text()
    results = numbers_in(tmp_path)
    assert {trunk: len(seeds) for trunk, seeds in results["depth"].items()} == {
        "alexnet": 2,
        "residual": 2,
    }
    assert "curve" in results["depth"]["residual"][0]
    assert "curve" not in results["depth_across_seeds"]["residual"]
    across = results["depth_across_seeds"]["residual"]["losses"]
    values = [one["losses"][0]["flops"] for one in results["depth"]["residual"]]
    if values[0] != values[1]:
        assert across[0]["flops"]["mean"] == pytest.approx(sum(values) / 2, abs=1e-3)
    assert len(table_under(page, "Does depth pay?")) == 2
    there = plan.on_trunk("residual")
    assert (there.run_folder("gran-hbn", 1) / "checkpoint.safetensors").is_file()
    assert there.run_folder("gran-hbn", 1) != plan.run_folder("gran-hbn", 1)


def test_nothing_is_compared_without_gran_hbn_or_by_the_published_protocol(both, tmp_path):
    plan = plan_of(tmp_path, names=("gran-hbn",))
    assert plan.compared_trunks == ("alexnet", "residual")
    assert replace(plan, paper_protocol=True).compared_trunks == ()
    assert replace(plan, names=("ag-hbn",)).compared_trunks == ()
    assert replace(plan, compare_trunks=False).compared_trunks == ()
    assert replace(plan, choice=Colours(name="moon"), trunk="residual").compared_trunks == (
        "residual",
    )
    assert replace(plan, weights="train").compared_trunks == tuple(models.TRUNKS)


# ---------------------------------------------------------------------- plans and the command


def test_names_are_those_of_the_trunk(tmp_path):
    plan = plan_of(tmp_path, weights="train", trunk="residual")
    assert plan.network_names == models.names_on("residual")
    assert plan.trained_width == 0.5
    assert plan_of(tmp_path, weights="train", names=("plain",)).network_names == ("alexnet",)
    assert plan.run_folder("plain", 0).parts[-3:] == ("quick-residual", "plain", "seed-0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trunk": "oak"}, r"trunk must be one of \['alexnet', 'residual'\], got 'oak'"),
        ({"trunk": "residual", "names": ("b-alexnet",)}, "on 'residual' write 'branchy'"),
        (
            {"trunk": "residual", "names": ("plain", "gran-hbn"), "weights": "bundled"},
            r"no weights of \['plain'\] are bundled for 'colours' on the trunk 'residual'; "
            "leave them out with: --models gran-hbn, or train .* --trunk residual",
        ),
    ],
)
def test_a_plan_for_a_trunk_that_cannot_work_is_refused(both, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        plan_of(tmp_path, **({"weights": "train"} | changes))


def test_the_command_takes_a_trunk_and_names_its_folder_after_it(tmp_path, monkeypatch):
    plans: list[Plan] = []
    monkeypatch.setattr("hbnlab.report.reproduce", lambda plan: plans.append(plan) or tmp_path)
    monkeypatch.setattr("hbnlab.models.weights.BUNDLED", Path(models.__file__).parent / "bundled")
    assert main(["reproduce", "--trunk", "residual", "--weights", "train"]) == 0
    assert main(["reproduce", "--one-trunk"]) == 0
    assert [plan.compare_trunks for plan in plans] == [True, False]
    assert plans[1].command == "hbnlab reproduce --dataset glyphs --one-trunk"
    assert [plan.trunk for plan in plans] == ["residual", "alexnet"]
    assert [plan.out.name for plan in plans] == ["glyphs-residual", "glyphs"]
    assert plans[0].network_names == models.names_on("residual")
    assert (plans[1].weights, plans[1].network_names) == ("bundled", models.STUDY_NAMES)
