"""CIFAR-100: 60,000 colour photographs in 100 fine and 20 coarse classes, the study's data."""

import pickle
from itertools import zip_longest
from pathlib import Path

import torch

from hbnlab.data.batches import IMAGENET_MEAN, IMAGENET_STD
from hbnlab.data.data_folders import find_folder
from hbnlab.data.split import Splits, TensorSplit, with_validation
from hbnlab.hierarchy import Hierarchy
from hbnlab.trees import CIFAR100, CIFAR100_THREE


def load(
    root: str | Path | None = None,
    download: bool = False,
    *,
    three_levels: bool = False,
    val_size: int = 5_000,
    seed: int = 7,
) -> Splits:
    """Load 45,000 + 5,000 + 10,000 images, split and normalised as in the study.

    torchvision reads the images and checks every file; the coarse labels, which it ignores, are
    read from the same files and must agree with the built-in tree.

    Args:
        root: folder that holds ``cifar-100-python``; None = $HBNLAB_DATA, then the user's cache.
        download: download the files through torchvision if none of these folders has them.
        three_levels: put 8 groups above the 20 coarse classes.
        val_size: number of training images held out for validation.
        seed: of the choice of these images.

    Raises:
        FileNotFoundError: for a missing file: which, and how to get it.
        ValueError: for a damaged file, or classes that are not those of the tree: which.

    Source:
        Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    folder = find_folder(
        root,
        download,
        torchvision_name="CIFAR100",
        files=("train", "test", "meta"),
        subfolders=("cifar-100-python",),
    )
    tree = CIFAR100_THREE if three_levels else CIFAR100
    _check_files(folder)
    _check_class_names(folder, tree)
    train, test = (_read_part(folder, part, tree) for part in ("train", "test"))
    return with_validation(train, test, val_size, seed)


def _check_files(folder: Path) -> None:
    from torchvision import datasets
    from torchvision.datasets.utils import check_integrity

    source = datasets.CIFAR100
    checksums = dict(source.train_list + source.test_list)
    checksums[source.meta["filename"]] = source.meta["md5"]
    for name, checksum in checksums.items():
        if not check_integrity(folder / name, checksum):
            raise ValueError(
                f"{folder / name} is damaged: expected the MD5 sum {checksum}; remove {folder} "
                "and get the files again"
            )


def _unpickle(path: Path) -> dict:
    """Read a file whose checksum was checked: unpickling any other file could run its code."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="latin1")


def _check_class_names(folder: Path, tree: Hierarchy) -> None:
    found = _unpickle(folder / "meta")
    for level in ("coarse", "fine"):
        names, expected = found[f"{level}_label_names"], tree.class_names[tree.level_index(level)]
        for index, (name, known) in enumerate(zip_longest(names, expected)):
            if name != known:
                raise ValueError(
                    f"{level} class {index} must be {known!r}, the file names it {name!r}"
                )


def _read_part(folder: Path, part: str, tree: Hierarchy) -> TensorSplit:
    from torchvision import datasets

    source = datasets.CIFAR100(folder.parent, train=part == "train")
    labels = tree.label_table(torch.tensor(source.targets))
    # A split refuses labels that contradict its tree.
    labels[:, -2] = torch.tensor(_unpickle(folder / part)["coarse_labels"])
    return TensorSplit(
        images=torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous(),
        labels=labels,
        hierarchy=tree,
        name="cifar100",
        part=part,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        augmentations=("crop", "flip"),
    )
