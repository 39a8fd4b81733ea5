"""One kind of fingerprint: a short digest that tells trees, data, networks and records apart."""

import hashlib

import torch
from torch import Tensor


def fingerprint(*pieces: str | bytes | memoryview | Tensor) -> str:
    """Twelve hexadecimal digits of the SHA-256 of all pieces, one after the other.

    Of a tensor the values count, in order; device, shape and memory layout do not.

    Example:
        >>> fingerprint("glyphs", torch.arange(3)) == fingerprint("glyphs", torch.arange(3))
        True
        >>> fingerprint("glyphs") == fingerprint("Glyphs")
        False
    """
    digest = hashlib.sha256()
    for piece in pieces:
        if isinstance(piece, Tensor):
            piece = piece.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
        digest.update(piece.encode() if isinstance(piece, str) else piece)
    return digest.hexdigest()[:12]
