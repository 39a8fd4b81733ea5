"""Our own trunk: a compact residual network whose later exits are clearly better.

The study's trunk gives depth nothing: its first branch costs many times its first stage and is a
network of its own. Here the branches are thin and the stages grow, so that each exit costs several
times as much as the one before it and knows more. FLOPs at width 1, with the heads of Gran-HBN on a
tree of 7 and 10 classes:

| exit | stage | gives | branch | MFLOPs up to here |
| --- | --- | --- | --- | --- |
| 1 | a convolution of stride 2 | 16x16x16 | two convolutions with pools, a linear layer | 1.8 |
| 2 | a block | 32x16x16 | as before | 12.2 |
| 3 | two blocks | 64x8x8 | a convolution of stride 2, a linear layer | 30.5 |
| 4 | two blocks | 128x4x4 | the average over the image | 47.2 |
"""

from torch import Tensor, nn

from hbnlab.models.network import Trunk, check_dropout, scaled
from hbnlab.types import Number

IMAGE_SHAPE = (3, 32, 32)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut around them.

    Args:
        inputs: number of channels of the input.
        outputs: number of channels of the output.
        stride: of the first convolution and of the shortcut.

    Shapes:
        (batch, inputs, height, width) to (batch, outputs, height / stride, width / stride).

    Example:
        >>> import torch
        >>> Block(16, 32, stride=2)(torch.zeros(1, 16, 8, 8)).shape
        torch.Size([1, 32, 4, 4])

    Source:
        The basic block of He et al., "Deep residual learning for image recognition", CVPR 2016,
        with a 1x1 convolution as the shortcut where the shape changes (their option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_convolution(inputs, outputs, stride),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, hidden: Tensor) -> Tensor:
        """Add what the convolutions say to what the shortcut keeps."""
        return (self.convolutions(hidden) + self.shortcut(hidden)).relu()


def trunk(width: Number = 1.0, dropout: Number = 0.5) -> Trunk:
    """Build the four stages and their branches.

    Args:
        width: multiplies the number of channels and hidden units.
        dropout: probability in the branches.

    Raises:
        ValueError: for a width that is not above 0 and finite, or a dropout outside [0, 1).

    Example:
        >>> trunk(width=0.5).features
        (96, 96, 64, 64)

    Source:
        Ours. That a first exit needs its positions, and a late exit does not, was measured: at
        exit 1 convolutions, flattening and a linear layer beat average pooling of the same cost.
    """
    dropout = check_dropout(dropout)
    sizes = (16, 32, 48, 64, 128, 192)
    c16, c32, c48, c64, c128, c192 = (scaled(size, width) for size in sizes)
    stages = (
        _convolution(IMAGE_SHAPE[0], c16, stride=2),
        nn.Sequential(Block(c16, c32)),
        nn.Sequential(Block(c32, c64, stride=2), Block(c64, c64)),
        nn.Sequential(Block(c64, c128, stride=2), Block(c128, c128)),
    )
    branches = (
        _pooled_branch((c16, c48, c32), c192, dropout),
        _pooled_branch((c32, c64, c32), c192, dropout),
        nn.Sequential(_convolution(c64, c64, stride=2), *_linear(16 * c64, c128, dropout)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)),
    )
    return Trunk(stages, branches, (c192, c192, c128, c128), IMAGE_SHAPE)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _pooled_branch(channels: tuple[int, int, int], hidden: int, dropout: float) -> nn.Sequential:
    """From 16x16 to 4x4 in two steps, then a linear layer that keeps the positions apart."""
    first, second, third = channels
    return nn.Sequential(
        nn.MaxPool2d(2),
        _convolution(first, second),
        nn.MaxPool2d(2),
        _convolution(second, third),
        *_linear(16 * third, hidden, dropout),
    )


def _linear(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(inputs, outputs), nn.ReLU())
