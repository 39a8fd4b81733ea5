"""Draw a few images at a time from masks, in integer arithmetic.

The few numbers that describe an image are rounded to fixed point; all further arithmetic is on
integers, which gives the same result on every processor and with any number of threads.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hbnlab.data.glyphs.fonts import INK, SIDE, Atlas

SIZE = 32
_POINT = 16  # bits after the point
_MAX_SHIFT = 4.0  # of a character, in pixels
_FRAGMENTS = 2
_FRAGMENT_SCALE = 0.35
_FRAGMENT_SHIFT = (10.0, 15.0)
_BLUR_REACH = 2
_GRAIN_STD = math.sqrt(256**2 - 1)

Effects = Mapping[str, Float[Tensor, " sample"]]


def draw_images(
    images: UInt8[Tensor, "sample 3 32 32"],
    atlas: Atlas,
    entry: Int[Tensor, " sample"],
    effects: Effects,
    generator: torch.Generator,
) -> None:
    """Draw one image per entry: a character over fragments of others, blurred, coloured, grainy.

    Args:
        images: the tensor to draw into; its content is overwritten.
        atlas: the masks.
        entry: index of the mask of each image.
        effects: one value per image of each effect in ``effects.EFFECTS``, in its unit.
        generator: source of direction, position, fragments, colours and grain.
    """
    coverage = _character(atlas, entry, effects, generator)
    opacity = (effects["clutter"] * 256).round().int()[:, None, None]
    for _ in range(_FRAGMENTS):
        fragment = _fragment(atlas, len(entry), generator)
        coverage = torch.maximum(coverage, (fragment * opacity) >> 8)
    _paint(images, _blur(coverage, effects["blur"]), effects, generator)


def _character(
    atlas: Atlas, entry: Int[Tensor, " sample"], effects: Effects, generator: torch.Generator
) -> Int[Tensor, "sample 32 32"]:
    """The characters, rotated to either side and shifted as far as keeps them whole if upright."""
    draws = _uniform((3, len(entry)), generator)
    angle = effects["rotation"] * torch.where(draws[0] < 0.5, -1.0, 1.0)
    room = (SIZE * (1 - effects["scale"]) / 2).clamp(max=_MAX_SHIFT)
    return _stamp(atlas, entry, effects["scale"], angle, (2 * draws[1:] - 1) * room)


def _fragment(atlas: Atlas, count: int, generator: torch.Generator) -> Int[Tensor, "sample 32 32"]:
    """A small character at any angle near the edge of each image, partly outside of it."""
    entry = torch.randint(len(atlas.masks), (count,), generator=generator)
    draws = _uniform((3, count), generator)
    direction = 2 * math.pi * draws[0]
    near, far = _FRAGMENT_SHIFT
    shift = (near + (far - near) * draws[1]) * torch.stack([direction.cos(), direction.sin()])
    return _stamp(atlas, entry, torch.full_like(direction, _FRAGMENT_SCALE), 360 * draws[2], shift)


def _stamp(
    atlas: Atlas,
    entry: Int[Tensor, " sample"],
    scale: Float[Tensor, " sample"],
    angle: Float[Tensor, " sample"],
    shift: Float[Tensor, "2 sample"],
) -> Int[Tensor, "sample 32 32"]:
    """Ink in 0..255: every pixel looks up its position in the mask.

    Args:
        atlas: the masks.
        entry: index of the mask of each image.
        scale: longer side of the ink, as a fraction of the side of the image.
        angle: in degrees, anticlockwise.
        shift: of the centre, in pixels, to the right and downwards.
    """
    step = INK / (SIZE * scale)  # mask pixels per image pixel
    cos, sin = step * angle.deg2rad().cos(), step * angle.deg2rad().sin()
    halves = torch.arange(SIZE, dtype=torch.int32) * 2 + 1 - SIZE  # half pixels from the centre
    across, down = halves[None, None, :], halves[None, :, None]
    half_cos, half_sin = _fixed(cos / 2), _fixed(sin / 2)
    left = _fixed(SIDE / 2 - cos * shift[0] + sin * shift[1])
    top = _fixed(SIDE / 2 - sin * shift[0] - cos * shift[1])
    column = (half_cos * across) + (left - half_sin * down)
    row = (half_sin * across) + (top + half_cos * down)
    column, row = ((axis >> _POINT).clamp_(0, SIDE - 1) for axis in (column, row))
    index = row.mul_(SIDE).add_(column).add_((entry.int() * SIDE**2)[:, None, None])
    return atlas.masks.flatten().index_select(0, index.flatten()).view(index.shape).int()


def _blur(
    coverage: Int[Tensor, "sample 32 32"], sigma: Float[Tensor, " sample"]
) -> Int[Tensor, "sample 32 32"]:
    """Blur each image with a Gaussian of its own sigma, in pixels; there is no ink outside.

    Two pixels to either side are enough for a sigma below 1.
    """
    offsets = torch.arange(-_BLUR_REACH, _BLUR_REACH + 1)
    # exp2, because exp of torch starts all threads even for a few numbers.
    weights = torch.exp2(-0.5 / math.log(2) * (offsets / sigma[:, None]) ** 2)
    weights = (weights / weights.sum(dim=1, keepdim=True) * 256).round().int().T[..., None, None]
    for dim, padding in ((1, (0, 0, _BLUR_REACH, _BLUR_REACH)), (2, (_BLUR_REACH, _BLUR_REACH))):
        padded = torch.nn.functional.pad(coverage, padding)
        blurred = weights[0] * padded.narrow(dim, 0, SIZE)
        for start in range(1, len(offsets)):
            blurred += weights[start] * padded.narrow(dim, start, SIZE)
        coverage = blurred >> 8
    return coverage.clamp_(max=255)


def _paint(
    images: UInt8[Tensor, "sample 3 32 32"],
    coverage: Int[Tensor, "sample 32 32"],
    effects: Effects,
    generator: torch.Generator,
) -> None:
    """Blend the colours of ink and background, and add the same grain to every channel."""
    lightness = _lightness(effects["contrast"], generator)
    tint = _uniform((3, *lightness.shape), generator)
    tint = (tint - tint.mean(dim=0)) * torch.minimum(lightness, 1 - lightness)
    background, ink = (255 * (lightness + tint)).round().int()[..., None, None].unbind(dim=1)
    alpha = coverage + (coverage >> 7)  # 0..256
    grain = _grain(len(coverage), generator) * _fixed(255 * effects["noise"] / _GRAIN_STD)
    grain += 1 << (_POINT - 1)  # so that the shift rounds
    for channel, (back, front) in enumerate(zip(background, ink, strict=True)):
        blended = (back << 8) + (front - back) * alpha
        images[:, channel] = (((blended << 8) + grain) >> _POINT).clamp_(0, 255)


def _lightness(
    contrast: Float[Tensor, " sample"], generator: torch.Generator
) -> Float[Tensor, "2 sample"]:
    """Lightness in [0, 1] of background and ink, ``contrast`` apart; either one is the lighter."""
    draws = _uniform((2, len(contrast)), generator)
    darker = (1 - contrast) * draws[0]
    pair = torch.stack([darker, darker + contrast])
    return torch.where(draws[1] < 0.5, pair, 1 - pair)


def _grain(count: int, generator: torch.Generator) -> Int[Tensor, "sample 32 32"]:
    """Noise of mean 0 and standard deviation _GRAIN_STD, from the sum of three random bytes."""
    three = torch.randint(1 << 24, (count, SIZE, SIZE), dtype=torch.int32, generator=generator)
    return 2 * ((three & 255) + ((three >> 8) & 255) + (three >> 16)) - 3 * 255


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "..."]:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _fixed(value: Float[Tensor, " sample"]) -> Int[Tensor, "sample 1 1"]:
    """One number per image in fixed point, shaped to broadcast over its pixels."""
    return (value * (1 << _POINT)).round().int()[:, None, None]
