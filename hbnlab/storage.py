"""Files that are complete or absent: safetensors with a JSON header and a checksum.

safetensors has no checksum, so a flipped bit in a weight would load silently; the header therefore
holds the SHA-256 of everything else in the file.
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
    """Yield a temporary path beside ``path``; it is renamed to ``path`` on success only.

    After a full disk, an exception or Ctrl-C the old file is unchanged. A killed process can leave
    a temporary file behind, which the next write to the same path removes. If two processes write
    to one path at the same time, the later one to finish determines the content.

    Raises:
        OSError: if the file cannot be written, naming ``path``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with atomic_path(f"{folder}/answer.txt") as partial:
        ...         _ = partial.write_text("42")
        ...     Path(f"{folder}/answer.txt").read_text()
        '42'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    of_path = re.compile(rf"{re.escape(_PREFIX)}(\d+)-{re.escape(path.name)}")
    for other in path.parent.iterdir():
        found = of_path.fullmatch(other.name)
        if found and not _is_running(int(found[1])):
            other.unlink(missing_ok=True)
    partial = path.parent / f"{_PREFIX}{os.getpid()}-{path.name}"
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    except OSError as error:
        # A failed write names no file ("[Errno 28] No space left on device"), a failed open the
        # temporary one.
        if error.errno is None or error.filename not in (None, str(partial)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file completely, or not at all.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_text(f"{folder}/new/answer.txt", "42")
        ...     Path(f"{folder}/new/answer.txt").read_text()
        '42'
    """
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, completely or not at all.

    Raises:
        ValueError: for a number that JSON does not have, such as NaN.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def save_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write named tensors and a JSON header; equal content gives equal bytes.

    Raises:
        OSError: if the file cannot be written, naming it.
        ValueError: for a header that JSON cannot hold.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     save_tensors(f"{folder}/w", {"weight": torch.arange(3)}, {"epochs": 2})
        ...     load_tensors(f"{folder}/w")
        ({'weight': tensor([0, 1, 2])}, {'epochs': 2})
    """
    named = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    # One key only: safetensors writes several in no fixed order.
    metadata = {"hbnlab": json.dumps({"header": text, "sha256": _digest(text, named)})}
    with atomic_path(path) as partial:
        partial.write_bytes(save(named, metadata=metadata))


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header that ``save_tensors`` wrote; the file cannot execute code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is cut short, altered or not written by hbnlab.
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
    """Whether another process exists; always False on Windows, where asking would end it."""
    if process == os.getpid() or os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it exists and belongs to another user
    return True


def _flush(path: Path) -> None:
    """Make the operating system write a file or a folder to disk (on Windows, files only)."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
