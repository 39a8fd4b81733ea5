"""CIFAR-100: 60,000 colour photographs in 100 fine and 20 coarse classes, the study's data."""

import pickle
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from hbnlab import trees
from hbnlab.data.batches import IMAGENET_MEAN, IMAGENET_STD
from hbnlab.data.places import VARIABLE, download_folder, download_root, search_folders
from hbnlab.data.split import Splits, TensorSplit, hold_out
from hbnlab.hierarchy import Hierarchy

NAME = "cifar100"

_HOW_TO_GET = (
    "get the files with download=True (on the command line --download), or name the folder "
    f"that holds cifar-100-python as root or in ${VARIABLE}"
)


def load(
    root: str | Path | None = None,
    download: bool = False,
    *,
    three_levels: bool = False,
    val_size: int = 5_000,
    seed: int = 7,
) -> Splits:
    """Load 45,000 + 5,000 + 10,000 images, split and normalised as in the study.

    torchvision reads the images and checks every file; the coarse labels, which it passes over,
    are read from the same files and must agree with the built-in tree.

    Args:
        root: folder that holds ``cifar-100-python``; None = $HBNLAB_DATA, then the user's cache.
        download: fetch the files through torchvision if they are in none of these.
        three_levels: put 8 groups above the 20 coarse classes.
        val_size: how many training images are held out for validation.
        seed: chooses them.

    Raises:
        FileNotFoundError: when a file is missing: which, and how to get it.
        ValueError: when a file is damaged, or its classes are not those of the tree: which.

    Source:
        Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    place = _find_place(root, download)
    tree = trees.CIFAR100_THREE if three_levels else trees.CIFAR100
    _check_class_names(place, tree)
    train, val = hold_out(_read_part(place, "train", tree), val_size, seed)
    test = _read_part(place, "test", tree)
    return Splits(train=train, val=val, test=test, hierarchy=tree, name=NAME)


def _find_place(root: str | Path | None, download: bool) -> Path:
    """The folder that holds the folder of CIFAR-100, all files present and undamaged."""
    from torchvision.datasets import CIFAR100
    from torchvision.datasets.utils import check_integrity

    places = search_folders(root)
    checksums = dict(CIFAR100.train_list + CIFAR100.test_list)
    checksums[CIFAR100.meta["filename"]] = CIFAR100.meta["md5"]
    found = [place for place in places if (place / CIFAR100.base_folder).is_dir()]
    if not found:
        if not download:
            raise FileNotFoundError(
                f"no folder {CIFAR100.base_folder} in any of {[str(place) for place in places]}: "
                f"expected one with the files {list(checksums)}; {_HOW_TO_GET}"
            )
        found = [download_root(root)]
        download_folder(found[0] / CIFAR100.base_folder, _fetch)
    for name, checksum in checksums.items():
        path = found[0] / CIFAR100.base_folder / name
        if not path.is_file():
            raise FileNotFoundError(f"no file at {path}: {_HOW_TO_GET}")
        if not check_integrity(path, checksum):
            raise ValueError(
                f"{path} is damaged: expected the MD5 sum {checksum}; remove {path.parent} and "
                + _HOW_TO_GET
            )
    return found[0]


def _fetch(folder: Path) -> None:
    from torchvision.datasets import CIFAR100

    CIFAR100(folder, download=True)


def _unpickle(place: Path, name: str) -> dict:
    """Read a file whose checksum has been checked: unpickling any other could run its code."""
    from torchvision.datasets import CIFAR100

    with (place / CIFAR100.base_folder / name).open("rb") as file:
        return pickle.load(file, encoding="latin1")


def _check_class_names(place: Path, tree: Hierarchy) -> None:
    meta = _unpickle(place, "meta")
    for level in ("coarse", "fine"):
        names, expected = meta[f"{level}_label_names"], tree.class_names[tree.level_index(level)]
        if len(names) != len(expected):
            raise ValueError(f"expected {len(expected)} {level} classes, the file has {len(names)}")
        for number, (name, known) in enumerate(zip(names, expected, strict=True)):
            if name != known:
                raise ValueError(
                    f"{level} class {number} must be {known!r}, the file names it {name!r}"
                )


def _read_part(place: Path, part: str, tree: Hierarchy) -> TensorSplit:
    from torchvision.datasets import CIFAR100

    source = CIFAR100(place, train=part == "train")
    fine = torch.tensor(source.targets)
    _check_coarse(torch.tensor(_unpickle(place, part)["coarse_labels"]), fine, tree)
    return TensorSplit(
        images=torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous(),
        labels=tree.label_table(fine),
        hierarchy=tree,
        name=NAME,
        part=part,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        augmentations=("crop", "flip"),
    )


def _check_coarse(
    coarse: Int[Tensor, " sample"], fine: Int[Tensor, " sample"], tree: Hierarchy
) -> None:
    wrong = (tree.lift_labels(fine, "coarse") != coarse).nonzero().flatten().tolist()
    if wrong:
        names = tree.class_names[tree.level_index("coarse")]
        name = tree.class_names[-1][int(fine[wrong[0]])]
        known = names[int(tree.lift_labels(fine[wrong[0]], "coarse"))]
        raise ValueError(
            f"{name!r} must lie under {known!r}, the file has coarse label "
            f"{int(coarse[wrong[0]])} for it (image {wrong[0]})"
        )
