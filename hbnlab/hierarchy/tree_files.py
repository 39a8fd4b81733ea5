"""Read a tree from a file, JSON or CSV, and match it with the classes of some images."""

import csv
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hbnlab.hierarchy.class_rows import Row, repeated, rows_of_mapping
from hbnlab.hierarchy.tree import Hierarchy

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(\s*:)?')


@dataclass(frozen=True)
class GivenTree:
    """A tree, and where somebody wrote it.

    Attributes:
        hierarchy: the tree.
        source: its file, for messages.
        lines: the line of each finest class in that file.

    Example:
        >>> read_tree({"pet": ["cat", "dog"]}).hierarchy.num_classes
        (1, 2)
    """

    hierarchy: Hierarchy
    source: str = "the tree"
    lines: Mapping[str, int] = field(default_factory=dict)

    def for_classes(self, names: Collection[str], owner: str) -> Hierarchy:
        """The tree, provided that its finest classes are exactly those of some images.

        Args:
            names: the classes of the images, in any order.
            owner: what has these classes, for messages.

        Raises:
            ValueError: for a class that only one of the two has: which, and in which line.

        Example:
            >>> tree = read_tree({"pet": ["cat", "dog"]})
            >>> tree.for_classes(["dog", "cat", "cow"], "the farm")
            Traceback (most recent call last):
            ValueError: the tree must have a row for every class of the farm, got none for ['cow']
        """
        finest = self.hierarchy.class_names[-1]
        missing = sorted(set(names) - set(finest))
        if unknown := [name for name in finest if name not in names]:
            lines = ", ".join(str(self.lines[name]) for name in unknown if name in self.lines)
            place = f"{self.source}, line {lines}" if lines else self.source
            unmatched = f"; it has {missing}, which have no row" if missing else ""
            raise ValueError(
                f"{place}: every finest class must be one of {owner}, got {unknown}{unmatched}"
            )
        if missing:
            raise ValueError(
                f"{self.source} must have a row for every class of {owner}, got none for {missing}"
            )
        return self.hierarchy


TreeSource = Hierarchy | GivenTree | Mapping[str, Any] | str | Path
"""A tree, the nested mappings of ``Hierarchy.from_dict``, a ``to_spec``, or a file of these."""


def read_tree(source: TreeSource) -> GivenTree:
    """Read a tree from a file, or take one that is already in memory.

    A CSV file has one row per finest class, from coarse to fine, below a line with the names of the
    levels. A JSON file holds nested objects whose innermost values are lists of finest classes, as
    ``Hierarchy.from_dict`` takes them, or what ``Hierarchy.to_spec`` gives.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that does not hold a tree, naming it and the line.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> rows = ["kind,animal,breed", "pet,dog,poodle", "pet,dog,pug", "wild,cat,lynx"]
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "tree.csv"
        ...     _ = path.write_text(chr(10).join(rows))
        ...     given = read_tree(path)
        >>> given.hierarchy.summary, given.lines["lynx"]
        ('2 kind > 2 animal > 3 breed', 4)
    """
    if isinstance(source, GivenTree):
        return source
    if isinstance(source, Hierarchy):
        return GivenTree(source)
    if isinstance(source, Mapping):
        return GivenTree(_tree_of_spec(source) or Hierarchy.from_dict(source))
    path = Path(source).expanduser()
    if path.suffix.lower() not in (".json", ".csv"):
        raise ValueError(f"a tree file must end in .json or .csv, got {path}")
    if not path.is_file():
        raise FileNotFoundError(f"no tree file at {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text: {error}") from error
    return (_read_csv if path.suffix.lower() == ".csv" else _read_json)(path, text)


def _read_csv(path: Path, text: str) -> GivenTree:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    table = [(reader.line_num, tuple(cell.strip() for cell in row)) for row in reader if row]
    if not table:
        raise ValueError(f"{path} must name the levels in its first line, got an empty file")
    (first, header), *rows = table
    for line, row in rows:
        if len(row) != len(header):
            raise ValueError(
                f"{path}, line {line}: every row must have {len(header)} columns like line {first} "
                f"with the names of the levels, {header}, got {row}"
            )
    given = _tree_of_rows(path, rows)
    try:
        named = given.hierarchy.with_level_names(header)
    except ValueError as error:
        raise ValueError(f"{path}, line {first}: {error}") from error
    return GivenTree(named, given.source, given.lines)


def _read_json(path: Path, text: str) -> GivenTree:
    lines = _string_lines(text, keys=False)

    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        if twice := repeated(key for key, _ in pairs):
            line = _string_lines(text, keys=True)[twice[0]]
            raise ValueError(f"{path}, line {line}: {twice[0]!r} stands twice under one parent")
        return dict(pairs)

    try:
        content = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from error
    try:
        if tree := _tree_of_spec(content):
            return GivenTree(tree, str(path), lines)
        rows = list(rows_of_mapping(content))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if odd := [row[-1] for row in rows if not isinstance(row[-1], str)]:
        raise ValueError(f"{path}: class names must be text, got {odd[0]!r}")
    return _tree_of_rows(path, [(lines[row[-1]], row) for row in rows])


def _tree_of_spec(content: Any) -> Hierarchy | None:
    """The tree that ``Hierarchy.to_spec`` described; None for anything else."""
    fields = {"level_names", "class_names", "parents"}
    if not isinstance(content, Mapping) or content.keys() != fields:
        return None
    try:
        return Hierarchy.from_spec(content)
    except TypeError as error:
        raise ValueError(f"{sorted(fields)} must be lists, one entry per level: {error}") from error


def _tree_of_rows(path: Path, rows: Sequence[tuple[int, Row]]) -> GivenTree:
    """Build a tree; an error names the line of the first row with which the rows are no tree."""
    names = [row for _, row in rows]
    try:
        tree = Hierarchy.from_table(names)
    except ValueError as error:
        for count, (line, _) in enumerate(rows, start=1):
            try:
                Hierarchy.from_table(names[:count])
            except ValueError as first:
                raise ValueError(f"{path}, line {line}: {first}") from first
        raise ValueError(f"{path}: {error}") from error
    return GivenTree(tree, str(path), {row[-1]: line for line, row in rows})


def _string_lines(text: str, *, keys: bool) -> dict[str, int]:
    """The last line of each string in a JSON text, of those that are keys or of the others."""
    found = [match for match in _STRING.finditer(text) if (match[1] is not None) == keys]
    return {
        json.loads(match[0].removesuffix(match[1] or "")): text.count("\n", 0, match.start()) + 1
        for match in found
    }
