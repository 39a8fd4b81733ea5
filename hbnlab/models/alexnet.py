"""The five networks of the study: one trunk of five convolutions, cut and branched in five ways.

Convolutions are 3x3 with padding 1, a pool is a 2x2 maximum, and the order is convolution, pool,
ReLU. Layers keep PyTorch's own initialisation: the paper names Kaiming's, but the published code
never applies it, so what was trained is what stands here.
"""

import math
from collections.abc import Sequence

from torch import nn

from hbnlab.head_mask import HeadMask
from hbnlab.hierarchy import Hierarchy
from hbnlab.models.network import EarlyExitNetwork, check_dropout
from hbnlab.types import Number

NAMES = ("alexnet", "b-alexnet", "sem-hbn", "gran-hbn", "ag-hbn")
IMAGE_SHAPE = (3, 32, 32)


def build(
    name: str,
    hierarchy: Hierarchy,
    *,
    width: Number = 1.0,
    heads: Sequence[Sequence[bool]] | None = None,
    dropout: Number = 0.5,
) -> EarlyExitNetwork:
    """Put one of the five together.

    | name | exits | heads |
    | --- | --- | --- |
    | alexnet | 1 | the finest level |
    | b-alexnet | 3 | the finest level at every exit |
    | sem-hbn | 3 | one level an exit, coarsest first, the finest at the last |
    | gran-hbn | 3 | every level at every exit |
    | ag-hbn | 3 | as gran-hbn, and a gate at exit 1 |

    Args:
        name: one of ``NAMES``.
        hierarchy: the classes; the study has two levels, any number works.
        width: factor on channels and hidden units; 1.0 is the study's.
        heads: a grid (exit, level) in place of the one in the table.
        dropout: probability in the branches.

    Source:
        Sanati et al., "Exploiting Class-Granular Classifications to Improve Inference Efficiency
        with Dynamic DNNs", its published code for the layers. The generalisation of Sem-HBN to
        more than two levels is ours.
    """
    if not 0 < width < math.inf:
        raise ValueError(f"width must be above 0 and finite, got {width}")
    width, dropout = float(width), check_dropout(dropout)
    stages, hidden = _stages(width), _scale(2048, width)
    branches = [_branch_1(width, dropout), _branch_2(width, dropout), _branch_3(width, dropout)]
    if name == "alexnet":
        stages, branches = (
            [nn.Sequential(*(layer for stage in stages for layer in stage))],
            branches[2:],
        )
    grid = heads if heads is not None else study_cells(name, len(stages), hierarchy.num_levels)
    return EarlyExitNetwork(
        stages,
        branches,
        [hidden] * len(branches),
        hierarchy,
        heads=grid,
        gated=name == "ag-hbn",
        image_shape=IMAGE_SHAPE,
        name=name,
        width=width,
    )


def study_cells(name: str, num_exits: int, num_levels: int) -> HeadMask:
    """Which (exit, level) cells have a head in the network of that name."""
    finest = num_levels - 1
    if name in ("alexnet", "b-alexnet"):
        return tuple(_row(num_levels, finest) for _ in range(num_exits))
    if name == "sem-hbn":
        levels = (max(0, finest - (num_exits - 1 - exit_index)) for exit_index in range(num_exits))
        return tuple(_row(num_levels, level) for level in levels)
    return ((True,) * num_levels,) * num_exits


def _row(num_levels: int, only: int) -> tuple[bool, ...]:
    return tuple(level == only for level in range(num_levels))


def _scale(size: int, width: float) -> int:
    return max(1, round(size * width))


def _conv(before: int, after: int, width: float, stride: int = 1) -> nn.Conv2d:
    inputs = before if before == IMAGE_SHAPE[0] else _scale(before, width)
    return nn.Conv2d(inputs, _scale(after, width), kernel_size=3, stride=stride, padding=1)


def _linear(before: int, after: int, width: float, pixels: int = 1) -> nn.Linear:
    return nn.Linear(_scale(before, width) * pixels, _scale(after, width))


def _stages(width: float) -> list[nn.Sequential]:
    """Outputs 64x8x8, 384x4x4 and 256x2x2 at width 1."""
    return [
        nn.Sequential(_conv(3, 64, width, stride=2), nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(
            _conv(64, 192, width), nn.MaxPool2d(2), nn.ReLU(), _conv(192, 384, width), nn.ReLU()
        ),
        nn.Sequential(
            _conv(384, 256, width), nn.ReLU(), _conv(256, 256, width), nn.MaxPool2d(2), nn.ReLU()
        ),
    ]


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
