"""Measure the notebooks and write it into their title cells: what ``make notebook-times`` runs.

In ``notebooks/`` and ``tutorials/`` alike the title cell gets the measured time, and the badges,
which a mark follows so that they are found again.
"""

import argparse
import math
import re
from pathlib import Path

import nbformat
import series

REPOSITORY, BRANCH = "hbnlab/hbnlab", "main"
MARK = "<!-- badges -->"
ON_COLAB = f"On Colab, first run `%pip install git+https://github.com/{REPOSITORY}` in a cell."
BADGES = re.compile(rf"(^(# )?(\[!\[|On Colab).*\n)*^(# )?{MARK}$", re.MULTILINE)
RUNS_IN = re.compile(r"\*\*Runs in\*\* (\d+) s on 2 cores, downloads (\d+) MB\.")
FIRST_CELL = re.compile(r"(.*?# %% \[markdown\]\n)(.*?)(\n\n# %%.*)", re.DOTALL)
# A time within this share of the one that is written leaves it as it is.
SLACK = 0.25


def main() -> None:
    """Measure and write the headers of the notebooks named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stems", nargs="*", help="such as 03_leaving_early; without, all")
    parser.add_argument("--badges-only", action="store_true", help="measure nothing")
    chosen = parser.parse_args()
    series.keep_to_two_cores()
    for path in series.paths():
        if chosen.stems and path.stem not in chosen.stems:
            continue
        seconds = None if chosen.badges_only else series.execute(nbformat.read(path, as_version=4))
        took = "" if seconds is None else f" {seconds:.1f} s"
        print(f"{path.stem}{took}", flush=True)
        write(path, series.TUTORIALS / f"{path.stem}.py", seconds)


def write(notebook_path: Path, tutorial_path: Path, seconds: float | None) -> None:
    """Write the time, where one is given, and the badges into a notebook and its text."""
    stem = notebook_path.stem
    notebook = nbformat.read(notebook_path, as_version=4)
    notebook.cells[0].source = header(notebook.cells[0].source, stem, seconds)
    nbformat.write(notebook, notebook_path)
    before, title, rest = FIRST_CELL.fullmatch(tutorial_path.read_text(encoding="utf-8")).groups()
    title = header(title, stem, seconds, prefix="# ")
    tutorial_path.write_text(before + title + rest, encoding="utf-8")


def header(title: str, stem: str, seconds: float | None, prefix: str = "") -> str:
    """The title cell with its time and badges.

    Args:
        title: source of the cell.
        stem: of the notebook.
        seconds: measured; None keeps the time that is written.
        prefix: what stands before each line.

    Raises:
        ValueError: without a line to write the time or the badges into.
    """
    written = RUNS_IN.search(title)
    if written is None or MARK not in title:
        raise ValueError(f"the title cell of {stem} needs '**Runs in** ...' and {MARK!r}")
    if seconds is not None and abs(seconds - int(written[1])) > max(1.0, SLACK * int(written[1])):
        line = f"**Runs in** {math.ceil(seconds)} s on 2 cores, downloads {written[2]} MB."
        title = RUNS_IN.sub(line, title)
    return BADGES.sub("\n".join(prefix + line for line in badges(stem)), title)


def badges(stem: str) -> list[str]:
    """The lines with badges, which open the notebook elsewhere, what that takes, and the mark.

    The mark stands alone: the rest of a line that begins with a comment is not read as Markdown.
    Without spaces in it, a line may be longer than ruff allows.
    """
    colab = "https://colab.research.google.com"
    binder = "https://mybinder.org"
    path = f"notebooks/{stem}.ipynb"
    return [
        f"[![Colab]({colab}/assets/colab-badge.svg)]"
        f"({colab}/github/{REPOSITORY}/blob/{BRANCH}/{path})",
        f"[![Binder]({binder}/badge_logo.svg)]"
        f"({binder}/v2/gh/{REPOSITORY}/{BRANCH}?labpath={path})",
        ON_COLAB,
        MARK,
    ]


if __name__ == "__main__":
    main()
