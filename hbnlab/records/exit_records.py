"""What every exit of a network said about every image: computed once, then only read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hbnlab.entropy import entropy
from hbnlab.fingerprint import fingerprint
from hbnlab.head_mask import cells_of, check_head_mask, describe_cells
from hbnlab.hierarchy import Hierarchy
from hbnlab.label_checks import check_attributes, check_labels
from hbnlab.records import validation
from hbnlab.records.scores import confidence, margin
from hbnlab.storage import load_tensors, save_tensors

_KIND = "hbnlab exit records 1"
_DERIVED = ("entropy", "confidence", "margin", "prediction", "correct")


@dataclass(frozen=True, eq=False)
class Cell:
    """One head and what it said about every image; ``ExitRecords.cell`` gives it.

    Attributes:
        logits: unnormalised scores.
        entropy: of softmax(logits), in nats.
        confidence: largest probability, in (0, 1].
        prediction: class of the largest logit.
        correct: whether that is the label of the cell's own level.
        labels: the true classes of the cell's own level.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> cell = simulated_records(5).cell(0, "fine")
        >>> cell.logits.shape, cell.correct.shape
        (torch.Size([5, 6]), torch.Size([5]))
    """

    exit_index: int
    level_index: int
    logits: Float[Tensor, "sample cls"]
    entropy: Float[Tensor, " sample"]
    confidence: Float[Tensor, " sample"]
    prediction: Int[Tensor, " sample"]
    correct: Bool[Tensor, " sample"]
    labels: Int[Tensor, " sample"]

    @cached_property
    def prob(self) -> Float[Tensor, "sample cls"]:
        """Probabilities, softmax(logits)."""
        return self.logits.softmax(dim=-1)


@dataclass(frozen=True, eq=False, kw_only=True)
class ExitRecords:
    """What every exit of a network said about every image of a split.

    A *cell* is an (exit, level) pair that has a head. Where there is none, logits, entropy,
    confidence and margin hold NaN, prediction -1 and correct False; ``cell`` is the way in and
    raises for a cell that is not there.

    Attributes:
        logits: one float32 tensor (sample, exit, class) per level, coarsest first.
        head_mask: ``head_mask[exit][level]`` is True where there is a head; given as any nested
            sequence of bools or a bool tensor (exit, level). Every exit has at least one.
        labels: int64 (sample, level), the true classes.
        stage_macs: multiply-accumulates of each exit's piece of the trunk, for one image.
        branch_macs: multiply-accumulates of each exit's branch, its heads and gate included.
        hierarchy: the tree that levels and classes belong to.
        gate_logits: float32 (sample, 2), class 0 = coarse and 1 = fine, or None without a gate.
        attributes: named columns with one value per image, such as difficulty.
        split: data set and part, such as ``"glyphs test"``.
        fingerprint: names the network and the data that this was computed from.

    Raises:
        ValueError: when a shape, a label, a value or the tree does not fit the rest.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> records = simulated_records(5, heads=[[True, False], [True, True]])
        >>> records.cells, records.entropy.shape
        (((0, 0), (1, 0), (1, 1)), torch.Size([5, 2, 2]))
    """

    logits: tuple[Tensor, ...]
    head_mask: Sequence[Sequence[bool]]
    labels: Tensor
    stage_macs: tuple[int, ...]
    branch_macs: tuple[int, ...]
    hierarchy: Hierarchy
    gate_logits: Tensor | None = None
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    split: str = ""
    fingerprint: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "logits", tuple(self.logits))
        object.__setattr__(self, "stage_macs", tuple(int(macs) for macs in self.stage_macs))
        object.__setattr__(self, "branch_macs", tuple(int(macs) for macs in self.branch_macs))
        object.__setattr__(self, "attributes", dict(self.attributes))
        mask = check_head_mask(self.head_mask, len(self.head_mask), self.hierarchy)
        object.__setattr__(self, "head_mask", mask)
        validation.check_shapes(self.logits, mask, self.labels, self.hierarchy)
        validation.check_cells(self.logits, mask, self.hierarchy)
        check_labels(self.labels, self.hierarchy)
        validation.check_gate(self.gate_logits, len(self.labels))
        check_attributes(self.attributes, len(self.labels))
        validation.check_macs("stage_macs", self.stage_macs, self.num_exits)
        validation.check_macs("branch_macs", self.branch_macs, self.num_exits)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_exits(self) -> int:
        """Number of exits of the network."""
        return len(self.head_mask)

    @property
    def has_gate(self) -> bool:
        """Whether a learned gate was recorded."""
        return self.gate_logits is not None

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """The (exit, level) pairs that have a head, in order."""
        return cells_of(self.head_mask)

    # ------------------------------------------------------------------ derived tables

    @cached_property
    def entropy(self) -> Float[Tensor, "sample exit level"]:
        """Entropy of every cell in nats."""
        return torch.stack([entropy(logits) for logits in self.logits], dim=-1)

    @cached_property
    def confidence(self) -> Float[Tensor, "sample exit level"]:
        """Largest probability of every cell."""
        return torch.stack([confidence(logits) for logits in self.logits], dim=-1)

    @cached_property
    def margin(self) -> Float[Tensor, "sample exit level"]:
        """Largest probability minus the second largest, of every cell, in [0, 1]."""
        return torch.stack([margin(logits) for logits in self.logits], dim=-1)

    @cached_property
    def prediction(self) -> Int[Tensor, "sample exit level"]:
        """Class of the largest logit of every cell, the lower index at a tie."""
        best = torch.stack([logits.argmax(dim=-1) for logits in self.logits], dim=-1)
        return best.masked_fill(~torch.tensor(self.head_mask, device=best.device), -1)

    @cached_property
    def correct(self) -> Bool[Tensor, "sample exit level"]:
        """Whether the prediction of every cell is the label of its own level."""
        return self.prediction == self.labels[:, None, :]

    def cell(self, exit_index: int, level: int | str) -> Cell:
        """What one head said.

        Args:
            exit_index: from 0.
            level: index or name.

        Raises:
            ValueError: when there is no such head; the message lists those there are.
        """
        level_index = self.hierarchy.level_index(level)
        if (exit_index, level_index) not in self.cells:
            name = self.hierarchy.level_names[level_index]
            raise ValueError(
                f"there is no head at exit {exit_index + 1}, level {name!r}; the cells are: "
                f"{describe_cells(self.head_mask, self.hierarchy)}"
            )
        derived = ("entropy", "confidence", "prediction", "correct")
        return Cell(
            exit_index=exit_index,
            level_index=level_index,
            logits=self.logits[level_index][:, exit_index],
            labels=self.labels[:, level_index],
            **{name: getattr(self, name)[:, exit_index, level_index] for name in derived},
        )

    def macs_to(self, exit_index: int) -> int:
        """Multiply-accumulates to an exit as the study counts: all branches on the way included."""
        if not 0 <= exit_index < self.num_exits:
            raise ValueError(f"exit_index must be in 0..{self.num_exits - 1}, got {exit_index}")
        return sum(self.stage_macs[: exit_index + 1]) + sum(self.branch_macs[: exit_index + 1])

    # ------------------------------------------------------------------ other records

    def subset(self, indices: Int[Tensor, " chosen"] | Bool[Tensor, " sample"]) -> "ExitRecords":
        """The records of some images, by their indices or by a mask, in the order given."""
        gate = self.gate_logits
        chosen = replace(
            self,
            logits=tuple(logits[indices] for logits in self.logits),
            labels=self.labels[indices],
            gate_logits=None if gate is None else gate[indices],
            attributes={name: column[indices] for name, column in self.attributes.items()},
        )
        # What has been derived already need not be derived again.
        for name in _DERIVED:
            if name in self.__dict__:
                chosen.__dict__[name] = self.__dict__[name][indices]
        return chosen

    def marginalised(self) -> "ExitRecords":
        """Records whose coarse levels are the sums of the finest probabilities.

        Every exit then has a head at every level, and the levels of an exit agree. The costs stay
        as they were, because the sums cost nothing that is counted.

        Raises:
            ValueError: when an exit has no finest head.
        """
        without = [number for number, row in enumerate(self.head_mask, start=1) if not row[-1]]
        if without:
            raise ValueError(f"every exit needs a finest head to be summed, none at exit {without}")
        fine = self.logits[-1].double().softmax(dim=-1)
        coarse = range(self.hierarchy.num_levels - 1)
        lifted = [self.hierarchy.lift_prob(fine, level).log().float() for level in coarse]
        return self.derived(
            "marginalised",
            logits=(*lifted, self.logits[-1]),
            head_mask=((True,) * self.hierarchy.num_levels,) * self.num_exits,
        )

    def derived(self, tag: str, **changes: Any) -> "ExitRecords":
        """Records with other values and a fingerprint of their own, which depends on the tag.

        Args:
            tag: what was done, and with which numbers, such as ``"temperatures [[1.5, 2.0]]"``.
            changes: the fields that differ.

        Example:
            >>> from hbnlab.records import simulated_records
            >>> records = simulated_records()
            >>> doubled = tuple(2 * logits for logits in records.logits)
            >>> records.derived("twice as sure", logits=doubled).fingerprint
            'seed 0-53299862b8b5'
        """
        return replace(self, fingerprint=f"{self.fingerprint}-{fingerprint(tag)}", **changes)

    # ------------------------------------------------------------------ writing

    def to_dataframe(self):
        """A pandas table with one row per image and cell: exits from 1, names, attributes."""
        import numpy as np
        import pandas as pd

        parts = []
        columns = {name: column.cpu().numpy() for name, column in self.attributes.items()}
        for exit_index, level in self.cells:
            cell = self.cell(exit_index, level)
            names = np.array(self.hierarchy.class_names[level])
            part = {"image": range(len(self)), "exit": exit_index + 1}
            part |= {"level": self.hierarchy.level_names[level]}
            part |= {"label": names[cell.labels.cpu()], "prediction": names[cell.prediction.cpu()]}
            for name in ("correct", "entropy", "confidence"):
                part[name] = getattr(cell, name).cpu().numpy()
            parts.append(pd.DataFrame(part | columns))
        return pd.concat(parts, ignore_index=True)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with a JSON header; equal records give equal bytes."""
        tensors = {f"logits.{level}": logits for level, logits in enumerate(self.logits)}
        tensors |= {f"attribute.{name}": column for name, column in self.attributes.items()}
        # The name of the first file format; records written then stay readable.
        tensors |= {"available": torch.tensor(self.head_mask), "labels": self.labels}
        if self.gate_logits is not None:
            tensors["gate_logits"] = self.gate_logits
        header = {
            "kind": _KIND,
            "hierarchy": self.hierarchy.to_spec(),
            "stage_macs": list(self.stage_macs),
            "branch_macs": list(self.branch_macs),
            "split": self.split,
            "fingerprint": self.fingerprint,
        }
        save_tensors(path, tensors, header)

    @classmethod
    def load(cls, path: str | Path) -> "ExitRecords":
        """Read what ``save`` wrote.

        Raises:
            ValueError: when the file is cut short, altered, or holds something else.
        """
        tensors, header = load_tensors(path)
        if header.get("kind") != _KIND:
            raise ValueError(f"{path} must hold {_KIND!r}, got {header.get('kind')!r}")
        prefix = "attribute."
        return cls(
            logits=tuple(tensors[f"logits.{n}"] for n in range(tensors["available"].shape[1])),
            head_mask=tensors["available"].tolist(),
            labels=tensors["labels"],
            gate_logits=tensors.get("gate_logits"),
            attributes={
                n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)
            },
            stage_macs=tuple(header["stage_macs"]),
            branch_macs=tuple(header["branch_macs"]),
            hierarchy=Hierarchy.from_spec(header["hierarchy"]),
            split=header["split"],
            fingerprint=header["fingerprint"],
        )
