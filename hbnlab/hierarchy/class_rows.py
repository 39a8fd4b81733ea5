"""Read a label tree as rows: one row per finest class, the names of its classes coarse to fine."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, ...]


def default_level_names(depth: int) -> Row:
    """``("coarse", "fine")`` for two levels, numbered names for any other depth.

    Example:
        >>> default_level_names(2), default_level_names(3)
        (('coarse', 'fine'), ('level 1', 'level 2', 'level 3'))
    """
    if depth == 2:
        return ("coarse", "fine")
    return tuple(f"level {number}" for number in range(1, depth + 1))


def classes_and_parents(
    rows: Iterable[Sequence[str]], *, sort: bool
) -> tuple[tuple[Row, ...], tuple[tuple[int, ...], ...]]:
    """The class names of each level, and for each class the index of its parent.

    Raises:
        ValueError: for rows of different lengths, a repeated finest class, or a class that stands
            under two parents.
    """
    table = [tuple(row) for row in rows]
    if not table:
        raise ValueError("a hierarchy needs at least one row, got none")
    depth = len(table[0])
    for row in table:
        if len(row) != depth or depth == 0:
            raise ValueError(f"every row must have {depth} columns, got {len(row)}: {row}")
    repeated = sorted(name for name, count in Counter(r[-1] for r in table).items() if count > 1)
    if repeated:
        raise ValueError(f"finest class names must be unique, repeated: {repeated}")
    columns = [list(dict.fromkeys(column)) for column in zip(*table, strict=True)]
    if sort:
        columns = [sorted(column) for column in columns]
    parents: list[tuple[int, ...]] = [()]
    for level in range(1, depth):
        names = _parent_names(table, level)
        parents.append(tuple(columns[level - 1].index(names[name]) for name in columns[level]))
    return tuple(tuple(column) for column in columns), tuple(parents)


def rows_of_mapping(tree: Any, above: Row = ()) -> Iterator[Row]:
    """The rows of nested mappings whose innermost values are lists of finest classes."""
    if isinstance(tree, str) or not isinstance(tree, Mapping | Iterable):
        raise ValueError(f"under {'/'.join(above)!r} a mapping or a list is expected, got {tree!r}")
    if not tree:
        raise ValueError(f"every class needs a child, none under {'/'.join(above) or 'the root'!r}")
    for name in tree:
        if isinstance(tree, Mapping):
            yield from rows_of_mapping(tree[name], (*above, name))
        else:
            yield (*above, name)


def rows_of_folder(root: Path) -> list[Row]:
    """The rows of nested folders; every folder without subfolders is a finest class."""
    if not root.is_dir():
        raise FileNotFoundError(f"a folder of classes is expected at {root}, found none")
    rows = [folder.relative_to(root).parts for folder in _innermost_folders(root)]
    if rows == [()]:
        raise ValueError(f"{root} must hold one folder per class, found no folder")
    short, long = min(rows, key=len), max(rows, key=len)
    if len(short) < len(long):
        raise ValueError(
            "all classes must be nested equally deep, got "
            f"{'/'.join(short)} (levels: {len(short)}) and {'/'.join(long)} (levels: {len(long)})"
        )
    return rows


def _parent_names(table: Sequence[Row], level: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in table:
        first = found.setdefault(row[level], row[level - 1])
        if first != row[level - 1]:
            raise ValueError(
                f"every class needs one parent, got {first!r} and {row[level - 1]!r} "
                f"for {row[level]!r}"
            )
    return found


def _innermost_folders(folder: Path) -> Iterator[Path]:
    below = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not below:
        yield folder
    for child in below:
        yield from _innermost_folders(child)
