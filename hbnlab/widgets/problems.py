"""What is wrong with what a widget is given, in words that it shows where it would have drawn."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from hbnlab.formatting import plural
from hbnlab.policies import Policy
from hbnlab.records import ExitRecords


@runtime_checkable
class Images(Protocol):
    """Images by number: bytes (3, height, width), as a tensor or anything that gives them one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor: ...


def records_problem(records: ExitRecords) -> str:
    """What keeps a widget from showing records; empty where nothing does."""
    if not records.split:
        return (
            "The records do not say which split they were made from: split is empty. Make them "
            "with collect_records(network, split), or name it: dataclasses.replace(records, "
            'split="my images").'
        )
    if len(records) < 2:
        return f"At least 2 images are needed to compare, the records hold {len(records)}."
    spoiled = _with_nan(records)
    if spoiled:
        return f"The records hold NaN, which nothing can be decided from: in {spoiled}."
    return ""


def policy_problem(policy: Policy, records: ExitRecords) -> str:
    """Why a policy cannot decide about the records; empty where it can."""
    try:
        policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
    except ValueError as error:
        return f"The policy does not fit the records: {error}."
    return ""


def images_problem(images: Images, records: ExitRecords) -> str:
    """Why images cannot be those of the records; empty where they can."""
    if len(images) != len(records):
        return (
            f"The images must be those of the records, one each: got {plural(len(images), 'image')}"
            f" for records of {len(records):,}."
        )
    first = images[0]
    if not isinstance(first, Tensor):
        return (
            "The images must be tensors of bytes of shape (3, height, width), such as split.images "
            f"holds: got {type(first).__name__}."
        )
    if first.dtype != torch.uint8 or first.ndim != 3 or first.shape[0] != 3:
        return (
            "The images must be bytes of shape (3, height, width), such as split.images holds: "
            f"got {first.dtype} {tuple(first.shape)}."
        )
    return ""


def _with_nan(records: ExitRecords) -> str:
    """The first place with NaN among what policies look at, in words."""
    for exit_index, level in records.cells:
        if records.logits[level][:, exit_index].isnan().any():
            name = records.hierarchy.level_names[level]
            return f"the logits of exit {exit_index + 1}, level {name!r}"
    if records.gate_logits is not None and records.gate_logits.isnan().any():
        return "the logits of the gate"
    return ""
