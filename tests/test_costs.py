"""hbnlab.costs: what is counted, what is not, and that counting changes nothing."""

import gc

import pytest
import torch
from torch import nn

from hbnlab import costs, models
from hbnlab.trees import CIFAR100


def _macs_by_hand(part: nn.Module, run, hidden: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Products in the convolution and linear layers of a part, from the sizes seen by hooks."""
    total = 0

    def count(layer: nn.Conv2d | nn.Linear, _inputs, output: torch.Tensor) -> None:
        nonlocal total
        per_number = layer.weight[0].numel()
        total += per_number * output[0].numel()

    layers = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    output = run(hidden)
    for hook in hooks:
        hook.remove()
    return total, output


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_macs_are_the_products_in_convolutions_and_linear_layers(name, tiny_network):
    network, hidden = tiny_network(name).eval(), torch.zeros(1, 3, 32, 32)
    stages, branches = [], []
    for index in range(network.num_exits):
        stage, hidden = _macs_by_hand(
            network.stages[index], lambda x, index=index: network.run_stage(index, x), hidden
        )
        hanging = nn.ModuleList([network.branches[index], network.heads[index]])
        if network.gate is not None:
            hanging.append(network.gate)
        branch, _ = _macs_by_hand(
            hanging, lambda x, index=index: network.run_branch(index, x), hidden
        )
        stages.append(stage)
        branches.append(branch)
    assert costs.stage_macs(network) == stages
    assert costs.branch_macs(network) == branches


def test_an_image_that_leaves_late_has_paid_for_every_earlier_branch(tiny_network):
    network = tiny_network("ag-hbn")
    stages, branches = costs.stage_macs(network), costs.branch_macs(network)
    paid = [sum(stages[: n + 1]) + sum(branches[: n + 1]) for n in range(3)]
    assert costs.macs_to_exits(network) == paid


def test_the_path_without_earlier_branches_costs_what_was_measured_on_gran_hbn():
    network = models.create("gran-hbn", CIFAR100)
    stages, branches = costs.stage_macs(network), costs.branch_macs(network)
    pruned = [2 * (sum(stages[: n + 1]) + branches[n]) for n in range(3)]
    assert pruned == [31_784_960, 44_892_160, 96_534_528]


def test_the_gate_is_paid_once_at_the_first_exit():
    gran, gated = (models.create(name, CIFAR100) for name in ("gran-hbn", "ag-hbn"))
    extra = [
        2 * (with_gate - without)
        for with_gate, without in zip(
            costs.branch_macs(gated), costs.branch_macs(gran), strict=True
        )
    ]
    assert extra == [8192, 0, 0]
    assert costs.stage_macs(gated) == costs.stage_macs(gran)


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_network_and_the_global_generator_as_they_were(training, tiny_network):
    network = tiny_network("ag-hbn").train(training)
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in network.state_dict().items()}
    costs.macs_to_exits(network)
    costs.latency(network, repeats=1)
    assert network.training == training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_a_network_is_counted_once(tiny_network, monkeypatch):
    network = tiny_network()
    counted = costs.part_macs(network)
    monkeypatch.setattr(costs, "FlopCounterMode", None)  # whoever enters it fails
    assert costs.part_macs(network) == counted
    assert costs.macs_to_exits(network) == counted.to_exits()
    assert costs.part_macs(network.train()) == counted


def test_a_network_with_another_layer_is_counted_again(tiny_network):
    network = tiny_network()
    before = costs.branch_macs(network)
    features = network.heads[1]["1"].in_features
    network.heads[1]["1"] = nn.Linear(features, 7)  # in place of 5 classes
    assert costs.branch_macs(network) == [before[0], before[1] + 2 * features, before[2]]


def test_what_was_counted_is_forgotten_with_the_network(tiny_network):
    network = tiny_network()
    costs.part_macs(network)
    held = len(costs._COUNTED)
    del network
    gc.collect()
    assert len(costs._COUNTED) < held


def test_size_is_four_bytes_a_parameter_in_single_precision_and_two_in_half(tiny_network):
    network = tiny_network()
    size = costs.size_mb(network)
    assert size == 4 * costs.num_parameters(network) / 2**20
    assert costs.size_mb(network.half()) == size / 2


def test_latency_is_a_time(tiny_network):
    assert 0 < costs.latency(tiny_network(), batch_size=2, repeats=3) < 60


def test_latency_needs_something_to_time(tiny_network):
    with pytest.raises(ValueError, match="batch_size and repeats must be at least 1, got 0 and 3"):
        costs.latency(tiny_network(), batch_size=0, repeats=3)
    with pytest.raises(ValueError, match="batch_size and repeats must be at least 1, got 1 and 0"):
        costs.latency(tiny_network(), repeats=0)
