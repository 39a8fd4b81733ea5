"""What a network costs: multiply-accumulates, parameters, size and time.

The rule that gives the study's numbers: one multiply-accumulate (MAC) for every product in a
convolution or linear layer, for one image, over all that runs up to and including an exit. The
branches and heads of earlier exits count, what comes after does not; biases, ReLU, pooling and
softmax count nothing. FLOPs are twice the MACs.
"""

import statistics
import time
import weakref
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hbnlab.models.network import EarlyExitNetwork, all_modules, evaluation_mode


class PartMacs(NamedTuple):
    """MACs of the parts of a network, for one image.

    Attributes:
        stages: of each stage of the trunk alone.
        branches: of what hangs off each stage: branch, heads and, at the first, the gate.

    Example:
        >>> PartMacs(stages=(100, 200), branches=(10, 20)).to_exits()
        [110, 330]
    """

    stages: tuple[int, ...]
    branches: tuple[int, ...]

    def to_exits(self) -> list[int]:
        """MACs of one image that leaves at each exit, having paid for every earlier branch."""
        return list(accumulate(map(sum, zip(self.stages, self.branches, strict=True))))


# Counting takes longer than running, so it is done once per network; an entry lives as long as its
# network, and holds for the modules and the image shape that were counted.
_COUNTED: weakref.WeakKeyDictionary[EarlyExitNetwork, tuple[object, PartMacs]] = (
    weakref.WeakKeyDictionary()
)


def part_macs(network: EarlyExitNetwork, modules: Sequence[nn.Module] | None = None) -> PartMacs:
    """MACs of every stage and every branch, counted once per network.

    They are counted again when a module of the network was replaced or its image shape changed.

    Args:
        network: any early-exit network.
        modules: ``all_modules(network)``, where the caller has them.

    Example:
        >>> from hbnlab import models, trees
        >>> network = models.create("alexnet", trees.CIFAR100, width=0.1)
        >>> part_macs(network)
        PartMacs(stages=(450720,), branches=(83845,))
    """
    structure = [network.image_shape, *(modules or all_modules(network))[1:]]
    known = _COUNTED.get(network)
    if known is None or known[0] != structure:
        known = _COUNTED[network] = (structure, _count(network))
    return known[1]


def stage_macs(network: EarlyExitNetwork) -> list[int]:
    """MACs of each stage of the trunk alone, for one image.

    Example:
        >>> from hbnlab import models, trees
        >>> network = models.create("gran-hbn", trees.CIFAR100, width=0.1)
        >>> stage_macs(network)
        [41472, 169632, 239616]
    """
    return list(part_macs(network).stages)


def branch_macs(network: EarlyExitNetwork) -> list[int]:
    """MACs of what hangs off each stage, for one image: branch, heads and, at the first, gate.

    Example:
        >>> from hbnlab import models, trees
        >>> network = models.create("gran-hbn", trees.CIFAR100, width=0.1)
        >>> branch_macs(network)
        [173788, 65498, 87945]
    """
    return list(part_macs(network).branches)


def macs_to_exits(network: EarlyExitNetwork) -> list[int]:
    """MACs of one image that leaves at each exit, having paid for every earlier branch.

    Example:
        >>> from hbnlab import models, trees
        >>> network = models.create("gran-hbn", trees.CIFAR100)
        >>> [2 * macs for macs in macs_to_exits(network)]  # the study's FLOPs
        [31784960, 75792384, 136052736]

    Source:
        The study's counting; twice these are its published FLOPs.
    """
    return part_macs(network).to_exits()


def num_parameters(network: nn.Module) -> int:
    """Number of weights and biases.

    Example:
        >>> num_parameters(nn.Linear(10, 2))
        22
    """
    return sum(parameter.numel() for parameter in network.parameters())


def size_mb(network: nn.Module) -> float:
    """Size of the weights in memory, in MB of 2**20 bytes, as the study counts.

    Example:
        >>> size_mb(nn.Linear(1024, 1024, bias=False))
        4.0
    """
    return sum(p.numel() * p.element_size() for p in network.parameters()) / 2**20


@torch.inference_mode()
def latency(network: EarlyExitNetwork, batch_size: int = 1, repeats: int = 20) -> float:
    """Median seconds of one full forward pass over a batch, all exits computed.

    A figure of this machine at this moment: compare two only within one process.

    Raises:
        ValueError: unless there is at least one image and one repeat.

    Example:
        >>> from hbnlab import models, trees
        >>> latency(models.create("gran-hbn", trees.CIFAR100, width=0.1), repeats=3) > 0
        True
    """
    if batch_size < 1 or repeats < 1:
        raise ValueError(
            f"batch_size and repeats must be at least 1, got {batch_size} and {repeats}"
        )
    images = torch.zeros(batch_size, *network.image_shape, device=network.device)
    with evaluation_mode(network):
        network(images)
        return statistics.median(_seconds(network, images) for _ in range(repeats))


def _seconds(network: EarlyExitNetwork, images: Tensor) -> float:
    start = time.perf_counter()
    network(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - start


@torch.no_grad()
def _count(network: EarlyExitNetwork) -> PartMacs:
    hidden = torch.zeros(1, *network.image_shape, device=network.device)
    stages, branches = [], []
    with evaluation_mode(network):  # dropout must not draw from the global generator
        for exit_index in range(network.num_exits):
            macs, hidden = _macs_of(network.run_stage, exit_index, hidden)
            stages.append(macs)
            branches.append(_macs_of(network.run_branch, exit_index, hidden)[0])
    return PartMacs(tuple(stages), tuple(branches))


def _macs_of(
    part: Callable[[int, Tensor], Any], exit_index: int, hidden: Tensor
) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter:
        output = part(exit_index, hidden)
    return counter.get_total_flops() // 2, output
