"""Read the classes of a tree, one row of names per finest class, coarse to fine; and check them."""

import os
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
    if twice := repeated(row[-1] for row in table):
        raise ValueError(f"finest class names must be unique, repeated: {twice}")
    columns = [list(dict.fromkeys(column)) for column in zip(*table, strict=True)]
    if sort:
        columns = [sorted(column) for column in columns]
    parents: list[tuple[int, ...]] = [()]
    for level in range(1, depth):
        edges = {(row[level], row[level - 1]) for row in table}
        if twice := repeated(child for child, _ in edges):
            found = sorted(parent for child, parent in edges if child == twice[0])
            raise ValueError(f"every class needs one parent, got {found} for {twice[0]!r}")
        parent_of = dict(edges)
        parents.append(tuple(columns[level - 1].index(parent_of[name]) for name in columns[level]))
    return tuple(tuple(column) for column in columns), tuple(parents)


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


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
    rows = []
    for folder, below, _ in os.walk(root, followlinks=True):
        below[:] = [name for name in below if not name.startswith(".")]
        if not below:
            rows.append(Path(folder).relative_to(root).parts)
    if rows == [()]:
        raise ValueError(f"{root} must hold one folder per class, found no folder")
    short, long = min(rows, key=len), max(rows, key=len)
    if len(short) < len(long):
        raise ValueError(
            "all classes must be nested equally deep, got "
            f"{'/'.join(short)} (levels: {len(short)}) and {'/'.join(long)} (levels: {len(long)})"
        )
    return rows


def check_tree(
    level_names: Row, class_names: tuple[Row, ...], parents: tuple[tuple[int, ...], ...]
) -> None:
    """Validate the three fields of a ``Hierarchy``.

    Raises:
        ValueError: for a class without a parent or a child, or a repeated or empty name.
    """
    counts = (len(level_names), len(class_names), len(parents))
    if len(set(counts)) > 1 or counts[0] == 0:
        raise ValueError(
            f"level_names, class_names and parents must have one entry per level, got {counts}"
        )
    if repeated(level_names):
        raise ValueError(f"level names must be unique, got {list(level_names)}")
    if parents[0]:
        raise ValueError("parents[0] must be empty: the coarsest classes have no parent")
    for level, names in zip(level_names, class_names, strict=True):
        if not names:
            raise ValueError(f"level {level!r} must have at least one class, got none")
        if "" in names:
            number = names.index("")
            raise ValueError(
                f"class names must not be empty, got '' for class {number} of {level!r}"
            )
        if twice := repeated(names):
            raise ValueError(f"class names must be unique within {level!r}, repeated: {twice}")
    for level in range(1, len(parents)):
        _check_parents(
            level_names[level], class_names[level], parents[level], class_names[level - 1]
        )


def _check_parents(level: str, names: Row, parents: tuple[int, ...], above: Row) -> None:
    if len(parents) != len(names):
        raise ValueError(
            f"every class of {level!r} needs one parent, got {len(parents)} parents "
            f"for {len(names)} classes"
        )
    known = set(range(len(above)))
    if outside := sorted(set(parents) - known):
        raise ValueError(f"parents of {level!r} must be in 0..{len(above) - 1}, got {outside}")
    if childless := [above[parent] for parent in sorted(known - set(parents))]:
        raise ValueError(f"every class needs a child at {level!r}, none under {childless}")
