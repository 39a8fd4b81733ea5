"""Masks of every character in every font that has it, drawn once at a large size."""

import functools
from pathlib import Path
from typing import NamedTuple

import matplotlib
import torch
from jaxtyping import Int, UInt8
from matplotlib.ft2font import FT2Font, LoadFlags
from torch import Tensor

from hbnlab.data.glyphs.characters import CHARACTERS

FONTS = tuple(
    f"DejaVu{family}{style}"
    for family, slanted in (("Sans", "Oblique"), ("SansMono", "Oblique"), ("Serif", "Italic"))
    for style in ("", "-Bold", f"-{slanted}", f"-Bold{slanted}")
)
INK = 80
SIDE = 96
_PROBE_SIZE = 200.0
_WEIGHTS = (1, 2, 2, 2, 1)


class Atlas(NamedTuple):
    """Masks of all characters, sorted by class and then by font.

    Attributes:
        masks: (entry, SIDE, SIDE), 255 where there is ink and 0 elsewhere; the ink is centred and
            its longer side measures INK.
        font: index into FONTS of each entry.
        first: index of the first entry of each class.
        num_fonts: number of entries of each class, one per font that has its character.
    """

    masks: UInt8[Tensor, "entry side side"]
    font: Int[Tensor, " entry"]
    first: Int[Tensor, " cls"]
    num_fonts: Int[Tensor, " cls"]


@functools.cache
def atlas() -> Atlas:
    """Draw each character in all fonts whose character map has it, once per process.

    A font that lacks a character would draw an empty box, so it is skipped for that character.
    """
    fonts = [FT2Font(str(path)) for path in font_paths()]
    characters = list(CHARACTERS.values())
    found = [
        (cls, index)
        for cls, character in enumerate(characters)
        for index, font in enumerate(fonts)
        if font.get_char_index(ord(character))
    ]
    masks = torch.stack([_mask(fonts[index], characters[cls]) for cls, index in found])
    count = torch.bincount(torch.tensor([cls for cls, _ in found]), minlength=len(characters))
    return Atlas(
        masks=_soften(masks),
        font=torch.tensor([index for _, index in found]),
        first=count.cumsum(0) - count,
        num_fonts=count,
    )


def font_paths() -> list[Path]:
    """The files of the fonts that matplotlib ships, in the order of FONTS.

    Raises:
        FileNotFoundError: if this installation of matplotlib lacks some of them.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = [folder / f"{name}.ttf" for name in FONTS]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"the fonts that matplotlib ships must be in {folder}, where {missing} are missing; "
            "installing matplotlib again restores them"
        )
    return paths


def _mask(font: FT2Font, character: str) -> UInt8[Tensor, "side side"]:
    """One character, centred, at the size whose ink just fits into INK x INK."""
    probe = _ink(font, character, _PROBE_SIZE)
    ink = _ink(font, character, _PROBE_SIZE * (INK - 1) / max(probe.shape))
    height, width = ink.shape
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    mask = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    mask[top : top + height, left : left + width] = ink
    return mask


def _ink(font: FT2Font, character: str, size: float) -> UInt8[Tensor, "height width"]:
    """A character drawn at ``size`` pixels, cropped to its ink."""
    font.set_size(size, 72)
    font.set_text(character, 0.0, flags=LoadFlags.NO_HINTING)
    font.draw_glyphs_to_bitmap(antialiased=True)
    image = torch.tensor(font.get_image())
    rows, columns = image.amax(dim=1).nonzero(), image.amax(dim=0).nonzero()
    return image[int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1]


def _soften(masks: UInt8[Tensor, "entry side side"]) -> UInt8[Tensor, "entry side side"]:
    """Average over 5 x 5 pixels with weights 1 2 2 2 1, so that single pixels can be sampled.

    Each pixel of an image samples one pixel of the mask, and neighbours are 3 to 7 mask pixels
    apart. The rim is empty, so ``roll`` moves only zeros to the opposite side.
    """
    soft = masks.short()
    for dim in (1, 2):
        shifted = [weight * soft.roll(shift, dim) for shift, weight in enumerate(_WEIGHTS, -2)]
        soft = torch.stack(shifted).sum(dim=0, dtype=torch.int16)
    return (soft >> 6).to(torch.uint8)
