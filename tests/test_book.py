"""The book: nothing of it is forgotten, its examples run, and it reads without the internet."""

import importlib
import pkgutil
import re
import runpy
import shlex
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

pytest.importorskip("nbclient", reason="the tool that puts the book together knows notebooks by it")

import book_examples
import make_book
import series

import hbnlab
from hbnlab.cli.arguments import parser, study_spelling

DOCS = make_book.DOCS
PAGES = sorted(path for path in DOCS.rglob("*") if path.suffix in (".md", ".rst"))
_TOCTREE = re.compile(r"```{toctree}\n(.*?)```|\.\. toctree::\n(.*?)\n(?=\S|\Z)", re.DOTALL)
# A load from elsewhere, by whatever a page can load with; links to follow are no loads.
_LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc\s*=\s*["'](?:https?:)?//"""
    r"""|<link\b(?=[^>]*\brel="?(?:stylesheet|preload|icon|modulepreload|preconnect))[^>]*"""
    r"""\bhref\s*=\s*["'](?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//""",
    re.IGNORECASE,
)


# ---------------------------------------------------------------------- nothing is forgotten


def _entries(page: Path) -> list[str]:
    """Pages that the tables of contents of a page name, from the folder of the docs."""
    found = []
    for block in _TOCTREE.finditer(page.read_text(encoding="utf-8")):
        lines = (line.strip() for line in (block[1] or block[2]).splitlines())
        names = [line for line in lines if line and not line.startswith(":")]
        found += [(page.parent.relative_to(DOCS) / name).as_posix() for name in names]
    return found


def test_every_page_is_in_one_table_of_contents():
    entries = [entry for page in PAGES for entry in _entries(page)]
    written = [entry for entry in entries if "*" not in entry]
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES}
    assert sorted(written) == sorted(pages - {"index"})
    assert set(entries) - set(written) == {"notebooks/*", "results/**/report"}


def test_every_public_module_is_in_the_reference():
    names = {module.name for module in pkgutil.iter_modules(hbnlab.__path__)} - {"__main__"}
    public = {f"hbnlab.{name}" for name in names}
    texts = [path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.rst")]
    documented = [name for text in texts for name in re.findall(r"automodule:: (\S+)", text)]
    assert len(set(documented)) == len(documented)
    assert public | {"hbnlab"} <= set(documented)
    for name in set(documented) - public:
        assert importlib.import_module(name).__doc__


def test_every_data_set_is_in_the_reference():
    text = (DOCS / "api" / "data.rst").read_text(encoding="utf-8")
    names = importlib.import_module("hbnlab.data").NAMES
    assert [name for name in names if f"automodule:: hbnlab.data.{name}\n" not in text] == []


def test_every_lesson_is_pointed_to_by_a_page():
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    linked = set(re.findall(r"notebooks/(\d\d_\w+)\.ipynb", texts))
    assert linked <= {path.stem for path in series.TUTORIALS.glob("*.py")}


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^):#]+)\)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if target.suffix == ".ipynb":  # beside the pages only once the book is put together
                target = make_book.ROOT / target.relative_to(DOCS)
                target = series.TUTORIALS / f"{target.stem}.py"
            assert target.exists(), f"{page.relative_to(DOCS)} links to {link}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/index.md"])
def test_what_a_page_tells_to_type_is_there(name):
    root = make_book.ROOT
    page = (root / name).read_text(encoding="utf-8")
    verbs = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", page, re.MULTILINE))
    assert verbs
    assert verbs <= set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text("utf-8"), re.M))
    for line in re.findall(r"^ {4}hbnlab (.*)$", page, re.MULTILINE):
        words = shlex.split(line, comments=True)
        assert parser().parse_args(study_spelling(words)).command == words[0]
    scripts = re.findall(r"`python (\S+\.py)", page)
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", page)
    beside = [*scripts, *(link for link in links if not link.endswith(".ipynb"))]
    assert [target for target in beside if not ((root / name).parent / target).exists()] == []


# ---------------------------------------------------------------------- its settings


@pytest.fixture(scope="module")
def settings() -> dict:
    pytest.importorskip("docutils", reason="the book is built with Sphinx")
    return runpy.run_path(str(DOCS / "conf.py"))


def test_stored_outputs_are_shown_and_no_scripts_are_fetched(settings):
    assert settings["nb_execution_mode"] == "off"
    assert settings["nb_ipywidgets_js"] == {}
    assert settings["version"] == hbnlab.__version__


def test_a_table_in_a_docstring_becomes_one_of_restructuredtext(settings):
    lines = [
        "Before.",
        "",
        "| a | b |",
        "| --- | --- |",
        "| 1 | ``x`` |",
        "| 2 | |",
        "",
        "After |x|.",
    ]
    settings["_tables_to_rst"](None, "module", "name", None, None, lines)
    assert lines == [
        *("Before.", "", ".. list-table::", "   :header-rows: 1", ""),
        *("   * - a", "     - b", "   * - 1", "     - ``x``", "   * - 2", "     - "),
        *("", "After |x|."),
    ]


def test_code_in_a_docstring_is_told_from_a_quotation(settings):
    lines = [
        "Do it from Python:",
        "",
        "    panel.next()",
        "",
        "Args:",
        "    one: a",
        "",
        "End:",
        "",
    ]
    settings["_examples_to_rst"](None, "class", "name", None, None, lines)
    assert lines[0] == "Do it from Python::"
    assert lines[4:] == ["Args:", "    one: a", "", "End:", ""]


def test_the_first_sentence_of_a_property_is_no_type(settings):
    lines = ["Always: the gate is the rule."]
    settings["_sentences_to_rst"](None, "function", "name", None, None, lines)
    assert lines == ["Always: the gate is the rule."]
    settings["_sentences_to_rst"](None, "property", "name", None, None, lines)
    assert lines == ["..", "", "Always: the gate is the rule."]


def test_badges_become_links_and_other_pictures_stay():
    badge = "[![Open in Colab](https://a.example/b.svg)](https://c.example) ![mine](figure.png)"
    expected = "[Open in Colab](https://c.example) ![mine](figure.png)"
    assert make_book.without_badges(badge) == expected


# ---------------------------------------------------------------------- its examples


def _same(printed: str, expected: str) -> bool:
    """Whether texts agree, where a number may differ by one in its last place."""
    number = re.compile(r"\d+(?:\.\d+)?")
    if number.sub("0", printed).split() != number.sub("0", expected).split():
        return False
    pairs = zip(number.findall(printed), number.findall(expected), strict=True)
    return all(
        len(a.partition(".")[2]) == len(b.partition(".")[2])
        and abs(int(a.replace(".", "")) - int(b.replace(".", ""))) <= 1
        for a, b in pairs
    )


@pytest.mark.parametrize(
    ("printed", "same"),
    [
        ("94 % right, 0.53", True),
        ("95 %  right, 0.52\n", True),
        ("96 % right, 0.53", False),
        ("94 % right, 0.55", False),
        ("94 % right, 0.530", False),
        ("94 % wrong, 0.53", False),
    ],
)
def test_printed_texts_are_compared_to_the_last_place(printed, same):
    assert _same(printed, "94 % right, 0.53") == same


def test_examples_of_a_page_are_found_with_what_they_print():
    page = "Text\n\n```python\na = 1\n```\n\nMore\n\n```python\nprint(a)\n```\n\n```text\n1\n```\n"
    first, second = book_examples.examples(page)
    assert (first.code, first.printed, first.span) == ("\n\n\na = 1\n", "", None)
    assert (second.code.strip(), second.printed) == ("print(a)", "1\n")


@pytest.mark.parametrize(
    "path", book_examples.pages(), ids=lambda path: path.relative_to(DOCS).as_posix()
)
def test_the_examples_of_a_page_run_and_print_what_it_says(path, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    try:
        for example, printed in book_examples.run(path):
            line = len(example.code) - len(example.code.lstrip("\n"))
            assert _same(printed, example.printed), f"line {line}: {printed!r}"
    finally:
        plt.close("all")


@pytest.mark.parametrize("kind", ["ideas", "howto"])
def test_every_idea_and_every_way_to_add_has_an_example(kind):
    assert set((DOCS / kind).glob("*.md")) <= set(book_examples.pages())


# ---------------------------------------------------------------------- the built pages


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ('<script defer src="https://a.example/b.js"></script>', True),
        ('<link rel="stylesheet" href="//a.example/b.css" />', True),
        ('<link href="https://a.example/b.css" rel="stylesheet" />', True),
        ('<img alt="x" src="http://a.example/b.png">', True),
        ("body { background: url(https://a.example/b.png) }", True),
        ('<script src="_static/b.js"></script><a href="https://a.example">there</a>', False),
        ('<link rel="next" title="Next" href="b.html" />', False),
    ],
)
def test_a_load_from_elsewhere_is_told_from_a_link(text, loads):
    assert bool(_LOADS.search(text)) == loads


def test_a_folder_that_is_no_book_is_refused_and_kept(tmp_path):
    letter = tmp_path / "letters" / "letter.txt"
    letter.parent.mkdir()
    letter.write_text("dear")
    for site in (letter, letter.parent):
        with pytest.raises(ValueError, match="must be new, empty or an earlier book, got"):
            make_book.build(site)
    for site in (make_book.ROOT, make_book.ROOT.parent, make_book.ROOT / "tools" / ".."):
        with pytest.raises(ValueError, match="must not be a folder that contains the repository"):
            make_book.build(site)
    assert letter.read_text() == "dear"


@pytest.mark.parametrize(("code", "page"), [(1, "old"), (0, "new")])
def test_a_book_is_replaced_only_by_one_that_is_whole(code, page, tmp_path, monkeypatch):
    def write(command):
        Path(command[-1]).mkdir()
        Path(command[-1], "index.html").write_text("new")
        return code

    site = tmp_path / "site"
    site.mkdir()
    (site / ".buildinfo").touch()
    (site / "index.html").write_text("old")
    monkeypatch.setattr(make_book.subprocess, "call", write)
    monkeypatch.setattr(make_book, "put_together", Path.mkdir)
    assert make_book.build(site) == code
    assert (site / "index.html").read_text() == page
    assert list(tmp_path.iterdir()) == [site]


@pytest.mark.slow
def test_the_book_is_built_without_warnings_and_reads_offline(tmp_path):
    pytest.importorskip("myst_nb", reason="the book is built with myst-nb")
    pytest.importorskip("sphinx_book_theme", reason="the theme of the book")
    site = tmp_path / "site"
    assert make_book.build(site) == 0
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {f"notebooks/{path.stem}.html" for path in series.paths()} <= pages
    written = {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in PAGES}
    assert written <= pages
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        found = _LOADS.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(site)} loads {found[0]}"
    assert "<math" in (site / "ideas" / "gate.html").read_text(encoding="utf-8")
