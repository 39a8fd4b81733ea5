"""Read idx files, the format of MNIST and related data sets."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

_UNSIGNED_BYTE = 8


def read_idx(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, "..."]:
    """Read an array of bytes of the given shape from a file, gzipped or not.

    The format: two zero bytes, the type of the values, the number of axes, the size of each axis
    as a big-endian integer of four bytes, then the values, last axis fastest.

    Raises:
        ValueError: for a damaged file or other content: which file, and what was expected.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "labels"
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 9]))
        ...     read_idx(path, (2,))
        tensor([5, 9], dtype=torch.uint8)
    """
    expected = f"expected idx bytes of shape {shape}; get the file again"
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): {expected}") from error
    header = struct.pack(f">HBB{len(shape)}I", 0, _UNSIGNED_BYTE, len(shape), *shape)
    if not raw.startswith(header):
        raise ValueError(f"{path} starts with {raw[: len(header)].hex(' ')}: {expected}")
    content = len(raw) - len(header)
    if content != math.prod(shape):
        raise ValueError(f"{path} holds {content} values: {expected}")
    values = torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=len(header))
    return values.view(shape)
