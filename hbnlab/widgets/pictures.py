"""Pixels as image elements that carry words."""

import base64
import html
import io

import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from torch import Tensor

from hbnlab.plots import HtmlFigure
from hbnlab.plots.canvas import array

_MOST_PIXELS = 300
"""Longest side of a picture that is sent to the page, and the height that it may take there."""


def snapshot(canvas: FigureCanvasAgg, words: str) -> HtmlFigure:
    """The picture that is on a canvas now, without drawing it anew."""
    pixels = np.asarray(canvas.buffer_rgba())
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, format="png", compress_level=3)
    return HtmlFigure(file.getvalue(), words, pixels.shape[1])


def enlarged(image: UInt8[Tensor, "3 height width"], words: str, *, width: int = 150) -> str:
    """An image element that shows the pixels of a small picture as they are.

    A large one is shrunk to ``_MOST_PIXELS`` first, for the page is sent anew at every change.
    """
    picture = Image.fromarray(array(image.permute(1, 2, 0)))
    picture.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    file = io.BytesIO()
    picture.save(file, format="png")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    pixels = "; image-rendering: pixelated" if picture.width < width else ""
    return (
        f'<img alt="{html.escape(words)}" width="{width}" style="width: {width}px; '
        f'max-height: {_MOST_PIXELS}px; object-fit: contain{pixels}" '
        f'src="data:image/png;base64,{data}">'
    )
