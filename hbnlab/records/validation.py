"""The rules that exit records must keep; each error says the rule and the value received."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from hbnlab.head_mask import HeadMask
from hbnlab.hierarchy import Hierarchy


def check_shapes(
    logits: Sequence[Tensor], head_mask: HeadMask, labels: Tensor, hierarchy: Hierarchy
) -> None:
    """Refuse logits whose axes do not fit the labels, the head mask or the tree."""
    levels = hierarchy.num_levels
    if len(logits) != levels:
        raise ValueError(f"logits must have one tensor per level ({levels}), got {len(logits)}")
    for level, tensor in enumerate(logits):
        expected = (len(labels), len(head_mask), hierarchy.num_classes[level])
        if tuple(tensor.shape) != expected or tensor.dtype != torch.float32:
            raise ValueError(
                f"logits of level {hierarchy.level_names[level]!r} must be float32 (sample, exit, "
                f"class) = {expected}, got {tensor.dtype} {tuple(tensor.shape)}"
            )


def check_cells(logits: Sequence[Tensor], head_mask: HeadMask, hierarchy: Hierarchy) -> None:
    """Refuse NaN where there is a head, and numbers where there is none."""
    for exit_index, level in itertools.product(range(len(head_mask)), range(hierarchy.num_levels)):
        values = logits[level][:, exit_index]
        place = f"exit {exit_index + 1}, level {hierarchy.level_names[level]!r}"
        if not head_mask[exit_index][level]:
            if not values.isnan().all():
                raise ValueError(
                    f"a cell without a head must hold NaN logits, got numbers: {place}"
                )
            continue
        # The largest logit of a row is finite only if the row has neither NaN nor +inf and is not
        # -inf throughout, the three cases without a softmax.
        undefined = ~values.amax(dim=-1).isfinite()
        if undefined.any():
            row = int(undefined.nonzero()[0])
            raise ValueError(
                f"logits must not be NaN, +inf, or -inf throughout, got such a row at image {row}, "
                f"{place}"
            )


def check_gate(gate_logits: Tensor | None, num_samples: int) -> None:
    """Refuse gate logits of another shape or with NaN."""
    if gate_logits is None:
        return
    if tuple(gate_logits.shape) != (num_samples, 2) or gate_logits.dtype != torch.float32:
        raise ValueError(
            f"gate_logits must be float32 ({num_samples}, 2), "
            f"got {gate_logits.dtype} {tuple(gate_logits.shape)}"
        )
    if gate_logits.isnan().any():
        raise ValueError("gate_logits must not be NaN, got NaN")


def check_macs(name: str, macs: Sequence[int], num_exits: int) -> None:
    """Refuse costs that are negative or not one per exit."""
    if len(macs) != num_exits or min(macs) < 0:
        raise ValueError(f"{name} must be {num_exits} counts from 0 up, one per exit, got {macs}")
