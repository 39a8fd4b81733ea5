"""Pixels as image elements with alternative text."""

import io

import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from torch import Tensor

from hbnlab.plots import HtmlFigure
from hbnlab.plots.alt_text import image_element
from hbnlab.plots.canvas import array

_MOST_PIXELS = 300
"""Longest side of a picture that is sent to the page, and its largest height there."""


def snapshot(canvas: FigureCanvasAgg, words: str) -> HtmlFigure:
    """The picture that is on a canvas now, without drawing it again."""
    pixels = np.asarray(canvas.buffer_rgba())
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, format="png", compress_level=3)
    return HtmlFigure(file.getvalue(), words, pixels.shape[1])


def enlarged(image: UInt8[Tensor, "3 height width"], words: str, *, width: int = 150) -> str:
    """An image element that shows each pixel of a small picture.

    A large picture is shrunk to ``_MOST_PIXELS`` first, because the page is sent at every change.
    """
    picture = Image.fromarray(array(image.permute(1, 2, 0)))
    picture.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    file = io.BytesIO()
    picture.save(file, format="png")
    pixels = "; image-rendering: pixelated" if picture.width < width else ""
    style = f"width: {width}px; max-height: {_MOST_PIXELS}px; object-fit: contain{pixels}"
    return image_element(file.getvalue(), "png", words, width, style)
