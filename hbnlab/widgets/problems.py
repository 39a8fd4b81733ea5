"""What is wrong with the input of a panel, in the words that it displays instead of a drawing."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from hbnlab.formatting import plural
from hbnlab.policies import Policy
from hbnlab.records import ExitRecords


@runtime_checkable
class Images(Protocol):
    """Images by index: bytes (3, height, width), as a tensor or as anything that returns them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor: ...


def records_problem(records: ExitRecords) -> str:
    """Why a panel cannot display records; empty if it can."""
    if not records.split:
        return (
            "The records do not say which split they were made from: split is empty. Make them "
            "with collect_records(network, split), or name it: dataclasses.replace(records, "
            'split="my images").'
        )
    if len(records) < 2:
        return f"At least 2 images are needed, the records hold {len(records)}."
    spoiled = _where_nan(records)
    if spoiled:
        return f"The records hold NaN, from which no policy can decide: in {spoiled}."
    return ""


def policy_problem(policy: Policy, records: ExitRecords) -> str:
    """Why a policy cannot decide about the records; empty if it can."""
    try:
        policy.check_fits(records.head_mask, records.hierarchy, records.has_gate)
    except ValueError as error:
        return f"The policy does not fit the records: {error}."
    return ""


def images_problem(images: Images, records: ExitRecords) -> str:
    """Why images cannot be those of the records; empty if they can."""
    if len(images) != len(records):
        return (
            f"The images must be those of the records: got {plural(len(images), 'image')} for "
            f"records of {len(records):,}."
        )
    first = images[0]
    if not isinstance(first, Tensor):
        got = type(first).__name__
    elif first.dtype != torch.uint8 or first.ndim != 3 or first.shape[0] != 3:
        got = f"{first.dtype} {tuple(first.shape)}"
    else:
        return ""
    return (
        "The images must be tensors of bytes of shape (3, height, width), such as split.images: "
        f"got {got}."
    )


def _where_nan(records: ExitRecords) -> str:
    """The first cell or gate with NaN, in words; empty if there is none."""
    for exit_index, level in records.cells:
        if records.logits[level][:, exit_index].isnan().any():
            name = records.hierarchy.level_names[level]
            return f"the logits of exit {exit_index + 1}, level {name!r}"
    if records.gate_logits is not None and records.gate_logits.isnan().any():
        return "the logits of the gate"
    return ""
