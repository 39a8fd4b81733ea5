"""What is refused before any training: labels, trees, images and constants that do not fit."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hbnlab.hierarchy import Hierarchy


def check_images(images: Tensor) -> None:
    """Refuse images that are not bytes of shape (sample, 3, h, w)."""
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ValueError(f"images must have shape (sample, 3, h, w), got {tuple(images.shape)}")


def check_labels(labels: Tensor, hierarchy: Hierarchy) -> None:
    """Refuse labels of another shape, type or range than the tree's, or that contradict it."""
    if labels.ndim != 2 or labels.shape[1] != hierarchy.num_levels:
        raise ValueError(
            f"labels must have shape (sample, {hierarchy.num_levels}), one column for each of "
            f"{list(hierarchy.level_names)}, got {tuple(labels.shape)}"
        )
    if labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64, got {labels.dtype}")
    if len(labels) == 0:
        raise ValueError("a split must have at least one image, got none")
    for level, name in enumerate(hierarchy.level_names):
        low, high = int(labels[:, level].min()), int(labels[:, level].max())
        if low < 0 or high >= hierarchy.num_classes[level]:
            raise ValueError(
                f"labels of level {name!r} must be in 0..{hierarchy.num_classes[level] - 1}, "
                f"got {low}..{high}"
            )
    _check_tree(labels, hierarchy)


def _check_tree(labels: Tensor, hierarchy: Hierarchy) -> None:
    expected = hierarchy.label_table(labels[:, -1])
    wrong = (expected != labels).nonzero()
    if len(wrong) == 0:
        return
    sample, level = wrong[0].tolist()
    finest = hierarchy.class_names[-1][int(labels[sample, -1])]
    names = hierarchy.class_names[level]
    raise ValueError(
        f"labels must follow the tree, where {finest!r} lies under "
        f"{names[int(expected[sample, level])]!r}, got {names[int(labels[sample, level])]!r} "
        f"for image {sample}"
    )


def check_attributes(attributes: Mapping[str, Tensor], count: int) -> None:
    """Refuse a column without exactly one value an image."""
    for name, column in attributes.items():
        if column.shape != (count,):
            raise ValueError(
                f"attribute {name!r} must have one value for each of {count} images, "
                f"got shape {tuple(column.shape)}"
            )


def check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a name that is not among those known, listing them."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{what} must be among {list(known)}, got {unknown}")


def check_constants(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse a mean or deviation that is not 3 finite numbers, or a deviation of 0 or less."""
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != 3 or not all(math.isfinite(value) for value in values):
            raise ValueError(f"{name} must be 3 finite numbers, got {values}")
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, got {std}")


def check_same(what: str, images: object, labels: object) -> None:
    """Refuse images and labels of which a property differs."""
    if images != labels:
        raise ValueError(f"images and labels must have the same {what}, got {images} and {labels}")
