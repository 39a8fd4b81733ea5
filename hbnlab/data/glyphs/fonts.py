"""Every character in every font that has it, drawn once, large, as a mask of ink."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from hbnlab.data.glyphs.characters import CHARACTERS

if TYPE_CHECKING:
    import matplotlib.ft2font

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
)
INK = 80
SIDE = 96
_PROBE_SIZE = 200.0
_WEIGHTS = (1, 2, 2, 2, 1)


class Atlas(NamedTuple):
    """Masks of all characters, sorted by class and then by font.

    Attributes:
        masks: (entry, SIDE, SIDE), 255 where there is ink; the ink is centred, its longer side
            measures INK, and what surrounds it is 0.
        font: index into FONTS of each entry.
        first: first entry of each class.
        num_fonts: how many entries each class has, one for each font with its character.
    """

    masks: UInt8[Tensor, "entry side side"]
    font: Int[Tensor, " entry"]
    first: Int[Tensor, " cls"]
    num_fonts: Int[Tensor, " cls"]


@functools.cache
def atlas() -> Atlas:
    """Draw each character in all fonts whose character map has it.

    So no empty box, which fonts show for what they lack, can come up. The fonts do not change
    while a program runs, hence the masks are kept.
    """
    from matplotlib.ft2font import FT2Font

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
    """Where the fonts are, in the order of FONTS; matplotlib carries them.

    Raises:
        FileNotFoundError: when this matplotlib came without some of them.
    """
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = [folder / f"{name}.ttf" for name in FONTS]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"the fonts that matplotlib carries are expected in {folder}, missing are {missing}; "
            "installing matplotlib again brings them back"
        )
    return paths


def _mask(font: "matplotlib.ft2font.FT2Font", character: str) -> UInt8[Tensor, "side side"]:
    """One character, centred, at the size at which its ink just fits into INK x INK."""
    probe = _ink(font, character, _PROBE_SIZE)
    ink = _ink(font, character, _PROBE_SIZE * (INK - 1) / max(probe.shape))
    height, width = ink.shape
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    mask = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    mask[top : top + height, left : left + width] = ink
    return mask


def _ink(
    font: "matplotlib.ft2font.FT2Font", character: str, size: float
) -> UInt8[Tensor, "height width"]:
    """A character drawn at ``size`` pixels, cut to its ink."""
    from matplotlib.ft2font import LoadFlags

    font.set_size(size, 72)
    font.set_text(character, 0.0, flags=LoadFlags.NO_HINTING)
    font.draw_glyphs_to_bitmap(antialiased=True)
    image = torch.tensor(font.get_image())
    rows, columns = image.amax(dim=1).nonzero(), image.amax(dim=0).nonzero()
    return image[int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1]


def _soften(masks: UInt8[Tensor, "entry side side"]) -> UInt8[Tensor, "entry side side"]:
    """Average over 5 x 5 with weights 1 2 2 2 1, so that single pixels may be picked later.

    An image takes one pixel of the mask for each of its own, and these stand 3 to 7 mask pixels
    apart. The rim is empty, so what ``roll`` carries round to the other side is 0.
    """
    soft = masks.short()
    for dim in (1, 2):
        shifted = [weight * soft.roll(shift, dim) for shift, weight in enumerate(_WEIGHTS, -2)]
        soft = torch.stack(shifted).sum(dim=0, dtype=torch.int16)
    return (soft >> 6).to(torch.uint8)
