"""Checkpoints of the study's own code, read without executing anything in them."""

import re
from pathlib import Path

import torch
from torch import Tensor

from hbnlab.models import named_networks
from hbnlab.models.network import EarlyExitNetwork
from hbnlab.trees import CIFAR100


def load_original(path: str | Path, name: str) -> EarlyExitNetwork:
    """Read a ``.pth`` of the study's code: one of its five networks on CIFAR-100, width 1.

    Args:
        path: a plain state dict, as ``torch.save`` wrote it.
        name: which of the five networks it is.

    Raises:
        ValueError: for an unknown name, a file that is not a plain state dict, or one whose keys
            or shapes are those of another network.

    Example:
        >>> load_original("study.pth", "gran-hbn")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no file at study.pth

    Source:
        Key names of ben-sanati/Class-Granular-Classifications; it calls Gran-HBN "Super-HBN" and
        AG-HBN "TD-HBN".
    """
    if name not in named_networks.STUDY_NAMES:
        raise ValueError(f"model must be one of {list(named_networks.STUDY_NAMES)}, got {name!r}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    state = _read(path)
    with torch.random.fork_rng(devices=[]):
        network = named_networks.build(name, CIFAR100)
    renamed = {_our_name(key, name): tensor for key, tensor in state.items()}
    try:
        network.load_state_dict(renamed)
    except RuntimeError as error:  # which names the keys and shapes that differ, over several lines
        differences = " ".join(str(error).split())
        raise ValueError(f"{path} is not a checkpoint of {name}: {differences}") from error
    return network


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not a plain dict
        raise ValueError(
            f"{path} is damaged or not a plain state dict of tensors; nothing in it was executed"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise ValueError(f"{path} is not a plain state dict of tensors")
    return state


def _our_name(key: str, name: str) -> str:
    """Translate one key; a key that no rule knows comes back as it is and is reported later.

    | theirs | what | ours |
    | --- | --- | --- |
    | features{n}.K | stage n | stages.{n-1}.K |
    | branch{n}.K | convolutions of branch n | branches.{n-1}.0.K |
    | lin{n}.1 | linear layer of branch n | branches.{n-1}.2.1 |
    | exit{n}a.0, exit{n}b.0 | fine, coarse head | heads.{n-1}.1, heads.{n-1}.0 |
    | exit{n}.1, exit{n}.3 | linear layer, only head | branches.{n-1}.2.1, heads.{n-1} |
    | classifier.1, .4, .6 | branch 3 and its only head | branches.2.1.1, .4, heads.2 |
    | sem_complexity.0 | gate | gate |
    """
    last = 0 if name == "alexnet" else 2
    one_head = {0: _only_level(name, 0), 1: _only_level(name, 1), 2: 1}
    rules: list[tuple[str, str]] = [
        (r"features\.(\d+)\.", r"stages.0.\1."),
        (r"classifier\.(1|4)\.", rf"branches.{last}.1.\1."),
        (r"classifier\.6\.", rf"heads.{last}.1."),
        (r"sem_complexity\.0\.", r"gate."),
    ]
    for number in (1, 2, 3):
        at = number - 1
        rules += [
            (rf"features{number}\.(\d+)\.", rf"stages.{at}.\1."),
            (rf"branch{number}\.(\d+)\.", rf"branches.{at}.0.\1."),
            (rf"lin{number}\.1\.", rf"branches.{at}.2.1."),
            (rf"exit{number}a\.0\.", rf"heads.{at}.1."),
            (rf"exit{number}b\.0\.", rf"heads.{at}.0."),
            (rf"exit{number}\.1\.", rf"branches.{at}.2.1."),
            (rf"exit{number}\.3\.", rf"heads.{at}.{one_head[at]}."),
        ]
    for pattern, replacement in rules:
        if re.match(pattern, key):
            return re.sub(pattern, replacement, key, count=1)
    return key


def _only_level(name: str, exit_index: int) -> int:
    """Level of the one head at an early exit: coarse in Sem-HBN, fine elsewhere."""
    return 0 if name == "sem-hbn" and exit_index < 2 else 1
