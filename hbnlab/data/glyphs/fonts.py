"""Every character in every font that has it, drawn once, large, as a coverage mask."""

import functools
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from hbnlab.data.glyphs.characters import CHARACTERS

FONTS = tuple(
    f"DejaVu{family}"
    for family in (
        "Sans",
        "Sans-Bold",
        "Sans-Oblique",
        "Sans-BoldOblique",
        "SansMono",
        "SansMono-Bold",
        "SansMono-Oblique",
        "SansMono-BoldOblique",
        "Serif",
        "Serif-Bold",
        "Serif-Italic",
        "Serif-BoldItalic",
    )
)
INK = 80
SIDE = 96
_PROBE = 200.0
_WEIGHTS = (1, 2, 2, 2, 1)


class Atlas(NamedTuple):
    """Masks of all characters, sorted by class and then by font.

    Attributes:
        masks: (entry, SIDE, SIDE), 255 where there is ink; the longer side of the ink is INK, it
            is centred, and the border is empty.
        font: index into FONTS of each entry.
        first: first entry of each class.
        count: how many fonts have the character of each class.
    """

    masks: UInt8[Tensor, "entry side side"]
    font: Int[Tensor, " entry"]
    first: Int[Tensor, " cls"]
    count: Int[Tensor, " cls"]


@functools.cache
def atlas() -> Atlas:
    """Draw every character in each font whose character map has it; about 1,000 masks."""
    from matplotlib.ft2font import FT2Font

    fonts = [FT2Font(str(path)) for path in font_paths()]
    found = [
        (cls, index)
        for cls, character in enumerate(CHARACTERS.values())
        for index, font in enumerate(fonts)
        if font.get_char_index(ord(character))
    ]
    characters = list(CHARACTERS.values())
    masks = torch.stack([_mask(fonts[index], characters[cls]) for cls, index in found])
    count = torch.bincount(torch.tensor([cls for cls, _ in found]), minlength=len(CHARACTERS))
    return Atlas(
        masks=_soften(masks),
        font=torch.tensor([index for _, index in found]),
        first=count.cumsum(0) - count,
        count=count,
    )


def font_paths() -> list[Path]:
    """Where the fonts are, in the order of FONTS: matplotlib carries them.

    Raises:
        FileNotFoundError: when this matplotlib came without one of them.
    """
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = [folder / f"{name}.ttf" for name in FONTS]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"matplotlib's fonts are expected in {folder}, missing there: {missing}; "
            "reinstalling matplotlib brings them back"
        )
    return paths


def _mask(font, character: str) -> UInt8[Tensor, "side side"]:
    """One character whose ink just fits into INK x INK, centred."""
    size = _PROBE * (INK - 1) / max(_ink(font, character, _PROBE).shape)
    ink = _ink(font, character, size)
    height, width = ink.shape
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    mask = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    mask[top : top + height, left : left + width] = ink
    return mask


def _ink(font, character: str, size: float) -> UInt8[Tensor, "height width"]:
    """A character drawn at ``size`` pixels, cut to its ink."""
    from matplotlib.ft2font import LoadFlags

    font.set_size(size, 72)
    font.set_text(character, 0.0, flags=LoadFlags.NO_HINTING)
    font.draw_glyphs_to_bitmap(antialiased=True)
    image = torch.tensor(font.get_image())
    rows, columns = image.amax(1).nonzero().flatten(), image.amax(0).nonzero().flatten()
    return image[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]


def _soften(masks: UInt8[Tensor, "entry side side"]) -> UInt8[Tensor, "entry side side"]:
    """Average over 5 x 5 with weights 1 2 2 2 1, so that single pixels may be picked later.

    An image takes one pixel of the mask for each of its own, and these stand 3 to 7 mask pixels
    apart. The border is empty, so what ``roll`` brings round is 0.
    """
    soft = masks.short()
    for dim in (1, 2):
        soft = sum(weight * soft.roll(shift - 2, dim) for shift, weight in enumerate(_WEIGHTS))
    return (soft >> 6).to(torch.uint8)
