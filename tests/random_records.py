"""Exit records of no network, for tests: random logits that point to the truth, more or less."""

from collections.abc import Sequence

import torch

from hbnlab.hierarchy import Hierarchy
from hbnlab.records import ExitRecords

PETS = Hierarchy.from_dict(
    {"dog": ["poodle", "collie", "husky"], "cat": ["siamese", "persian"], "fish": ["koi"]}
)
"""Three coarse classes of 3, 2 and 1 fine ones."""

DEEP = PETS.with_coarser_level("kingdom", ["mammal", "other"], [0, 0, 1])
"""The same with a third level above."""


def random_records(
    num_samples: int = 40,
    *,
    seed: int = 0,
    hierarchy: Hierarchy = PETS,
    heads: Sequence[Sequence[bool]] | None = None,
    num_exits: int = 3,
    gate: bool = True,
    signal: float = 2.0,
) -> ExitRecords:
    """Records with every head, or with those of ``heads[exit][level]``."""
    generator = torch.Generator().manual_seed(seed)
    finest = torch.randint(hierarchy.num_classes[-1], (num_samples,), generator=generator)
    labels = hierarchy.label_table(finest)
    available = torch.ones(num_exits, hierarchy.num_levels, dtype=torch.bool)
    if heads is not None:
        available = torch.tensor(heads)
    logits = []
    for level, classes in enumerate(hierarchy.num_classes):
        values = 2 * torch.randn(num_samples, len(available), classes, generator=generator)
        truth = torch.nn.functional.one_hot(labels[:, level], classes)[:, None]
        values = values + signal * truth
        values[:, ~available[:, level]] = torch.nan
        logits.append(values)
    exits = range(1, len(available) + 1)
    return ExitRecords(
        logits=tuple(logits),
        available=available,
        labels=labels,
        stage_macs=tuple(100 * number for number in exits),
        branch_macs=tuple(10 * number for number in exits),
        hierarchy=hierarchy,
        gate_logits=torch.randn(num_samples, 2, generator=generator) if gate else None,
        attributes={"difficulty": torch.rand(num_samples, generator=generator)},
        split="random test",
        fingerprint=f"seed {seed}",
    )
