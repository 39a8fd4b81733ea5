"""Build the book: what ``make site`` runs.

Sphinx reads one folder, so the pages of ``docs/``, the notebooks with their stored outputs and the
reports under ``results/`` are put together in ``build/book`` first.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import series

from hbnlab.bench import format_bench

ROOT = series.ROOT
DOCS, RESULTS = ROOT / "docs", ROOT / "results"
BENCH = "bench_early_exit.json"

_BADGE = re.compile(r"\[!\[([^]]+)\]\([^)]+\)\]\(")


def main() -> int:
    """Build into the folder named, or ``site/``; 0 = without a single warning."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", default=ROOT / "site", type=Path)
    parser.add_argument("--book", default=ROOT / "build" / "book", type=Path, help="put together")
    chosen = parser.parse_args()
    return build(chosen.book, chosen.site)


def build(book: Path, site: Path) -> int:
    """Put the book together, write its pages, and return the exit code of Sphinx."""
    for folder in (book, site):
        shutil.rmtree(folder, ignore_errors=True)
    put_together(book)
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
    doctrees = ["--doctree-dir", str(book.with_name(f"{book.name}-doctrees")), "--fresh-env"]
    command = [sys.executable, "-m", "sphinx", *options, *doctrees, str(book), str(site)]
    return subprocess.call(command)


def put_together(book: Path) -> None:
    """Copy pages, notebooks and results into one folder."""
    shutil.copytree(DOCS, book, ignore=shutil.ignore_patterns("__pycache__"))
    (book / "notebooks").mkdir()
    for path in series.paths():
        text = without_badges(path.read_text(encoding="utf-8"))
        (book / "notebooks" / path.name).write_text(text, encoding="utf-8")
    for report in sorted(RESULTS.glob("*/report.md")):
        target = book / "results" / report.parent.name
        shutil.copytree(report.parent, target, ignore=shutil.ignore_patterns("runs"))
    (book / "results" / "speed.txt").write_text(speed(), encoding="utf-8")


def without_badges(text: str) -> str:
    """Links in the place of badges, whose pictures every reader's browser would fetch."""
    return _BADGE.sub(r"[\1](", text)


def speed() -> str:
    """The benchmark of early exits as it was measured last, as text."""
    return format_bench(json.loads((RESULTS / BENCH).read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
