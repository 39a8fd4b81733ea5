"""The head mask: which (exit, level) pairs of a network have a head, for networks and records."""

from collections.abc import Sequence

from hbnlab.hierarchy import Hierarchy

HeadMask = tuple[tuple[bool, ...], ...]
"""``head_mask[exit_index][level_index]`` is True where there is a head; such a pair is a cell."""


def check_head_mask(
    mask: Sequence[Sequence[bool]], num_exits: int, hierarchy: Hierarchy
) -> HeadMask:
    """Validate a head mask against the number of exits and the levels of a tree.

    Raises:
        ValueError: for a mask of another shape, or an exit without any head.

    Example:
        >>> tree = Hierarchy.from_dict({"pet": ["cat", "dog"], "bird": ["owl"]})
        >>> check_head_mask([[True, False], [True, True]], 2, tree)
        ((True, False), (True, True))
    """
    rows = tuple(tuple(bool(has_head) for has_head in row) for row in mask)
    shape = (len(rows), *sorted({len(row) for row in rows}))
    if shape != (num_exits, hierarchy.num_levels):
        raise ValueError(
            f"a head mask must have {num_exits} exits x {hierarchy.num_levels} levels, "
            f"got {[list(row) for row in rows]}"
        )
    bare = [number for number, row in enumerate(rows, start=1) if not any(row)]
    if bare:
        raise ValueError(f"every exit needs at least one head, none at exit {bare}")
    return rows


def cells_of(mask: Sequence[Sequence[bool]]) -> tuple[tuple[int, int], ...]:
    """The (exit, level) pairs that have a head, exit by exit, coarsest level first.

    Example:
        >>> cells_of([[True, False], [True, True]])
        ((0, 0), (1, 0), (1, 1))
    """
    return tuple(
        (exit_index, level)
        for exit_index, row in enumerate(mask)
        for level, has_head in enumerate(row)
        if has_head
    )


def finest_level(row: Sequence[bool]) -> int:
    """The finest level that has a head, in one exit's row of a head mask.

    Example:
        >>> finest_level([True, True, False])
        1
    """
    return len(row) - 1 - row[::-1].index(True)


def has_two_heads(mask: Sequence[Sequence[bool]]) -> bool:
    """Whether every exit has a finest and a coarsest head, which are not the same.

    Example:
        >>> has_two_heads([[True, True], [True, True]]), has_two_heads([[True], [True]])
        (True, False)
    """
    return len(mask[0]) > 1 and all(row[0] and row[-1] for row in mask)


def describe_cells(mask: Sequence[Sequence[bool]], hierarchy: Hierarchy) -> str:
    """The cells in words, exits counted from 1.

    Example:
        >>> tree = Hierarchy.from_dict({"pet": ["cat", "dog"], "bird": ["owl"]})
        >>> describe_cells([[True, False], [True, True]], tree)
        'exit 1 coarse, exit 2 coarse, exit 2 fine'
    """
    names = hierarchy.level_names
    return ", ".join(f"exit {index + 1} {names[level]}" for index, level in cells_of(mask))
