"""Data sets: labelled images in three parts, with the tree of their classes."""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
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
        download: fetch files that are missing; without effect where there is no place to fetch
            them from, as for ``"glyphs"`` and ``"folder"``.
        options: what the ``load`` function of ``hbnlab.data.<name>`` takes beyond these.

    Raises:
        FileNotFoundError: when files are missing: which, and how to get them.
        ValueError: for a name that is not there, listing those that are; for an option that the
            data set does not take, listing those that do; for a damaged file.
    """
    if name not in NAMES:
        raise ValueError(f"data set must be one of {list(NAMES)}, got {name!r}")
    takes = _parameters(name)
    if root is not None:
        options["root"] = root
    elif "root" in takes and takes["root"].default is inspect.Parameter.empty:
        raise ValueError(f"{name} needs the root of its files, got root=None")
    if "download" in takes:
        options["download"] = download
    for option in options.keys() - takes.keys():
        others = [other for other in NAMES if option in _parameters(other)]
        raise ValueError(
            f"{option} is for {others or 'no data set'}, not for {name}, got {options[option]!r}"
        )
    return _module(name).load(**options)


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(_module(name).load).parameters


def _module(name: str) -> ModuleType:
    # Each data set brings libraries of its own; only those asked for are imported.
    return importlib.import_module(f"hbnlab.data.{name}")
