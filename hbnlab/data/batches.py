"""Crop, flip and normalise whole batches of images on their own device."""

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from hbnlab.data.image_checks import check_names

AUGMENTATIONS = ("crop", "flip")
PADDING = 4
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# A chunk fits into the cache of a processor, and large images need little extra memory.
_CHUNK = 64


def take_images(
    images: Shaped[Tensor, "sample 3 h w"], index: Int[Tensor, " batch"]
) -> Shaped[Tensor, "batch 3 h w"]:
    """The images at ``index``; one channel expanded to three stays expanded."""
    # Four times as fast as images[index].
    return images[:, : stored_channels(images)].index_select(0, index).expand(-1, 3, -1, -1)


def augment_images(
    images: Shaped[Tensor, "batch 3 h w"],
    names: tuple[str, ...],
    generator: torch.Generator,
) -> Shaped[Tensor, "batch 3 h w"]:
    """Crop each image at random after reflect-padding it by 4 pixels, and mirror half of them.

    Padding, crop and flip only decide which pixel goes where, so one gather does all three and no
    padded image is stored. The random numbers are drawn on the device of the generator, so that
    the result is the same on every device.

    Args:
        images: bytes or floats.
        names: those of ``"crop"`` and ``"flip"`` to apply.
        generator: source of the random numbers.

    Raises:
        ValueError: for an unknown name, or images too small to be reflected at their edges.

    Example:
        >>> images = torch.arange(36.0).reshape(1, 1, 6, 6).expand(2, 3, 6, 6)
        >>> augmented = augment_images(images, ("crop", "flip"), torch.Generator().manual_seed(0))
        >>> augmented.shape, set(augmented.unique().tolist()) <= set(range(36))
        (torch.Size([2, 3, 6, 6]), True)

    Source:
        The study's training transform: ``RandomCrop(32, padding=4, padding_mode="reflect")`` and
        ``RandomHorizontalFlip()`` of torchvision, which draw their numbers differently.
    """
    check_names("augmentations", names, AUGMENTATIONS)
    if not names:
        return images
    count, _, height, width = images.shape
    if min(height, width) <= PADDING:
        raise ValueError(
            f"images must be more than {PADDING} pixels high and wide to be reflected at their "
            f"edges, got {height} x {width}"
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
    """Convert bytes to the floats that a network reads: images * scale + shift."""
    return images.float().mul_(scale).add_(shift)


def stored_channels(images: Shaped[Tensor, "sample 3 h w"]) -> int:
    """Number of channels in memory: 1 for grey images expanded to three channels, otherwise 3."""
    return 1 if images.stride(1) == 0 else 3


def _windows(size: int, names: tuple[str, ...]) -> Int[Tensor, "window size"]:
    """The positions in each crop of a reflect-padded line; without cropping, the line itself.

    Reflection does not repeat the edge: the crop that starts two pixels before the line 0 1 2 3 ...
    begins with 2 1 0 1.
    """
    if "crop" not in names:
        return torch.arange(size)[None]
    beyond = torch.arange(-PADDING, size + PADDING)
    return (size - 1 - (size - 1 - beyond.abs()).abs()).unfold(0, size, 1)


def _pick(
    windows: Int[Tensor, "window size"], count: int, generator: torch.Generator
) -> Int[Tensor, "batch size"]:
    """One window per image, all equally likely."""
    device = generator.device
    chosen = torch.randint(len(windows), (count,), generator=generator, device=device)
    return windows.to(device).index_select(0, chosen)


def _gather_pixels(
    images: Shaped[Tensor, "batch 3 h w"],
    rows: Int[Tensor, "batch h"],
    columns: Int[Tensor, "batch w"],
) -> Shaped[Tensor, "batch 3 h w"]:
    """Compute out[b, c, y, x] = images[b, c, rows[b, y], columns[b, x]]."""
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
