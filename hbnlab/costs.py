"""What a network costs: multiply-accumulates, parameters, size and time.

The rule that gives the study's numbers: one multiply-accumulate (MAC) for every product in a
convolution or linear layer, for one image, over all that runs up to and including an exit. The
branches and heads of earlier exits count, what comes after does not; biases, ReLU, pooling and
softmax count nothing. FLOPs are twice the MACs.
"""

import statistics
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hbnlab.models.network import EarlyExitNetwork


def stage_macs(
    network: EarlyExitNetwork, image_shape: tuple[int, int, int] | None = None
) -> list[int]:
    """MACs of each stage of the trunk alone, for one image."""
    return _count_parts(network, image_shape)[0]


def branch_macs(
    network: EarlyExitNetwork, image_shape: tuple[int, int, int] | None = None
) -> list[int]:
    """MACs of what hangs off each stage, for one image: branch, heads and, at the first, gate."""
    return _count_parts(network, image_shape)[1]


def macs_to_exits(
    network: EarlyExitNetwork, image_shape: tuple[int, int, int] | None = None
) -> list[int]:
    """MACs of one image that leaves at each exit, having paid for every earlier branch.

    Args:
        network: any early-exit network.
        image_shape: (channel, height, width); the network's own where None.

    Source:
        The study's counting; twice these are its published FLOPs.
    """
    stages, branches = _count_parts(network, image_shape)
    return list(accumulate(stage + branch for stage, branch in zip(stages, branches, strict=True)))


def num_parameters(network: torch.nn.Module) -> int:
    """How many weights and biases there are."""
    return sum(parameter.numel() for parameter in network.parameters())


def size_mb(network: torch.nn.Module) -> float:
    """Size of the weights in memory, in MB of 2**20 bytes, as the study counts."""
    bytes_held = sum(p.numel() * p.element_size() for p in network.parameters())
    return bytes_held / 2**20


@torch.inference_mode()
def latency(network: EarlyExitNetwork, batch_size: int = 1, repeats: int = 20) -> float:
    """Median seconds of one full forward pass over a batch, all exits computed.

    A figure of this machine at this moment: compare two only within one process.

    Raises:
        ValueError: unless there is at least one image and one repeat.
    """
    if batch_size < 1 or repeats < 1:
        raise ValueError(
            f"batch_size and repeats must be at least 1, got {batch_size} and {repeats}"
        )
    was_training = network.training
    network.eval()
    images = torch.zeros(batch_size, *network.image_shape, device=network.device)
    try:
        network(images)
        return statistics.median(_seconds(network, images) for _ in range(repeats))
    finally:
        network.train(was_training)


def _seconds(network: EarlyExitNetwork, images: Tensor) -> float:
    start = time.perf_counter()
    network(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - start


@torch.no_grad()
def _count_parts(
    network: EarlyExitNetwork, image_shape: tuple[int, int, int] | None
) -> tuple[list[int], list[int]]:
    was_training = network.training
    network.eval()  # dropout must not draw from the global generator
    hidden = torch.zeros(1, *(image_shape or network.image_shape), device=network.device)
    network.check_images(hidden)
    stages, branches = [], []
    try:
        for exit_index in range(network.num_exits):
            macs, hidden = _macs_of(network.run_stage, exit_index, hidden)
            stages.append(macs)
            branches.append(_macs_of(network.run_branch, exit_index, hidden)[0])
    finally:
        network.train(was_training)
    return stages, branches


def _macs_of(
    part: Callable[[int, Tensor], Any], exit_index: int, hidden: Tensor
) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter:
        output = part(exit_index, hidden)
    return counter.get_total_flops() // 2, output
