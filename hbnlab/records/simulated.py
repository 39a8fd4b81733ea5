"""Exit records without a network, for examples and tests: random logits that favour the truth."""

from collections.abc import Sequence

import torch

from hbnlab.hierarchy import Hierarchy
from hbnlab.records.exit_records import ExitRecords

PETS = Hierarchy.from_dict(
    {"dog": ["poodle", "collie", "husky"], "cat": ["siamese", "persian"], "fish": ["koi"]}
)
"""Three coarse classes of 3, 2 and 1 fine classes."""


def simulated_records(
    num_samples: int = 40,
    *,
    seed: int = 0,
    hierarchy: Hierarchy = PETS,
    heads: Sequence[Sequence[bool]] | None = None,
    num_exits: int = 3,
    gate: bool = True,
    signal: float = 2.0,
) -> ExitRecords:
    """Simulate the records of a network, without one.

    Args:
        num_samples: number of images.
        seed: of all randomness; torch's global generator is left as it was.
        hierarchy: the tree of the classes.
        heads: the head mask, ``heads[exit][level]``; None = a head everywhere.
        num_exits: number of exits, if ``heads`` is None.
        gate: whether there are gate logits.
        signal: added to the logit of the true class; larger means more accurate heads.

    Example:
        >>> records = simulated_records(100, num_exits=4)
        >>> len(records), records.num_exits, records.hierarchy.level_names
        (100, 4, ('coarse', 'fine'))
    """
    generator = torch.Generator().manual_seed(seed)
    finest = torch.randint(hierarchy.num_classes[-1], (num_samples,), generator=generator)
    labels = hierarchy.label_table(finest)
    head_mask = [[True] * hierarchy.num_levels] * num_exits if heads is None else heads
    logits = []
    for level, classes in enumerate(hierarchy.num_classes):
        values = 2 * torch.randn(num_samples, len(head_mask), classes, generator=generator)
        truth = torch.nn.functional.one_hot(labels[:, level], classes)[:, None]
        values = values + signal * truth
        values[:, [not row[level] for row in head_mask]] = torch.nan
        logits.append(values)
    exits = range(1, len(head_mask) + 1)
    return ExitRecords(
        logits=tuple(logits),
        head_mask=head_mask,
        labels=labels,
        stage_macs=tuple(100 * number for number in exits),
        branch_macs=tuple(10 * number for number in exits),
        hierarchy=hierarchy,
        gate_logits=torch.randn(num_samples, 2, generator=generator) if gate else None,
        attributes={"difficulty": torch.rand(num_samples, generator=generator)},
        split="simulated test",
        fingerprint=f"seed {seed}",
    )
