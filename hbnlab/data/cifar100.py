"""CIFAR-100: 60,000 colour photographs in 100 fine and 20 coarse classes, the study's data."""

from pathlib import Path

from hbnlab.data.cifar_files import load_cifar
from hbnlab.data.split import Splits
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
    return load_cifar(
        root,
        download,
        torchvision_name="CIFAR100",
        name_keys={"coarse": "coarse_label_names", "fine": "fine_label_names"},
        tree=CIFAR100_THREE if three_levels else CIFAR100,
        val_size=val_size,
        seed=seed,
    )
