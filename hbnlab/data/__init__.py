"""Data sets: labelled images in three parts, with the tree of their classes.

| module | contents |
| --- | --- |
| split | `Split`, `TensorSplit` and `Splits`: images and labels, read in batches |
| batches | augmentation and normalisation of whole batches |
| glyphs | rendered characters, drawn here |
| fashion_mnist, cifar10, cifar100 | published data sets, read from their files |
| folder | your own images in folders |
| data_folders, cifar_files, idx_files, image_files | finding and reading files |
| image_checks | what a split refuses |
"""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hbnlab.data.split import Split, Splits, TensorSplit, with_validation
from hbnlab.hierarchy import TreeSource, read_tree

__all__ = ["NAMES", "Split", "Splits", "TensorSplit", "load", "with_validation"]

NAMES = ("glyphs", "fashion_mnist", "cifar10", "cifar100", "folder")


def load(
    name: str,
    root: str | Path | None = None,
    download: bool = False,
    *,
    tree: TreeSource | None = None,
    **options: Any,
) -> Splits:
    """Load a data set by name, in three parts: to train on, to choose settings on, to report on.

    Args:
        name: ``"glyphs"`` (rendered here), ``"fashion_mnist"``, ``"cifar10"``, ``"cifar100"``, or
            ``"folder"`` (your own images in folders).
        root: folder of the files; None = where the data set looks by default.
        download: download missing files; has no effect on ``"glyphs"`` and ``"folder"``, which
            have no source to download from.
        tree: yours, in place of the data set's own, with the same finest classes: a ``Hierarchy``,
            nested mappings, or a CSV or JSON file (``hbnlab.hierarchy.read_tree`` tells its form).
            ``"folder"`` needs one for folders that are not nested.
        options: further arguments of the ``load`` function in ``hbnlab.data.<name>``.

    Raises:
        FileNotFoundError: for missing files: which, and how to get them.
        ValueError: for an unknown name, listing the known ones; for an option of another data set,
            naming that one; for a damaged file; for a tree with other finest classes than the data
            set, naming the class and the line of the tree's file.

    Example:
        >>> splits = load("glyphs", train_size=20, val_size=10, test_size=10)
        >>> splits.name, len(splits.train), splits.train.image_shape
        ('glyphs', 20, (3, 32, 32))
    """
    if name not in NAMES:
        raise ValueError(f"data set must be one of {list(NAMES)}, got {name!r}")
    takes = _parameters(name)
    if tree is not None and options.get("three_levels"):
        raise ValueError(f"three_levels and tree are two trees for {name}, give one of them")
    given = None if tree is None else read_tree(tree)
    if given and "tree" in takes:
        options["tree"] = given
    if root is not None:
        options["root"] = root
    elif "root" in takes and takes["root"].default is inspect.Parameter.empty:
        raise ValueError(f"{name} needs the root of its files, got root=None")
    if "download" in takes:
        options["download"] = download
    for option in options.keys() - takes.keys():
        others = [other for other in NAMES if option in _parameters(other)]
        raise ValueError(
            f"{option} is an option of {others or 'no data set'}, not of {name}, "
            f"got {options[option]!r}"
        )
    splits = _module(name).load(**options)
    if given and "tree" not in takes:
        hierarchy = given.for_classes(splits.hierarchy.class_names[-1], name)
        return splits.with_hierarchy(hierarchy)
    return splits


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(_module(name).load).parameters


def _module(name: str) -> ModuleType:
    # Each data set needs libraries of its own, so only the one asked for is imported.
    return importlib.import_module(f"hbnlab.data.{name}")
