"""conftest.py and nbval_sanitize.cfg, tried on small notebooks by a second pytest."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

pytest.importorskip("nbval", reason="notebooks are run by nbval")

ROOT = Path(__file__).parents[1]
KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}

# Code, and the stream and text that the notebook holds as its output.
NOTEBOOKS = {
    "silenced": ("1 + 1;", None),
    "bar": (
        "import os, sys\nprint('bar of', os.getpid(), file=sys.stderr)",
        ("stderr", "bar of 1\n"),
    ),
    "timed": (
        "print(object(), 'took 0.31 s')",
        ("stdout", "<object object at 0x7f2d> took 12 s\n"),
    ),
    "figure": (
        """print('<img alt="95.1 %" src="data:image/png;base64,Ab+/=="> <figure: at 95.1 %>')""",
        (
            "stdout",
            '<img alt="95.2 %" src="data:image/png;base64,Xy5s1min0=="> <figure: at 95.2 %>\n',
        ),
    ),
    "wrong": ("print(1 + 1)", ("stdout", "3\n")),
    "real": ("print(1 + 1)", ("stdout", "3\n")),
}
TAGS = {"real": ["fashion-mnist"]}


def _outcomes(folder: Path, names: list[str], *options: str) -> dict[str, str]:
    for name in names:
        code, output = NOTEBOOKS[name]
        outputs = [new_output("stream", name=output[0], text=output[1])] if output else []
        metadata = {"tags": TAGS.get(name, [])}
        cells = [new_code_cell(code, execution_count=1, outputs=outputs, metadata=metadata)]
        notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})
        nbformat.write(notebook, folder / f"{name}.ipynb")
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-rA", "--nbval", "--nbval-current-env", *options]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = re.findall(r"^(PASSED|FAILED) (\w+)\.ipynb", finished.stdout, flags=re.MULTILINE)
    assert len(found) == len(names), finished.stdout + finished.stderr
    return {name: outcome for outcome, name in found}


def _with_our_settings(folder: Path, names: list[str], more: str = "") -> dict[str, str]:
    settings = (ROOT / "conftest.py").read_text(encoding="utf-8")
    (folder / "conftest.py").write_text(settings + more, encoding="utf-8")
    sanitize = f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"
    return _outcomes(folder, names, sanitize)


@pytest.fixture(scope="module")
def with_our_settings(tmp_path_factory) -> dict[str, str]:
    names = [name for name in NOTEBOOKS if name not in TAGS]
    return _with_our_settings(tmp_path_factory.mktemp("with"), names)


def test_a_trailing_semicolon_silences_a_cell(with_our_settings):
    assert with_our_settings["silenced"] == "PASSED"


def test_nbval_alone_still_needs_our_method_for_that(tmp_path):
    assert _outcomes(tmp_path, ["silenced"]) == {"silenced": "FAILED"}


def test_what_a_cell_writes_to_stderr_is_not_compared(with_our_settings):
    assert with_our_settings["bar"] == "PASSED"


def test_addresses_and_wall_times_are_not_compared(with_our_settings):
    assert with_our_settings["timed"] == "PASSED"


def test_pixels_and_words_of_a_figure_are_not_compared(with_our_settings):
    assert with_our_settings["figure"] == "PASSED"


def test_what_a_cell_prints_is_compared(with_our_settings):
    assert with_our_settings["wrong"] == "FAILED"


@pytest.mark.parametrize(("is_here", "outcome"), [(True, "FAILED"), (False, "PASSED")])
def test_what_fashion_mnist_shows_is_compared_where_it_is(tmp_path, is_here, outcome):
    more = f"\n\ndef _has_fashion_mnist():\n    return {is_here}\n"
    assert _with_our_settings(tmp_path, ["real"], more) == {"real": outcome}
