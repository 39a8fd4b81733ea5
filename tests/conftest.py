"""What test modules share: a tree, images and networks so small that a run takes no time."""

from collections.abc import Callable

import pytest
import torch

from hbnlab import models
from hbnlab.data import Splits, TensorSplit
from hbnlab.hierarchy import Hierarchy
from hbnlab.models import EarlyExitNetwork

TINY_TREE = Hierarchy.from_dict({"warm": ["red", "yellow"], "cool": ["green", "blue", "violet"]})
_COLOURS = torch.tensor(
    [[200, 40, 40], [200, 200, 40], [40, 200, 40], [40, 40, 200], [200, 40, 200]]
)


def tiny_split(part: str, count: int, seed: int, tree: Hierarchy = TINY_TREE) -> TensorSplit:
    """Images of one colour a class under noise: learnt in a few steps."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.arange(count) % tree.num_classes[-1]
    noise = torch.randint(-40, 41, (count, 3, 32, 32), generator=generator)
    return TensorSplit(
        images=(_COLOURS[fine][:, :, None, None] + noise).to(torch.uint8),
        labels=tree.label_table(fine),
        hierarchy=tree,
        name="colours",
        part=part,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        augmentations=("crop", "flip"),
    )


@pytest.fixture
def tiny_tree() -> Hierarchy:
    return TINY_TREE


@pytest.fixture
def tiny_splits() -> Splits:
    train, val, test = (
        tiny_split(part, count, seed)
        for seed, (part, count) in enumerate([("train", 42), ("val", 15), ("test", 10)])
    )
    return Splits(train=train, val=val, test=test, hierarchy=TINY_TREE, name="colours")


@pytest.fixture
def tiny_network() -> Callable[..., EarlyExitNetwork]:
    """Build one of the five by name, at a twentieth of its width, for the tiny tree."""

    def build(name: str = "gran-hbn", **changes: object) -> EarlyExitNetwork:
        options = {"hierarchy": TINY_TREE, "width": 0.05} | changes
        return models.create(name, **options)

    return build
