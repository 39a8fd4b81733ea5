"""The label tree: its classes at every level, and how labels and probabilities are lifted."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hbnlab.fingerprint import fingerprint
from hbnlab.hierarchy.class_rows import (
    check_tree,
    classes_and_parents,
    default_level_names,
    rows_of_folder,
    rows_of_mapping,
)


@dataclass(frozen=True)
class Hierarchy:
    """A tree of classes with any number of levels; every leaf is at the last level.

    Two trees are equal when their classes and parents are. The names of the levels are labels for
    people: a tree with renamed levels is the same tree, for weights, records and checkpoints too.

    Attributes:
        level_names: one name per level, coarsest first, such as ``("coarse", "fine")``.
        class_names: ``class_names[l][c]`` names class ``c`` of level ``l``; unique within a level.
        parents: ``parents[l][c]`` is the class of level ``l - 1`` that holds class ``c`` of level
            ``l``; ``parents[0]`` is empty, because the coarsest classes have no parent.

    Raises:
        ValueError: for a class without a parent or a child, or a repeated or empty name.

    Example:
        >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
        >>> tree.num_classes
        (2, 3)
        >>> tree.class_names[1]
        ('poodle', 'collie', 'siamese')
        >>> tree.parents[1]
        (0, 0, 1)
    """

    level_names: tuple[str, ...] = field(compare=False)
    class_names: tuple[tuple[str, ...], ...]
    parents: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "level_names", tuple(self.level_names))
        object.__setattr__(self, "class_names", tuple(tuple(names) for names in self.class_names))
        object.__setattr__(self, "parents", tuple(tuple(row) for row in self.parents))
        check_tree(self.level_names, self.class_names, self.parents)

    # ------------------------------------------------------------------ building

    @classmethod
    def from_table(
        cls,
        rows: Iterable[Sequence[str]],
        level_names: Sequence[str] | None = None,
        *,
        sort: bool = False,
    ) -> "Hierarchy":
        """Build a tree from one row per finest class.

        Args:
            rows: the names of each finest class and its ancestors, coarse to fine.
            level_names: names of the columns; by default ``("coarse", "fine")`` for two columns
                and ``("level 1", "level 2", ...)`` otherwise.
            sort: number the classes of each level alphabetically instead of in order of
                appearance.

        Raises:
            ValueError: for rows that do not form a tree.

        Example:
            >>> rows = [("dog", "poodle"), ("dog", "collie"), ("cat", "siamese")]
            >>> Hierarchy.from_table(rows).class_names[0]
            ('dog', 'cat')
        """
        class_names, parents = classes_and_parents(rows, sort=sort)
        return cls(
            tuple(level_names or default_level_names(len(class_names))), class_names, parents
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

        Args:
            tree: nested equally deep everywhere.
            level_names: as in ``from_table``.
            sort: as in ``from_table``.

        Raises:
            ValueError: for mappings that do not form a tree.

        Example:
            >>> pets = {"dog": ["poodle", "collie"], "cat": ["siamese"]}
            >>> print(Hierarchy.from_dict({"animal": pets, "plant": {"tree": ["oak"]}}).summary)
            2 level 1 > 3 level 2 > 4 level 3
        """
        return cls.from_table(rows_of_mapping(tree), level_names, sort=sort)

    @classmethod
    def from_folder(cls, root: str | Path, level_names: Sequence[str] | None = None) -> "Hierarchy":
        """Build a tree from nested folders: every folder without subfolders is a finest class.

        Classes are numbered alphabetically within a level, as image-folder loaders do. Hidden
        folders are ignored.

        Raises:
            FileNotFoundError: if ``root`` is not a folder.
            ValueError: if the folders are not all nested equally deep.

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> with TemporaryDirectory() as root:
            ...     for name in ("dog/poodle", "cat/siamese"):
            ...         (Path(root) / name).mkdir(parents=True)
            ...     Hierarchy.from_folder(root).class_names
            (('cat', 'dog'), ('poodle', 'siamese'))
        """
        return cls.from_table(rows_of_folder(Path(root)), level_names, sort=True)

    def with_coarser_level(
        self, level_name: str, class_names: Sequence[str], parents: Sequence[int]
    ) -> "Hierarchy":
        """Return this tree with one more level above its coarsest.

        Args:
            level_name: name of the new level.
            class_names: its classes.
            parents: for each class of the present coarsest level, the new class that holds it.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle"], "oak": ["red oak"]})
            >>> print(tree.with_coarser_level("kingdom", ["animal", "plant"], [0, 1]).summary)
            2 kingdom > 2 coarse > 2 fine
        """
        return type(self)(
            (level_name, *self.level_names),
            (tuple(class_names), *self.class_names),
            ((), tuple(parents), *self.parents[1:]),
        )

    def with_level_names(self, level_names: Sequence[str] | None = None) -> "Hierarchy":
        """Return the same tree with other names of its levels.

        Args:
            level_names: coarsest first; None = the names that stand for any others in fingerprints.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
            >>> renamed = tree.with_level_names(["species", "breed"])
            >>> renamed.summary, renamed == tree
            ('2 species > 3 breed', True)
        """
        # Fingerprints once covered the names of the levels; the built-in trees have these names, so
        # that the fingerprints in older files stay valid.
        known = ("group", "coarse", "fine")
        usual = known if self.num_levels == len(known) else default_level_names(self.num_levels)
        return replace(self, level_names=tuple(level_names or usual))

    # ------------------------------------------------------------------ querying

    @property
    def num_levels(self) -> int:
        """Number of levels, not counting the root."""
        return len(self.level_names)

    @property
    def finest(self) -> int:
        """Index of the finest level, which is the last one."""
        return self.num_levels - 1

    @cached_property
    def num_classes(self) -> tuple[int, ...]:
        """Number of classes at each level, coarsest first."""
        return tuple(len(names) for names in self.class_names)

    @cached_property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The names of each finest class and its ancestors, coarse to fine, as for ``from_table``.

        Example:
            >>> Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]}).rows
            (('dog', 'poodle'), ('dog', 'collie'), ('cat', 'siamese'))
        """
        table = self.label_table(torch.arange(self.num_classes[-1])).tolist()
        named = (zip(self.class_names, row, strict=True) for row in table)
        return tuple(tuple(names[index] for names, index in row) for row in named)

    def level_index(self, level: int | str) -> int:
        """Resolve a level given by name or by index; a negative index counts from the finest.

        Raises:
            ValueError: for an unknown level, listing the known ones.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
            >>> tree.level_index("coarse"), tree.level_index(-1)
            (0, 1)
        """
        if level in self.level_names:
            return self.level_names.index(level)
        if isinstance(level, str) or not -self.num_levels <= level < self.num_levels:
            raise ValueError(
                f"level must be in 0..{self.finest} or one of {list(self.level_names)}, "
                f"got {level!r}"
            )
        return level % self.num_levels

    def ancestors(self, level: int, from_level: int = -1) -> Int[Tensor, " cls"]:
        """For each class of ``from_level`` (default: finest), its class at coarser ``level``.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
            >>> tree.ancestors(0)
            tensor([0, 0, 1])
        """
        target, source = self.level_index(level), self.level_index(from_level)
        if target > source:
            raise ValueError(
                f"labels lift from fine to coarse only, got from level {source} to {target}"
            )
        classes = torch.arange(self.num_classes[source])
        for step in range(source, target, -1):
            classes = torch.tensor(self.parents[step])[classes]
        return classes

    def children(self, level: int, class_index: int) -> tuple[int, ...]:
        """Classes of ``level + 1`` directly under one class; empty for a finest class."""
        if level == self.finest:
            return ()
        return tuple(c for c, p in enumerate(self.parents[level + 1]) if p == class_index)

    def leaves(self, level: int, class_index: int) -> tuple[int, ...]:
        """Finest classes under one class, in increasing order.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
            >>> [tree.class_names[-1][leaf] for leaf in tree.leaves(0, 0)]
            ['poodle', 'collie']
        """
        below = self.ancestors(level) == class_index
        return tuple(below.nonzero().flatten().tolist())

    def leaf_counts(self, level: int) -> Int[Tensor, " cls"]:
        """Number of finest classes under each class of ``level``."""
        return torch.bincount(self.ancestors(level), minlength=self.num_classes[level])

    def information(self, level: int) -> Float[Tensor, " cls"]:
        """Bits per answer at ``level``: log2 of (all leaves / leaves under the class).

        For CIFAR-100 a coarse answer carries log2(100 / 5) = 4.32 bits, a fine one 6.64.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["manx", "sphynx"]})
            >>> tree.information(0), tree.information(1)
            (tensor([1., 1.]), tensor([2., 2., 2., 2.]))

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

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
            >>> tree.lift_labels(torch.tensor([2, 0]), "coarse")
            tensor([1, 0])
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
        """Labels at every level, coarsest first, from finest labels.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
            >>> tree.label_table(torch.tensor([2, 0]))
            tensor([[1, 2],
                    [0, 0]])
        """
        columns = [self.lift_labels(finest_labels, level) for level in range(self.num_levels)]
        return torch.stack(columns, dim=-1)

    def lift_prob(
        self, prob: Float[Tensor, "*batch cls"], level: int | str, from_level: int | str = -1
    ) -> Float[Tensor, "*batch lifted"]:
        """Sum probabilities of ``from_level`` (default: finest) under each class of ``level``.

        Raises:
            ValueError: for another number of classes than ``from_level`` has.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
            >>> tree.lift_prob(torch.tensor([0.25, 0.5, 0.25]), "coarse")
            tensor([0.7500, 0.2500])
        """
        source, target = self.level_index(from_level), self.level_index(level)
        if prob.shape[-1] != self.num_classes[source]:
            raise ValueError(
                f"prob of level {self.level_names[source]!r} must have "
                f"{self.num_classes[source]} classes, got {prob.shape[-1]}"
            )
        lifted = prob.new_zeros(*prob.shape[:-1], self.num_classes[target])
        return lifted.index_add_(-1, self.ancestors(target, source).to(prob.device), prob)

    # ------------------------------------------------------------------ writing

    @property
    def summary(self) -> str:
        """The number of classes at each level in one line, such as ``"20 coarse > 100 fine"``."""
        sizes = zip(self.num_classes, self.level_names, strict=True)
        return " > ".join(f"{count} {name}" for count, name in sizes)

    def to_text(self, max_children: int | None = None) -> str:
        """Draw the tree as indented text, one class per line.

        Args:
            max_children: show at most this many children of a class and count the others.

        Example:
            >>> tree = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
            >>> print(tree.to_text(max_children=1))
            2 coarse > 3 fine
            dog
                poodle
                ... and 1 more
            cat
                siamese
        """
        lines = [self.summary]
        for index in range(self.num_classes[0]):
            lines.extend(self._lines(0, index, max_children))
        return "\n".join(lines)

    def _lines(self, level: int, index: int, max_children: int | None) -> Iterator[str]:
        yield self.class_names[level][index]
        children = self.children(level, index)
        drawn = children[:max_children]
        for child in drawn:
            yield from (f"    {line}" for line in self._lines(level + 1, child, max_children))
        if len(drawn) < len(children):
            yield f"    ... and {len(children) - len(drawn)} more"

    def to_spec(self) -> dict[str, list[Any]]:
        """The tree as plain lists that JSON can hold; ``Hierarchy.from_spec`` reads them."""
        return json.loads(json.dumps(asdict(self)))

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
        """Twelve hexadecimal digits that differ between any two trees that are not equal.

        Example:
            >>> pets = {"dog": ["poodle", "collie"], "cat": ["siamese"]}
            >>> renamed = Hierarchy.from_dict(pets, level_names=["family", "breed"])
            >>> renamed.fingerprint == Hierarchy.from_dict(pets).fingerprint
            True
        """
        return fingerprint(json.dumps(self.with_level_names().to_spec()))
