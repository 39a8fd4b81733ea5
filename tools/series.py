"""The notebooks of the series: find their exercises, solve them and run them."""

import copy
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS, TUTORIALS = ROOT / "notebooks", ROOT / "tutorials"
LONGEST_CELL = 300

_SOLUTION = re.compile(
    r"<details>\s*<summary>Solution</summary>\s*^```python\n(?P<code>.*?)^```\s*</details>",
    re.DOTALL | re.MULTILINE,
)
_HINT = re.compile(r"<details>\s*<summary>Hint</summary>.+?</details>", re.DOTALL)
_CHECK = re.compile(r"^check(_function)?\(", re.MULTILINE)


@dataclass(frozen=True)
class Exercise:
    """The parts of an exercise in a notebook.

    Attributes:
        stub: index of the cell tagged ``exercise``.
        check: index of the cell whose last expression is the check.
        solution: the code that replaces the stub.
        has_hint: whether there is a folded hint.
    """

    stub: int
    check: int
    solution: str
    has_hint: bool


def paths() -> list[Path]:
    """All notebooks of the series, in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """Find the exercises: each is a tagged cell, then a check, then a solution.

    Raises:
        ValueError: if an exercise has no check or no solution before the next exercise.
    """
    tagged = [n for n, cell in enumerate(notebook.cells) if "exercise" in _tags(cell)]
    ends = [*tagged[1:], len(notebook.cells)]
    return [_exercise(notebook, *span) for span in zip(tagged, ends, strict=True)]


def _exercise(notebook: NotebookNode, stub: int, end: int) -> Exercise:
    if notebook.cells[stub].cell_type != "code":
        raise ValueError(f"cell {stub} is tagged exercise and must be code")
    parts = list(enumerate(notebook.cells))[stub + 1 : end]
    checks = [n for n, cell in parts if cell.cell_type == "code" and _CHECK.search(cell.source)]
    texts = "\n\n".join(cell.source for _, cell in parts if cell.cell_type == "markdown")
    solution = _SOLUTION.search(texts)
    if len(checks) != 1 or solution is None:
        missing = "one solution" if checks else "one check"
        raise ValueError(f"the exercise in cell {stub} needs {missing} before cell {end}")
    return Exercise(stub, checks[0], solution["code"].rstrip(), bool(_HINT.search(texts)))


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def solved(notebook: NotebookNode) -> NotebookNode:
    """A copy in which each solution replaces its stub."""
    answered = copy.deepcopy(notebook)
    for exercise in exercises(notebook):
        answered.cells[exercise.stub].source = exercise.solution
    return answered


def execute(notebook: NotebookNode, folder: Path = NOTEBOOKS) -> float:
    """Run all cells in place in a clean kernel, and return the seconds with the kernel's start.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    client = NotebookClient(
        notebook,
        timeout=LONGEST_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
    )
    start = time.perf_counter()
    client.execute()
    return time.perf_counter() - start


def verdicts(notebook: NotebookNode) -> list[str]:
    """The verdict of each exercise in the last run of the notebook."""
    return [_result(notebook.cells[exercise.check]) for exercise in exercises(notebook)]


def _result(cell: NotebookNode) -> str:
    results = [out for out in cell.outputs if out.output_type == "execute_result"]
    return results[-1]["data"]["text/plain"] if results else "(no result)"


def keep_to_two_cores() -> None:
    """Restrict this process and its kernels to two cores, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
