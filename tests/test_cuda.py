"""On a GPU: training, post-training, resuming and collecting give what a processor gives."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from hbnlab import costs
from hbnlab.collect import collect_records
from hbnlab.inference import predict
from hbnlab.policies import FineTolerance, SemanticGate
from hbnlab.training import Step, TrainConfig, fit, post_train
from hbnlab.training.checkpoint import load_checkpoint
from hbnlab.training.device import Hardware

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]
HAS_BFLOAT16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _config(**changes: Any) -> TrainConfig:
    settings = {"epochs": 3, "post_epochs": 2, "batch_size": 16, "learning_rate": 3e-3}
    settings |= {"post_learning_rate": 1e-2, "dropout": 0.3, "device": "cuda"}
    return TrainConfig(**(settings | {"precision": "float32"} | changes))


@pytest.fixture
def train(tiny_network, tiny_splits):
    """Train AG-HBN and its gate."""

    def train_both(config, *, width=0.05, on_step=None, **how):
        network = tiny_network("ag-hbn", width=width)
        history = fit(network, tiny_splits, config, on_step, progress=False, **how)
        post_train(network, tiny_splits, config, on_step, history=history, progress=False, **how)
        return network, history

    return train_both


@pytest.fixture
def exact():
    """Convolutions in full single precision, as on a processor."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.mark.parametrize(
    "precision",
    [
        "float32",
        pytest.param(
            "bfloat16",
            marks=pytest.mark.skipif(not HAS_BFLOAT16, reason="this GPU has no bfloat16"),
        ),
    ],
)
def test_a_network_and_its_gate_learn(precision, train):
    config = _config(epochs=20, dropout=0.0, precision=precision)
    network, history = train(config, width=0.1)
    joint, gate = history.of_phase("train").epochs, history.of_phase("post-train").epochs
    assert joint[-1].loss < 0.2 * joint[0].loss
    assert gate[-1].loss < gate[0].loss
    assert min(score.top1 for score in joint[-1].cells["val"]) > 0.8
    kinds = {(value.device.type, value.dtype) for value in network.state_dict().values()}
    assert kinds == {("cuda", torch.float32)}


def test_auto_takes_the_gpu_and_the_fastest_precision_that_it_has():
    hardware = Hardware.choose(_config(device="auto", precision="auto"))
    assert hardware.device.type == "cuda"
    assert hardware.dtype == (torch.bfloat16 if HAS_BFLOAT16 else torch.float32)


def test_the_same_seed_gives_the_same_bytes_and_no_global_generator_moves(train, tmp_path):
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    for name in ("first", "again"):
        train(_config(), checkpoint=tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "again").read_bytes()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(torch.cuda.get_rng_state(), before[1])


@pytest.mark.parametrize("cut", [("train", 2, 2), ("post-train", 2, 1)])
def test_a_run_that_was_cut_ends_byte_for_byte_like_one_that_was_not(cut, train, tmp_path):
    def on_step(step: Step) -> None:
        if (step.phase, step.epoch, step.number) == cut:
            raise InterruptedError

    train(_config(), checkpoint=tmp_path / "whole")
    with pytest.raises(InterruptedError):
        train(_config(), checkpoint=tmp_path / "cut", on_step=on_step)
    train(_config(), checkpoint=tmp_path / "cut", resume=True)
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_run_begun_on_a_gpu_can_end_on_a_processor(tiny_network, tiny_splits, tmp_path):
    how = {"checkpoint": tmp_path / "c", "progress": False}
    fit(tiny_network(), tiny_splits, _config(epochs=1), **how)
    network = tiny_network()
    fit(network, tiny_splits, _config(epochs=2, device="cpu"), resume=True, **how)
    assert network.device.type == "cpu"
    assert [epoch.number for epoch in load_checkpoint(tmp_path / "c")[1].epochs] == [1, 2]


def test_a_gpu_learns_what_a_processor_learns(tiny_network, tiny_splits, exact):
    config = _config(epochs=1, dropout=0.0)
    losses = []
    for device in ("cuda", "cpu"):
        steps: list[Step] = []
        fit(tiny_network(), tiny_splits, replace(config, device=device), steps.append)
        losses.append([step.loss for step in steps])
    # The two add up in another order, and every update carries the difference on.
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)


def test_batches_do_not_depend_on_the_device(tiny_splits):
    def batches(device):
        split = tiny_splits.train.to(device)
        return list(split.batches(16, augment=True, generator=torch.Generator().manual_seed(3)))

    for (images, labels), (expected, wanted) in zip(batches("cuda"), batches("cpu"), strict=True):
        assert images.is_cuda
        torch.testing.assert_close(images.cpu(), expected)
        assert torch.equal(labels.cpu(), wanted)


@pytest.mark.parametrize("kind", [FineTolerance, SemanticGate])
def test_decisions_are_those_of_a_processor(kind, train, tiny_splits, exact):
    network, _ = train(_config(epochs=1))
    on_gpu = collect_records(network, tiny_splits.val)
    on_cpu = collect_records(network.cpu(), tiny_splits.val)
    for mine, theirs in zip(on_gpu.logits, on_cpu.logits, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)

    # Halfway between two images' entropies nobody is so near that the last digits matter.
    entropies = on_cpu.entropy[:, :2].amin(dim=2).sort(dim=0).values
    middle = len(entropies) // 2
    thresholds = entropies[middle - 1 : middle + 1].mean(dim=0).tolist()
    policy = kind(thresholds, 0.5) if kind is FineTolerance else kind(thresholds)
    expected = policy.decide(on_cpu)
    early = predict(network.cuda(), tiny_splits.val.to("cuda"), policy)
    for decisions in (policy.decide(on_gpu), early):
        for field in ("exit_index", "level_index", "prediction", "macs"):
            assert torch.equal(getattr(decisions, field), getattr(expected, field))


def test_costs_do_not_depend_on_the_device(tiny_network):
    network = tiny_network("ag-hbn")
    expected = costs.macs_to_exits(network)
    assert costs.macs_to_exits(network.cuda()) == expected
    assert costs.latency(network, repeats=2) > 0
