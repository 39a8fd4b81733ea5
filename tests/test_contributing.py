"""CONTRIBUTING names files, functions and tables that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_PLACEHOLDERS = re.compile(r"NN_topic|<module>")


def _paths() -> set[str]:
    """What looks like a path of the repository in the inline code of the text."""
    words = re.findall(r"`([^`\n]+)`", TEXT)
    paths = {part for word in words for part in re.findall(r"[\w./<>-]+/[\w./<>-]*", word)}
    return {path for path in paths if not _PLACEHOLDERS.search(path)} - {"site/"}


def test_every_file_and_folder_that_it_names_exists():
    paths = _paths()
    assert len(paths) > 15
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_what_it_names_in_a_file_is_defined_there():
    places = re.findall(r"`(\w+)` in `([\w./]+\.py)`", TEXT)
    assert len(places) > 8
    missing = {
        f"{name} in {path}"
        for name, path in places
        if not re.search(
            rf"^(?:def |class )?{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert missing == set()


def test_ten_changes_name_one_file_or_a_file_and_a_list():
    table = TEXT.partition("| change | file | list |")[2].split("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    assert len(rows) == 10
    for _, file, listed in rows:
        assert len(re.findall(r"`hbnlab/[\w./]+`", file)) == 1
        assert len(re.findall(r"`hbnlab/[\w./]+`", listed)) <= 1
