"""Read the idx files in which MNIST and its kin are handed out."""

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
    """Read an array of bytes, gzipped or not, that must have a given shape.

    The format: two zero bytes, the type of the numbers, the number of axes, the size of each axis
    as a big-endian integer of four bytes, then the numbers, last axis fastest.

    Raises:
        ValueError: when the file is damaged or holds something else: which, and what was expected.
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
        raise ValueError(f"{path} holds {content} numbers: {expected}")
    values = torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=len(header))
    return values.view(shape)
