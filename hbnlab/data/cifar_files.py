"""Find, check and read the files of CIFAR-10 and CIFAR-100, which have the same format."""

import pickle
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from hbnlab.data.batches import IMAGENET_MEAN, IMAGENET_STD
from hbnlab.data.data_folders import find_folder
from hbnlab.data.split import Splits, TensorSplit, with_validation
from hbnlab.hierarchy import Hierarchy


def load_cifar(
    root: str | Path | None,
    download: bool,
    *,
    torchvision_name: str,
    name_keys: Mapping[str, str],
    tree: Hierarchy,
    val_size: int,
    seed: int,
) -> Splits:
    """Load the three parts, normalised as for ImageNet.

    torchvision reads the images and checks every file. Coarse labels, which it ignores, are read
    from the same files and must agree with the tree.

    Args:
        root: folder that holds the folder of the files; None = $HBNLAB_DATA, then the user's cache.
        download: download the files through torchvision if none of these folders has them.
        torchvision_name: ``"CIFAR10"`` or ``"CIFAR100"``; in lower case, the name of the data set.
        name_keys: for each level that the files know, where they list the names of its classes.
        tree: of the classes, the finest ones numbered as in the files.
        val_size: number of training images held out for validation.
        seed: of the choice of these images.

    Raises:
        FileNotFoundError: for a missing file: which, and how to get it.
        ValueError: for a damaged file, or classes that are not those of the tree: which.
    """
    from torchvision import datasets

    source = getattr(datasets, torchvision_name)
    meta = source.meta["filename"]
    checksums = {**dict(source.train_list + source.test_list), meta: source.meta["md5"]}
    folder = find_folder(
        root,
        download,
        torchvision_name=torchvision_name,
        files=list(checksums),
        subfolders=(source.base_folder,),
    )
    _check_files(folder, checksums)
    _check_class_names(_unpickle(folder / meta), name_keys, tree)
    train, test = (
        TensorSplit(
            images=torch.from_numpy(read.data).permute(0, 3, 1, 2).contiguous(),
            labels=_labels(read, folder, name_keys, tree),
            hierarchy=tree,
            name=torchvision_name.lower(),
            part=part,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            augmentations=("crop", "flip"),
        )
        for part in ("train", "test")
        for read in [source(folder.parent, train=part == "train")]
    )
    return with_validation(train, test, val_size, seed)


def _check_files(folder: Path, checksums: Mapping[str, str]) -> None:
    from torchvision.datasets.utils import check_integrity

    for name, checksum in checksums.items():
        if not check_integrity(folder / name, checksum):
            raise ValueError(
                f"{folder / name} is damaged: expected the MD5 sum {checksum}; remove {folder} "
                "and get the files again"
            )


def _unpickle(path: Path) -> dict[str, Any]:
    """Read a file whose checksum was checked: unpickling any other file could run its code."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="latin1")


def _check_class_names(
    found: Mapping[str, Any], name_keys: Mapping[str, str], tree: Hierarchy
) -> None:
    for level, key in name_keys.items():
        expected = tree.class_names[tree.level_index(level)]
        for index, (name, known) in enumerate(zip_longest(found[key], expected)):
            if name != known:
                raise ValueError(
                    f"{level} class {index} must be {known!r}, the file names it {name!r}"
                )


def _labels(
    read: Any, folder: Path, name_keys: Mapping[str, str], tree: Hierarchy
) -> Int[Tensor, "sample level"]:
    """The labels of what torchvision read; a split refuses those that contradict its tree."""
    labels = tree.label_table(torch.tensor(read.targets))
    if "coarse" in name_keys:
        files = read.train_list if read.train else read.test_list
        coarse = [label for name, _ in files for label in _unpickle(folder / name)["coarse_labels"]]
        labels[:, tree.level_index("coarse")] = torch.tensor(coarse)
    return labels
