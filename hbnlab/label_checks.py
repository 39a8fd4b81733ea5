"""What is refused of images, labels and attributes, in data sets, records and figures alike."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hbnlab.hierarchy import Hierarchy


def check_images(images: Tensor) -> None:
    """Validate that images are bytes of shape (sample, 3, height, width).

    Raises:
        ValueError: for another type or shape.

    Example:
        >>> check_images(torch.zeros(2, 3, 8, 8))
        Traceback (most recent call last):
        ValueError: images must be uint8, got torch.float32
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ValueError(f"images must have shape (sample, 3, h, w), got {tuple(images.shape)}")


def check_labels(labels: Tensor, hierarchy: Hierarchy) -> None:
    """Validate labels (sample, level) against a tree.

    Raises:
        ValueError: for another shape or type, no images, a label outside its level, or a coarse
            label that does not hold the fine one.

    Example:
        >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
        >>> check_labels(torch.tensor([[0, 1], [0, 2]]), tree)
        Traceback (most recent call last):
        ValueError: labels must follow the tree, where 'siamese' is under 'cat', got ...
    """
    if labels.ndim != 2 or labels.shape[1] != hierarchy.num_levels:
        raise ValueError(
            f"labels must have shape (sample, {hierarchy.num_levels}), one column for each of "
            f"{list(hierarchy.level_names)}, got {tuple(labels.shape)}"
        )
    if labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64, got {labels.dtype}")
    if len(labels) == 0:
        raise ValueError("labels must be those of at least one image, got none")
    for level in range(hierarchy.num_levels):
        hierarchy.lift_labels(labels[:, level], level, from_level=level)  # refuses what is outside
    expected = hierarchy.label_table(labels[:, -1])
    for sample, level in (expected != labels).nonzero()[:1].tolist():
        names = hierarchy.class_names[level]
        raise ValueError(
            "labels must follow the tree, where "
            f"{hierarchy.class_names[-1][int(labels[sample, -1])]!r} is under "
            f"{names[int(expected[sample, level])]!r}, got {names[int(labels[sample, level])]!r} "
            f"for image {sample}"
        )


def check_attributes(attributes: Mapping[str, Tensor], num_samples: int) -> None:
    """Validate that every attribute has one value per image.

    Raises:
        ValueError: for a column of another shape.

    Example:
        >>> check_attributes({"difficulty": torch.zeros(3)}, num_samples=2)
        Traceback (most recent call last):
        ValueError: attribute 'difficulty' must have one value per image (2), got shape (3,)
    """
    for name, column in attributes.items():
        if column.shape != (num_samples,):
            raise ValueError(
                f"attribute {name!r} must have one value per image ({num_samples}), "
                f"got shape {tuple(column.shape)}"
            )
