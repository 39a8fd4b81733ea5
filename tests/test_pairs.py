"""Every notebook has a text twin that says the same: compared by content, never by the clock."""

from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="pairs are checked with jupytext")

ROOT = Path(__file__).parents[1]
NAMES = sorted(
    {path.stem for path in (*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("tutorials/*.py"))}
)


def _cells(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (cell.cell_type, cell.source.rstrip(), tuple(cell.metadata.get("tags", ())))
        for cell in jupytext.read(path).cells
    ]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_and_tutorial_have_the_same_cells_and_kernel(name):
    notebook, text = ROOT / f"notebooks/{name}.ipynb", ROOT / f"tutorials/{name}.py"
    assert text.exists(), f"no tutorials/{name}.py; make it: jupytext --sync notebooks/{name}.ipynb"
    assert notebook.exists(), f"no notebooks/{name}.ipynb; make it: make notebooks"
    assert _cells(notebook) == _cells(text), "the text is the source: make notebooks"
    for path in (notebook, text):
        assert jupytext.read(path).metadata["kernelspec"]["name"] == "python3"


def test_a_changed_word_a_changed_tag_and_a_lost_cell_are_seen(tmp_path):
    source = '# %% [markdown]\n# # Title\n\n# %% tags=["hint"]\n1 + 1\n'
    variants = {
        "same.py": source,
        "word.py": source.replace("1 + 1", "1 + 2"),
        "tag.py": source.replace("hint", "solution"),
        "cell.py": source.split("\n\n")[0] + "\n",
        "kind.py": source.replace(" [markdown]", ""),
    }
    for name, content in variants.items():
        (tmp_path / name).write_text(content)
    notebook = tmp_path / "same.ipynb"
    jupytext.write(jupytext.read(tmp_path / "same.py"), notebook)
    differing = {name for name in variants if _cells(tmp_path / name) != _cells(notebook)}
    assert differing == {"word.py", "tag.py", "cell.py", "kind.py"}
