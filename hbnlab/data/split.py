"""A split: labelled images of one part of a data set, read in normalised batches."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

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
from hbnlab.hierarchy import Hierarchy
from hbnlab.label_checks import check_attributes, check_labels

PARTS = ("train", "val", "test")
Batch = tuple[Float[Tensor, "batch 3 h w"], Int[Tensor, "batch level"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split(ABC):
    """Labelled images that a network is trained or tested on; everything is checked at birth.

    Images are kept as bytes, wherever they are kept; what ``batches`` gives is normalised floats.

    Attributes:
        labels: the class of each image at each level, coarsest first; int64 (sample, level).
        hierarchy: the tree that the labels belong to.
        name: of the data set, such as ``"glyphs"``.
        part: ``"train"``, ``"val"`` or ``"test"``.
        mean: of each channel, on the scale where 255 is 1.
        std: standard deviation of each channel, on the same scale.
        augmentations: those that keep the labels of these images, of ``"crop"`` and ``"flip"``.
        attributes: named columns with one value an image, such as ``"difficulty"``.

    Raises:
        ValueError: when labels, tree, attributes or constants do not fit together.
    """

    # Tensors that are checked here carry no shape, so that the answer is a ValueError everywhere.
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
        """Where labels are and batches come out."""
        return self.labels.device

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""

    @abstractmethod
    def subset(self, indices: Int[Tensor, " chosen"] | Sequence[int]) -> "Split":
        """The images at ``indices``, in that order."""

    @abstractmethod
    def _read(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Give the uint8 images of each batch of indices, in order, on ``device``."""

    @abstractmethod
    def _content(self) -> Iterator[bytes | memoryview]:
        """Give bytes that tell these images from any others."""

    def to(self, device: torch.device | str) -> "Split":
        """The same split on another device."""
        return replace(self, **self._tensors_on(device))

    def _tensors_on(self, device: torch.device | str) -> dict[str, object]:
        moved = {name: column.to(device) for name, column in self.attributes.items()}
        return {"labels": self.labels.to(device), "attributes": moved}

    def _rows_at(self, index: Int[Tensor, " chosen"]) -> dict[str, object]:
        columns = {name: column[index] for name, column in self.attributes.items()}
        return {"labels": self.labels[index], "attributes": columns}

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ when images, labels, tree or scale differ."""
        constants = f"{self.mean} {self.std} {self.image_shape} {len(self)}"
        digest = hashlib.sha256(f"{self.hierarchy.fingerprint} {constants}".encode())
        digest.update(self.labels.cpu().contiguous().numpy().data)
        for piece in self._content():
            digest.update(piece)
        return digest.hexdigest()[:12]

    def batches(
        self,
        size: int,
        augment: bool = False,
        generator: torch.Generator | None = None,
        shuffle: bool | None = None,
        *,
        min_size: int = 1,
    ) -> Iterator[Batch]:
        """Iterate once over all images; the last batch may be short.

        Everything random comes from ``generator``: equal states give equal batches, on whichever
        device the images are.

        Args:
            size: images a batch, at least 1.
            augment: crop and flip at random, as far as this data set keeps its labels then.
                Never on unless asked for, so that evaluation sees the images as they are.
            generator: source of order and augmentation.
            shuffle: visit the images in random order; None = if there is a generator.
            min_size: images that the last batch must have; fewer join the batch before it.

        Shapes:
            images (batch, 3, height, width), normalised; labels (batch, level).

        Raises:
            ValueError: for a size below 1, or randomness asked for without a generator.
        """
        if size < 1:
            raise ValueError(f"batch size must be at least 1, got {size}")
        shuffle = generator is not None if shuffle is None else shuffle
        if generator is None and (augment or shuffle):
            raise ValueError(
                f"random batches need a generator, got augment={augment}, shuffle={shuffle} "
                "and no generator"
            )
        return self._iterate(size, augment, generator, shuffle, min_size)

    def batch_indices(
        self,
        size: int,
        generator: torch.Generator | None = None,
        shuffle: bool | None = None,
        *,
        min_size: int = 1,
    ) -> list[Int[Tensor, " batch"]]:
        """The indices of the images in each batch of ``batches`` with the same arguments.

        Args:
            size: as for ``batches``.
            generator: in the state in which ``batches`` would get it; its state advances.
            shuffle: as for ``batches``.
            min_size: as for ``batches``.
        """
        order = torch.arange(len(self))
        if generator is not None and shuffle is not False:
            order = torch.randperm(len(self), generator=generator, device=generator.device)
        batches = list(order.to(self.device).split(size))
        if len(batches) > 1 and len(batches[-1]) < min_size:
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches

    def _iterate(
        self,
        size: int,
        augment: bool,
        generator: torch.Generator | None,
        shuffle: bool,
        min_size: int,
    ) -> Iterator[Batch]:
        batches = self.batch_indices(size, generator, shuffle, min_size=min_size)
        for indices, images in zip(batches, self._read(batches), strict=True):
            if augment and generator is not None:
                images = augment_images(images, self.augmentations, generator)
            yield self.normalise(images), self.labels.index_select(0, indices)

    def normalise(self, images: UInt8[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 h w"]:
        """Turn bytes into what a network reads: (images / 255 - mean) / std."""
        scale, shift = self._constants
        return normalise_images(images, scale.to(images.device), shift.to(images.device))

    @cached_property
    def _constants(self) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
        """Factor and summand where the images are, so that no batch has to send them there."""
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float64)[:, :, None, None]
        scale, shift = 1 / (255 * std), -mean / std
        return scale.float().to(self.device), shift.float().to(self.device)


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorSplit(Split):
    """A split whose images lie in memory, on the processor or on an accelerator.

    Attributes:
        images: uint8 (sample, 3, height, width); grey images may be one channel expanded to
            three, which costs no memory.
    """

    images: Tensor

    def __post_init__(self) -> None:
        image_checks.check_images(self.images)
        super().__post_init__()
        image_checks.check_same("number", len(self.images), len(self.labels))
        image_checks.check_same("device", self.images.device, self.labels.device)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def subset(self, indices: Int[Tensor, " chosen"] | Sequence[int]) -> "TensorSplit":
        """The images at ``indices``, in that order."""
        index = torch.as_tensor(indices, dtype=torch.int64, device=self.device)
        return replace(self, images=take_images(self.images, index), **self._rows_at(index))

    def _tensors_on(self, device: torch.device | str) -> dict[str, object]:
        stored = self.images[:, : stored_channels(self.images)]
        images = stored.to(device).expand(-1, 3, -1, -1)
        return {"images": images, **super()._tensors_on(device)}

    def _read(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        for indices in batches:
            yield take_images(self.images, indices)

    def _content(self) -> Iterator[bytes | memoryview]:
        for chunk in self.images.split(4096):
            yield chunk.cpu().contiguous().numpy().data


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """The three parts of a data set; no image is in two of them.

    Attributes:
        train: to learn from.
        val: to choose settings and thresholds on; never trained on.
        test: to report on; nothing is chosen on it.
        hierarchy: the tree of all three.
        name: of the data set.
    """

    train: Split
    val: Split
    test: Split
    hierarchy: Hierarchy
    name: str

    def __post_init__(self) -> None:
        for part in PARTS:
            split: Split = getattr(self, part)
            if split.part != part:
                raise ValueError(f"{part} must be the part of that name, got {split.part!r}")
            if split.hierarchy != self.hierarchy:
                raise ValueError(
                    f"all parts of {self.name!r} must have its hierarchy "
                    f"({self.hierarchy.fingerprint}), {part!r} has {split.hierarchy.fingerprint}"
                )
            if split.image_shape != self.train.image_shape:
                raise ValueError(
                    f"all parts of {self.name!r} must have images of {self.train.image_shape}, "
                    f"{part!r} has {split.image_shape}"
                )

    def to(self, device: torch.device | str) -> "Splits":
        """The same parts on another device."""
        return replace(self, **{part: getattr(self, part).to(device) for part in PARTS})


def with_validation(train: TensorSplit, test: Split, val_size: int, seed: int) -> Splits:
    """The three parts of a data set that is published in two: see ``hold_out``.

    Example:
        >>> from hbnlab import data
        >>> glyphs = data.load("glyphs", train_size=20, val_size=1, test_size=5)
        >>> splits = with_validation(glyphs.train, glyphs.test, val_size=4, seed=0)
        >>> len(splits.train), len(splits.val), len(splits.test)
        (16, 4, 5)
    """
    train, val = hold_out(train, val_size, seed)
    return Splits(train=train, val=val, test=test, hierarchy=test.hierarchy, name=test.name)


def hold_out(split: TensorSplit, count: int, seed: int) -> tuple[TensorSplit, TensorSplit]:
    """Set ``count`` of the training images aside for validation, chosen at random.

    Both keep the order that the images had.

    Raises:
        ValueError: unless at least one image remains on either side.

    Source:
        The same choice as ``torch.utils.data.random_split`` with a generator of that seed.
    """
    if not 0 < count < len(split):
        raise ValueError(
            f"val_size must be in 1..{len(split) - 1} of {len(split)} images, got {count}"
        )
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    kept, held = order[: len(split) - count], order[len(split) - count :]
    val = replace(split.subset(held.sort().values), part="val")
    return split.subset(kept.sort().values), val
