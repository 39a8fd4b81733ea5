"""The difficulty of each image, and the effects that make it difficult."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

EFFECTS = {
    "rotation": (0.0, 20.0),
    "scale": (0.88, 0.5),
    "blur": (0.3, 0.9),
    "contrast": (0.85, 0.3),
    "noise": (0.01, 0.06),
    "clutter": (0.0, 0.7),
}
"""The value of each effect in the easiest image and in the hardest.

| effect | unit |
| --- | --- |
| rotation | degrees from upright, to either side; small enough to keep the direction of arrows |
| scale | longer side of the character, as a fraction of the side of the image |
| blur | standard deviation of a Gaussian, in pixels |
| contrast | difference in lightness between character and background, 1 = black and white |
| noise | standard deviation of the grain, 1 = from black to white |
| clutter | opacity of fragments of other characters, 1 = as opaque as the character itself |
"""


def draw_difficulty(
    count: int, mean: float, generator: torch.Generator
) -> Float[Tensor, " sample"]:
    """Difficulties in [0, 1] with the given mean: u ** (1 / mean - 1) of a uniform u.

    With a mean of 0.5 they are uniform; with 0 all images are the easiest, with 1 the hardest.
    """
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    return uniform ** (1 / mean - 1 if mean > 0 else math.inf)


def draw_effects(
    difficulty: Float[Tensor, " sample"], generator: torch.Generator
) -> dict[str, Float[Tensor, " sample"]]:
    """One value of each effect per image; the mean hardness of its effects is its difficulty.

    The hardness of an effect is 0 at its easiest value and 1 at its hardest. The six differ within
    an image: one image is noisy but upright, another one clean but small.
    """
    draws = torch.rand(len(EFFECTS), len(difficulty), generator=generator, dtype=torch.float64)
    room = torch.minimum(difficulty, 1 - difficulty)
    hardness = difficulty + room * (draws - draws.mean(dim=0))
    return {
        name: easiest + (hardest - easiest) * hardness[row]
        for row, (name, (easiest, hardest)) in enumerate(EFFECTS.items())
    }
