"""Results as tables for a terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hbnlab.formatting import millions, percent
from hbnlab.hierarchy import Hierarchy
from hbnlab.history import History
from hbnlab.run_folder import AS_LAST_EXIT


def report(result: Mapping[str, Any]) -> str:
    """The content of test.json as one table, by FLOPs, and what leaving early gains."""
    head = (
        f"{result['model']}, width {result['width']:g}, {result['parameters']:,} parameters, "
        f"on {result['images']:,} images of {result['dataset']}"
    )
    one_exit = [
        {**cell, "name": _for_all(cell), "mean_flops": cell["pruned_flops"]}
        for cell in result["cells"]
    ]
    # One exit for all comes first where a policy costs the same.
    rows = sorted([*one_exit, *result["policies"]], key=lambda row: row["mean_flops"])
    columns = {
        "one exit for all, and policies": lambda row: row["name"],
        **_SCORES,
        "MFLOPs": lambda row: millions(row["mean_flops"], decimals=2),
        "leave at exit %": _leaving,
        "gain": _gain,
    }
    return "\n".join([head, "", _table(columns, rows), "", *_explanation(result)])


def _for_all(cell: Mapping[str, Any]) -> str:
    return f"= exit {cell['exit']} for all, {cell['level']}"


def _leaving(row: Mapping[str, Any]) -> str:
    """The shares that leave at each exit; nothing where one exit serves all."""
    return " / ".join(_percent(sum(cells)) for cells in row.get("shares", ()))


def _gain(row: Mapping[str, Any]) -> str:
    """How many points a policy is above one exit for all, where one is cheap enough."""
    one_exit = row.get("by_lot")
    return f"{100 * (row['accuracy'] - one_exit['accuracy']):+.1f}" if one_exit else ""


def _explanation(result: Mapping[str, Any]) -> list[str]:
    """How to read the table, and what a policy saves at the last exit's accuracy."""
    lines = ["MFLOPs: per image, what really runs. Thresholds are fitted on validation images."]
    if any(row["by_lot"] for row in result["policies"]):
        lines += [
            "gain: percentage points above the best exit for all (=) that costs no more, with as "
            "many",
            "answers at each level, to images drawn by lot.",
        ]
    last, policies = result["cells"][-1], {row["name"]: row for row in result["policies"]}
    if AS_LAST_EXIT in policies:
        row, flops = policies[AS_LAST_EXIT], last["pruned_flops"]
        lines += [
            f"Exit {last['exit']} for all gets {_percent(last['accuracy'])} % of the "
            f"{last['level']} classes right for {millions(flops)} MFLOPs;",
            f"deciding per image gets {_percent(row['accuracy'])} % for "
            f"{millions(row['mean_flops'])} MFLOPs, {100 * row['mean_flops'] / flops:.0f} % of "
            "them.",
        ]
    return lines


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
    """Columns of equal width, aligned to the right where a row has a number."""
    columns = []
    for column in zip(*rows, strict=True):
        justify = str.rjust if any(map(_is_number, column)) else str.ljust
        width = max(len(cell) for cell in column)
        columns.append([justify(cell, width) for cell in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).isdigit()
