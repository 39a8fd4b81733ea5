"""Data sets: labelled images in three parts, with the tree of their classes."""

import importlib
from pathlib import Path
from typing import Any

from hbnlab.data.split import Split, Splits, TensorSplit

__all__ = ["NAMES", "Split", "Splits", "TensorSplit", "load"]

NAMES = ("glyphs", "fashion_mnist", "cifar100", "folder")


def load(
    name: str, root: str | Path | None = None, download: bool = False, **options: Any
) -> Splits:
    """Load a data set by name, split into images to learn from, to choose on and to report on.

    Args:
        name: ``"glyphs"`` (rendered here), ``"fashion_mnist"``, ``"cifar100"``, or ``"folder"``
            (your own images in nested folders).
        root: folder of the files; None = where the data set looks for itself.
        download: fetch files that are missing, where there is a place to fetch them from.
        options: what the ``load`` function of ``hbnlab.data.<name>`` takes beyond these.

    Raises:
        FileNotFoundError: when files are missing: which, and how to get them.
        ValueError: for a name that is not there, listing those that are; for a damaged file.
    """
    if name not in NAMES:
        raise ValueError(f"data set must be one of {list(NAMES)}, got {name!r}")
    if name == "glyphs" and root is not None:
        raise ValueError(f"glyphs are rendered and have no files, got root={str(root)!r}")
    if name == "folder" and root is None:
        raise ValueError("folder needs the root of your images, got root=None")
    if root is not None:
        options["root"] = root
    if name in ("fashion_mnist", "cifar100"):
        options["download"] = download
    # Each data set brings libraries of its own; only the one asked for is imported.
    return importlib.import_module(f"hbnlab.data.{name}").load(**options)
