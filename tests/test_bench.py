"""A benchmark says what it measured beside the most that could be reached."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from hbnlab import models
from hbnlab.bench import format_bench, leaving_shares, run_bench
from hbnlab.bench.clock import Clock, in_turn
from hbnlab.bench.comparisons import compare
from hbnlab.bench.speed_limits import (
    early_exit_limit,
    flops_to_exits,
    one_pass_limit,
    pruned_flops_to_exits,
)
from hbnlab.hierarchy import Hierarchy
from hbnlab.models import EarlyExitNetwork
from hbnlab.training.device import threads_set
from hbnlab.trees import CIFAR100

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def result():
    return run_bench(width=0.05, num_images=120, batch_size=16, rounds=2, device="cpu")


@pytest.fixture(scope="module")
def full_size_network():
    return models.create("gran-hbn", CIFAR100, width=1.0)


def row_of(result, words):
    (row,) = [row for row in result["rows"] if words in row["name"]]
    return row


def test_the_limits_are_those_of_the_full_size_network(full_size_network):
    flops = flops_to_exits(full_size_network)
    assert early_exit_limit(flops, leaving_shares(3)) == pytest.approx(2.33, abs=0.005)
    assert one_pass_limit(flops, flops[-1], 50) == pytest.approx(89.5, abs=0.05)
    assert pruned_flops_to_exits(full_size_network) == [31_784_960, 44_892_160, 96_534_528]


def test_leaving_early_saves_nothing_when_all_go_to_the_end():
    assert early_exit_limit([10, 20, 60], [0.0, 0.0, 1.0]) == 1
    assert early_exit_limit([10, 20, 60], [1.0, 0.0, 0.0]) == 6
    assert early_exit_limit([10, 20, 60], [0.5, 0.0, 0.5]) == pytest.approx(60 / 35)


def test_so_many_images_leave_as_was_asked_for(result):
    for share, wanted in zip(result["shares"], leaving_shares(3), strict=True):
        assert share == pytest.approx(wanted, abs=0.02)


def test_a_result_is_plain_data(result):
    assert json.loads(json.dumps(result)) == result


def test_every_figure_is_the_median_of_its_rounds(result):
    assert len(result["rows"]) == 9
    for row in result["rows"]:
        assert len(row["rounds"]) == 2
        assert row["value"] == pytest.approx(sum(row["rounds"]) / 2)
        assert 0 < row["lowest"] <= row["value"] <= row["highest"]
        assert all(limit > 0 for limit in row["limits"].values())


def test_one_pass_is_the_sum_of_its_parts(result):
    seconds = result["seconds"]
    assert seconds["one pass"] == pytest.approx(seconds["records"] + seconds["policies"], rel=0.2)
    assert seconds["to exit 1"] < seconds["to exit 2"] < seconds["to exit 3"]


@pytest.fixture(scope="module")
def early_exit():
    """The names in the script that holds the benchmark to targets."""
    return runpy.run_path(str(BENCHMARKS / "early_exit.py"))


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        ("leaving early, pooled, over all exits", 1.98, True),
        ("leaving early, pooled, over all exits", 1.8, False),
        ("leaving early, pooled, over one image at a time", 3.5, True),
        ("leaving early, pooled, over one image at a time", 3.4, False),
        ("one pass and 150 policies over 150 runs", 79.0, False),
        ("evaluating 150 policies, share of the pass", 0.01, True),
        ("evaluating 150 policies, share of the pass", 0.03, False),
    ],
)
def test_a_target_is_met_or_missed_by_the_median(early_exit, name, value, met):
    row = compare(name, [value, value - 0.1, 9.0], {"FLOPs-ideal": 2.2})
    held = early_exit["with_target"](row)
    assert held["met"] is met
    assert ("MISSED" in early_exit["verdict"](held)) is not met


def test_every_target_belongs_to_a_row_and_other_rows_have_none(early_exit, result):
    rows = [early_exit["with_target"](row) for row in result["rows"]]
    assert {row["name"] for row in rows if "met" in row} == set(early_exit["TARGETS"])


def test_the_text_has_every_figure_with_its_limits(result):
    text = format_bench(result)
    for row in result["rows"]:
        assert row["name"] in text
        assert all(name in text for name in row["limits"])
    assert max(map(len, text.splitlines())) <= 130
    assert format_bench(json.loads(json.dumps(result))) == text


def network_of(num_exits, num_levels):
    """A tiny network with a head at every cell."""
    pairs = {f"{n}": [f"{n}a", f"{n}b"] for n in range(4)}
    rows = [(coarse, fine) for coarse, fines in pairs.items() for fine in fines]
    names = [tuple(f"level {k}: {row[0]}" for k in range(num_levels - 1)) + row[1:] for row in rows]
    tree = Hierarchy.from_table(names)
    stages = [nn.Conv2d(3 if n == 0 else 4, 4, 3, padding=1) for n in range(num_exits)]
    branches = [nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()) for _ in stages]
    heads = [[True] * num_levels] * num_exits
    return EarlyExitNetwork(stages, branches, [4] * num_exits, tree, heads=heads)


@pytest.mark.parametrize(("num_exits", "num_levels"), [(2, 1), (4, 2), (7, 3), (3, 6), (1, 2)])
def test_any_number_of_exits_and_levels_is_measured_and_printed(num_exits, num_levels):
    network = network_of(num_exits, num_levels)
    result = run_bench(network, num_images=40, batch_size=16, rounds=1, device="cpu")
    assert len(result["shares"]) == len(result["flops_to_exits"]) == num_exits
    assert any(f"{50 * num_exits} policies" in row["name"] for row in result["rows"])
    assert f"exits {' / '.join(str(n + 1) for n in range(num_exits))}" in format_bench(result)


def test_the_shares_follow_one_curve_for_any_number_of_exits():
    assert leaving_shares(3) == [0.6, 0.25, 0.15]
    assert leaving_shares(1) == [1.0]
    for num_exits in (2, 4, 7):
        shares = leaving_shares(num_exits)
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert shares == sorted(shares, reverse=True)


def test_works_take_turns_and_the_first_round_warms_up():
    calls, rounds = [], []

    def work(name):
        def run():
            calls.append(name)
            return {name: float(len(calls))}

        return run

    times = in_turn([work("a"), work("b")], 2, lambda: rounds.append(len(calls)))
    assert calls == ["a", "b"] * 3
    assert times == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert rounds == [2, 4, 6]


def test_one_thread_is_timed_by_the_processor_and_several_by_the_wall():
    assert Clock(torch.device("cpu"), 1).name == "processor time"
    assert Clock(torch.device("cpu"), 2).name == "wall time"
    assert Clock(torch.device("cuda"), 1).name == "wall time"


def test_the_number_of_threads_is_given_back():
    before = torch.get_num_threads()
    with threads_set(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["num_images", "rounds", "threads"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got 0"):
        run_bench(**{name: 0})


def test_random_numbers_are_left_as_they_were():
    before = torch.random.get_rng_state()
    run_bench(width=0.05, num_images=20, batch_size=8, rounds=1, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("early_exit", ["--images", "20", "--width", "0.05", "--rounds", "1", "--device", "cpu"]),
        ("train_step", ["--steps", "2", "--widths", "0.05", "--batch-size", "8"]),
    ],
)
def test_the_scripts_print_and_write_what_they_measured(
    script, options, tmp_path, monkeypatch, capsys
):
    out = tmp_path / f"{script}.json"
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", [script, *options, "--out", str(out)])
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with threads_set(1):
        runpy.run_path(str(BENCHMARKS / f"{script}.py"), run_name="__main__")
    assert json.loads(out.read_text())["rows"]
    assert f"written to {out}" in capsys.readouterr().out


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_benchmark_runs_on_cuda():
    result = run_bench(num_images=2048, rounds=1, device="cuda")
    assert result["settings"]["clock"] == "wall time"
    assert len(result["rows"]) == 9
