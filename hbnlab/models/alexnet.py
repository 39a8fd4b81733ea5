"""The trunk of the study: five convolutions in three stages, with a branch behind each.

Convolutions are 3x3 with padding 1, a pool is a 2x2 maximum, and the order is convolution, pool,
ReLU. Layers keep PyTorch's own initialisation: the paper names Kaiming's, but the published code
never applies it, so what was trained is what stands here.
"""

import math

from torch import nn

from hbnlab.models.network import Trunk, check_dropout
from hbnlab.types import Number

IMAGE_SHAPE = (3, 32, 32)


def trunk(width: Number = 1.0, dropout: Number = 0.5) -> Trunk:
    """Build the three stages and their branches.

    Args:
        width: factor on channels and hidden units; 1.0 is the study's.
        dropout: probability in the branches.

    Raises:
        ValueError: for a width that is not above 0 and finite, or a dropout outside [0, 1).

    Example:
        >>> trunk(width=0.25).features
        (512, 512, 512)

    Source:
        Sanati et al., "Exploiting Class-Granular Classifications to Improve Inference Efficiency
        with Dynamic DNNs", its published code for the layers.
    """
    if not 0 < width < math.inf:
        raise ValueError(f"width must be above 0 and finite, got {width}")
    width, dropout = float(width), check_dropout(dropout)
    stages = _stages(width)
    branches = (_branch_1(width, dropout), _branch_2(width, dropout), _branch_3(width, dropout))
    return Trunk(stages, branches, (_scale(2048, width),) * 3, IMAGE_SHAPE)


def _scale(size: int, width: float) -> int:
    return max(1, round(size * width))


def _conv(before: int, after: int, width: float, stride: int = 1) -> nn.Conv2d:
    inputs = before if before == IMAGE_SHAPE[0] else _scale(before, width)
    return nn.Conv2d(inputs, _scale(after, width), kernel_size=3, stride=stride, padding=1)


def _linear(before: int, after: int, width: float, pixels: int = 1) -> nn.Linear:
    return nn.Linear(_scale(before, width) * pixels, _scale(after, width))


def _stages(width: float) -> tuple[nn.Sequential, ...]:
    """Outputs 64x8x8, 384x4x4 and 256x2x2 at width 1."""
    return (
        nn.Sequential(_conv(3, 64, width, stride=2), nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(
            _conv(64, 192, width), nn.MaxPool2d(2), nn.ReLU(), _conv(192, 384, width), nn.ReLU()
        ),
        nn.Sequential(
            _conv(384, 256, width), nn.ReLU(), _conv(256, 256, width), nn.MaxPool2d(2), nn.ReLU()
        ),
    )


def _branch_1(width: float, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(
            _conv(64, 256, width),
            nn.MaxPool2d(2),
            nn.ReLU(),
            _conv(256, 128, width),
            nn.MaxPool2d(2),
            nn.ReLU(),
        ),
        nn.Flatten(),
        nn.Sequential(nn.Dropout(dropout), _linear(128, 2048, width, pixels=4), nn.ReLU()),
    )


def _branch_2(width: float, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(_conv(384, 256, width, stride=2), nn.MaxPool2d(2), nn.ReLU()),
        nn.Flatten(),
        nn.Sequential(nn.Dropout(dropout), _linear(256, 2048, width), nn.ReLU()),
    )


def _branch_3(width: float, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Sequential(
            nn.Dropout(dropout),
            _linear(256, 2048, width, pixels=4),
            nn.ReLU(),
            nn.Dropout(dropout),
            _linear(2048, 2048, width),
            nn.ReLU(),
        ),
    )
