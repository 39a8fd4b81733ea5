"""hbnlab.losses against sums written out by hand and loops over single images."""

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hbnlab.losses import (
    branch_weights_for,
    granular_entropy,
    joint_loss,
    semantic_loss,
    semantic_targets,
)
from hbnlab.models import ExitOutputs

COARSE, FINE = 2, 5


def _outputs(
    num_exits: int = 3, batch: int = 7, gate: bool = False, missing: tuple = (), seed: int = 0
) -> ExitOutputs:
    """Random logits of a network with two levels, heads left out where ``missing`` says."""
    generator = torch.Generator().manual_seed(seed)
    logits = tuple(
        tuple(
            None
            if (exit_index, level) in missing
            else (3 * torch.randn(batch, size, generator=generator)).requires_grad_()
            for level, size in enumerate((COARSE, FINE))
        )
        for exit_index in range(num_exits)
    )
    return ExitOutputs(
        logits, torch.randn(batch, 2, generator=generator).requires_grad_() if gate else None
    )


def _labels(batch: int = 7) -> Tensor:
    fine = torch.arange(batch) % FINE
    return torch.stack([fine // 3, fine], dim=1)


def _cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """Mean over images of -ln of the probability of the right class."""
    prob = logits.detach().double().softmax(dim=1)
    picked = [math.log(row[int(label)]) for row, label in zip(prob, labels, strict=True)]
    return -sum(picked) / len(picked)


# ---------------------------------------------------------------------- joint loss


def test_with_one_exit_one_level_and_weight_one_it_is_cross_entropy():
    outputs = ExitOutputs((_outputs(1).logits[0][1:],), None)
    labels = _labels()[:, 1:]
    expected = functional.cross_entropy(outputs.logits[0][0], labels[:, 0])
    assert torch.equal(joint_loss(outputs, labels, [1.0]), expected)


@pytest.mark.parametrize("level_weights", [None, (0.75, 1.5)])
@pytest.mark.parametrize("missing", [(), ((0, 1), (1, 1), (2, 0)), ((1, 0),)])
def test_it_is_the_weighted_sum_of_the_heads_that_there_are(level_weights, missing):
    outputs, labels = _outputs(missing=missing), _labels()
    by_hand = 0.0
    for exit_index, branch_weight in enumerate((1.0, 0.8, 0.6)):
        for level, level_weight in enumerate(level_weights or (1.0, 1.0)):
            logits = outputs.logits[exit_index][level]
            if logits is not None:
                cell = _cross_entropy(logits, labels[:, level])
                by_hand += branch_weight * level_weight * cell
    total = joint_loss(outputs, labels, (1.0, 0.8, 0.6), level_weights)
    assert total.item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("factor", [0.0, 0.3, 7.0])
def test_it_is_linear_in_the_branch_weights(factor):
    outputs, labels, weights = _outputs(), _labels(), (1.0, 0.8, 0.6)
    scaled = joint_loss(outputs, labels, [factor * weight for weight in weights])
    torch.testing.assert_close(scaled, factor * joint_loss(outputs, labels, weights))


def test_a_branch_of_weight_zero_learns_nothing_from_it():
    outputs = _outputs()
    joint_loss(outputs, _labels(), (1.0, 0.0, 0.6)).backward()
    gradients = [[float(cell.grad.abs().sum()) for cell in row] for row in outputs.logits]
    assert gradients[1] == [0.0, 0.0]
    assert min(gradients[0] + gradients[2]) > 0


def test_each_head_is_held_to_the_labels_of_its_own_level():
    outputs, labels = _outputs(), _labels()
    wrong_coarse = torch.stack([1 - labels[:, 0], labels[:, 1]], dim=1)
    only_fine = (0.0, 1.0)
    weights = (1.0, 0.8, 0.6)
    assert torch.equal(
        joint_loss(outputs, labels, weights, only_fine),
        joint_loss(outputs, wrong_coarse, weights, only_fine),
    )
    assert joint_loss(outputs, labels, weights) != joint_loss(outputs, wrong_coarse, weights)


def test_more_branch_weights_than_exits_are_passed_over():
    outputs, labels = _outputs(1), _labels()
    assert torch.equal(
        joint_loss(outputs, labels, (1.0, 0.8, 0.6)), joint_loss(outputs, labels, (1.0,))
    )


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"3 exits need 3 branch weights, got \(1\.0, 0\.8\)"):
        joint_loss(_outputs(), _labels(), (1.0, 0.8))
    with pytest.raises(ValueError, match=r"2 levels need 2 level weights, got \(1\.0,\)"):
        joint_loss(_outputs(), _labels(), (1.0, 0.8, 0.6), (1.0,))


# ---------------------------------------------------------------------- targets of the gate


def _patterns(exits: int) -> Iterator[tuple[list[bool], list[bool]]]:
    """Every way in which the heads of one image can be right and wrong."""
    for code in range(4**exits):
        bits = [bool(code >> position & 1) for position in range(2 * exits)]
        yield bits[:exits], bits[exits:]


@pytest.mark.parametrize("fine_weight", [0.5, 1.0, 1.02, 2.0])
@pytest.mark.parametrize("exits", [1, 3])
def test_targets_follow_equation_8_image_by_image(exits, fine_weight):
    fine, coarse = zip(*_patterns(exits), strict=True)
    expected = []
    for fine_row, coarse_row in zip(fine, coarse, strict=True):
        fine_right = sum(1 for right in fine_row if right)
        coarse_right = sum(1 for right in coarse_row if right)
        expected.append(1 if fine_weight * fine_right > coarse_right else 0)
    targets = semantic_targets(torch.tensor(fine), torch.tensor(coarse), fine_weight)
    assert targets.tolist() == expected


def test_a_tie_is_fine_unless_no_head_is_right():
    right = torch.tensor([[False] * 3, [True, False, False], [True] * 3])
    assert semantic_targets(right, right).tolist() == [0, 1, 1]


# ---------------------------------------------------------------------- semantic loss


def _entropy(logits: Tensor) -> float:
    """Mean over images of -sum p ln p."""
    prob = logits.detach().double().softmax(dim=1).tolist()
    return -sum(p * math.log(p) for row in prob for p in row) / len(prob)


def test_granular_entropy_is_the_mean_over_images_and_exits_of_both_levels():
    outputs = _outputs()
    means = [sum(_entropy(row[level]) for row in outputs.logits) / 3 for level in (0, 1)]
    assert granular_entropy(outputs, 1.5).item() == pytest.approx(means[0] + 1.5 * means[1])


def test_the_semantic_loss_is_equation_11():
    outputs, targets = _outputs(gate=True), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    expected = 3.0 * _cross_entropy(outputs.gate, targets) + granular_entropy(outputs, 1.1).item()
    loss = semantic_loss(outputs, targets, fine_weight=1.1, gate_weight=3.0)
    assert loss.item() == pytest.approx(expected)


def test_only_the_cross_entropy_trains_the_gate(tiny_network):
    network = tiny_network("ag-hbn").eval()
    images = torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    gate = list(network.gate.parameters())

    outputs = network(images)
    of_entropy = torch.autograd.grad(
        granular_entropy(outputs), gate, retain_graph=True, materialize_grads=True
    )
    of_loss = torch.autograd.grad(semantic_loss(outputs, targets), gate, retain_graph=True)
    of_cross_entropy = torch.autograd.grad(
        5.0 * functional.cross_entropy(outputs.gate, targets), gate
    )
    assert all(not gradient.any() for gradient in of_entropy)
    assert all(map(torch.equal, of_loss, of_cross_entropy))
    assert all(gradient.any() for gradient in of_loss)


def test_a_network_without_a_gate_or_heads_has_no_semantic_loss():
    targets = torch.zeros(7, dtype=torch.int64)
    with pytest.raises(ValueError, match="needs a gate, and this network has none"):
        semantic_loss(_outputs(), targets)
    coarse_only = _outputs(gate=True, missing=((0, 1), (1, 1), (2, 1)))
    with pytest.raises(ValueError, match="needs heads at the coarsest and the finest level"):
        semantic_loss(coarse_only, targets)


@pytest.mark.parametrize("num_exits", range(1, 9))
def test_default_branch_weights_fall_in_equal_steps_from_1_to_06(num_exits):
    weights = branch_weights_for(num_exits)
    assert len(weights) == num_exits
    assert weights[0] == 1.0
    assert num_exits == 1 or weights[-1] == 0.6
    steps = [earlier - later for earlier, later in itertools.pairwise(weights)]
    assert steps == pytest.approx([0.4 / max(1, num_exits - 1)] * (num_exits - 1))


@pytest.mark.parametrize("num_exits", [1, 2, 3, 4, 7])
def test_rising_branch_weights_rise_in_equal_steps_to_1(num_exits):
    weights = branch_weights_for(num_exits, "rising")
    assert weights[-1] == 1.0
    assert len(weights) == num_exits
    steps = [after - before for before, after in itertools.pairwise(weights)]
    assert steps == pytest.approx([0.6 / max(1, num_exits - 1)] * (num_exits - 1))


def test_the_default_branch_weights_of_three_exits_are_the_studys():
    assert branch_weights_for(3) == (1.0, 0.8, 0.6)
