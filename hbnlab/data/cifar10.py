"""CIFAR-10: 60,000 colour photographs of animals and vehicles in 10 classes."""

from pathlib import Path

from hbnlab.data.cifar_files import load_cifar
from hbnlab.data.split import Splits
from hbnlab.trees import CIFAR10, CIFAR10_THREE


def load(
    root: str | Path | None = None,
    download: bool = False,
    *,
    three_levels: bool = False,
    val_size: int = 5_000,
    seed: int = 7,
) -> Splits:
    """Load 45,000 + 5,000 + 10,000 images, split and normalised as those of CIFAR-100.

    Args:
        root: folder that holds ``cifar-10-batches-py``; None = $HBNLAB_DATA, then the user's cache.
        download: download the files through torchvision if none of these folders has them.
        three_levels: put transport and animals above the 7 coarse classes.
        val_size: number of training images held out for validation.
        seed: of the choice of these images.

    Raises:
        FileNotFoundError: for a missing file: which, and how to get it.
        ValueError: for a damaged file, or classes that are not those of the tree: which.

    Source:
        Krizhevsky, "Learning multiple layers of features from tiny images", 2009; the trees are in
        ``hbnlab.trees``.
    """
    return load_cifar(
        root,
        download,
        torchvision_name="CIFAR10",
        name_keys={"fine": "label_names"},
        tree=CIFAR10_THREE if three_levels else CIFAR10,
        val_size=val_size,
        seed=seed,
    )
