"""The rules that every label tree satisfies; each error names the rule and the value."""

from collections.abc import Sequence

from hbnlab.hierarchy.class_rows import repeated

Names = Sequence[str]


def check_tree(
    level_names: Names, class_names: Sequence[Names], parents: Sequence[Sequence[int]]
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
    for level_name, names in zip(level_names, class_names, strict=True):
        _check_class_names(level_name, names)
    for level in range(1, len(parents)):
        _check_parents(
            level_names[level], class_names[level], parents[level], class_names[level - 1]
        )


def _check_class_names(level_name: str, names: Names) -> None:
    if not names:
        raise ValueError(f"level {level_name!r} must have at least one class, got none")
    if "" in names:
        raise ValueError(
            f"class names must not be empty, got '' for class {names.index('')} of {level_name!r}"
        )
    if twice := repeated(names):
        raise ValueError(f"class names must be unique within {level_name!r}, repeated: {twice}")


def _check_parents(level_name: str, names: Names, parents: Sequence[int], above: Names) -> None:
    if len(parents) != len(names):
        raise ValueError(
            f"every class of {level_name!r} needs one parent, got {len(parents)} parents "
            f"for {len(names)} classes"
        )
    outside = sorted({p for p in parents if not 0 <= p < len(above)})
    if outside:
        raise ValueError(f"parents of {level_name!r} must be in 0..{len(above) - 1}, got {outside}")
    childless = [above[p] for p in range(len(above)) if p not in set(parents)]
    if childless:
        raise ValueError(f"every class needs a child at {level_name!r}, none under {childless}")
