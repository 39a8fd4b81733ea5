"""Results as text that lines up in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from hbnlab.formatting import millions, percent
from hbnlab.hierarchy import Hierarchy
from hbnlab.history import History


def report(result: Mapping[str, Any]) -> str:
    """What test.json holds, as two tables: every cell alone, then the policies."""
    head = (
        f"{result['model']}, width {result['width']:g}, {result['parameters']:,} parameters, "
        f"on {result['images']:,} images of {result['dataset']}"
    )
    return "\n".join(
        [
            head,
            "",
            "every exit and level, for all images",
            _cells(result["cells"]),
            "",
            *_rules(result),
        ]
    )


def _cells(cells: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            str(cell["exit"]),
            cell["level"],
            percent(cell["accuracy"], unit=False),
            percent(cell["hierarchical_accuracy"], unit=False),
            f"{cell['specificity']:.2f}",
            millions(cell["flops"], decimals=2),
        ]
        for cell in cells
    ]
    titles = ["exit", "level", "accuracy %", "hierarchical %", "specificity", "MFLOPs"]
    return align([titles, *rows])


def _rules(result: Mapping[str, Any]) -> list[str]:
    if not result["policies"]:
        return []
    rows = [
        [
            row["rule"],
            percent(row["accuracy"], unit=False),
            percent(row["hierarchical_accuracy"], unit=False),
            f"{row['specificity']:.2f}",
            millions(row["mean_flops"], decimals=2),
            " / ".join(percent(sum(cells), unit=False) for cells in row["shares"]),
        ]
        for row in result["policies"]
    ]
    titles = [
        "rule (thresholds from validation)",
        "accuracy %",
        "hierarchical %",
        "specificity",
        "MFLOPs",
        "leave at exit %",
    ]
    return ["image by image, leaving early", align([titles, *rows])]


def last_epoch(history: History, hierarchy: Hierarchy) -> str:
    """Validation accuracy of every head after the last epoch of the joint training."""
    epochs = [epoch for epoch in history.epochs if epoch.phase == "train"]
    if not epochs:
        return "no epoch was trained"
    rows = [
        [
            str(score.exit_index + 1),
            hierarchy.level_names[score.level_index],
            percent(score.top1, unit=False),
            percent(score.top5, unit=False),
            f"{score.loss:.3f}",
        ]
        for score in epochs[-1].cells["val"]
    ]
    titles = ["exit", "level", "top-1 %", "top-5 %", "loss"]
    return f"validation images after epoch {epochs[-1].number}\n" + align([titles, *rows])


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width: to the right where the last row has a number, else to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if not _is_number(rows[-1][column]) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
