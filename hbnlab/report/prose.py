"""The prose of a report, kept as Markdown tables beside this file."""

from pathlib import Path


def prose_text(name: str) -> str:
    """The text of one of the Markdown files beside this module, by its name without ``.md``."""
    return Path(__file__).with_name(f"{name}.md").read_text(encoding="utf-8")


def prose_rows(name: str) -> list[dict[str, str]]:
    """The rows of its table, by column title; columns without a title are left out."""
    lines = prose_text(name).splitlines()
    titles, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    names = [title.strip("`") for title in titles]
    return [{n: cell for n, cell in zip(names, row, strict=True) if n} for row in rows]
