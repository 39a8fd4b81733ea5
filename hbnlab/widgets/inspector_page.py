"""The page of the exit inspector: the image, its path, what each branch says, and why."""

import html

from matplotlib.figure import Figure

from hbnlab.formatting import percent, spoken
from hbnlab.plots.alt_text import image_element, saved
from hbnlab.plots.canvas import describe_records
from hbnlab.plots.diagram import draw_network, drawing_size
from hbnlab.plots.palette import level_style
from hbnlab.widgets.html_tables import CAPTION, PAGE, ROW
from hbnlab.widgets.image_trace import ImageTrace
from hbnlab.widgets.pictures import enlarged

_MOST_ROWS = 15
"""Lines of probabilities in all cards together, of one level."""
_MOST_CLASSES, _LEAST_CLASSES = 5, 2
_CARD = "border: 1px solid #999; border-radius: 6px; padding: 4px 8px; flex: 1 1 180px"
_ANSWERS = "border: 3px solid #000; border-radius: 6px; padding: 2px 6px; flex: 1 1 180px"
_PATH = "width: auto; height: auto; max-width: 100%; max-height: max(165px, 22vh)"
"""The drawing leaves room for the cards below it, on any screen."""
_ENLARGED = 2.0
"""Its words, so that they can be read when the drawing is that small."""
# JupyterLab gives all columns of a table that is not a widget the same width.
_TABLE = (
    "border-collapse: collapse; table-layout: auto; width: 100%; margin: 4px 0; font-size: 12px"
)
_CELL = "padding: 0 6px 0 0; text-align: left; font-weight: normal; white-space: nowrap"
_UNCOMPUTED = {
    "not reached": "The image has left before, so a network that leaves early computes no more.",
    "not consulted": "The policy does not consult this branch, so it need not run.",
}


def inspector_page(trace: ImageTrace) -> str:
    """Everything about one image: what happens to it, and why."""
    return outcome_line(trace) + reasons(trace)


def outcome_line(trace: ImageTrace) -> str:
    """Where the image leaves and with what answer; screen readers read it out when it changes."""
    outcome = html.escape(f"Image {trace.index} {trace.decision}.")
    return f'<div role="status" style="{PAGE}"><b>{outcome}</b></div>'


def reasons(trace: ImageTrace) -> str:
    """The image, its path, and a card per exit."""
    cards = [_card(trace, exit_index) for exit_index in range(trace.records.num_exits)]
    return (
        f'<div style="{PAGE}; padding-top: 0"><div style="{ROW}">{_picture(trace)}'
        f'<div style="flex: 1 1 440px">{_path(trace)}</div></div>'
        f'<div style="{ROW}; gap: 12px; margin-top: 8px">{"".join(cards)}</div></div>'
    )


def _picture(trace: ImageTrace) -> str:
    truth = " &gt; ".join(html.escape(name) for name in trace.labels)
    words = f"Image {trace.index}, {', '.join(trace.labels)}"
    picture = enlarged(trace.image, words, width=110)
    return (
        f'<div style="text-align: center; max-width: 150px">{picture}'
        f"<div>truth: <b>{truth}</b></div>"
        f"<div>{html.escape(describe_records(trace.records))}</div></div>"
    )


def _path(trace: ImageTrace) -> str:
    """The path of the image through the drawing of the network."""
    taken = trace.decision.exit_index, trace.decision.level_index
    figure = Figure(drawing_size(trace.records))
    draw_network(
        figure.add_axes((0, 0, 1, 1)),
        trace.records,
        [float(state in ("goes on", "leaves")) for state in trace.states],
        {taken: 1.0},
        start=f"image {trace.index}",
        above=dict(enumerate(trace.states)),
        values={taken: trace.decision.verdict},
        enlarged=_ENLARGED,
    )
    width = round(100 * figure.get_figwidth())
    return image_element(saved(figure, "svg"), "svg+xml", trace.path, width, _PATH)


def _card(trace: ImageTrace, exit_index: int) -> str:
    """What one branch says, probabilities and entropy of every head, and the comparisons."""
    state, name = trace.states[exit_index], f"Exit {exit_index + 1}"
    levels = [level for e, level in trace.records.cells if e == exit_index]
    heads = "".join(_head(trace, exit_index, level) for level in levels)
    reason = _UNCOMPUTED.get(state, "")
    if exit_index in trace.explanations:
        items = "".join(f"<li>{_unbroken(line)}</li>" for line in trace.explanations[exit_index])
        reason = f"Policy{trace.batch_note}:"
        reason += f'<ol style="margin: 0; padding-left: 18px; font-size: 12px">{items}</ol>'
    return (
        f'<section aria-label="{name}" style="{_ANSWERS if state == "leaves" else _CARD}">'
        f"<b>{name}: {state}</b>{heads}<div>{reason}</div></section>"
    )


def _unbroken(line: str) -> str:
    """A comparison whose numbers stay on one line, and so does what comes of it."""
    question, mark, answer = (html.escape(part) for part in line.partition("? "))
    if not mark:
        return question
    parts = answer.replace(", ", ",\n").splitlines()
    return f"{question}{mark}" + " ".join(
        f'<span style="white-space: nowrap">{part}</span>' for part in parts
    )


def _head(trace: ImageTrace, exit_index: int, level: int) -> str:
    """The most probable classes of one head as bars, and its entropy."""
    tree, cell = trace.records.hierarchy, trace.own_records.cell(exit_index, level)
    room = max(_LEAST_CLASSES, min(_MOST_CLASSES, _MOST_ROWS // trace.records.num_exits))
    best = cell.prob[0].topk(min(room, tree.num_classes[level]))
    truth, color = int(cell.labels), level_style(level, tree.num_levels).color
    rows = "".join(
        _bar(spoken(tree.class_names[level][cls]) + " (true)" * (cls == truth), prob, color)
        for prob, cls in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    )
    return (
        f'<table style="{_TABLE}"><caption style="{CAPTION}">'
        f"{html.escape(tree.level_names[level])}, entropy <b>{float(cell.entropy):.2f}</b> nats"
        f"</caption>{rows}</table>"
    )


def _bar(name: str, share: float, color: str) -> str:
    bar = f"background: {color}; height: 9px; min-width: 1px; width: {100 * share:.0f}%"
    return (
        f'<tr style="background: white"><th scope="row" style="{_CELL}; width: 45%">'
        f'{html.escape(name)}</th><td style="padding: 0; width: 40%"><div style="{bar}"></div>'
        f'</td><td style="padding: 0 0 0 6px; text-align: right; white-space: nowrap">'
        f"{percent(share)}</td></tr>"
    )
