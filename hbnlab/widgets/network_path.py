"""The network with the path that one image takes, as a small drawing that is made in no time."""

import base64
import html

from hbnlab.formatting import millions
from hbnlab.plots.palette import BLACK, GREY, level_style
from hbnlab.types import Number
from hbnlab.widgets.image_trace import ImageTrace

_STEP, _LEFT, _HEIGHT = 190, 130, 236
_STAGE, _BRANCH, _HEAD = 40, 118, 184
_BOX = (104, 40)
_HEAD_STEP = 78
_RADIUS = 15
_LETTER = 7.5
_UNUSED = "#767676"

_Point = tuple[Number, Number]


def path_drawing(shown: ImageTrace) -> str:
    """An image element: stages from left to right, branches and heads below, the path thick.

    What the image does at each branch is written beside it; the head that answers is filled.
    """
    width = _LEFT + _STEP * shown.records.num_exits
    parts = [_line((8, _STAGE), (_LEFT - _BOX[0] / 2 + 12, _STAGE), used=True)]
    parts.append(_text(8, _STAGE - 12, f"image {shown.index}", anchor="start"))
    for exit_index in range(shown.records.num_exits):
        parts += _exit(shown, exit_index, _LEFT + 12 + _STEP * exit_index)
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" '
        f'height="{_HEIGHT}" font-family="DejaVu Sans, Arial, sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )
    source = base64.b64encode(drawing.encode()).decode("ascii")
    return (
        f'<img alt="{html.escape(path_words(shown))}" width="{width}" style="max-width: 100%" '
        f'src="data:image/svg+xml;base64,{source}">'
    )


def path_words(shown: ImageTrace) -> str:
    """The path in words."""
    steps = [f"{state} at exit {number}" for number, state in enumerate(shown.states, start=1)]
    steps[shown.decision.exit_index] = str(shown.decision)
    return f"The path of image {shown.index}: {'; '.join(steps)}."


def _exit(shown: ImageTrace, exit_index: int, x: Number) -> list[str]:
    """One stage, its branch and its heads, with the lines that lead there and on."""
    state, records = shown.states[exit_index], shown.records
    reached, looked_at = state != "not reached", state in ("goes on", "leaves")
    parts = []
    if exit_index < records.num_exits - 1:
        goes_on = reached and state != "leaves"
        parts.append(_line((x, _STAGE), (x + _STEP, _STAGE), used=goes_on))
    parts.append(_line((x, _STAGE), (x, _BRANCH), used=looked_at))
    parts += _heads(shown, exit_index, x)
    gate = ", gate" if records.has_gate and exit_index == 0 else ""
    cost, branch = (
        millions(2 * records.stage_macs[exit_index]),
        millions(2 * records.branch_macs[exit_index]),
    )
    parts.append(_box(x, _STAGE, f"stage {exit_index + 1}", f"{cost} MFLOPs", used=reached))
    name = f"branch {exit_index + 1}{gate}"
    parts.append(_box(x, _BRANCH, name, f"{branch} MFLOPs", used=looked_at))
    parts.append(_text(x + 6, (_STAGE + _BRANCH) / 2 + 4, state, anchor="start", bold=looked_at))
    return parts


def _heads(shown: ImageTrace, exit_index: int, x: Number) -> list[str]:
    records, decision = shown.records, shown.decision
    levels = [level for level, has in enumerate(records.head_mask[exit_index]) if has]
    step = min(_HEAD_STEP, (_STEP - 20) / len(levels))
    parts = []
    for place, level in enumerate(levels):
        head_x = x + (place - (len(levels) - 1) / 2) * step
        answers = (decision.exit_index, decision.level_index) == (exit_index, level)
        style = level_style(level, records.hierarchy.num_levels)
        parts.append(_line((x, _BRANCH), (head_x, _HEAD), used=answers))
        parts.append(
            f'<circle cx="{head_x:g}" cy="{_HEAD}" r="{_RADIUS}" '
            f'fill="{style.color if answers else "white"}" '
            f'stroke="{BLACK if answers else _UNUSED}" stroke-width="{2 if answers else 1}"/>'
        )
        name = _shortened(records.hierarchy.level_names[level], step)
        parts.append(_text(head_x, _HEAD + 30, name, bold=answers))
        if answers:
            tick = "right" if decision.is_right else "wrong"
            parts.append(_text(head_x, _HEAD + 46, tick, bold=True))
    return parts


def _shortened(name: str, width: Number) -> str:
    """A name that does not reach into those beside it."""
    most = int(width / _LETTER)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _line(start: _Point, end: _Point, *, used: bool) -> str:
    look = f'stroke="{BLACK}" stroke-width="4"'
    if not used:
        look = f'stroke="{_UNUSED}" stroke-width="1" stroke-dasharray="4 4"'
    return f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}" {look}/>'


def _box(x: Number, y: Number, title: str, cost: str, *, used: bool) -> str:
    width, height = _BOX
    look = f'stroke="{BLACK}" stroke-width="2"'
    if not used:
        look = f'stroke="{_UNUSED}" stroke-dasharray="4 4"'
    return (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" height="{height}" '
        f'rx="6" fill="white" {look}/>'
        + _text(x, y - 3, title, bold=used)
        + _text(x, y + 13, cost, size=10)
    )


def _text(
    x: Number, y: Number, words: str, *, anchor: str = "middle", bold: bool = False, size: int = 12
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"{weight} '
        f'fill="{BLACK if bold else GREY}">{html.escape(words)}</text>'
    )
