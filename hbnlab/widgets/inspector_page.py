"""The parts of the exit inspector's page: the picture, what each branch says, and the rule."""

import html

from hbnlab.formatting import percent, spoken
from hbnlab.plots.canvas import describe_records
from hbnlab.plots.palette import level_style
from hbnlab.records import ExitRecords
from hbnlab.widgets.html_tables import PAGE, ROW
from hbnlab.widgets.image_trace import ImageTrace
from hbnlab.widgets.network_path import path_drawing
from hbnlab.widgets.pictures import enlarged

_TOP = 5
_CARD = "border: 1px solid #999; border-radius: 6px; padding: 6px 10px; flex: 1 1 220px"
_ANSWERS = "border: 3px solid #000; border-radius: 6px; padding: 4px 8px; flex: 1 1 220px"
# JupyterLab gives all columns of a table that is no widget the same width.
_TABLE = (
    "border-collapse: collapse; table-layout: auto; width: 100%; margin: 4px 0; font-size: 12px"
)
_CELL = "padding: 0 6px 0 0; text-align: left; font-weight: normal; white-space: nowrap"


def inspector_page(shown: ImageTrace, records: ExitRecords) -> str:
    """Everything about one image: what becomes of it, and why."""
    return outcome_line(shown) + reasons(shown, records)


def outcome_line(shown: ImageTrace) -> str:
    """Where the image leaves and with what answer; a screen reader reads it out as it comes."""
    outcome = html.escape(f"Image {shown.index} {shown.decision}.")
    return f'<div role="status" style="{PAGE}"><b>{outcome}</b></div>'


def reasons(shown: ImageTrace, records: ExitRecords) -> str:
    """Picture, path, rule and what each branch says."""
    cards = [_card(shown, exit_index) for exit_index in range(shown.records.num_exits)]
    return (
        f'<div style="{PAGE}"><div style="{ROW}">{_picture(shown, records)}'
        f'<div style="flex: 1 1 480px">{path_drawing(shown)}</div></div>'
        f'<div style="{ROW}; margin-top: 12px">{"".join(cards)}</div></div>'
    )


def _picture(shown: ImageTrace, records: ExitRecords) -> str:
    truth = " &gt; ".join(html.escape(name) for name in shown.labels)
    alt = f"Image {shown.index}, {', '.join(shown.labels)}"
    return (
        f'<div style="text-align: center">{enlarged(shown.image, alt)}'
        f"<div>truth: <b>{truth}</b></div>"
        f"<div>{html.escape(describe_records(records))}</div></div>"
    )


def _card(shown: ImageTrace, exit_index: int) -> str:
    """What one branch says: probabilities and entropy of every head, and the rule."""
    state = shown.states[exit_index]
    levels = [level for here, level in shown.records.cells if here == exit_index]
    heads = "".join(_head(shown, exit_index, level) for level in levels)
    lines = {verdict.exit_index: verdict.lines for verdict in shown.verdicts}
    rule = {
        "not reached": "The image has left before; a network that really leaves computes no more.",
        "not looked at": "The rule does not look at this branch, so it need not be run.",
    }.get(state, "")
    items = "".join(f"<li>{_unbroken(line)}</li>" for line in lines.get(exit_index, ()))
    if items:
        rule = f'Rule{shown.by_batch}:<ol style="margin: 0; padding-left: 20px">{items}</ol>'
    return (
        f'<section aria-label="Exit {exit_index + 1}" '
        f'style="{_ANSWERS if state == "leaves" else _CARD}">'
        f"<b>Exit {exit_index + 1}: {state}</b>{heads}<div>{rule}</div></section>"
    )


def _unbroken(line: str) -> str:
    """A line of the rule whose numbers and verdict stay together."""
    question, mark, answer = (html.escape(part) for part in line.partition("? "))
    if not mark:
        return question
    return f'{question}{mark}<span style="white-space: nowrap">{answer}</span>'


def _head(shown: ImageTrace, exit_index: int, level: int) -> str:
    """The most probable classes of one head as bars, and its entropy."""
    tree, cell = shown.records.hierarchy, shown.records.cell(exit_index, level)
    best = cell.prob[0].topk(min(_TOP, tree.num_classes[level]))
    truth, style = int(cell.labels), level_style(level, tree.num_levels)
    rows = "".join(
        _bar(
            spoken(tree.class_names[level][cls]) + (" (true)" if cls == truth else ""),
            prob,
            style.color,
        )
        for prob, cls in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    )
    return (
        f'<table style="{_TABLE}">'
        f'<caption style="text-align: left; caption-side: top; padding: 0; color: #111">'
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
