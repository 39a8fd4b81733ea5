"""Crop, flip and normalise whole batches of images, on the device where they are."""

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

AUGMENTATIONS = ("crop", "flip")
PADDING = 4
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# What a chunk needs stays in a processor's cache, and memory stays small for large images.
_CHUNK = 64


def take_images(
    images: Shaped[Tensor, "sample 3 h w"], index: Int[Tensor, " batch"]
) -> Shaped[Tensor, "batch 3 h w"]:
    """Pick images; one channel expanded to three stays so."""
    return images[:, : stored_channels(images)][index].expand(-1, 3, -1, -1)


def augment_images(
    images: Shaped[Tensor, "batch 3 h w"],
    names: tuple[str, ...],
    generator: torch.Generator,
) -> Shaped[Tensor, "batch 3 h w"]:
    """Crop each image at random out of itself reflect-padded by 4, and mirror half of them.

    No padded image is made: padding, crop and flip come down to which pixel goes where, so one
    gather does all three. The random numbers are drawn on the generator's device, which makes the
    result the same on any device.

    Args:
        images: bytes or floats.
        names: which of ``"crop"`` and ``"flip"`` to do; the others leave the images as they are.
        generator: source of the random numbers.

    Raises:
        ValueError: for an unknown name, or images too small to be reflected at their edges.

    Source:
        The study's training transform: ``RandomCrop(32, padding=4, padding_mode="reflect")`` and
        ``RandomHorizontalFlip()`` of torchvision, which draw their numbers differently.
    """
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown:
        raise ValueError(f"augmentations must be among {list(AUGMENTATIONS)}, got {unknown}")
    if not names:
        return images
    count, _, height, width = images.shape
    if min(height, width) <= PADDING:
        raise ValueError(
            f"images must be over {PADDING} pixels high and wide to be reflected at their edges, "
            f"got {height} x {width}"
        )
    rows, columns = torch.arange(height).expand(count, -1), torch.arange(width).expand(count, -1)
    rows, columns = rows.to(generator.device), columns.to(generator.device)
    if "crop" in names:
        shift = torch.randint(
            -PADDING, PADDING + 1, (2, count, 1), generator=generator, device=generator.device
        )
        rows, columns = _reflected(rows + shift[0], height), _reflected(columns + shift[1], width)
    if "flip" in names:
        mirror = torch.rand(count, 1, generator=generator, device=generator.device) < 0.5
        columns = torch.where(mirror, columns.flip(1), columns)
    return _gather_pixels(images, rows.to(images.device), columns.to(images.device))


def normalise_images(
    images: UInt8[Tensor, "batch 3 h w"],
    mean: Float[Tensor, "3 1 1"],
    std: Float[Tensor, "3 1 1"],
) -> Float[Tensor, "batch 3 h w"]:
    """Turn bytes into what a network reads: (images / 255 - mean) / std.

    The same operations in the same order as torchvision's ``ToTensor`` and ``Normalize``, so equal
    to them in the last bit.
    """
    return images.float().div_(255).sub_(mean).div_(std)


def stored_channels(images: Shaped[Tensor, "sample 3 h w"]) -> int:
    """How many channels lie in memory: 1 for grey images expanded to three, else 3."""
    return 1 if images.stride(1) == 0 else 3


def _reflected(position: Int[Tensor, "batch size"], size: int) -> Int[Tensor, "batch size"]:
    """Fold positions outside 0..size-1 back in; the edge pixel itself is not repeated."""
    return size - 1 - (size - 1 - position.abs()).abs()


def _gather_pixels(
    images: Shaped[Tensor, "batch 3 h w"],
    rows: Int[Tensor, "batch h"],
    columns: Int[Tensor, "batch w"],
) -> Shaped[Tensor, "batch 3 h w"]:
    """Give out[b, c, y, x] = images[b, c, rows[b, y], columns[b, x]]."""
    count, _, height, width = images.shape
    stored = images[:, : stored_channels(images)].flatten(2)
    out = torch.empty_like(stored, memory_format=torch.contiguous_format)
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        source = (rows[part, :, None] * width + columns[part, None, :]).flatten(1)
        index = source[:, None].expand(-1, stored.shape[1], -1)
        torch.gather(stored[part], 2, index, out=out[part])
    return out.unflatten(2, (height, width)).expand(-1, 3, -1, -1)
