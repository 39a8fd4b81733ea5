"""The solutions of the exercises, put in the place of the stubs and run in a clean kernel."""

import re
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

pytest.importorskip("nbclient", reason="solutions are run by nbclient")

import nbformat
import series
from nbclient.exceptions import CellExecutionError


@pytest.mark.slow
@pytest.mark.parametrize("path", series.paths(), ids=lambda path: path.stem)
def test_every_solution_is_right_and_the_solved_notebook_runs(path):
    notebook = series.solved(nbformat.read(path, as_version=4))
    series.execute(notebook)
    assert set(series.verdicts(notebook)) == {"Right."}


# ---------------------------------------------------------------------- the injector itself

STUB = "def double(x):\n    ..."
CHECK = "from hbnlab.exercises import check_function\n\ncheck_function(double, [((2,), 4)])"


def _folded(name: str, text: str) -> str:
    return f"<details><summary>{name}</summary>\n\n{text}\n\n</details>"


def _lesson(solution: str = "def double(x):\n    return 2 * x", *, second: bool = False):
    cells = []
    for _ in range(1 + second):
        cells += [
            new_markdown_cell("### Exercise 1 · Double"),
            new_code_cell(STUB, metadata={"tags": ["exercise"]}),
            new_code_cell(CHECK),
            new_markdown_cell(_folded("Hint", "Add it to itself.")),
            new_markdown_cell(_folded("Solution", f"```python\n{solution}\n```")),
        ]
    return new_notebook(cells=cells)


def test_the_parts_of_an_exercise_are_found():
    (exercise,) = series.exercises(_lesson())
    assert (exercise.stub, exercise.check, exercise.has_hint) == (1, 2, True)
    assert exercise.solution == "def double(x):\n    return 2 * x"


def test_a_solution_takes_the_place_of_its_stub_in_a_copy():
    lesson = _lesson()
    answered = series.solved(lesson)
    assert answered.cells[1].source == "def double(x):\n    return 2 * x"
    assert lesson.cells[1].source == STUB
    unchanged = [n for n in range(5) if answered.cells[n].source == lesson.cells[n].source]
    assert unchanged == [0, 2, 3, 4]


def test_every_exercise_gets_its_own_solution():
    lesson = _lesson(second=True)
    lesson.cells[9].source = _folded("Solution", "```python\ndouble = lambda x: x + x\n```")
    first, second = series.exercises(lesson)
    assert (first.solution[:3], second.solution[:3]) == ("def", "dou")


@pytest.mark.slow  # three kernels
def test_right_wrong_and_missing_solutions_are_told_apart(tmp_path: Path):
    said = {}
    lessons = {
        "right": series.solved(_lesson()),
        "wrong": series.solved(_lesson("def double(x):\n    return x")),
        "missing": _lesson(),
    }
    for name, lesson in lessons.items():
        assert 0 < series.execute(lesson, tmp_path) < 60
        (said[name],) = series.verdicts(lesson)
    assert said["right"] == "Right."
    assert said["wrong"] == "Not yet: for (2) 2 is too small, 4 is expected."
    assert said["missing"].startswith("Not answered yet: ")


@pytest.mark.slow  # a kernel
def test_a_solution_that_does_not_run_fails(tmp_path: Path):
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        series.execute(series.solved(_lesson("1 / 0")), tmp_path)


@pytest.mark.parametrize("missing", ["check", "solution", "fence"])
def test_an_exercise_without_check_or_solution_is_refused(missing):
    lesson = _lesson(second=True)
    if missing == "fence":
        lesson.cells[4].source = re.sub("```.*\n?", "", lesson.cells[4].source)
    else:
        del lesson.cells[{"check": 2, "solution": 4}[missing]]
    with pytest.raises(ValueError, match="the exercise in cell 1 needs one"):
        series.exercises(lesson)


def test_text_tagged_exercise_is_refused():
    lesson = new_notebook(cells=[new_markdown_cell("?", metadata={"tags": ["exercise"]})])
    with pytest.raises(ValueError, match="must be code"):
        series.exercises(lesson)


def test_a_cell_that_shows_nothing_has_no_verdict():
    assert series.verdicts(_lesson()) == ["(no result)"]
