"""Measure the notebooks and write it into their title cells: what ``make notebook-times`` runs.

In ``notebooks/`` and in ``tutorials/`` the title cell gets the measured time and the lines that say
how to run the lesson. A mark follows those lines so that they are found again.

Where the project lives is said once, as ``Repository`` in ``[project.urls]`` of ``pyproject.toml``.
Without it the lessons name no address: a name that nobody owns yet can be registered by anybody,
whose code learners would then install.
"""

import argparse
import math
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import series

MARK = "<!-- badges -->"
IN_A_CLONE = (
    'To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.'
)
RUN_LINES = re.compile(rf"(^(# )?(\[!\[|On Colab|To run it).*\n)*^(# )?{MARK}$", re.MULTILINE)
# The services that open a notebook of a public repository. Their badges are written only for a
# repository on the host that both of them read from.
COLAB, BINDER, HOST = "colab.research.google.com", "mybinder.org", "github.com"
RUNS_IN = re.compile(r"\*\*Runs in\*\* (\d+) s on 2 cores, downloads (\d+) MB\.")
FIRST_CELL = re.compile(r"(.*?# %% \[markdown\]\n)(.*?)(\n\n# %%.*)", re.DOTALL)
# A measured time within this share of the one in the title does not change it.
SLACK = 0.25


def main() -> None:
    """Measure the named notebooks, or all, and write their headers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stems", nargs="*", help="such as 03_leaving_early; all if none is named")
    parser.add_argument("--no-times", action="store_true", help="measure nothing")
    chosen = parser.parse_args()
    series.keep_to_two_cores()
    for path in series.paths():
        if chosen.stems and path.stem not in chosen.stems:
            continue
        seconds = None if chosen.no_times else series.execute(nbformat.read(path, as_version=4))
        took = "" if seconds is None else f" {seconds:.1f} s"
        print(f"{path.stem}{took}", flush=True)
        write(path, series.TUTORIALS / f"{path.stem}.py", seconds)


def write(notebook_path: Path, tutorial_path: Path, seconds: float | None) -> None:
    """Write the time, if one is given, and how to run it into a notebook and its tutorial."""
    stem = notebook_path.stem
    notebook = nbformat.read(notebook_path, as_version=4)
    notebook.cells[0].source = header(notebook.cells[0].source, stem, seconds)
    nbformat.write(notebook, notebook_path)
    before, title, rest = FIRST_CELL.fullmatch(tutorial_path.read_text(encoding="utf-8")).groups()
    title = header(title, stem, seconds, prefix="# ")
    tutorial_path.write_text(before + title + rest, encoding="utf-8")


def header(title: str, stem: str, seconds: float | None, prefix: str = "") -> str:
    """The title cell with its time and the lines that say how to run it.

    Args:
        title: source of the cell.
        stem: of the notebook.
        seconds: measured; None keeps the time in the title.
        prefix: put before each line.

    Raises:
        ValueError: if the title has no line for the time or no mark.
    """
    written = RUNS_IN.search(title)
    if written is None or MARK not in title:
        raise ValueError(f"the title cell of {stem} needs '**Runs in** ...' and {MARK!r}")
    if seconds is not None and abs(seconds - int(written[1])) > max(1.0, SLACK * int(written[1])):
        line = f"**Runs in** {math.ceil(seconds)} s on 2 cores, downloads {written[2]} MB."
        title = RUNS_IN.sub(line, title)
    lines = "\n".join(prefix + line for line in run_lines(stem, *address()))
    return RUN_LINES.sub(lambda _: lines, title)


def run_lines(stem: str, repository: str | None, tag: str) -> list[str]:
    """The lines that say how to run a notebook, and the mark.

    The mark has a line of its own: the rest of a line that begins with a comment is not read as
    Markdown. Without spaces in it, a line may be longer than ruff allows.

    Args:
        stem: of the notebook.
        repository: address of the repository; None while the project has none.
        tag: the version that learners get; a branch could change under them.
    """
    if repository is None:
        return [IN_A_CLONE, MARK]
    on_colab = f"On Colab, first run `%pip install git+{repository}@{tag}` in a cell."
    return [*badges(f"notebooks/{stem}.ipynb", repository, tag), on_colab, IN_A_CLONE, MARK]


def badges(path: str, repository: str, tag: str) -> list[str]:
    """Pictures that link to the notebook at Colab and Binder, where these can open it."""
    parts = urlsplit(repository)
    if parts.hostname != HOST:
        return []
    name = parts.path.strip("/").removesuffix(".git")
    return [
        f"[![Colab](https://{COLAB}/assets/colab-badge.svg)]"
        f"(https://{COLAB}/github/{name}/blob/{tag}/{path})",
        f"[![Binder](https://{BINDER}/badge_logo.svg)]"
        f"(https://{BINDER}/v2/gh/{name}/{tag}?labpath={path})",
    ]


def address() -> tuple[str | None, str]:
    """The repository that ``pyproject.toml`` names, or None, and the tag of its version."""
    project = tomllib.loads((series.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository"), f"v{project['version']}"


if __name__ == "__main__":
    main()
