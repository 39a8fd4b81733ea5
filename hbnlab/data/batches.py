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
    # Four times as fast as images[index].
    return images[:, : stored_channels(images)].index_select(0, index).expand(-1, 3, -1, -1)


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
    row_windows, column_windows = _windows(height, names), _windows(width, names)
    if "flip" in names:
        column_windows = torch.cat([column_windows, column_windows.flip(1)])
    # Towards an accelerator nobody has to wait; from one, the numbers must have come.
    rows, columns = (
        _pick(windows, count, generator).to(images.device, non_blocking=images.is_cuda)
        for windows in (row_windows, column_windows)
    )
    return _gather_pixels(images, rows, columns)


def normalise_images(
    images: UInt8[Tensor, "batch 3 h w"],
    scale: Float[Tensor, "3 1 1"],
    shift: Float[Tensor, "3 1 1"],
) -> Float[Tensor, "batch 3 h w"]:
    """Turn bytes into what a network reads: images * scale + shift."""
    return images.float().mul_(scale).add_(shift)


def stored_channels(images: Shaped[Tensor, "sample 3 h w"]) -> int:
    """How many channels lie in memory: 1 for grey images expanded to three, else 3."""
    return 1 if images.stride(1) == 0 else 3


def _windows(size: int, names: tuple[str, ...]) -> Int[Tensor, "window size"]:
    """Positions that each crop of a reflect-padded line shows; without cropping, the line itself.

    The edge itself is not repeated: a line 0 1 2 3 ... begins 2 1 0 1 when cropped two before it.
    """
    if "crop" not in names:
        return torch.arange(size)[None]
    beyond = torch.arange(-PADDING, size + PADDING)
    return (size - 1 - (size - 1 - beyond.abs()).abs()).unfold(0, size, 1)


def _pick(
    windows: Int[Tensor, "window size"], count: int, generator: torch.Generator
) -> Int[Tensor, "batch size"]:
    """A window for each image, all equally likely."""
    device = generator.device
    chosen = torch.randint(len(windows), (count,), generator=generator, device=device)
    return windows.to(device).index_select(0, chosen)


def _gather_pixels(
    images: Shaped[Tensor, "batch 3 h w"],
    rows: Int[Tensor, "batch h"],
    columns: Int[Tensor, "batch w"],
) -> Shaped[Tensor, "batch 3 h w"]:
    """Give out[b, c, y, x] = images[b, c, rows[b, y], columns[b, x]]."""
    count, _, height, width = images.shape
    stored = images[:, : stored_channels(images)].flatten(2)
    out = torch.empty_like(stored, memory_format=torch.contiguous_format)
    starts = rows * width
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        source = (starts[part, :, None] + columns[part, None, :]).flatten(1)
        index = source[:, None].expand(-1, stored.shape[1], -1)
        torch.gather(stored[part], 2, index, out=out[part])
    return out.unflatten(2, (height, width)).expand(-1, 3, -1, -1)
