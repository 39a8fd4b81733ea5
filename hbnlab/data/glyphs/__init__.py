"""Glyphs: 100 characters in 20 families, drawn from the fonts that matplotlib carries."""

import hashlib
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hbnlab.data.glyphs.drawing import SIZE, draw_images
from hbnlab.data.glyphs.fonts import atlas
from hbnlab.data.glyphs.scene import draw_difficulty, draw_effects
from hbnlab.data.split import Splits, TensorSplit
from hbnlab.trees import GLYPHS

NAME = "glyphs"
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
_CHUNK = 24


class Glyphs(NamedTuple):
    images: UInt8[Tensor, "sample 3 32 32"]
    attributes: dict[str, Float[Tensor, " sample"]]


def load(seed=0, difficulty=0.5, train_size=20_000, val_size=2_000, test_size=5_000) -> Splits:
    sizes = {"train": train_size, "val": val_size, "test": test_size}
    splits = {p: _draw_part(p, s, difficulty, seed) for p, s in sizes.items()}
    return Splits(**splits, hierarchy=GLYPHS, name=NAME)


def render(classes, difficulty, generator) -> Glyphs:
    masks = atlas()
    uniform = torch.rand(len(classes), generator=generator, dtype=torch.float64)
    entry = masks.first[classes] + (masks.count[classes] * uniform).long()
    effects = draw_effects(difficulty.double(), generator)
    chunks = []
    for chunk in torch.arange(len(classes)).split(_CHUNK):
        chosen = {name: column[chunk] for name, column in effects.items()}
        chunks.append(draw_images(masks, entry[chunk], chosen, generator))
    columns = {"difficulty": difficulty, **effects}
    return Glyphs(torch.cat(chunks), {name: column.float() for name, column in columns.items()})


def _draw_part(part: str, size: int, knob: float, seed: int) -> TensorSplit:
    digest = hashlib.sha256(f"{NAME} {part} {seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
    classes = torch.randperm(size, generator=generator) % GLYPHS.num_classes[-1]
    difficulty = draw_difficulty(size, knob, generator)
    images, attributes = render(classes, difficulty, generator)
    return TensorSplit(
        labels=GLYPHS.label_table(classes),
        hierarchy=GLYPHS,
        name=NAME,
        part=part,
        mean=MEAN,
        std=STD,
        augmentations=("crop",),
        attributes=attributes,
        images=images,
    )
