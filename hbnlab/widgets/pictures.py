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


def snapshot(canvas: FigureCanvasAgg, words: str) -> HtmlFigure:
    """The picture that is on a canvas now, without drawing it anew."""
    pixels = np.asarray(canvas.buffer_rgba())
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, format="png", compress_level=3)
    return HtmlFigure(file.getvalue(), words, pixels.shape[1])


def enlarged(image: UInt8[Tensor, "3 height width"], words: str, *, width: int = 150) -> str:
    """An image element that shows the pixels of a small picture as they are."""
    file = io.BytesIO()
    Image.fromarray(array(image.permute(1, 2, 0))).save(file, format="png")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<img alt="{html.escape(words)}" width="{width}" style="width: {width}px; '
        f'image-rendering: pixelated" src="data:image/png;base64,{data}">'
    )
