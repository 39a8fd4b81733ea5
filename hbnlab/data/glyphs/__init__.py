"""Glyphs: 100 characters in 20 families, drawn from the fonts that matplotlib carries.

| module | what it holds |
| --- | --- |
| characters | the character behind each class |
| fonts | all of them in all fonts that have them, as masks |
| effects | how hard an image is, and what that does to it |
| drawing | from masks to images |
"""

import hashlib
import math

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hbnlab.data.glyphs.drawing import SIZE, draw_images
from hbnlab.data.glyphs.effects import draw_difficulty, draw_effects
from hbnlab.data.glyphs.fonts import atlas
from hbnlab.data.split import Splits, TensorSplit
from hbnlab.trees import GLYPHS

NAME = "glyphs"
# Measured on the default training images.
MEAN = (0.502, 0.502, 0.502)
STD = (0.308, 0.308, 0.308)
# So few that no operation is worth waking torch's threads: on busy cores these cost more.
_CHUNK = 24


def load(
    seed: int = 0,
    difficulty: float = 0.5,
    train_size: int = 20_000,
    val_size: int = 2_000,
    test_size: int = 5_000,
) -> Splits:
    """Draw the three parts; equal arguments give equal bytes.

    The classes of a part are equally frequent, give or take one image. The parts are drawn from
    streams of their own with the same fonts, so test images show known fonts in new conditions.
    No augmentation keeps every label: a flip turns arrows round, and a crop can take the tail of
    a shcha or the foot of a square bracket, which makes another class of it.

    Args:
        seed: of everything random.
        difficulty: the knob, in [0, 1]: mean difficulty of the images; at 0.5, they are spread
            evenly from the easiest to the hardest.
        train_size: images to learn from.
        val_size: images to choose settings and thresholds on.
        test_size: images to report on.

    Raises:
        ValueError: for a difficulty outside [0, 1] or a size below 1.
    """
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty must be in [0, 1], got {difficulty}")
    sizes = {"train": train_size, "val": val_size, "test": test_size}
    for part, size in sizes.items():
        if size < 1:
            raise ValueError(f"{part}_size must be at least 1, got {size}")
    train, val, test = (_part(part, size, difficulty, seed) for part, size in sizes.items())
    return Splits(train=train, val=val, test=test, hierarchy=GLYPHS, name=NAME)


def render(
    classes: Int[Tensor, " sample"],
    difficulty: Float[Tensor, " sample"],
    generator: torch.Generator,
) -> tuple[UInt8[Tensor, "sample 3 32 32"], dict[str, Float[Tensor, " sample"]]]:
    """Draw one image of each class given, as hard as asked for, each in some font that has it.

    Returns:
        The images, and their attributes: ``"difficulty"`` and the effects of ``effects.EFFECTS``.

    Raises:
        ValueError: for a class that is not there or a difficulty outside [0, 1].
    """
    _check(classes, difficulty)
    drawn, hardness = atlas(), difficulty.double()
    uniform = torch.rand(len(classes), generator=generator, dtype=torch.float64)
    entry = drawn.first[classes] + (drawn.num_fonts[classes] * uniform).long()
    effects = draw_effects(hardness, generator)
    images = torch.empty(len(classes), 3, SIZE, SIZE, dtype=torch.uint8)
    for start in range(0, len(classes), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        chosen = {name: column[chunk] for name, column in effects.items()}
        draw_images(images[chunk], drawn, entry[chunk], chosen, generator)
    columns = {"difficulty": hardness, **effects}
    return images, {name: column.float() for name, column in columns.items()}


def _part(part: str, size: int, knob: float, seed: int) -> TensorSplit:
    generator = _generator(part, seed)
    classes = torch.randperm(size, generator=generator) % GLYPHS.num_classes[-1]
    images, attributes = render(classes, draw_difficulty(size, knob, generator), generator)
    return TensorSplit(
        images=images,
        labels=GLYPHS.label_table(classes),
        hierarchy=GLYPHS,
        name=NAME,
        part=part,
        mean=MEAN,
        std=STD,
        attributes=attributes,
    )


def _generator(part: str, seed: int) -> torch.Generator:
    """A stream for each part and seed; hashed, so that no two of them are near each other."""
    digest = hashlib.sha256(f"{NAME} {part} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))


def _check(classes: Tensor, difficulty: Tensor) -> None:
    if len(classes) == 0 or len(classes) != len(difficulty):
        raise ValueError(
            "classes and difficulty must be equally many and at least one, "
            f"got {len(classes)} and {len(difficulty)}"
        )
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high >= GLYPHS.num_classes[-1]:
        raise ValueError(f"classes must be in 0..{GLYPHS.num_classes[-1] - 1}, got {low}..{high}")
    easiest, hardest = float(difficulty.min()), float(difficulty.max())
    if not 0 <= easiest <= hardest <= 1 or math.isnan(easiest):
        raise ValueError(f"difficulty must be in [0, 1], got {easiest}..{hardest}")
