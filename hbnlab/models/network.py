"""The early-exit network: stages, branches, heads and, where wanted, a gate."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hbnlab.head_mask import check_head_mask
from hbnlab.hierarchy import Hierarchy
from hbnlab.types import Number


class Trunk(NamedTuple):
    """The parts of a network below its heads; what ``EarlyExitNetwork`` takes first.

    Attributes:
        stages: parts of the trunk, in order.
        branches: one per stage; each turns the output of that stage into flat features.
        features: number of features of each branch.
        image_shape: (channel, height, width) of the images.

    Example:
        >>> flat = nn.Flatten()
        >>> trunk = Trunk((nn.Sequential(nn.ReLU()),) * 2, (flat, flat), (4, 4), (1, 2, 2))
        >>> len(trunk.with_last_exit_only().stages)
        1
    """

    stages: Sequence[nn.Sequential]
    branches: Sequence[nn.Module]
    features: Sequence[int]
    image_shape: tuple[int, int, int]

    def with_last_exit_only(self) -> "Trunk":
        """The same trunk in one stage, without the earlier branches."""
        whole = nn.Sequential(*(layer for stage in self.stages for layer in stage))
        return Trunk((whole,), self.branches[-1:], self.features[-1:], self.image_shape)


class BranchOutput(NamedTuple):
    """What one branch says.

    Attributes:
        logits: one entry per level, (batch, class) or None where the cell has no head.
        gate: (batch, 2) logits of coarse and fine, or None where no gate hangs off this branch.

    Example:
        >>> BranchOutput((None, torch.zeros(1, 5)), gate=None).logits[0] is None
        True
    """

    logits: tuple[Tensor | None, ...]
    gate: Tensor | None


class ExitOutputs(NamedTuple):
    """What all exits say.

    Attributes:
        logits: ``logits[exit][level]``, (batch, class) or None where the cell has no head.
        gate: (batch, 2) logits of coarse and fine, or None for a network without a gate.

    Example:
        >>> outputs = ExitOutputs(((None, torch.zeros(1, 5)),), gate=None)
        >>> outputs.logits[0][1].shape
        torch.Size([1, 5])
    """

    logits: tuple[tuple[Tensor | None, ...], ...]
    gate: Tensor | None

    def float(self) -> "ExitOutputs":
        """The same in float32."""
        logits = tuple(
            tuple(None if cell is None else cell.float() for cell in row) for row in self.logits
        )
        return ExitOutputs(logits, None if self.gate is None else self.gate.float())


class EarlyExitNetwork(nn.Module):
    """A trunk cut into stages; behind every stage hangs a branch with one head for each level.

    The network computes every exit and never decides: a policy does that, from what the exits say.
    Training and evaluation give the same form of output.

    | part | from | to |
    | --- | --- | --- |
    | stage n | output of stage n - 1; images (batch, channel, height, width) for the first | any |
    | branch n | output of stage n | features (batch, features) |
    | head n, l | features of branch n | logits (batch, classes of level l) |
    | gate | features of branch 1 | logits (batch, 2): 0 = coarse, 1 = fine |

    Args:
        stages: pieces of the trunk, in order.
        branches: one per stage; each turns that stage's output into flat features.
        features: number of features of each branch.
        hierarchy: the classes of each level.
        heads: ``heads[exit][level]`` is True where that cell has a head.
        gated: whether the first branch also carries a gate.
        image_shape: (channel, height, width) of the images that it takes.
        name: what the network is called in files and reports.
        trunk: what its trunk is called there.
        width: multiplies the number of channels and hidden units, kept for files and reports.

    Raises:
        ValueError: when the parts do not fit one another, or an exit has no head at all.

    Example:
        >>> from hbnlab.trees import GLYPHS
        >>> network = EarlyExitNetwork(
        ...     stages=[nn.MaxPool2d(8), nn.MaxPool2d(2)],
        ...     branches=[nn.Flatten(), nn.Flatten()],
        ...     features=[48, 12],
        ...     hierarchy=GLYPHS,
        ...     heads=[[True, False], [True, True]],
        ... )
        >>> outputs = network(torch.zeros(1, 3, 32, 32))
        >>> [[cell is not None for cell in row] for row in outputs.logits]
        [[True, False], [True, True]]
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        branches: Sequence[nn.Module],
        features: Sequence[int],
        hierarchy: Hierarchy,
        *,
        heads: Sequence[Sequence[bool]],
        gated: bool = False,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        name: str = "custom",
        trunk: str = "custom",
        width: Number = 1.0,
    ) -> None:
        super().__init__()
        if not len(stages) == len(branches) == len(features) >= 1:
            raise ValueError(
                "a network needs as many branches and feature sizes as stages, and at least one, "
                f"got {len(stages)} stages, {len(branches)} branches, {len(features)} sizes"
            )
        self.head_mask = check_head_mask(heads, len(stages), hierarchy)
        self.hierarchy = hierarchy
        self.image_shape = tuple(image_shape)
        self.name = name
        self.trunk = trunk
        self.width = float(width)
        self.stages = nn.ModuleList(stages)
        self.branches = nn.ModuleList(branches)
        self.heads = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(level): nn.Linear(size, count)
                    for level, count in enumerate(hierarchy.num_classes)
                    if row[level]
                }
            )
            for size, row in zip(features, self.head_mask, strict=True)
        )
        self.gate = nn.Linear(features[0], 2) if gated else None

    @property
    def num_exits(self) -> int:
        """Number of exits, one per stage."""
        return len(self.stages)

    @property
    def has_gate(self) -> bool:
        """Whether a gate hangs off the first branch."""
        return self.gate is not None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        head, *_ = cast(nn.ModuleDict, self.heads[0]).values()
        return cast(nn.Linear, head).weight.device

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> ExitOutputs:
        """Compute every exit.

        Raises:
            ValueError: for images of another shape than ``image_shape``, or not of floats.
        """
        self.check_images(images)
        hidden, outputs = images, []
        for exit_index in range(self.num_exits):
            hidden = self.run_stage(exit_index, hidden)
            outputs.append(self.run_branch(exit_index, hidden))
        return ExitOutputs(tuple(output.logits for output in outputs), outputs[0].gate)

    def run_stage(self, exit_index: int, hidden: Tensor) -> Tensor:
        """Run one stage on the output of the stage before it."""
        return self.stages[exit_index](hidden)

    def run_branch(self, exit_index: int, hidden: Tensor) -> BranchOutput:
        """Run what hangs off a stage: its branch, its heads and, at the first, the gate."""
        features = self.branches[exit_index](hidden)
        heads = cast(nn.ModuleDict, self.heads[exit_index])
        logits = tuple(
            heads[str(level)](features) if present else None
            for level, present in enumerate(self.head_mask[exit_index])
        )
        gate = self.gate(features) if self.gate is not None and exit_index == 0 else None
        return BranchOutput(logits, gate)

    def check_images(self, images: Tensor) -> None:
        """Validate the type and shape of images."""
        if not images.is_floating_point():
            raise ValueError(
                "images must be normalised floats, as a split's batches give them, "
                f"got {images.dtype}"
            )
        self.check_data("the batch", images.shape[1:])

    def check_data(
        self, name: str, image_shape: Sequence[int], hierarchy: Hierarchy | None = None
    ) -> None:
        """Validate the image shape and the classes of data.

        Args:
            name: of the data.
            image_shape: of one image: channels, height, width.
            hierarchy: of its labels; None where labels are not read.

        Raises:
            ValueError: for images of another shape or classes of another tree.
        """
        if hierarchy is not None and hierarchy != self.hierarchy:
            raise ValueError(
                f"{self.name} was built for classes {self.hierarchy.num_classes} "
                f"({self.hierarchy.fingerprint}), {name} has {hierarchy.num_classes} "
                f"({hierarchy.fingerprint})"
            )
        if tuple(image_shape) != self.image_shape:
            raise ValueError(
                f"{self.name} takes images of {self.image_shape}, {name} has {tuple(image_shape)}"
            )

    def set_dropout(self, probability: Number) -> None:
        """Set the probability of every dropout layer in the branches; the trunk keeps its own."""
        for module in self.branches.modules():
            if isinstance(module, nn.Dropout):
                module.p = check_dropout(probability)

    def to_spec(self) -> dict[str, Any]:
        """What a file must say of a network, as plain data that JSON can hold."""
        return {
            "name": self.name,
            "trunk": self.trunk,
            "width": self.width,
            "heads": [list(row) for row in self.head_mask],
            "gated": self.has_gate,
            "image_shape": list(self.image_shape),
            "hierarchy": self.hierarchy.to_spec(),
        }


def all_modules(network: nn.Module) -> list[nn.Module]:
    """A network and all modules in it, as ``network.modules()`` gives them, but five times as fast.

    Example:
        >>> [type(module).__name__ for module in all_modules(nn.Sequential(nn.ReLU()))]
        ['Sequential', 'ReLU']
    """
    found = [network]
    for module in found:  # which grows meanwhile
        children = module._modules
        if children:
            found += [child for child in children.values() if child is not None]
    return found


@contextlib.contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[list[nn.Module]]:
    """Put a network into evaluation mode, and afterwards each module back into its own mode.

    Yields ``all_modules(network)``.

    Example:
        >>> network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
        >>> with evaluation_mode(network):
        ...     [module.training for module in network]
        [False, False]
        >>> [module.training for module in network]
        [True, False]
    """
    modules = all_modules(network)
    training = [module for module in modules if module.training]
    if training:
        network.eval()
    try:
        yield modules
    finally:
        for module in training:
            module.training = True


def check_finite(images: Tensor) -> None:
    """Refuse images (sample, channel, height, width) with NaN or infinity, naming the first.

    Example:
        >>> check_finite(torch.zeros(2, 3, 8, 8))
    """
    # Both stay in a sum, which is far cheaper than to ask every pixel.
    if math.isfinite(images.sum()):
        return
    broken = (~images.sum(dim=(1, 2, 3)).isfinite()).nonzero().flatten()
    if len(broken):
        raise ValueError(f"images must be finite, got NaN or infinity in image {int(broken[0])}")


def check_dropout(probability: Number) -> float:
    """Validate a dropout probability.

    Example:
        >>> check_dropout(0)
        0.0
    """
    if not 0.0 <= probability < 1.0:
        raise ValueError(f"dropout must be in [0, 1), got {probability}")
    return float(probability)


def scaled(size: int, width: Number) -> int:
    """A number of channels or hidden units at a width, at least 1.

    Raises:
        ValueError: for a width that is not above 0 and finite.

    Example:
        >>> scaled(64, 0.25)
        16
    """
    if not 0 < width < math.inf:
        raise ValueError(f"width must be above 0 and finite, got {width}")
    return max(1, round(size * float(width)))
