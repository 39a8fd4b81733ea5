"""Draw chunks of images from masks, in integers only.

Integer arithmetic rounds alike on every processor and with any number of threads, so equal seeds
give equal bytes.
"""

import math

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hbnlab.data.glyphs.fonts import INK, SIDE, Atlas

SIZE = 32
_FRAGMENTS = 2
_REACH = 2
_ONE = 1 << 16  # fixed point: 16 bits after the point
_GRAIN_STD = math.sqrt(256**2 - 1)  # twice that of the sum of three random bytes


def draw_images(
    atlas: Atlas,
    entry: Int[Tensor, " sample"],
    effects: dict[str, Float[Tensor, " sample"]],
    generator: torch.Generator,
) -> UInt8[Tensor, "sample 3 32 32"]:
    """Draw one image a mask: character over fragments of others, blurred, coloured, with grain."""
    coverage = _character(atlas, entry, effects, generator)
    for _ in range(_FRAGMENTS):
        fragment = _fragment(atlas, len(entry), generator)
        opacity = _fixed(effects["clutter"], 256)
        coverage = torch.maximum(coverage, (fragment * opacity) >> 8)
    coverage = _blur(coverage, effects["blur"])
    return _colour(coverage, effects, generator)


def _character(
    atlas: Atlas,
    entry: Int[Tensor, " sample"],
    effects: dict[str, Float[Tensor, " sample"]],
    generator: torch.Generator,
) -> Int[Tensor, "sample 32 32"]:
    """The characters themselves, turned either way and shifted by as much as leaves them whole."""
    draws = torch.rand(3, len(entry), generator=generator, dtype=torch.float64)
    angle = effects["rotation"] * torch.where(draws[0] < 0.5, -1.0, 1.0)
    room = (SIZE * (1 - effects["scale"]) / 2).clamp(max=4.0)
    return _stamp(atlas, entry, effects["scale"], angle, (2 * draws[1:] - 1) * room)


def _fragment(atlas: Atlas, count: int, generator: torch.Generator) -> Int[Tensor, "sample 32 32"]:
    """A small random character near the border of each image, partly outside."""
    entry = torch.randint(len(atlas.masks), (count,), generator=generator)
    draws = torch.rand(3, count, generator=generator, dtype=torch.float64)
    direction = 2 * math.pi * draws[0]
    shift = (10 + 5 * draws[1]) * torch.stack([direction.cos(), direction.sin()])
    return _stamp(atlas, entry, torch.full_like(draws[0], 0.35), 360 * draws[2], shift)


def _stamp(
    atlas: Atlas,
    entry: Int[Tensor, " sample"],
    scale: Float[Tensor, " sample"],
    angle: Float[Tensor, " sample"],
    shift: Float[Tensor, "2 sample"],
) -> Int[Tensor, "sample 32 32"]:
    """Coverage, 0..255: each pixel looks up its place in the mask, turned and scaled back.

    Args:
        atlas: the masks.
        entry: which mask.
        scale: longer side of the ink over the side of the image.
        angle: in degrees.
        shift: of the centre, in pixels, to the right and down.
    """
    step = INK / (SIZE * scale)  # mask pixels an image pixel
    cos, sin = step * angle.deg2rad().cos(), step * angle.deg2rad().sin()
    position = torch.arange(SIZE, dtype=torch.int32) * 2 + 1 - SIZE  # from the centre, in halves
    across, down = position[None, None, :], position[None, :, None]
    column = _fixed(cos / 2) * across + (
        _fixed(sin / 2) * down + _fixed(SIDE / 2 - cos * shift[0] - sin * shift[1])
    )
    row = _fixed(cos / 2) * down + (
        _fixed(SIDE / 2 + sin * shift[0] - cos * shift[1]) - _fixed(sin / 2) * across
    )
    column, row = ((place >> 16).clamp_(0, SIDE - 1) for place in (column, row))
    place = row.mul_(SIDE).add_(column).add_((entry.int() * SIDE * SIDE)[:, None, None])
    return atlas.masks.flatten().index_select(0, place.flatten()).view(place.shape).int()


def _blur(
    coverage: Int[Tensor, "sample 32 32"], sigma: Float[Tensor, " sample"]
) -> Int[Tensor, "sample 32 32"]:
    """Gaussian blur of each image by its own sigma, in pixels, over five pixels either way.

    Beyond the border there is nothing.
    """
    offsets = torch.arange(-_REACH, _REACH + 1)
    weights = torch.exp2(-0.5 / math.log(2) * (offsets / sigma[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True) * 256).round().int()
    for padding in ((0, 0, _REACH, _REACH), (_REACH, _REACH)):
        padded = torch.nn.functional.pad(coverage, padding)
        dim = 1 if len(padding) == 4 else 2
        shifted = (padded.narrow(dim, start, SIZE) for start in range(len(offsets)))
        coverage = sum(w[:, None, None] * s for w, s in zip(weights.T, shifted, strict=True)) >> 8
    return coverage.clamp(max=255)


def _colour(
    coverage: Int[Tensor, "sample 32 32"],
    effects: dict[str, Float[Tensor, " sample"]],
    generator: torch.Generator,
) -> UInt8[Tensor, "sample 3 32 32"]:
    """Give character and background colours that differ in lightness by the contrast."""
    count, contrast = len(coverage), effects["contrast"]
    draws = torch.rand(2, count, generator=generator, dtype=torch.float64)
    background = (1 - contrast) * draws[0]
    lightness = torch.stack([background, background + contrast])
    lightness = torch.where(draws[1] < 0.5, lightness, 1 - lightness)
    tint = torch.rand(3, 2, count, generator=generator, dtype=torch.float64)
    tint = (tint - tint.mean(0)) * torch.minimum(lightness, 1 - lightness)
    back, ink = (255 * (lightness + tint)).round().int().movedim(2, 0)[..., None, None].unbind(2)
    alpha = coverage + (coverage >> 7)  # 0..256
    grain = _grain(count, generator) * _fixed(255 * effects["noise"] / _GRAIN_STD)
    grain += _ONE >> 1
    channels = [
        ((back[:, c] << 16) + ((ink[:, c] - back[:, c]) * alpha << 8) + grain) >> 16
        for c in range(3)
    ]
    return torch.stack([channel.clamp_(0, 255).to(torch.uint8) for channel in channels], dim=1)


def _grain(count: int, generator: torch.Generator) -> Int[Tensor, "sample 32 32"]:
    """Noise of mean 0 and standard deviation _GRAIN_STD, from sums of three random bytes."""
    shape = (count, SIZE, SIZE)
    three = torch.randint(1 << 24, shape, dtype=torch.int32, generator=generator)
    return 2 * ((three & 255) + ((three >> 8) & 255) + (three >> 16)) - 765


def _fixed(value: Float[Tensor, " sample"], one: int = _ONE) -> Int[Tensor, "sample 1 1"]:
    """A number an image in fixed point, ready to meet its pixels."""
    return (value * one).round().int()[:, None, None]
