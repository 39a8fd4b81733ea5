"""Read one image file as bytes, resized and cropped to a square."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def is_image(path: Path) -> bool:
    """Whether a path is a file with the suffix of an image and not hidden."""
    visible = not path.name.startswith(".")
    return visible and path.suffix.lower() in SUFFIXES and path.is_file()


def read_image(path: Path, size: int) -> UInt8[Tensor, "3 size size"]:
    """Read an image, resize its shorter side to ``size`` and crop the centre of the longer one.

    Photographs are rotated as their EXIF tag says; grey images get three equal channels;
    transparent pixels become white.

    Raises:
        ValueError: for a file that is not a complete image: which.
    """
    try:
        with Image.open(path) as opened:
            image = _as_rgb(ImageOps.exif_transpose(opened))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from error
    pixels = np.array(_centre_square(image, size))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_images(paths: Sequence[Path], size: int) -> UInt8[Tensor, "image 3 size size"]:
    """Read several images as ``read_image`` does."""
    return torch.stack([read_image(path, size) for path in paths])


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels must have 8 or 16 bits per channel, got mode {image.mode!r}")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _centre_square(image: Image.Image, size: int) -> Image.Image:
    """The same pixels as torchvision's ``Resize(size)`` and ``CenterCrop(size)``."""
    short = min(image.size)
    width, height = (int(size * side / short) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return resized.crop((left, top, left + size, top + size))
