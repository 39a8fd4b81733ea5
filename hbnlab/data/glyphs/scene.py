"""How hard each image is, and what that means for its rotation, size, blur and the rest."""

import torch
from jaxtyping import Float
from torch import Tensor

EFFECTS = {
    "rotation": (0.0, 25.0),
    "scale": (0.85, 0.42),
    "blur": (0.3, 1.1),
    "contrast": (0.85, 0.25),
    "noise": (0.01, 0.08),
    "clutter": (0.0, 0.8),
}
"""Each effect's value in the easiest image and in the hardest.

| effect | unit |
| --- | --- |
| rotation | degrees from upright, to either side |
| scale | longer side of the character over the side of the image |
| blur | standard deviation of a Gaussian, in pixels |
| contrast | difference in lightness of character and background, 1 = black and white |
| noise | standard deviation of grey grain, 1 = black to white |
| clutter | opacity of fragments of other characters, 1 = that of the character itself |
"""


def draw_difficulty(
    count: int, knob: float, generator: torch.Generator
) -> Float[Tensor, " sample"]:
    """Difficulties in [0, 1] whose mean is the knob: a uniform variable to the power 1/knob - 1.

    At 0.5 they are uniform, at 0 all images are as easy as can be, at 1 as hard.
    """
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    return uniform ** (1 / knob - 1 if knob > 0 else torch.inf)


def draw_effects(
    difficulty: Float[Tensor, " sample"], generator: torch.Generator
) -> dict[str, Float[Tensor, " sample"]]:
    """One value of each effect an image; the mean of their hardnesses is its difficulty exactly.

    The hardness of an effect runs from 0 at its easiest value to 1 at its hardest. In one image
    the six differ: noisy but upright, or clean but small.
    """
    draws = torch.rand(len(EFFECTS), len(difficulty), generator=generator, dtype=torch.float64)
    room = torch.minimum(difficulty, 1 - difficulty)
    hardness = difficulty + room * (draws - draws.mean(dim=0))
    return {
        name: easiest + (hardest - easiest) * hardness[row]
        for row, (name, (easiest, hardest)) in enumerate(EFFECTS.items())
    }
