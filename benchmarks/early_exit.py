"""Leaving early, and one pass for all policies, held to targets.

``hbnlab bench`` with the result kept beside the others; takes the same options. Each target is
written into its row of the result, with whether it was met, and drawn into the figure.

    python benchmarks/early_exit.py
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from hbnlab import plots
from hbnlab.cli import main
from hbnlab.cli.arguments import parse
from hbnlab.run_folder import write_figure
from hbnlab.storage import write_json

TARGETS: dict[str, dict[str, Any]] = {
    "leaving early, pooled, over all exits": {"at_least": 0.85, "of": "FLOPs-ideal"},
    "leaving early, pooled, over one image at a time": {"at_least": 3.5, "of": None},
    "one pass and 150 policies over 150 runs": {"at_least": 80.0, "of": None},
    "evaluating 150 policies, share of the pass": {"at_most": 0.02},
}
"""Lowest or highest value by row; ``of`` names the limit that the value is a share of."""


def with_target(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its target and whether the target is met, where it has one."""
    target = TARGETS.get(row["name"])
    if target is None:
        return dict(row)
    if "at_most" in target:
        met = row["value"] <= target["at_most"]
    else:
        limit = row["limits"][target["of"]] if target["of"] else 1.0
        met = row["value"] >= target["at_least"] * limit
    return {**row, **target, "met": met}


def verdict(row: Mapping[str, Any]) -> str:
    """The target of a row in words."""
    goal = f"at most {row['at_most']:g}" if "at_most" in row else f"at least {row['at_least']:g}"
    of = f" of {row['of']}" if row.get("of") else ""
    return f"{row['name']}: {row['value']:.3g}, {goal}{of}: {'met' if row['met'] else 'MISSED'}"


if __name__ == "__main__":
    words = ["bench", "--out", "results/bench_early_exit.json", *sys.argv[1:]]
    out = parse(words).out
    if code := main(words):
        sys.exit(code)
    result = json.loads(out.read_text(encoding="utf-8"))
    result["rows"] = [with_target(row) for row in result["rows"]]
    write_json(out, result)
    write_figure(out.with_suffix(".png"), plots.bench_bars(result))
    print("\n".join(verdict(row) for row in result["rows"] if "met" in row))
