"""Glyphs: 100 characters in 20 coarse classes, drawn from the fonts that matplotlib ships.

| module | contents |
| --- | --- |
| characters | the character of each class |
| fonts | masks of every character in every font that has it |
| effects | the difficulty of an image, and the effects that make it difficult |
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
# So few images that torch starts no threads, which cost more than they save on busy cores.
_CHUNK = 24


def load(
    seed: int = 0,
    difficulty: float = 0.5,
    train_size: int = 20_000,
    val_size: int = 2_000,
    test_size: int = 5_000,
) -> Splits:
    """Draw the three parts; equal arguments give equal bytes.

    The classes of a part are equally frequent, up to one image. Each part has a random stream of
    its own, and all parts use the same fonts, so test images show known fonts in new conditions.
    No augmentation keeps every label: a flip reverses arrows, and a crop can cut off the tail of
    a shcha or the foot of a square bracket, which turns it into another class.

    Args:
        seed: of all random numbers.
        difficulty: mean difficulty of the images, in [0, 1]; at 0.5 difficulties are uniform from
            the easiest to the hardest.
        train_size: number of images to train on.
        val_size: number of images to choose settings and thresholds on.
        test_size: number of images to report on.

    Raises:
        ValueError: for a difficulty outside [0, 1] or a size below 1.

    Example:
        >>> splits = load(train_size=20, val_size=10, test_size=10)
        >>> splits.train.image_shape, sorted(splits.train.attributes)[:3]
        ((3, 32, 32), ['blur', 'clutter', 'contrast'])
        >>> again = load(train_size=20, val_size=10, test_size=10)
        >>> again.test.fingerprint == splits.test.fingerprint
        True
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
    """Draw one image per given class and difficulty, in a random font that has the character.

    Returns:
        The images, and their attributes: ``"difficulty"`` and the effects in ``effects.EFFECTS``.

    Raises:
        ValueError: for an unknown class or a difficulty outside [0, 1].

    Example:
        >>> classes, difficulty = torch.tensor([0, 0]), torch.tensor([0.0, 1.0])
        >>> images, attributes = render(classes, difficulty, torch.Generator().manual_seed(0))
        >>> images.shape, attributes["rotation"].tolist()
        (torch.Size([2, 3, 32, 32]), [0.0, 20.0])
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


def _part(part: str, size: int, difficulty: float, seed: int) -> TensorSplit:
    generator = _generator(part, seed)
    classes = torch.randperm(size, generator=generator) % GLYPHS.num_classes[-1]
    images, attributes = render(classes, draw_difficulty(size, difficulty, generator), generator)
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
    """One random stream per part and seed; hashed, so that similar seeds give unrelated streams."""
    digest = hashlib.sha256(f"{NAME} {part} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))


def _check(classes: Tensor, difficulty: Tensor) -> None:
    if len(classes) == 0 or len(classes) != len(difficulty):
        raise ValueError(
            "classes and difficulty must have the same length, at least 1, "
            f"got {len(classes)} and {len(difficulty)}"
        )
    GLYPHS.lift_labels(classes, GLYPHS.finest)  # refuses unknown classes
    easiest, hardest = float(difficulty.min()), float(difficulty.max())
    if not 0 <= easiest <= hardest <= 1 or math.isnan(easiest):
        raise ValueError(f"difficulty must be in [0, 1], got {easiest}..{hardest}")
