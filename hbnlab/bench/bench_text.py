"""The figures of ``run_bench`` as lines of text."""

from collections.abc import Mapping
from typing import Any


def format_bench(result: Mapping[str, Any]) -> str:
    """Format what was measured, each figure with its limits.

    Args:
        result: what ``run_bench`` returned, or the same read from a file.
    """
    settings, rows = result["settings"], result["rows"]
    exits = " / ".join(str(number) for number in range(1, len(result["shares"]) + 1))
    shares = " / ".join(f"{100 * share:.0f}" for share in result["shares"])
    lines = [
        f"{settings['network']}, width {settings['width']:g}, {settings['images']:,} images in "
        f"batches of {settings['batch_size']}; {shares} % leave at exits {exits}",
        f"{settings['machine']}, {settings['threads']} thread(s), torch {settings['torch']}; "
        f"{settings['clock']}, medians of {settings['rounds']} rounds; "
        f"peak {result['peak_gflops']:.0f} GFLOP/s",
        "single images and runs for each policy are scaled up from samples",
        "",
    ]
    for name, speed in result["images_per_second"].items():
        lines.append(f"{name:<50} {speed:>9,.0f} images/s")
    lines.append("")
    for row in rows:
        lines += _row_lines(row)
    return "\n".join(lines)


def _row_lines(row: Mapping[str, Any]) -> list[str]:
    """A line for the figure with its range, and one per limit."""
    ends = f"({_number(row['lowest'])} - {_number(row['highest'])})"
    limits = [
        f"    {name + ' ' + _number(limit):<46} {row['value'] / limit:>9.0%} of it"
        for name, limit in row["limits"].items()
    ]
    return [f"{row['name']:<50} {_number(row['value']):>9} {ends}", *limits]


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 0.1 else f"{value:.2f}" if value < 50 else f"{value:.1f}"
