"""A split: the labelled images of one part of a data set, read in normalised batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hbnlab.data import image_checks
from hbnlab.data.batches import (
    AUGMENTATIONS,
    augment_images,
    normalise_images,
    stored_channels,
    take_images,
)
from hbnlab.fingerprint import fingerprint
from hbnlab.hierarchy import Hierarchy
from hbnlab.label_checks import check_attributes, check_images, check_labels

PARTS = ("train", "val", "test")
Batch = tuple[Float[Tensor, "batch 3 h w"], Int[Tensor, "batch level"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split(ABC):
    """Labelled images to train or test a network on, validated on construction.

    Images are stored as bytes, in memory or on disk; ``batches`` yields normalised floats.

    Attributes:
        labels: the class of each image at each level, coarsest first; int64 (sample, level).
        hierarchy: the tree that the labels belong to.
        name: of the data set, such as ``"glyphs"``.
        part: ``"train"``, ``"val"`` or ``"test"``.
        mean: of each channel, on the scale where 255 is 1.
        std: standard deviation of each channel, on the same scale.
        augmentations: those of ``"crop"`` and ``"flip"`` that keep the labels of these images.
        attributes: named columns with one value per image, such as ``"difficulty"``.

    Raises:
        ValueError: if labels, tree, attributes or constants do not fit together.

    Example:
        >>> from hbnlab import data
        >>> split = data.load("glyphs", train_size=20, val_size=20, test_size=20).train
        >>> len(split), split.image_shape, split.labels.shape
        (20, (3, 32, 32), torch.Size([20, 2]))
        >>> [len(images) for images, labels in split.batches(8)]
        [8, 8, 4]
    """

    # These tensors are annotated without shapes, so that a wrong shape is always a ValueError.
    labels: Tensor
    hierarchy: Hierarchy
    name: str
    part: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentations: tuple[str, ...] = ()
    attributes: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_labels(self.labels, self.hierarchy)
        check_attributes(self.attributes, len(self.labels))
        image_checks.check_names("part", [self.part], PARTS)
        image_checks.check_names("augmentations", self.augmentations, AUGMENTATIONS)
        image_checks.check_constants(self.mean, self.std)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Device of the labels and of the batches."""
        return self.labels.device

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""

    @abstractmethod
    def _read(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the uint8 images of each batch of indices, in order, on ``device``."""

    @abstractmethod
    def _content(self) -> Iterator[str | Tensor]:
        """Yield text or tensors that differ between any two different sequences of images."""

    def subset(self, indices: Int[Tensor, " chosen"] | Sequence[int]) -> "Split":
        """The images at ``indices``, in that order."""
        index = torch.as_tensor(indices, dtype=torch.int64, device=self.device)
        return replace(self, **self._rows_at(index))

    def to(self, device: torch.device | str) -> "Split":
        """The same split on another device."""
        return replace(self, **self._tensors_on(device))

    def _rows_at(self, index: Int[Tensor, " chosen"]) -> dict[str, object]:
        """The fields that hold one value per image, at these indices."""
        columns = {name: column[index] for name, column in self.attributes.items()}
        return {"labels": self.labels[index], "attributes": columns}

    def _tensors_on(self, device: torch.device | str) -> dict[str, object]:
        """The fields that hold tensors, on another device."""
        moved = {name: column.to(device) for name, column in self.attributes.items()}
        return {"labels": self.labels.to(device), "attributes": moved}

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ if images, labels, tree or constants differ."""
        constants = f"{self.mean} {self.std} {self.image_shape} {len(self)}"
        return fingerprint(
            f"{self.hierarchy.fingerprint} {constants}", self.labels, *self._content()
        )

    def batches(
        self,
        size: int,
        augment: bool = False,
        generator: torch.Generator | None = None,
        shuffle: bool | None = None,
    ) -> Iterator[Batch]:
        """Iterate once over all images; the last batch may be smaller.

        All randomness comes from ``generator``: equal states give equal batches on every device.

        Args:
            size: images per batch, at least 1.
            augment: apply the random augmentations of this split. Off by default, so that
                evaluation sees the images as they are.
            generator: source of the order and of the augmentation.
            shuffle: visit the images in random order; None = only with a generator.

        Shapes:
            images (batch, 3, height, width), normalised; labels (batch, level).

        Raises:
            ValueError: for a size below 1, or for randomness without a generator.
        """
        if size < 1:
            raise ValueError(f"batch size must be at least 1, got {size}")
        if generator is None and (augment or shuffle):
            raise ValueError(
                f"random batches need a generator, got augment={augment}, shuffle={shuffle} "
                "and no generator"
            )
        batches = self.batch_indices(size, generator, shuffle)
        return self.read_batches(batches, generator if augment else None)

    def batch_indices(
        self,
        size: int,
        generator: torch.Generator | None = None,
        shuffle: bool | None = None,
        *,
        min_size: int = 1,
    ) -> list[Tensor]:
        """The indices of the images in each batch of ``batches`` with the same arguments.

        Args:
            size: as for ``batches``.
            generator: as for ``batches``; its state advances.
            shuffle: as for ``batches``.
            min_size: smallest last batch; one with fewer images joins the batch before it.
        """
        order = torch.arange(len(self))
        if generator is not None and shuffle is not False:
            order = torch.randperm(len(self), generator=generator, device=generator.device)
        batches = list(order.to(self.device).split(size))
        if len(batches) > 1 and len(batches[-1]) < min_size:
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches

    def read_batches(
        self, batches: Sequence[Tensor], augment: torch.Generator | None = None
    ) -> Iterator[Batch]:
        """Iterate over the batches with these indices, augmented where a generator is given."""
        for indices, images in zip(batches, self._read(batches), strict=True):
            if augment is not None:
                images = augment_images(images, self.augmentations, augment)
            yield self.normalise(images), self.labels.index_select(0, indices)

    def normalise(self, images: UInt8[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 h w"]:
        """Turn bytes into what a network reads: (images / 255 - mean) / std."""
        scale, shift = self._constants
        return normalise_images(images, scale.to(images.device), shift.to(images.device))

    @cached_property
    def _constants(self) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
        """Factor and summand on the device of the images, so that no batch transfers them."""
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float64)[:, :, None, None]
        scale, shift = 1 / (255 * std), -mean / std
        return scale.float().to(self.device), shift.float().to(self.device)


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorSplit(Split):
    """A split whose images are in memory, on the processor or on an accelerator.

    Attributes:
        images: uint8 (sample, 3, height, width); grey images may be one channel expanded to
            three, which takes no memory.

    Example:
        >>> tree = Hierarchy.from_dict({"dark": ["black", "navy"], "light": ["white"]})
        >>> split = TensorSplit(
        ...     images=torch.zeros(4, 3, 32, 32, dtype=torch.uint8),
        ...     labels=tree.label_table(torch.tensor([0, 1, 2, 0])),
        ...     hierarchy=tree,
        ...     name="shades",
        ...     part="test",
        ...     mean=(0.5, 0.5, 0.5),
        ...     std=(0.25, 0.25, 0.25),
        ... )
        >>> images, labels = next(split.batches(2))
        >>> float(images.max()), labels.tolist()
        (-2.0, [[0, 0], [0, 1]])
    """

    images: Tensor

    def __post_init__(self) -> None:
        check_images(self.images)
        super().__post_init__()
        image_checks.check_same("number", len(self.images), len(self.labels))
        image_checks.check_same("device", self.images.device, self.labels.device)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def _rows_at(self, index: Int[Tensor, " chosen"]) -> dict[str, object]:
        return {"images": take_images(self.images, index), **super()._rows_at(index)}

    def _tensors_on(self, device: torch.device | str) -> dict[str, object]:
        stored = self.images[:, : stored_channels(self.images)]
        images = stored.to(device).expand(-1, 3, -1, -1)
        return {"images": images, **super()._tensors_on(device)}

    def _read(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        for indices in batches:
            yield take_images(self.images, indices)

    def _content(self) -> Iterator[str | Tensor]:
        yield from self.images.split(4096)


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """The three parts of a data set; no image is in two of them.

    Attributes:
        train: images to train on.
        val: images to choose settings and thresholds on; never trained on.
        test: images to report on; nothing is chosen on them.
        hierarchy: the tree of all three parts.
        name: of the data set.

    Raises:
        ValueError: if the parts differ in their tree or image shape, or stand in the wrong place.

    Example:
        >>> from hbnlab import data
        >>> splits = data.load("glyphs", train_size=20, val_size=10, test_size=10)
        >>> print(splits.hierarchy.summary)
        20 coarse > 100 fine
        >>> len(splits.train), len(splits.val), splits.val.part
        (20, 10, 'val')
    """

    train: Split
    val: Split
    test: Split
    hierarchy: Hierarchy
    name: str

    def __post_init__(self) -> None:
        for part in PARTS:
            split: Split = getattr(self, part)
            for what, found, wanted in (
                ("part", split.part, part),
                ("hierarchy", split.hierarchy.fingerprint, self.hierarchy.fingerprint),
                ("image_shape", split.image_shape, self.train.image_shape),
            ):
                if found != wanted:
                    raise ValueError(f"{part}.{what} must be {wanted!r}, got {found!r}")

    def to(self, device: torch.device | str) -> "Splits":
        """The same parts on another device."""
        return replace(self, **{part: getattr(self, part).to(device) for part in PARTS})

    def with_hierarchy(self, hierarchy: Hierarchy) -> "Splits":
        """The same images under another tree of the same finest classes, in any order.

        Example:
            >>> from hbnlab import data
            >>> splits = data.load("glyphs", train_size=20, val_size=10, test_size=10)
            >>> flat = Hierarchy.from_table([(name,) for name in splits.hierarchy.class_names[-1]])
            >>> splits.with_hierarchy(flat).train.labels.shape
            torch.Size([20, 1])
        """
        before, after = self.hierarchy.class_names[-1], hierarchy.class_names[-1]
        index = torch.tensor([after.index(name) for name in before])
        parts: dict[str, Any] = {}
        for part in PARTS:
            split: Split = getattr(self, part)
            labels = hierarchy.label_table(index.to(split.device)[split.labels[:, -1]])
            parts[part] = replace(split, labels=labels, hierarchy=hierarchy)
        return replace(self, **parts, hierarchy=hierarchy)


def with_validation(train: Split, test: Split, val_size: int, seed: int) -> Splits:
    """The three parts of a data set that is published in two.

    The third are ``val_size`` randomly chosen training images. All parts keep the order of their
    images.

    Raises:
        ValueError: unless training and validation get at least one image each.

    Example:
        >>> from hbnlab import data
        >>> glyphs = data.load("glyphs", train_size=20, val_size=1, test_size=5)
        >>> splits = with_validation(glyphs.train, glyphs.test, val_size=4, seed=0)
        >>> len(splits.train), len(splits.val), len(splits.test)
        (16, 4, 5)

    Source:
        The same choice as ``torch.utils.data.random_split`` with a generator of that seed.
    """
    if not 0 < val_size < len(train):
        raise ValueError(
            f"val_size must be in 1..{len(train) - 1} of {len(train)} images, got {val_size}"
        )
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    kept, held = (part.sort().values for part in order.split([len(train) - val_size, val_size]))
    val = replace(train.subset(held), part="val")
    train = train.subset(kept)
    return Splits(train=train, val=val, test=test, hierarchy=test.hierarchy, name=test.name)
