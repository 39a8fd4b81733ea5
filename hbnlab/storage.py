"""Files that are whole or absent: safetensors with a JSON header and a checksum, replaced at once.

safetensors has no checksum of its own, so a flipped bit in a weight would load silently; the
header therefore carries the SHA-256 of everything else in the file.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

_PREFIX = ".partial-"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it takes the name, on failure it goes.

    A full disk, an exception or Ctrl-C leaves what stood under the name before. A kill can leave a
    temporary file, which the next write to the same name sweeps away. Of two processes that write
    one name at once, the one that is done last gives the content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    of_name = re.compile(rf"{re.escape(_PREFIX)}(\d+)-{re.escape(path.name)}")
    for other in path.parent.iterdir():
        found = of_name.fullmatch(other.name)
        if found and not _is_running(int(found[1])):
            other.unlink(missing_ok=True)
    partial = path.parent / f"{_PREFIX}{os.getpid()}-{path.name}"
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole, or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, whole, or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def save_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write named tensors and a JSON header; equal content gives equal bytes."""
    named = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    # One key only: safetensors writes several in no fixed order.
    metadata = {"hbnlab": json.dumps({"header": text, "sha256": _digest(text, named)})}
    with atomic_path(path) as partial:
        partial.write_bytes(save(named, metadata=metadata))


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_tensors`` wrote; nothing in the file is executed.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is cut short, altered or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            named = {name: opened.get_tensor(name) for name in sorted(opened.keys())}
        envelope = json.loads(metadata["hbnlab"])
        text, recorded = envelope["header"], envelope["sha256"]
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{path} is not a complete file of hbnlab: {error}") from error
    if _digest(text, named) != recorded:
        raise ValueError(f"{path} is damaged: its content does not match its SHA-256")
    return named, json.loads(text)


def _digest(header: str, named: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(header.encode())
    for name, tensor in named.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _is_running(process: int) -> bool:
    """Whether another process is there; on Windows, where asking would end it, none is."""
    if process == os.getpid() or os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    return True


def _flush(path: Path) -> None:
    """Ask the operating system to put a file or a folder on the disk (folders: not on Windows)."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
