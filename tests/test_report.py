"""A report says what the metrics say, follows the protocol asked for, and can be resumed."""

import json
import math
import re
from dataclasses import dataclass, replace

import pytest
import torch

from hbnlab import models
from hbnlab.cli import main
from hbnlab.collect import collect_records
from hbnlab.data import Splits, TensorSplit
from hbnlab.entropy import entropy
from hbnlab.hierarchy import Hierarchy
from hbnlab.history import CellScore, Epoch, History
from hbnlab.metrics import evaluate, operating_region, sweep, uncertainty_overlap
from hbnlab.policies import ForcedExit
from hbnlab.records import ExitRecords, simulated_records
from hbnlab.report import Plan, differences, published_results, reproduce
from hbnlab.report.depth import Depth
from hbnlab.report.figures import FIGURES, Subject, draw_figures
from hbnlab.report.measured import Measured, Times, kept_records
from hbnlab.report.protocol import OURS, PUBLISHED, forced_exits
from hbnlab.report.published import published_counterpart, published_row
from hbnlab.report.report_tables import markdown_table, with_interval
from hbnlab.report.reproduction import write_report
from hbnlab.report.results import meanings, plain
from hbnlab.report.seeds import across_seeds, mean_interval
from hbnlab.run_folder import DataChoice, report_policies

TREE = Hierarchy.from_dict({"warm": ["red", "yellow"], "cool": ["green", "blue", "violet"]})
COLOURS = torch.tensor(
    [[200, 40, 40], [200, 200, 40], [40, 200, 40], [40, 40, 200], [200, 40, 200]]
)
WIDTH = 0.04
PAPER_NAMES = ("b-alexnet", "gran-hbn", "ag-hbn")


SCORES = tuple(CellScore(e, k, 1.0, 0.5, 1.0) for e in range(3) for k in range(2))
HISTORY = History(
    [Epoch(1, "train", 2.0, 0.1, {"train": SCORES, "val": SCORES}, (0.5,) * 3, (0.5,) * 3)]
)


def split_of(part, count, name="colours"):
    generator = torch.Generator().manual_seed(count)
    fine = torch.arange(count) % 5
    noise = torch.randint(-40, 41, (count, 3, 32, 32), generator=generator)
    return TensorSplit(
        images=(COLOURS[fine][:, :, None, None] + noise).to(torch.uint8),
        labels=TREE.label_table(fine),
        hierarchy=TREE,
        name=name,
        part=part,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        augmentations=("crop", "flip"),
    )


def splits_of(name="colours"):
    train, val, test = (split_of(p, n, name) for p, n in (("train", 40), ("val", 60), ("test", 70)))
    return Splits(train=train, val=val, test=test, hierarchy=TREE, name=name)


@dataclass(frozen=True, kw_only=True)
class Colours(DataChoice):
    """Images of one colour per class, under the name of any data set."""

    def load(self):
        return splits_of(self.name)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """Five networks of random weights that count as bundled, for some names of data sets."""
    root = tmp_path_factory.mktemp("bundled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hbnlab.models.weights.BUNDLED", root)
        patch.setattr("hbnlab.report.figures.BUDGETS", 3)
        patch.setattr("hbnlab.report.depth.BUDGETS", 3)
        patch.setattr("hbnlab.report.saved_seconds.ROUNDS", 1)
        notes = {"cifar100": {"history": HISTORY.to_spec(), "config": {"augment": False}}}
        for dataset in ("colours", "cifar100", "glyphs"):
            for name in models.STUDY_NAMES:
                network = models.create(name, TREE, width=WIDTH, seed=1)
                path = root / dataset / "alexnet" / f"{name}.safetensors"
                models.save_weights(network, path, notes=notes.get(dataset))
        yield root


def plan_of(out, **changes):
    settings = {"choice": Colours(name="colours"), "out": out, "weights": "bundled"}
    return Plan(**(settings | changes))


@pytest.fixture(scope="module")
def report(bundled, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    assert reproduce(plan_of(out), progress=False) == out / "report.md"
    return out


@pytest.fixture(scope="module")
def paper_report(bundled, tmp_path_factory):
    out = tmp_path_factory.mktemp("paper")
    return reproduce(plan_of(out, names=PAPER_NAMES, paper_protocol=True), progress=False).parent


def numbers_in(folder):
    def refuse(word):
        raise AssertionError(f"results.json holds {word}")

    return json.loads((folder / "results.json").read_text(), parse_constant=refuse)


def records_of(name, part="test"):
    network = models.create(name, weights="colours")
    return collect_records(network, getattr(splits_of(), part))


def table_under(page, heading):
    """Rows of the table under a heading, as lists of cells."""
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


# ---------------------------------------------------------------------- the page


@pytest.mark.parametrize("folder", ["report", "paper_report"])
def test_the_page_links_files_that_are_there_and_puts_words_beside_every_picture(folder, request):
    folder = request.getfixturevalue(folder)
    page = (folder / "report.md").read_text()
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert {"results.json", "times.json"} <= set(links)
    assert all((folder / link).is_file() for link in links)
    pictures = re.findall(r"!\[([^]]*)\]\(figures/([^)]*)\.png\)", page)
    assert {path.stem for path in (folder / "figures").iterdir()} == {name for _, name in pictures}
    for alt, name in pictures:
        assert len(alt) > 40, name
        assert page.count(alt) == 2  # as alternative text and as caption


def test_the_page_names_what_was_run_and_what_was_not(report, bundled, tmp_path):
    page = (report / "report.md").read_text()
    assert "**colours** (2 coarse > 5 fine classes)" in page
    assert "CIFAR-100, the data set of the study, was not run here" in page
    assert "hbnlab reproduce --dataset cifar100" in page
    assert f"Training curves of {', '.join(models.STUDY_NAMES)} are missing" in page
    choice = Colours(name="cifar100")
    there = plan_of(tmp_path, choice=choice, names=("gran-hbn",), paper_protocol=True)
    page = reproduce(there, progress=False).read_text()
    assert "was not run here" not in page
    assert "The published results are in grey" in page
    assert "gran-hbn: training" in page
    assert "gran-hbn were trained without augmentation" in page


def test_all_differences_are_named_with_all_sides(report):
    page = (report / "report.md").read_text()
    rows = table_under(page, "Where the protocols differ")
    assert [row[0] for row in rows] == [str(n) for n in range(1, len(differences()) + 1)]
    assert len(differences()) >= 13
    assert all(all(row) and len(row) == 5 for row in rows)


def test_figures_are_small_and_hold_their_text_as_text(report):
    files = list((report / "figures").iterdir())
    assert sum(path.stat().st_size for path in files) < 3e6
    svg = (report / "figures" / "flops.svg").read_text()
    assert "accuracy" in svg
    assert all(path.suffix in (".svg", ".png") for path in files)


# ---------------------------------------------------------------------- the numbers


def test_the_table_of_exits_holds_what_the_metrics_say(report):
    results = numbers_in(report)
    rows = table_under((report / "report.md").read_text(), "All images at one exit")
    records = records_of("gran-hbn")
    expected = sweep([ForcedExit(e, k) for e, k in records.cells], records)
    ours = results["networks"]["gran-hbn"][0]["exits"]
    printed = [row for row in rows if row[0] == "gran-hbn"]
    assert len(ours) == len(printed) == 6
    for row, cells, result in zip(ours, printed, expected, strict=True):
        assert row["accuracy"] == pytest.approx(result.accuracy, abs=1e-6)
        assert row["hierarchical_accuracy"] == pytest.approx(result.hierarchical_accuracy, abs=1e-6)
        assert row["flops"] == 2 * records.macs_to(row["exit"] - 1)
        assert row["run_flops"] == result.mean_flops <= row["flops"]
        low, high = row["intervals"]["accuracy"]
        assert low <= row["accuracy"] <= high
        assert cells[3].split(" (")[0] == f"{100 * result.accuracy:.1f}"
        assert cells[5] == f"{result.specificity:.3f}"
    assert printed[1][8:] == ["51.91", "64.78", "1.000", "31.78"]


def test_rules_are_fitted_on_validation_images_and_measured_on_test_images(report):
    val, test = records_of("gran-hbn", "val"), records_of("gran-hbn")
    rows = numbers_in(report)["networks"]["gran-hbn"][0]["policies"]
    policies = report_policies(val)
    assert [row["name"] for row in rows] == list(policies)
    for row, policy in zip(rows, policies.values(), strict=True):
        result = evaluate(policy.decide(test), test)
        assert row["thresholds"] == pytest.approx(policy.thresholds, abs=1e-6)
        assert row["accuracy"] == pytest.approx(result.accuracy, abs=1e-6)
        assert row["run_flops"] == pytest.approx(result.mean_flops, abs=1e-6)


def test_regions_and_overlap_are_those_of_the_metrics(report):
    numbers, records = numbers_in(report)["networks"]["gran-hbn"][0], records_of("gran-hbn")
    for row in numbers["regions"]:
        source = records if row["heads"] == "own" else records.marginalised()
        region = operating_region(source, row["exit"] - 1, batch_size=row["batch_size"])
        assert (row["low"], row["high"]) == pytest.approx((region.low, region.high), abs=1e-6)
        assert row["low"] <= row["middle_low"] <= row["middle_high"] <= row["high"]
    for row in numbers["overlap"]:
        how = {"normalised": row["normalised"], "batch_size": row["batch_size"]}
        overlap = uncertainty_overlap(records, row["exit"] - 1, **how)
        assert row["auroc"] == pytest.approx(overlap.auroc, abs=1e-6)


def test_results_explain_their_keys_and_name_their_source(report):
    results = numbers_in(report)
    assert results["keys"] == meanings()
    found = set(results) | set(results["networks"]["gran-hbn"][0])
    found |= set(results["networks"]["gran-hbn"][0]["exits"][0])
    assert set(meanings()) & found >= {
        "networks",
        "across_seeds",
        "exits",
        "policies",
        "specificity",
    }
    assert results["networks"]["alexnet"][0]["fingerprint"] == records_of("alexnet").fingerprint
    assert "seconds" not in json.dumps(results)


def test_numbers_that_json_does_not_have_get_a_form_that_it_has():
    value = {"a": math.nan, "b": (math.inf, 1 / 3), "c": "text", "d": True}
    assert plain(value) == {"a": None, "b": ["inf", 0.333333], "c": "text", "d": True}


# ---------------------------------------------------------------------- going on


def test_a_second_start_runs_no_network_and_writes_the_same_bytes(paper_report, monkeypatch):
    out = paper_report.parent
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr("hbnlab.report.measured.collect_records", None)
    reproduce(plan_of(out, names=PAPER_NAMES, paper_protocol=True), progress=False)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert before.keys() == after.keys()
    changed = [path.name for path, content in before.items() if after[path] != content]
    assert set(changed) <= {"times.json"}


def test_records_of_other_weights_or_in_a_damaged_file_are_made_again(tmp_path):
    path, split = tmp_path / "records.safetensors", split_of("test", 12)
    one, two = (models.create("b-alexnet", TREE, width=WIDTH, seed=seed) for seed in (1, 2))
    first = kept_records(path, one, split, progress=False)
    assert ExitRecords.load(path).fingerprint == first.fingerprint
    assert kept_records(path, two, split, progress=False).fingerprint != first.fingerprint
    path.write_bytes(path.read_bytes()[:-100])
    assert kept_records(path, two, split, progress=False).fingerprint != first.fingerprint
    assert len(ExitRecords.load(path)) == 12


def test_a_figure_that_fails_leaves_no_half_report(bundled, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no ink")

    monkeypatch.setattr("hbnlab.plots.confusion_matrix", fail)
    with pytest.raises(ValueError, match="no ink"):
        reproduce(plan_of(tmp_path, names=("alexnet",)), progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


# ---------------------------------------------------------------------- the published protocol


def random_records(count, *, gate=False, heads=((True, True),) * 3):
    generator = torch.Generator().manual_seed(5)
    logits = [
        (3 * torch.randn(count, 3, size, generator=generator)).masked_fill(
            ~torch.tensor(heads)[None, :, level, None], torch.nan
        )
        for level, size in enumerate(TREE.num_classes)
    ]
    return ExitRecords(
        logits=tuple(logits),
        head_mask=heads,
        labels=TREE.label_table(torch.randint(5, (count,), generator=generator)),
        stage_macs=(1, 2, 3),
        branch_macs=(4, 5, 6),
        hierarchy=TREE,
        gate_logits=torch.randn(count, 2, generator=generator) if gate else None,
    )


def test_the_policies_of_the_published_protocol_are_those_of_the_study():
    tolerances = published_results()["protocol"]["fine_tolerance"]
    gran = forced_exits(random_records(4), PUBLISHED)
    assert len(gran) == 150
    for number, forced in enumerate(gran):
        policy, exit_index = forced.policy, number // 50
        assert (forced.exit_index, policy.fine_tolerance) == (exit_index, tolerances[number % 50])
        assert policy.thresholds == tuple(math.inf if n == exit_index else 0.0 for n in range(2))
        assert (policy.rule, policy.per, policy.batch_size) == ("published-code", "batch", 512)
    semantic = random_records(4, heads=((True, False), (True, False), (False, True)))
    for records, size in ((semantic, 512), (random_records(4, gate=True), 1)):
        rows = forced_exits(records, PUBLISHED)
        assert [row.exit_index for row in rows] == [0, 1, 2]
        assert all(row.policy.batch_size == size for row in rows)
    assert [row.answers for row in forced_exits(semantic, PUBLISHED)] == [
        "coarse",
        "coarse",
        "fine",
    ]


def test_our_protocol_measures_every_head_and_what_the_gate_chooses():
    rows = forced_exits(random_records(4), OURS)
    expected = [(e, name) for e in range(3) for name in ("coarse", "fine")]
    assert [(row.exit_index, row.answers) for row in rows] == expected
    gate = forced_exits(random_records(4, gate=True), OURS)
    assert [row.answers for row in gate] == ["gate"] * 3
    assert all(row.policy.batch_size is None for row in gate)


def test_published_decisions_equal_a_loop_over_batches():
    records = random_records(1100)
    fine, coarse = (entropy(records.logits[level]) for level in (1, 0))
    for forced in forced_exits(records, PUBLISHED)[::13]:
        e, shares, right = forced.exit_index, [], 0
        for start in range(0, 1100, 512):
            rows = slice(start, min(start + 512, 1100))
            gap = fine[rows, e].double().mean() - coarse[rows, e].double().mean()
            level = int(gap < forced.policy.fine_tolerance)
            shares.append(float(level))
            answers = records.logits[level][rows, e].argmax(dim=-1)
            right += int((answers == records.labels[rows, level]).sum())
        result = evaluate(forced.policy.decide(records), records, batch_size=512)
        assert result.batch_specificity == pytest.approx(sum(shares) / 3)
        assert result.accuracy == right / 1100


def test_the_paper_report_is_of_augmented_images_and_all_tolerances(paper_report):
    results, test = numbers_in(paper_report), splits_of().test
    assert paper_report.name == "paper-protocol"
    assert results["protocol"]["name"] == "published"
    gran = results["networks"]["gran-hbn"][0]
    assert [len(row["accuracy"]) for row in gran["sweep"]] == [50] * 3
    assert {row["answers"] for row in gran["exits"]} == {"tolerance 0.00", "tolerance 0.98"}
    assert not {"policies", "calibration"} & gran.keys()
    network = models.create("b-alexnet", weights="colours")
    drawn = collect_records(network, test, augment=torch.Generator().manual_seed(0))
    row = results["networks"]["b-alexnet"][0]["exits"][2]
    assert row["accuracy"] == pytest.approx(float(drawn.correct[:, 2, 1].double().mean()), abs=1e-6)
    assert row["flops"] == 2 * drawn.macs_to(2)
    page = (paper_report / "report.md").read_text()
    assert "--paper-protocol" in page
    assert "thresholds from" not in page
    assert "Whether the networks were trained on augmented images is not known" in page
    kept = paper_report.parent / "runs" / "bundled" / "b-alexnet"
    assert (kept / "records-test-augmented.safetensors").is_file()


# ---------------------------------------------------------------------- the study's numbers


def test_published_rows_are_the_numbers_of_the_paper():
    row = published_row("gran-hbn", 1, specificity=0.0)
    assert (100 * row.accuracy, row.specificity) == (pytest.approx(66.7, abs=0.05), 0.0)
    row = published_row("gran-hbn", 2, specificity=1.0)
    assert 100 * row.accuracy == pytest.approx(51.7, abs=0.05)
    assert published_row("gran-hbn", 0, tolerance=0.0).accuracy == pytest.approx(0.6451)
    assert published_row("alexnet", 0).flops == 96_452_608
    assert published_row("ag-hbn", 2).specificity == pytest.approx(0.7474)
    with pytest.raises(ValueError, match=r"no value of 'gran-hbn' .* specificity 0\.4"):
        published_row("gran-hbn", 0, specificity=0.4)
    with pytest.raises(ValueError, match="no exit 2 of 'alexnet'"):
        published_row("alexnet", 1)


def test_published_flops_are_those_of_our_networks_at_full_width():
    from hbnlab.costs import macs_to_exits
    from hbnlab.trees import CIFAR100

    for name in ("alexnet", "ag-hbn"):
        ours = macs_to_exits(models.create(name, CIFAR100))
        assert [2 * macs for macs in ours] == [
            published_row(name, exit_index).flops for exit_index in range(len(ours))
        ]


# ---------------------------------------------------------------------- several seeds


def test_seeds_are_trained_each_and_reported_with_intervals(tmp_path):
    plan = plan_of(
        tmp_path,
        weights="train",
        names=("alexnet",),
        seeds=range(2),
        width=WIDTH,
        settings={"epochs": 1, "batch_size": 20},
    )
    page = reproduce(plan, progress=False).read_text()
    results = numbers_in(tmp_path)
    seeds = results["networks"]["alexnet"]
    assert [one["seed"] for one in seeds] == results["seeds"] == [0, 1]
    assert seeds[0]["fingerprint"] != seeds[1]["fingerprint"]
    last = results["across_seeds"]["alexnet"]["exits"][0]
    values = [one["exits"][0]["accuracy"] for one in seeds]
    assert last["flops"] == seeds[0]["exits"][0]["flops"]
    if values[0] != values[1]:
        assert last["accuracy"]["mean"] == pytest.approx(sum(values) / 2, abs=1e-5)
    assert "means over 2 trainings" in page
    assert "figures/training-alexnet.png" in page
    checkpoint = plan.run_folder("alexnet", 1) / "checkpoint.safetensors"
    before = checkpoint.read_bytes()
    again = reproduce(replace(plan, seeds=(1,)), progress=False).parent
    assert checkpoint.read_bytes() == before
    assert numbers_in(again)["networks"]["alexnet"] == [seeds[1]]


def test_intervals_over_seeds_are_those_of_students_t():
    from scipy import stats

    for values in ([0.5, 0.7], [1.0, 2.0, 4.0, 4.5], [0.1 * n * n for n in range(12)]):
        found = mean_interval(values)
        mean, error = stats.tmean(values), stats.sem(values)
        low, high = stats.t.interval(0.95, len(values) - 1, mean, error)
        assert (found["low"], found["high"]) == pytest.approx((low, high))
    with pytest.raises(ValueError, match="at least two values, got 1"):
        mean_interval([0.5])


def test_across_seeds_keeps_what_agrees_and_spreads_what_differs():
    one = {"exit": 1, "rows": [{"x": 1.0, "id": "a", "y": None}], "intervals": {"x": [0, 2]}}
    two = {"exit": 1, "rows": [{"x": 3.0, "id": "b", "y": 2.0}], "intervals": {"x": [1, 4]}}
    found = across_seeds([one, two])
    assert found == {"exit": 1, "rows": [{"x": found["rows"][0]["x"], "id": None, "y": None}]}
    assert found["rows"][0]["x"]["mean"] == 2.0


def test_a_number_is_shown_with_its_interval():
    row = {"accuracy": 0.5, "intervals": {"accuracy": [0.4, 0.61]}, "flops": 2e6, "lost": None}
    assert with_interval([row], "accuracy", factor=100, digits=1) == "50.0 (40.0 to 61.0)"
    assert with_interval([row], "flops", factor=1e-6, digits=2) == "2.00"
    assert with_interval([row], "lost") == "-"
    assert with_interval([{"gap": -0.001}], "gap", factor=1, digits=2) == "0.00"
    assert with_interval([row, row], "flops", factor=1e-6, digits=2) == "2.00"
    assert (
        markdown_table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"
    )


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("resnet",)}, r"models must be some of .* got \['resnet'\]"),
        ({"names": ()}, r"each once, got \[\]"),
        ({"seeds": (0, 1)}, "bundled weights are those of one seed, got 2 seeds; .* --seeds 2"),
        ({"seeds": (-1,), "weights": "train"}, r"from 0 up, each once, got \[-1\]"),
        ({"preset": "paper", "width": 1.0}, "contradicts preset='paper', width=1.0; train"),
        ({"settings": {"epochs": 1}}, "contradicts epochs=1; train them with: .* --weights train"),
        ({"device": "meta"}, "device"),
        ({"weights": "train", "settings": {"epochs": -1}}, "epochs"),
        ({"choice": Colours(name="moon")}, "weights are bundled for .*, not for 'moon'; train"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_anything_is_done(
    bundled, tmp_path, changes, message
):
    with pytest.raises(ValueError, match=message):
        plan_of(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_bundled_weights_of_another_data_set_serve_images_of_the_same_classes(bundled, tmp_path):
    options = {"title": "Colours (a copy)"}
    choice = Colours(name="moon", root="somewhere", options=options)
    plan = plan_of(tmp_path, choice=choice, names=("gran-hbn",), bundle="colours")
    assert "--dataset moon" in plan.command
    assert "--root FOLDER --title 'Colours (a copy)' --weights colours" in plan.command
    page = reproduce(plan, progress=False).read_text(encoding="utf-8")
    assert plan.command in page
    with pytest.raises(ValueError, match=r"weights are bundled for .*, not for 'mars'; train"):
        plan_of(tmp_path, choice=choice, bundle="mars")


def test_a_network_without_bundled_weights_is_named(bundled, tmp_path, monkeypatch):
    for name in models.STUDY_NAMES[1:]:
        models.save_weights(
            models.create(name, TREE, width=WIDTH),
            tmp_path / "colours" / "alexnet" / f"{name}.safetensors",
        )
    monkeypatch.setattr("hbnlab.models.weights.BUNDLED", tmp_path)
    with pytest.raises(
        ValueError, match=rf"no weights of \['{models.STUDY_NAMES[0]}'\] are bundled"
    ):
        plan_of(tmp_path)


def test_a_gate_is_refused_where_there_is_one_level(bundled, tmp_path, monkeypatch):
    flat = Hierarchy.from_table([(name,) for name in ("red", "yellow", "green", "blue", "violet")])
    monkeypatch.setattr(f"{__name__}.TREE", flat)
    with pytest.raises(ValueError, match="and colours has one; leave it out with: --models alex"):
        reproduce(plan_of(tmp_path), progress=False)
    assert not list(tmp_path.iterdir())


def test_the_paper_preset_trains_as_the_protocol_asks(tmp_path):
    plan = plan_of(tmp_path, weights="train", preset="paper", paper_protocol=True)
    assert plan.trained_width == 1.0
    assert plan.train_config("sem-hbn", 3).branch_weights == (1.0, 1.0, 0.8)
    assert plan.train_config("sem-hbn", 3).seed == 3
    printed = replace(plan, paper_protocol=False)
    assert printed.train_config("sem-hbn", 3).for_exits(3).branch_weights == (1.0, 0.8, 0.6)
    assert plan.run_folder("sem-hbn", 3) != printed.run_folder("sem-hbn", 3)
    assert replace(plan, preset="readme").train_config("alexnet", 0).batch_size == 256
    assert "--preset paper --seeds 1 --paper-protocol" in plan.command


def test_each_training_has_a_folder_that_names_its_settings(tmp_path):
    plan = plan_of(tmp_path, weights="train")
    changes = (
        {},
        {"width": 0.5},
        {"settings": {"epochs": 1}},
        {"settings": {"epochs": 1, "post_epochs": 2}},
        {"settings": {"branch_weights": (1.0, 0.5, 0.5)}},
        {"preset": "readme"},
    )
    folders = [replace(plan, **change).run_folder("ag-hbn", 0) for change in changes]
    assert len(set(folders)) == len(changes)
    assert folders[3].parents[1].name == "quick-epochs-1-post-epochs-2"
    same = {"width": 0.25, "preset": "quick", "device": "cpu", "settings": {"epochs": 3}}
    assert replace(plan, **same).run_folder("ag-hbn", 0) == folders[0]


# ---------------------------------------------------------------------- the command


def test_the_command_writes_a_report(bundled, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hbnlab.data.load", lambda *_, **__: splits_of())
    out = str(tmp_path / "out")
    words = ["reproduce", "--out", out, "--models", "sem-hbn", "--paper_protocol"]
    assert main(words) == 0
    assert "paper-protocol/report.md" in capsys.readouterr().out.replace("\\", "/")
    assert main(["reproduce", "--out", out, "--weights", "bundled", "--seeds", "2"]) == 1
    assert "--weights train --seeds 2" in capsys.readouterr().err
    assert main(["reproduce", "--out", out, "--weights", "bundled", "--preset", "paper"]) == 1
    assert "contradicts preset='paper'" in capsys.readouterr().err


def test_the_command_says_how_long_the_gate_is_trained(tmp_path, monkeypatch):
    plans = []
    monkeypatch.setattr("hbnlab.report.reproduce", lambda plan: plans.append(plan) or tmp_path)
    words = ["reproduce", "--preset", "paper", "--num-epochs", "1", "--num-pt-epochs", "2"]
    assert main(words) == 0
    assert (plans[0].weights, plans[0].settings) == ("train", {"epochs": 1, "post_epochs": 2})
    config = plans[0].train_config("ag-hbn", 0)
    assert (config.epochs, config.post_epochs) == (1, 2)
    assert "--num-epochs 1 --num-pt-epochs 2" in plans[0].command


# ---------------------------------------------------------------------- any exits and levels


def tree_of(num_levels):
    """A tree of so many levels, whose classes are split in two from level to level."""
    finest = 2 ** (num_levels + 1)
    levels = range(num_levels, 0, -1)
    return Hierarchy.from_table(
        [tuple(f"{level}-{c // 2 ** (level - 1)}" for level in levels) for c in range(finest)]
    )


def measured_of(name, num_exits, hierarchy, *, seed=0, gate=False, heads=None):
    how = {"hierarchy": hierarchy, "num_exits": num_exits, "gate": gate, "heads": heads}
    return Measured(
        name=name,
        seed=seed,
        width=1.0,
        parameters=10,
        size_mb=0.1,
        val=simulated_records(60, seed=seed + 1, **how),
        test=simulated_records(60, seed=seed + 2, **how),
        history=None,
        saw_augmented=None,
    )


@pytest.fixture
def quick(monkeypatch):
    """Few draws for intervals and no figures, which have tests of their own."""
    monkeypatch.setattr("hbnlab.report.results.REPEATS", 5)
    monkeypatch.setattr("hbnlab.report.figures.draw_figures", lambda *_, **__: [])


def splits_in(hierarchy, count=60):
    """Noise for images, with the labels of a tree."""
    labels = hierarchy.label_table(torch.arange(count) % hierarchy.num_classes[-1])
    images = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    spread = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "augmentations": ()}
    parts = {
        part: TensorSplit(
            images=images, labels=labels, hierarchy=hierarchy, name="noise", part=part, **spread
        )
        for part in ("train", "val", "test")
    }
    return Splits(hierarchy=hierarchy, name="noise", **parts)


@pytest.mark.parametrize("paper_protocol", [False, True])
@pytest.mark.parametrize(
    ("num_exits", "num_levels"), [(1, 2), (2, 1), (2, 3), (4, 2), (3, 4), (2, 5), (7, 6)]
)
def test_networks_of_any_number_of_exits_and_levels_are_reported(
    num_exits, num_levels, paper_protocol, tmp_path, quick
):
    tree = tree_of(num_levels)
    gates = ("ag-hbn",) if num_levels > 1 and num_exits > 1 else ()
    networks = {
        name: [measured_of(name, num_exits, tree, gate=name == "ag-hbn")]
        for name in ("gran-hbn", "mine", *gates)
    }
    plan = plan_of(tmp_path, weights="train", paper_protocol=paper_protocol)
    folder = write_report(plan, splits_in(tree), networks, Times(), progress=False).parent
    exits = numbers_in(folder)["networks"]["mine"][0]["exits"]
    assert {row["exit"] for row in exits} == set(range(1, num_exits + 1))
    assert "mine" in (folder / "report.md").read_text()


@pytest.mark.parametrize(("num_exits", "num_levels"), [(4, 1), (2, 3)])
def test_every_figure_is_drawn_of_any_number_of_exits_and_levels(
    num_exits, num_levels, tmp_path, monkeypatch
):
    monkeypatch.setattr("hbnlab.report.figures.BUDGETS", 2)
    monkeypatch.setattr("hbnlab.report.depth.BUDGETS", 2)
    tree = tree_of(num_levels)
    networks = {"mine": measured_of("mine", num_exits, tree)}
    curves = {"alexnet": Depth(networks["mine"]).curves()}
    how = {"test": splits_in(tree).test, "protocol": OURS, "depth_curves": curves}
    drawn = draw_figures(Subject(networks=networks, **how), progress=False)
    two = {"figure-3-tolerance", "figure-5-entropies", "entropies-per-image", "regions"}
    two |= {"densities", "densities-normalised"}
    expected = {figure.name for figure in FIGURES} - (set() if num_levels > 1 else two)
    assert {figure.name for figure in drawn} == expected


def test_the_study_stands_beside_its_own_two_levels_only(tmp_path, quick):
    tree = tree_of(3)
    names = tree.level_names
    networks = {"gran-hbn": [measured_of("gran-hbn", 4, tree)]}
    plan = plan_of(tmp_path, weights="train")
    page = write_report(plan, splits_in(tree), networks, Times(), progress=False).read_text()
    rows = table_under(page, "All images at one exit")
    study = {(row[1], row[2]): row[8] for row in rows}
    assert study["1", names[0]] == "-"
    assert study["1", names[1]] == "64.02"
    assert study["1", names[2]] == "51.91"
    assert study["4", names[2]] == "-"
    assert {row[9] for row in rows} == {"-"}  # ours maps to a coarser level than the study's
    assert all(row[2] == "-" for row in table_under(page, "Operating region of the tolerance"))


def test_a_row_without_a_counterpart_in_the_study_has_none():
    two, three = ("coarse", "fine"), ("group", "coarse", "fine")
    assert published_counterpart("gran-hbn", 0, "fine", two).specificity == 1
    assert published_counterpart("gran-hbn", 6, "fine", two) is None
    assert published_counterpart("mine", 0, "fine", two) is None
    assert published_counterpart("b-alexnet", 0, "coarse", two) is None
    assert published_counterpart("ag-hbn", 1, "gate", two).specificity == pytest.approx(0.7478)
    assert published_counterpart("ag-hbn", 1, "gate", three) is None
    assert published_counterpart("gran-hbn", 1, "tolerance 0.98", three) is None
    assert published_counterpart("gran-hbn", 1, "group", three) is None
    assert published_counterpart("gran-hbn", 1, "coarse", three).specificity == 0
