"""Numbers as small HTML tables whose row and column heads are marked as such."""

import html
from collections.abc import Mapping, Sequence

from hbnlab.formatting import millions, percent
from hbnlab.metrics import Evaluation
from hbnlab.plots import HtmlFigure
from hbnlab.plots.canvas import describe_records
from hbnlab.records import ExitRecords

_TABLE = "border-collapse: collapse; margin: 4px 0; font-size: 13px"
_HEAD = "padding: 2px 10px 2px 0; text-align: left; font-weight: normal"
_CELL = "padding: 2px 10px 2px 0; text-align: right; white-space: nowrap"
CAPTION = "text-align: left; caption-side: top; padding: 0; color: #111"
PAGE = "background: white; color: #111; padding: 8px; font-size: 13px; line-height: 1.35"
ROW = "display: flex; flex-wrap: wrap; gap: 12px 24px; align-items: flex-start"


def table(caption: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table with a caption; each row is its name and one text per column."""
    head = "".join(f'<th scope="col" style="{_CELL}">{html.escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr style="background: white"><th scope="row" style="{_HEAD}">{html.escape(name)}</th>'
        + "".join(f'<td style="{_CELL}">{html.escape(text)}</td>' for text in texts)
        + "</tr>"
        for name, texts in rows
    )
    return (
        f'<table style="{_TABLE}"><caption style="{CAPTION}; font-weight: bold">'
        f"{html.escape(caption)}</caption>"
        + (f"<tr><td></td>{head}</tr>" if columns else "")
        + f"{body}</table>"
    )


def cell_rows(texts: Mapping[tuple[int, int], str], num_levels: int) -> list[tuple[str, list[str]]]:
    """Texts by (exit, level) as the rows of a table: one per exit, with one text per level."""
    return [
        (f"exit {e + 1}", [texts.get((e, level), "no head") for level in range(num_levels)])
        for e in range(1 + max((exit_index for exit_index, _ in texts), default=-1))
    ]


def explorer_page(records: ExitRecords, result: Evaluation, picture: HtmlFigure) -> str:
    """The evaluation of a policy in numbers, beside the planes."""
    names = records.hierarchy.level_names
    numbers = [
        ("accuracy", [percent(result.accuracy)]),
        ("hierarchical accuracy", [percent(result.hierarchical_accuracy)]),
        ("specificity", [percent(result.specificity)]),
        ("information", [f"{result.information:.2f} bits per answer"]),
        ("FLOPs per image", [f"{millions(result.mean_flops)} million"]),
    ]
    shares = {(e, k): percent(result.shares[e][k]) for e, k in records.cells}
    tables = [
        table(describe_records(records), (), numbers),
        table("answered at", names, cell_rows(shares, len(names))),
    ]
    # One above the other, they leave the rest of a small screen to the picture.
    return (
        f'<div style="{PAGE}"><div style="{ROW}"><div>{"".join(tables)}</div>'
        f'<div style="flex: 1 1 500px">{picture._repr_html_()}</div></div></div>'
    )
