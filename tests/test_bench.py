"""A benchmark says what it measured beside the most that could be reached."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from hbnlab import models
from hbnlab.bench import SHARES, format_bench, run_bench
from hbnlab.bench.clock import Clock, in_turn, threads_set
from hbnlab.bench.comparisons import Row
from hbnlab.bench.speed_limits import (
    early_exit_limit,
    flops_to_exits,
    one_pass_limit,
    pruned_flops_to_exits,
)
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
    assert early_exit_limit(flops, SHARES) == pytest.approx(2.33, abs=0.005)
    assert one_pass_limit(flops, flops[-1], 50) == pytest.approx(89.5, abs=0.05)
    assert pruned_flops_to_exits(full_size_network) == [31_784_960, 44_892_160, 96_534_528]


def test_leaving_early_saves_nothing_when_all_go_to_the_end():
    assert early_exit_limit([10, 20, 60], [0.0, 0.0, 1.0]) == 1
    assert early_exit_limit([10, 20, 60], [1.0, 0.0, 0.0]) == 6
    assert early_exit_limit([10, 20, 60], [0.5, 0.0, 0.5]) == pytest.approx(60 / 35)


def test_so_many_images_leave_as_was_asked_for(result):
    for share, wanted in zip(result["shares"], SHARES, strict=True):
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


def test_the_targets_are_set_on_the_four_promises(result):
    targets = {
        row["name"]: (row["at_least"], row["at_most"], row["of"])
        for row in result["rows"]
        if row["met"] is not None
    }
    assert targets == {
        "leaving early, pooled, over all exits": (0.85, None, "FLOPs-ideal"),
        "leaving early, pooled, over one image at a time": (3.5, None, None),
        "one pass and 150 policies over 150 runs": (80.0, None, None),
        "evaluating 150 policies, share of the pass": (None, 0.02, None),
    }


def test_one_pass_is_the_sum_of_its_parts(result):
    seconds = result["seconds"]
    assert seconds["one pass"] == pytest.approx(seconds["records"] + seconds["policies"], rel=0.2)
    assert seconds["to exit 1"] < seconds["to exit 2"] < seconds["to exit 3"]


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("speed", [2.0, 1.9, 9.0], {"ideal": 2.2}, at_least=0.9, of="ideal"), True),
        (Row("speed", [2.0, 1.9, 9.0], {"ideal": 2.3}, at_least=0.9, of="ideal"), False),
        (Row("speed", [3.6, 3.4, 3.5], at_least=3.5), True),
        (Row("speed", [3.4], at_least=3.5), False),
        (Row("share", [0.01], at_most=0.02), True),
        (Row("share", [0.03], at_most=0.02), False),
        (Row("speed", [0.1]), None),
    ],
)
def test_a_target_is_met_or_missed_by_the_median(row, met):
    assert row.met is met
    assert row.to_dict()["met"] is met


def test_the_report_says_every_figure_with_its_limits_and_its_target(result):
    text = format_bench(result)
    for row in result["rows"]:
        assert row["name"] in text
        for name in row["limits"]:
            assert name in text
    assert text.count("target at") == 4
    assert max(map(len, text.splitlines())) <= 130
    assert format_bench(json.loads(json.dumps(result))) == text


def test_a_missed_target_is_said():
    row = Row("speed", [1.0], at_least=3.5).to_dict()
    settings = dict.fromkeys(["network", "machine", "torch", "clock"], "any")
    settings |= {"width": 1.0, "images": 10, "batch_size": 2, "threads": 1, "rounds": 1}
    result = {"settings": settings, "shares": [1.0], "peak_gflops": 1.0, "images_per_second": {}}
    assert "target at least 3.50: MISSED" in format_bench(result | {"rows": [row]})


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
