"""Build the book: what ``make site`` runs.

Sphinx reads one folder, so the pages of ``docs/``, the notebooks with their stored outputs and the
reports under ``results/`` are first copied into one. The new book is built beside the old one and
replaces it only when it is complete.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import series

from hbnlab.bench import format_bench

ROOT = series.ROOT
DOCS, RESULTS = ROOT / "docs", ROOT / "results"
BENCH = "bench_early_exit.json"

_BADGE = re.compile(r"\[!\[([^]]+)\]\([^)]+\)\]\(")


def main() -> int:
    """Build into the given folder or ``site/``, and return 0 if there was no warning."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", default=ROOT / "site", type=Path)
    try:
        return build(parser.parse_args().site)
    except ValueError as error:
        parser.error(str(error))


def build(site: Path) -> int:
    """Build the book into a folder, and return the exit code of Sphinx.

    A failure leaves the folder as it was.

    Raises:
        ValueError: if the folder may not be replaced.
    """
    site = site.resolve()
    check_replaceable(site)
    site.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=site.parent, prefix=f".{site.name}-") as name:
        book, doctrees, new, old = (Path(name, part) for part in ("book", "doctrees", "new", "old"))
        put_together(book)
        options = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
        folders = ["--doctree-dir", str(doctrees), str(book), str(new)]
        code = subprocess.call([sys.executable, "-m", "sphinx", *options, *folders])
        if code == 0:
            if site.exists():
                site.rename(old)
            new.rename(site)
    return code


def check_replaceable(site: Path) -> None:
    """Raise a ``ValueError`` for a folder with anything other than an earlier book."""
    if ROOT.resolve().is_relative_to(site.resolve()):
        raise ValueError(f"site must not be a folder that contains the repository, got {site}")
    if not site.exists() or (site / ".buildinfo").is_file():
        return
    if not site.is_dir() or any(site.iterdir()):
        raise ValueError(f"site must be new, empty or an earlier book, got {site}")


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
    """Replace badges with links, because every reader's browser would fetch their pictures."""
    return _BADGE.sub(r"[\1](", text)


def speed() -> str:
    """The last measured benchmark of early exits, as text."""
    return format_bench(json.loads((RESULTS / BENCH).read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
