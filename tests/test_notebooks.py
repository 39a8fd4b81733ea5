"""The form of the notebooks as they lie in the repository; the tool that writes their headers."""

import re
from itertools import pairwise

import nbformat
import pytest

pytest.importorskip("nbclient", reason="the tools that measure notebooks run them with nbclient")

import notebook_headers
import series

import hbnlab

PATHS = series.paths()
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
STEMS = list(NOTEBOOKS)
MAX_BYTES, MAX_LINES, MAX_SECONDS = 1_000_000, 13, 60

each_notebook = pytest.mark.parametrize("stem", STEMS)


def _title(stem: str) -> str:
    return NOTEBOOKS[stem].cells[0].source


def _code(stem: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in NOTEBOOKS[stem].cells if cell.cell_type == "code"]


def _text(stem: str) -> str:
    cells = NOTEBOOKS[stem].cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


# ---------------------------------------------------------------------- what a reader finds


@each_notebook
def test_the_title_cell_tells_question_goal_and_needs(stem):
    title = _title(stem)
    assert title.startswith(f"# {stem[:2]} · ")
    assert re.search(r"^\*[^*]+\?\*$", title, re.MULTILINE), "no question in italics"
    for name in ("Goal", "You need"):
        assert f"**{name}**" in title


@each_notebook
def test_the_title_cell_tells_a_measured_time(stem):
    seconds, megabytes = map(int, notebook_headers.RUNS_IN.search(_title(stem)).groups())
    assert 1 <= seconds <= MAX_SECONDS
    loads = re.findall(r"load\([^)]*\)", "\n".join(cell.source for cell in _code(stem)))
    downloads = any("download=True" in call for call in loads)
    assert downloads == (megabytes > 0)


@each_notebook
def test_the_title_cell_says_how_to_run_it(stem):
    lines = notebook_headers.run_lines(stem, *notebook_headers.address())
    assert "\n\n" + "\n".join(lines) + "\n" in _title(stem) + "\n", "make notebook-times"


@pytest.mark.parametrize(("earlier", "later"), list(pairwise(STEMS)))
def test_neighbours_link_to_each_other(earlier, later):
    assert f"]({later}.ipynb)" in _title(earlier)
    assert f"]({later}.ipynb)" in NOTEBOOKS[earlier].cells[-1].source
    assert f"]({earlier}.ipynb)" in _title(later)


@each_notebook
def test_every_link_to_a_notebook_leads_somewhere(stem):
    links = re.findall(r"\]\(([^):]+?\.ipynb)\)", _text(stem))
    assert [link for link in links if not (series.NOTEBOOKS / link).exists()] == []


@each_notebook
def test_something_is_to_be_predicted(stem):
    assert re.search(r"before you (run|move|look|open|read)|predict", _text(stem), re.IGNORECASE)


@each_notebook
def test_it_ends_with_what_was_learned_and_references(stem):
    assert "What you learned" in _text(stem)
    assert re.search("What you learned.*References", _text(stem), re.DOTALL)


@each_notebook
def test_two_exercises_or_more_have_a_hint_a_check_and_a_solution(stem):
    found = series.exercises(NOTEBOOKS[stem])
    assert len(found) >= 2
    assert all(exercise.has_hint for exercise in found)
    titles = re.findall(r"^### Exercise (\d+) · ", _text(stem), re.MULTILINE)
    assert titles == [str(number + 1) for number in range(len(found))]


# ---------------------------------------------------------------------- what it was run with


@each_notebook
def test_every_cell_was_run_in_order_without_errors(stem):
    code = _code(stem)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []


@each_notebook
def test_it_is_handed_out_unsolved(stem):
    said = series.verdicts(NOTEBOOKS[stem])
    assert [words for words in said if not words.startswith("Not answered yet: ")] == []


@each_notebook
def test_pictures_have_alternative_text(stem):
    for cell in _code(stem):
        for output in cell.outputs:
            kinds = output.get("data", {})
            assert not {"image/png", "image/svg+xml", "image/jpeg"} & set(kinds), cell.source
            pictures = re.findall("<img [^>]*>", kinds.get("text/html", ""))
            assert all(re.search('alt="[^"]+"', picture) for picture in pictures), cell.source


@each_notebook
def test_the_environment_is_printed_and_not_compared(stem):
    (cell,) = [cell for cell in _code(stem) if "hbnlab.environment()" in cell.source]
    assert "nbval-ignore-output" in cell.metadata.get("tags", [])


@each_notebook
def test_files_are_small_and_cells_are_short(stem):
    path = series.NOTEBOOKS / f"{stem}.ipynb"
    assert path.stat().st_size < MAX_BYTES
    beside_setup = [cell.source for cell in _code(stem) if "environment()" not in cell.source]
    lines = {source: len(list(filter(None, source.splitlines()))) for source in beside_setup}
    assert {source: count for source, count in lines.items() if count > MAX_LINES} == {}


@each_notebook
def test_no_machine_leaves_its_traces(stem):
    content = (series.NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8")
    assert "application/vnd.jupyter.widget-state" not in content
    assert not re.search(r"/(home|work|root|tmp|Users)/", content)


# ---------------------------------------------------------------------- the tool for the headers

TITLE = """# 07 · A topic

*Why?*

**Goal** To know. **Runs in** 10 s on 2 cores, downloads 30 MB.

<!-- badges -->

[Next](08_next.ipynb)"""


@pytest.mark.parametrize("repository", [None, "https://code.example/lab"])
def test_only_the_time_and_how_to_run_it_are_written(repository, monkeypatch):
    monkeypatch.setattr(notebook_headers, "address", lambda: (repository, "v1.2.3"))
    written = notebook_headers.header(TITLE, "07_topic", 14.2)
    lines = "\n".join(notebook_headers.run_lines("07_topic", repository, "v1.2.3"))
    assert written == TITLE.replace("10 s", "15 s").replace(notebook_headers.MARK, lines)


@pytest.mark.parametrize("repository", [None, "https://code.example/lab"])
def test_a_header_can_be_written_again(repository, monkeypatch):
    monkeypatch.setattr(notebook_headers, "address", lambda: (repository, "v1.2.3"))
    once = notebook_headers.header(TITLE, "07_topic", 14.2)
    assert notebook_headers.header(once, "07_topic", 14.2) == once
    assert "**Runs in** 3 s" in notebook_headers.header(once, "07_topic", 2.5)


@pytest.mark.parametrize("seconds", [None, 8.0, 10.0, 12.4])
def test_a_time_that_is_about_right_is_left_alone(seconds):
    assert "**Runs in** 10 s" in notebook_headers.header(TITLE, "07_topic", seconds)


@pytest.mark.parametrize("lost", ["**Runs in**", notebook_headers.MARK])
def test_a_title_without_a_place_to_write_is_refused(lost):
    with pytest.raises(ValueError, match="07_topic needs"):
        notebook_headers.header(TITLE.replace(lost, ""), "07_topic", 1.0)


def test_a_lesson_names_an_address_only_when_the_project_has_one():
    lines = notebook_headers.run_lines("07_topic", None, "v1.2.3")
    assert lines == [notebook_headers.IN_A_CLONE, notebook_headers.MARK]
    assert "://" not in "".join(lines)


def test_an_address_of_the_project_puts_in_badges_and_pins_a_tag():
    repository = f"https://{notebook_headers.HOST}/someone/lab"
    *links, clone, mark = notebook_headers.run_lines("07_topic", repository, "v1.2.3")
    colab, binder, install = links
    assert "/someone/lab/blob/v1.2.3/notebooks/07_topic.ipynb)" in colab
    assert "/someone/lab/v1.2.3?labpath=notebooks/07_topic.ipynb)" in binder
    assert f"`%pip install git+{repository}@v1.2.3`" in install
    assert (clone, mark) == (notebook_headers.IN_A_CLONE, notebook_headers.MARK)


def test_a_repository_that_the_services_cannot_open_gets_no_badges():
    lines = notebook_headers.run_lines("07_topic", "https://code.example/lab", "v1.2.3")
    assert [line for line in lines if line.startswith("[![")] == []
    assert "git+https://code.example/lab@v1.2.3" in lines[0]


def test_the_tag_is_the_version_of_the_project():
    repository, tag = notebook_headers.address()
    assert tag == f"v{hbnlab.__version__}"
    assert repository is None or repository.startswith("https://")


def test_notebook_and_text_are_written_alike(tmp_path):
    jupytext = pytest.importorskip("jupytext", reason="pairs are read with jupytext")
    notebook_path, tutorial_path = tmp_path / "07_topic.ipynb", tmp_path / "07_topic.py"
    commented = "\n".join(f"# {line}".rstrip() for line in TITLE.splitlines())
    kernel = "#     display_name: Python 3\n#     name: python3\n"
    front = f"# ---\n# jupyter:\n#   kernelspec:\n{kernel}# ---\n\n"
    rest = "\n\n# %%\n1 + 1\n\n# %% [markdown]\n# **Runs in** 10 s on 2 cores, downloads 30 MB.\n"
    tutorial_path.write_text(f"{front}# %% [markdown]\n{commented}{rest}", encoding="utf-8")
    nbformat.write(jupytext.read(tutorial_path), notebook_path)
    notebook_headers.write(notebook_path, tutorial_path, 99.0)
    sources = [
        [cell.source for cell in jupytext.read(path).cells]
        for path in (notebook_path, tutorial_path)
    ]
    assert sources[0] == sources[1]
    assert sources[0][0] == notebook_headers.header(TITLE, "07_topic", 99.0)
    assert sources[0][1:] == ["1 + 1", "**Runs in** 10 s on 2 cores, downloads 30 MB."]
    nbformat.validate(nbformat.read(notebook_path, as_version=4))
