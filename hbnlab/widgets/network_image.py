"""The drawing of a network as a small image for the page, which takes a few milliseconds."""

import html
import math

from hbnlab.plots.diagram import HEAD_STEP, RADIUS, Band, Box, Head, NetworkDrawing, Point
from hbnlab.plots.palette import BLACK, GREY
from hbnlab.widgets.pictures import image_element

_SCALE = 72
"""Pixels per unit of the drawing."""
_LETTER = 7.5
"""Pixels that a letter takes in width."""
_UNUSED = "#767676"


def network_image(drawing: NetworkDrawing, words: str) -> str:
    """An image element of the drawing, with alternative text."""
    width = round(_SCALE * (drawing.right - drawing.left))
    height = round(_SCALE * (drawing.top - drawing.bottom))
    parts = [
        *(_band(band) for band in drawing.bands),
        *(_box(box) for box in drawing.boxes),
        *(_head(head) for head in drawing.heads),
        *(
            _text((label.at[0], label.at[1] + 0.05), label.text, is_centered=label.is_centered)
            for label in drawing.labels
        ),
    ]
    # The y axis of the drawing points up, that of the image down.
    shift = f"translate({-_SCALE * drawing.left:g} {_SCALE * drawing.top:g})"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="DejaVu Sans, Arial, sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<g transform="{shift}">{"".join(parts)}</g></svg>'
    )
    return image_element(svg.encode(), "svg+xml", words, width, "max-width: 100%")


def _pixels(point: Point) -> Point:
    return _SCALE * point[0], -_SCALE * point[1]


def _band(band: Band) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in map(_pixels, band.corners))
    if band.share:
        return f'<polygon points="{points}" fill="{band.color}"/>'
    return f'<polygon points="{points}" stroke="{_UNUSED}" stroke-dasharray="4 4"/>'


def _box(box: Box) -> str:
    (x, y), (width, height) = _pixels(box.center), (_SCALE * size for size in box.size)
    look = f'stroke="{BLACK}" stroke-width="2"'
    if not box.is_passed:
        look = f'stroke="{_UNUSED}" stroke-dasharray="4 4"'
    center_x, center_y = box.center
    return (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" '
        f'height="{height:g}" rx="6" fill="white" {look}/>'
        + _text((center_x, center_y + 0.05), box.title, is_bold=box.is_passed, size=10)
        + _text((center_x, center_y - 0.18), box.cost, size=10)
    )


def _head(head: Head) -> str:
    x, y = _pixels(head.center)
    radius = _SCALE * RADIUS
    below = head.center[1] - RADIUS - 0.2
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="white" stroke="{_UNUSED}"/>'
        f'<circle cx="{x:g}" cy="{y:g}" r="{radius * math.sqrt(head.share):g}" '
        f'fill="{head.color}"/>'
        + _text((head.center[0], below), _shortened(head.name), is_bold=head.share > 0)
        + _text((head.center[0], below - 0.2), head.value, is_bold=True)
    )


def _shortened(name: str) -> str:
    """A name that is not wider than the distance of two heads."""
    most = int(_SCALE * HEAD_STEP / _LETTER)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _text(
    at: Point, words: str, *, is_centered: bool = True, is_bold: bool = False, size: int = 12
) -> str:
    x, y = _pixels(at)
    weight = ' font-weight="bold"' if is_bold else ""
    anchor = "middle" if is_centered else "start"
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"{weight} '
        f'fill="{BLACK if is_bold else GREY}">{html.escape(words)}</text>'
    )
