"""``make soak`` on a series of one small notebook."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

pytest.importorskip("nbclient", reason="notebooks are run by nbclient")

import series
import soak

CHECK = "from hbnlab.exercises import check\n\ncheck(answer, 42)"


def _lesson(solution: str, seconds: int = 10):
    folded = f"<details><summary>Solution</summary>\n\n```python\n{solution}\n```\n\n</details>"
    return new_notebook(
        cells=[
            new_markdown_cell(f"**Runs in** {seconds} s on 2 cores, downloads 0 MB."),
            new_code_cell("answer = ...", metadata={"tags": ["exercise"]}),
            new_code_cell(CHECK),
            new_markdown_cell(folded),
        ]
    )


@pytest.fixture
def run_soak(tmp_path, monkeypatch, capsys):
    """Soak one notebook; its exit status and what it printed."""

    def run(lesson) -> tuple[int, str]:
        path = tmp_path / "00_lesson.ipynb"
        nbformat.write(lesson, path)
        monkeypatch.setattr(series, "paths", lambda: [path])
        monkeypatch.setattr(series, "keep_to_two_cores", lambda: None)  # pytest keeps its own
        return soak.main(), capsys.readouterr().out

    return run


@pytest.mark.slow  # four kernels
def test_a_series_without_faults_passes_and_shows_four_times(run_soak):
    status, printed = run_soak(_lesson("answer = 42"))
    assert status == 0
    row = next(line for line in printed.splitlines() if line.startswith("00_lesson")).split()
    assert row[1] == "10"
    assert len([float(seconds) for seconds in row[2:]]) == 4
    assert printed.endswith("No faults.\n")


def test_a_check_that_is_not_right_is_a_fault(run_soak, monkeypatch):
    monkeypatch.setattr(series, "execute", lambda notebook: 10.0)
    monkeypatch.setattr(series, "verdicts", lambda notebook: ["Not yet: 41 is too small."])
    status, printed = run_soak(_lesson("answer = 41"))
    assert status == 1
    assert "00_lesson: a check said 'Not yet: 41 is too small.'" in printed


def test_a_notebook_that_fails_is_a_fault(run_soak, monkeypatch):
    def fail(notebook):
        raise RuntimeError("kernel died")

    monkeypatch.setattr(series, "execute", fail)
    status, printed = run_soak(_lesson("answer = 42"))
    assert status == 1
    assert "00_lesson: kernel died" in printed


def test_a_notebook_that_takes_too_long_is_a_fault(run_soak, monkeypatch):
    monkeypatch.setattr(series, "execute", lambda notebook: 70.0)
    monkeypatch.setattr(series, "verdicts", lambda notebook: [])
    status, printed = run_soak(_lesson("answer = 42"))
    assert status == 1
    assert "00_lesson: took 70 s\n" in printed
    assert "its header says 10" in printed
