"""How hard each image is, and what that means for its rotation, size, blur and the rest."""

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
"""Each effect's value in the easiest image and in the hardest.

| effect | unit |
| --- | --- |
| rotation | degrees from upright, to either side; small enough for an arrow to keep its meaning |
| scale | longer side of the character over the side of the image |
| blur | standard deviation of a Gaussian, in pixels |
| contrast | difference in lightness between character and background, 1 = black and white |
| noise | standard deviation of the grain, 1 = from black to white |
| clutter | opacity of fragments of other characters, 1 = that of the character itself |
"""


def draw_difficulty(
    count: int, knob: float, generator: torch.Generator
) -> Float[Tensor, " sample"]:
    """Difficulties in [0, 1] with the knob as their mean: u ** (1 / knob - 1) of a uniform u.

    At 0.5 they are uniform; at 0 every image is as easy as can be, at 1 as hard.
    """
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    return uniform ** (1 / knob - 1 if knob > 0 else math.inf)


def draw_effects(
    difficulty: Float[Tensor, " sample"], generator: torch.Generator
) -> dict[str, Float[Tensor, " sample"]]:
    """One value of each effect for each image; their mean hardness is its difficulty, exactly.

    The hardness of an effect is 0 at its easiest value and 1 at its hardest. Within an image the
    six differ: one is noisy but upright, another clean but small.
    """
    draws = torch.rand(len(EFFECTS), len(difficulty), generator=generator, dtype=torch.float64)
    room = torch.minimum(difficulty, 1 - difficulty)
    hardness = difficulty + room * (draws - draws.mean(dim=0))
    return {
        name: easiest + (hardest - easiest) * hardness[row]
        for row, (name, (easiest, hardest)) in enumerate(EFFECTS.items())
    }
