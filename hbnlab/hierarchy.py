"""A label hierarchy: the same images named at several levels, from coarse to fine."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Hierarchy:
    """A tree of classes with any number of levels; every leaf lies at the last one.

    Attributes:
        level_names: one name a level, coarsest first, such as ``("coarse", "fine")``.
        class_names: ``class_names[l][c]`` names class ``c`` of level ``l``; unique within a level.
        parents: ``parents[l][c]`` is the class of level ``l - 1`` that holds class ``c`` of level
            ``l``; ``parents[0]`` is empty, for the coarsest classes have no parent but the root.

    Raises:
        ValueError: when a class has no parent or no child, or a name stands twice in a level.
    """

    level_names: tuple[str, ...]
    class_names: tuple[tuple[str, ...], ...]
    parents: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "level_names", tuple(self.level_names))
        object.__setattr__(self, "class_names", tuple(tuple(names) for names in self.class_names))
        object.__setattr__(self, "parents", tuple(tuple(row) for row in self.parents))
        _check_shape(self)
        for level in range(self.num_levels):
            _check_names(self, level)
            if level > 0:
                _check_parents(self, level)

    # ------------------------------------------------------------------ building

    @classmethod
    def from_table(
        cls,
        rows: Iterable[Sequence[str]],
        level_names: Sequence[str] | None = None,
        *,
        sort: bool = False,
    ) -> "Hierarchy":
        """Build a tree from one row per finest class, written from coarse to fine.

        Args:
            rows: such as ``[("dog", "poodle"), ("dog", "collie"), ("cat", "siamese")]``.
            level_names: names of the columns; ``("coarse", "fine")`` for two columns, otherwise
                ``("level 1", ...)``.
            sort: number the classes of each level alphabetically instead of in order of
                appearance.
        """
        table = [tuple(row) for row in rows]
        if not table:
            raise ValueError("a hierarchy needs at least one row, got none")
        depth = len(table[0])
        for row in table:
            if len(row) != depth or depth == 0:
                raise ValueError(f"every row must have {depth} columns, got {len(row)}: {row}")
        repeated = [name for name, count in Counter(row[-1] for row in table).items() if count > 1]
        if repeated:
            raise ValueError(f"finest class names must be unique, got twice: {sorted(repeated)}")
        columns = [list(dict.fromkeys(row[level] for row in table)) for level in range(depth)]
        if sort:
            columns = [sorted(column) for column in columns]
        parents: list[list[int]] = [[]]
        for level in range(1, depth):
            holders = _parents_by_name(table, level)
            parents.append([columns[level - 1].index(holders[name]) for name in columns[level]])
        return cls(
            tuple(level_names or default_level_names(depth)),
            tuple(tuple(column) for column in columns),
            tuple(tuple(row) for row in parents),
        )

    @classmethod
    def from_dict(
        cls,
        tree: Mapping[str, Any],
        level_names: Sequence[str] | None = None,
        *,
        sort: bool = False,
    ) -> "Hierarchy":
        """Build a tree from nested mappings whose innermost values are lists of finest classes.

        Example:
            ``Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})``
        """
        return cls.from_table(list(_rows_of(tree, ())), level_names, sort=sort)

    @classmethod
    def from_folder(cls, root: str | Path, level_names: Sequence[str] | None = None) -> "Hierarchy":
        """Build a tree from nested folders: every folder without subfolders is a finest class.

        Classes are numbered alphabetically within a level, as image-folder loaders do. Hidden
        folders are passed over.

        Raises:
            FileNotFoundError: when ``root`` is not a folder.
            ValueError: when the folders are not all nested equally deep.
        """
        root = Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"a folder of classes is expected at {root}, found none")
        rows = [folder.relative_to(root).parts for folder in _leaf_folders(root)]
        if not rows or rows == [()]:
            raise ValueError(f"{root} must hold a folder for each class, found no folder")
        if len({len(row) for row in rows}) > 1:
            short, long = min(rows, key=len), max(rows, key=len)
            raise ValueError(
                "all classes must be nested equally deep, got "
                f"{'/'.join(short)} ({len(short)} levels) and {'/'.join(long)} ({len(long)})"
            )
        return cls.from_table(rows, level_names, sort=True)

    def with_coarser_level(
        self, level_name: str, class_names: Sequence[str], parents: Sequence[int]
    ) -> "Hierarchy":
        """Return this tree with one more level above its coarsest.

        Args:
            level_name: name of the new level.
            class_names: its classes.
            parents: for each class of the present coarsest level, the new class that holds it.
        """
        return type(self)(
            (level_name, *self.level_names),
            (tuple(class_names), *self.class_names),
            ((), tuple(parents), *self.parents[1:]),
        )

    # ------------------------------------------------------------------ asking

    @property
    def num_levels(self) -> int:
        """How many levels the tree has, the root not counted."""
        return len(self.level_names)

    @property
    def finest(self) -> int:
        """Index of the finest level, the last one."""
        return self.num_levels - 1

    @cached_property
    def num_classes(self) -> tuple[int, ...]:
        """Number of classes at each level, coarsest first."""
        return tuple(len(names) for names in self.class_names)

    def level_index(self, level: int | str) -> int:
        """Resolve a level given by name or by index (negative counts from the finest).

        Raises:
            ValueError: for a level that is not there, listing those that are.
        """
        if isinstance(level, str):
            if level not in self.level_names:
                raise ValueError(f"level must be one of {list(self.level_names)}, got {level!r}")
            return self.level_names.index(level)
        if not -self.num_levels <= level < self.num_levels:
            raise ValueError(
                f"level must be in 0..{self.finest} ({list(self.level_names)}), got {level}"
            )
        return level % self.num_levels

    def ancestors(self, level: int, from_level: int = -1) -> Int[Tensor, " cls"]:
        """For each class of ``from_level`` (default: finest), its class at coarser ``level``."""
        target, source = self.level_index(level), self.level_index(from_level)
        if target > source:
            raise ValueError(
                f"labels lift from fine to coarse only, got from level {source} to {target}"
            )
        classes = torch.arange(self.num_classes[source])
        for step in range(source, target, -1):
            classes = torch.tensor(self.parents[step])[classes]
        return classes

    def leaves(self, level: int, class_index: int) -> tuple[int, ...]:
        """Finest classes under one class, in increasing order."""
        below = self.ancestors(level) == class_index
        return tuple(below.nonzero().flatten().tolist())

    def leaf_counts(self, level: int) -> Int[Tensor, " cls"]:
        """How many finest classes each class of ``level`` holds."""
        return torch.bincount(self.ancestors(level), minlength=self.num_classes[level])

    def information(self, level: int) -> Float[Tensor, " cls"]:
        """Information of an answer at ``level`` in bits: log2 of (all leaves / leaves below it).

        For CIFAR-100 a coarse answer carries log2(100 / 5) = 4.32 bits, a fine one 6.64.

        Source:
            Deng et al., "Hedging your bets", CVPR 2012.
        """
        return math.log2(self.num_classes[-1]) - self.leaf_counts(level).float().log2()

    # ------------------------------------------------------------------ lifting

    def lift_labels(
        self, labels: Int[Tensor, "*batch"], level: int | str, from_level: int | str = -1
    ) -> Int[Tensor, "*batch"]:
        """Map labels of ``from_level`` (default: finest) to the coarser ``level`` that holds them.

        Raises:
            ValueError: for a label outside the classes of ``from_level``.
        """
        source = self.level_index(from_level)
        size = self.num_classes[source]
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < size:
            raise ValueError(
                f"labels of level {self.level_names[source]!r} must be in 0..{size - 1}, "
                f"got {int(labels.min())}..{int(labels.max())}"
            )
        table = self.ancestors(self.level_index(level), source).to(labels.device)
        return table[labels.long()]

    def label_table(self, finest_labels: Int[Tensor, " sample"]) -> Int[Tensor, "sample level"]:
        """Labels at every level, coarsest first, from finest labels."""
        columns = [self.lift_labels(finest_labels, level) for level in range(self.num_levels)]
        return torch.stack(columns, dim=-1)

    def lift_prob(
        self, prob: Float[Tensor, "*batch cls"], level: int | str, from_level: int | str = -1
    ) -> Float[Tensor, "*batch lifted"]:
        """Sum probabilities of ``from_level`` (default: finest) below each class of ``level``."""
        source, target = self.level_index(from_level), self.level_index(level)
        if prob.shape[-1] != self.num_classes[source]:
            raise ValueError(
                f"prob of level {self.level_names[source]!r} must have "
                f"{self.num_classes[source]} classes, got {prob.shape[-1]}"
            )
        lifted = prob.new_zeros(*prob.shape[:-1], self.num_classes[target])
        return lifted.index_add_(-1, self.ancestors(target, source).to(prob.device), prob)

    # ------------------------------------------------------------------ writing

    def to_text(self, max_children: int | None = None) -> str:
        """Draw the tree as indented text, one class a line.

        Args:
            max_children: show at most this many children of a class, then a count of the rest.
        """
        lines = [" > ".join(f"{n} {name}" for n, name in self._sizes())]
        for index in range(self.num_classes[0]):
            self._draw(0, index, "", max_children, lines)
        return "\n".join(lines)

    def _sizes(self) -> list[tuple[int, str]]:
        return list(zip(self.num_classes, self.level_names, strict=True))

    def children(self, level: int, class_index: int) -> tuple[int, ...]:
        """Classes of ``level + 1`` directly under one class; empty for a finest class."""
        if level == self.finest:
            return ()
        return tuple(c for c, p in enumerate(self.parents[level + 1]) if p == class_index)

    def _draw(
        self, level: int, index: int, indent: str, max_children: int | None, lines: list[str]
    ) -> None:
        lines.append(f"{indent}{self.class_names[level][index]}")
        children = self.children(level, index)
        shown = children if max_children is None else children[:max_children]
        for child in shown:
            self._draw(level + 1, child, indent + "    ", max_children, lines)
        if len(shown) < len(children):
            lines.append(f"{indent}    ... and {len(children) - len(shown)} more")

    def to_spec(self) -> dict[str, list[Any]]:
        """The tree as plain lists that JSON can hold; ``Hierarchy.from_spec`` reads them."""
        return {
            "level_names": list(self.level_names),
            "class_names": [list(names) for names in self.class_names],
            "parents": [list(row) for row in self.parents],
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Hierarchy":
        """Read what ``to_spec`` wrote."""
        return cls(
            tuple(spec["level_names"]),
            tuple(tuple(names) for names in spec["class_names"]),
            tuple(tuple(row) for row in spec["parents"]),
        )

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ between any two different trees."""
        return hashlib.sha256(json.dumps(self.to_spec()).encode()).hexdigest()[:12]


def default_level_names(depth: int) -> tuple[str, ...]:
    """``("coarse", "fine")`` for two levels, numbered names for any other depth."""
    if depth == 2:
        return ("coarse", "fine")
    return tuple(f"level {number}" for number in range(1, depth + 1))


def _check_shape(tree: Hierarchy) -> None:
    counts = (len(tree.level_names), len(tree.class_names), len(tree.parents))
    if len(set(counts)) > 1 or counts[0] == 0:
        raise ValueError(
            f"level_names, class_names and parents must have one entry a level, got {counts}"
        )
    if len(set(tree.level_names)) < len(tree.level_names):
        raise ValueError(f"level names must be unique, got {list(tree.level_names)}")
    if tree.parents[0]:
        raise ValueError("parents[0] must be empty: the coarsest classes have no parent")


def _check_names(tree: Hierarchy, level: int) -> None:
    names, level_name = tree.class_names[level], tree.level_names[level]
    if not names:
        raise ValueError(f"level {level_name!r} must have at least one class, got none")
    empty = [index for index, name in enumerate(names) if not name]
    if empty:
        raise ValueError(f"class names must not be empty, got '' at {empty} of {level_name!r}")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"class names must be unique within {level_name!r}, got twice: {twice}")


def _check_parents(tree: Hierarchy, level: int) -> None:
    above, level_name = tree.class_names[level - 1], tree.level_names[level]
    if len(tree.parents[level]) != len(tree.class_names[level]):
        raise ValueError(
            f"every class of {level_name!r} needs one parent, got "
            f"{len(tree.parents[level])} parents for {len(tree.class_names[level])} classes"
        )
    outside = sorted({p for p in tree.parents[level] if not 0 <= p < len(above)})
    if outside:
        raise ValueError(f"parents of {level_name!r} must be in 0..{len(above) - 1}, got {outside}")
    childless = [above[p] for p in range(len(above)) if p not in set(tree.parents[level])]
    if childless:
        raise ValueError(f"every class needs a child at {level_name!r}, none under {childless}")


def _parents_by_name(table: list[tuple[str, ...]], level: int) -> dict[str, str]:
    holders: dict[str, str] = {}
    for row in table:
        first = holders.setdefault(row[level], row[level - 1])
        if first != row[level - 1]:
            raise ValueError(
                f"every class needs one parent, got {first!r} and {row[level - 1]!r} "
                f"for {row[level]!r}"
            )
    return holders


def _rows_of(tree: Any, above: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    if isinstance(tree, str) or not isinstance(tree, Mapping | Iterable):
        raise ValueError(f"under {'/'.join(above)!r} a mapping or a list is expected, got {tree!r}")
    if not tree:
        raise ValueError(f"every class needs a child, none under {'/'.join(above) or 'the root'!r}")
    for name in tree:
        if isinstance(tree, Mapping):
            yield from _rows_of(tree[name], (*above, name))
        else:
            yield (*above, name)


def _leaf_folders(folder: Path) -> Iterable[Path]:
    below = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not below:
        yield folder
    for child in below:
        yield from _leaf_folders(child)
