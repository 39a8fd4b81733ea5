"""No file sends a reader to an address that nobody of this project owns."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATED = {"__pycache__", ".ipynb_checkpoints", "runs"}
OWN = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get(
    "urls", {}
)

# Either a scheme with a host, or the path of a repository on a known host without its scheme.
_ADDRESS = re.compile(
    r"""(?:https?|ftp|git|ssh)://(?=[\w\[])[^\s"'`<>()\\]+"""
    r"""|\b(?:github|gitlab|bitbucket)\.(?:com|org|io)/[\w.-]+"""
)
ALLOWED = {
    "http://www.w3.org/": "names of XML namespaces, which nothing fetches",
    "http://purl.org/dc/": "names of XML namespaces in what matplotlib draws",
    "http://creativecommons.org/ns#": "names of XML namespaces in what matplotlib draws",
}
# This machine, and the domains that are reserved for examples: nobody can register them.
_HARMLESS = re.compile(
    r"https?://(?:127\.0\.0\.1|localhost|[\w.-]+\.(?:example|invalid|test))(?=/|$|[@:])"
)


def _services() -> tuple[str, ...]:
    """Services that open the project's notebooks: named only where the project has an address."""
    if not OWN:
        return ()
    import notebook_headers

    return f"https://{notebook_headers.COLAB}/", f"https://{notebook_headers.BINDER}/"


def addresses(text: str) -> list[str]:
    """All addresses in a text but those that are allowed or are the project's own."""
    fine = (*ALLOWED, *OWN.values(), *_services())
    return [
        found
        for found in _ADDRESS.findall(text)
        if not found.startswith(fine) and not _HARMLESS.match(found)
    ]


def test_the_services_are_allowed_once_the_project_has_an_address(monkeypatch):
    pytest.importorskip("nbclient", reason="the tool that writes the headers runs notebooks")
    address = "https://" + "code.someone.org/lab"
    badge = f"![Colab](https://{'colab.research'}.google.com/x.svg) {address}@v1"
    assert len(addresses(badge)) == 2
    monkeypatch.setitem(OWN, "Repository", address)
    assert addresses(badge) == []


def _files() -> Iterator[Path]:
    """The files of the repository, without what tools leave beside them."""
    folders = (
        "benchmarks",
        "docs",
        "hbnlab",
        "notebooks",
        "results",
        "tests",
        "tools",
        "tutorials",
    )
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith(".coverage"):
            yield path
    for folder in (*folders, ".ci", ".github"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not GENERATED & set(path.relative_to(ROOT).parts):
                yield path


def test_no_text_of_the_repository_has_another_address():
    found = {}
    for path in _files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture or weights
            continue
        if strangers := addresses(text):
            found[path.relative_to(ROOT).as_posix()] = strangers
    assert found == {}, "put the project's address into [project.urls] of pyproject.toml"


@pytest.mark.parametrize(
    "text",
    [
        "pip install git+ht" + "tps://github" + ".com/someone/lab",
        "see ht" + "tp://lab.readthedocs.io",
        "a clone of github" + ".com/someone/lab",
        "ht" + "tps://www.w3.org.evil.org/2000/svg",
        "ht" + "tp://127.0.0.1.evil.org/",
    ],
)
def test_another_address_is_found(text):
    assert addresses(text)


@pytest.mark.parametrize(
    "text",
    [
        'xmlns="http://www.w3.org/2000/svg"',
        "http://127.0.0.1:8888/lab",
        "https://a.example/b.css",
        "${{ github.workflow }}",
        "10.1109/ICPR.2016.7900006",
        'f"https://{HOST}/"',
    ],
)
def test_what_is_no_address_of_a_stranger_is_left_alone(text):
    assert addresses(text) == []
