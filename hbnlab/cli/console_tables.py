"""Results as tables for a terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hbnlab.formatting import millions, percent
from hbnlab.hierarchy import Hierarchy
from hbnlab.history import History


def report(result: Mapping[str, Any]) -> str:
    """The content of test.json as two tables: all cells, then the policies."""
    head = (
        f"{result['model']}, width {result['width']:g}, {result['parameters']:,} parameters, "
        f"on {result['images']:,} images of {result['dataset']}"
    )
    cells = {
        "exit": lambda cell: str(cell["exit"]),
        "level": lambda cell: cell["level"],
        **_SCORES,
        "MFLOPs": lambda cell: millions(cell["flops"], decimals=2),
    }
    policies = {
        "policy (thresholds from validation)": lambda row: row["name"],
        **_SCORES,
        "MFLOPs": lambda row: millions(row["mean_flops"], decimals=2),
        "leave at exit %": lambda row: " / ".join(_percent(sum(cells)) for cells in row["shares"]),
    }
    parts = [head, "", "every exit and level, for all images", _table(cells, result["cells"]), ""]
    if result["policies"]:
        parts += ["each image by itself, leaving early", _table(policies, result["policies"])]
    return "\n".join(parts)


def last_epoch(history: History, hierarchy: Hierarchy) -> str:
    """Validation accuracy of every head after the last epoch of the joint training."""
    epochs = history.of_phase("train").epochs
    if not epochs:
        return "no epoch was trained"
    columns = {
        "exit": lambda score: str(score.exit_index + 1),
        "level": lambda score: hierarchy.level_names[score.level_index],
        "top-1 %": lambda score: _percent(score.top1),
        "top-5 %": lambda score: _percent(score.top5),
        "loss": lambda score: f"{score.loss:.3f}",
    }
    table = _table(columns, epochs[-1].cells["val"])
    return f"validation images after epoch {epochs[-1].number}\n{table}"


def _percent(share: float) -> str:
    return percent(share, unit=False)


_SCORES: Mapping[str, Callable[[Any], str]] = {
    "accuracy %": lambda row: _percent(row["accuracy"]),
    "hierarchical %": lambda row: _percent(row["hierarchical_accuracy"]),
    "specificity": lambda row: f"{row['specificity']:.2f}",
}


def _table(columns: Mapping[str, Callable[[Any], str]], rows: Sequence[Any]) -> str:
    return align([list(columns), *([text(row) for text in columns.values()] for row in rows)])


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, aligned to the right where the last row has a number."""
    columns = []
    for column in zip(*rows, strict=True):
        justify = str.rjust if _is_number(column[-1]) else str.ljust
        width = max(len(cell) for cell in column)
        columns.append([justify(cell, width) for cell in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
