"""The trunk of the study: five convolutions in three stages, with a branch behind each.

Convolutions are 3x3 with padding 1, a pool is a 2x2 maximum, and the order is convolution, pool,
ReLU. Layers keep PyTorch's own initialisation: the paper names Kaiming's, but the published code
never applies it, so what was trained is what stands here.
"""

import itertools

from torch import nn

from hbnlab.models.network import Trunk, check_dropout, scaled
from hbnlab.types import Number

IMAGE_SHAPE = (3, 32, 32)


def trunk(width: Number = 1.0, dropout: Number = 0.5) -> Trunk:
    """Build the three stages and their branches.

    Args:
        width: multiplies the number of channels and hidden units; 1.0 is the study's.
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
    dropout = check_dropout(dropout)
    last, hidden = scaled(256, width), scaled(2048, width)
    # Each convolution: channels before and after, stride, pooled. The comments give what comes
    # out at width 1.
    stages = (
        _convolutions(width, (3, 64, 2, True)),  # 64x8x8
        _convolutions(width, (64, 192, 1, True), (192, 384, 1, False)),  # 384x4x4
        _convolutions(width, (384, 256, 1, False), (256, 256, 1, True)),  # 256x2x2
    )
    branches = (
        nn.Sequential(
            _convolutions(width, (64, 256, 1, True), (256, 128, 1, True)),  # 128x2x2
            nn.Flatten(),
            _linear(dropout, 4 * scaled(128, width), hidden),
        ),
        nn.Sequential(
            _convolutions(width, (384, 256, 2, True)),  # 256x1x1
            nn.Flatten(),
            _linear(dropout, last, hidden),
        ),
        nn.Sequential(nn.Flatten(), _linear(dropout, 4 * last, hidden, hidden)),
    )
    return Trunk(stages, branches, (hidden,) * 3, IMAGE_SHAPE)


def _convolutions(width: Number, *plan: tuple[int, int, int, bool]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after, stride, pooled in plan:
        inputs = before if before == IMAGE_SHAPE[0] else scaled(before, width)
        layers.append(nn.Conv2d(inputs, scaled(after, width), 3, stride=stride, padding=1))
        layers += [nn.MaxPool2d(2), nn.ReLU()] if pooled else [nn.ReLU()]
    return nn.Sequential(*layers)


def _linear(dropout: float, *sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Dropout(dropout), nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)
