"""Fashion-MNIST: 70,000 grey images of clothes, shoes and bags in 10 classes."""

from pathlib import Path

import torch

from hbnlab.data.idx import read_idx
from hbnlab.data.places import VARIABLE, download_folder, download_root, search_folders
from hbnlab.data.split import Splits, TensorSplit, hold_out
from hbnlab.hierarchy import Hierarchy
from hbnlab.trees import FASHION_MNIST, FASHION_MNIST_THREE

NAME = "fashion_mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
COUNTS = {"train": 60_000, "test": 10_000}
SIZE = 28
BORDER = 2

# Measured on the 55,000 training images of seed 7, with their border.
MEAN = 0.21882
STD = 0.33165

_HOW_TO_GET = (
    "get the files with `apt install dataset-fashion-mnist`, or with download=True (on the command "
    f"line --download), or name their folder as root or in ${VARIABLE}"
)


def load(
    root: str | Path | None = None,
    download: bool = False,
    *,
    three_levels: bool = False,
    val_size: int = 5_000,
    seed: int = 7,
) -> Splits:
    """Load 55,000 + 5,000 + 10,000 images, 28x28 in a black border to 32x32, grey in 3 channels.

    Crop and flip both keep the label: a shoe that points the other way is a shoe.

    Args:
        root: folder of the four files, or one into which torchvision has put them; None =
            $HBNLAB_DATA, then the folder of Debian's package, then the user's cache.
        download: fetch the files through torchvision if they are in none of these.
        three_levels: put clothes and goods above the 6 coarse classes.
        val_size: how many training images are held out for validation.
        seed: chooses them.

    Raises:
        FileNotFoundError: when a file is missing: which, and how to get it.
        ValueError: when a file is damaged: which, and what was expected.

    Source:
        Xiao et al., "Fashion-MNIST", arXiv 1708.07747, 2017; the trees are in ``hbnlab.trees``.
    """
    folder = _find_folder(root, download)
    tree = FASHION_MNIST_THREE if three_levels else FASHION_MNIST
    train, val = hold_out(_read_part(folder, "train", tree), val_size, seed)
    test = _read_part(folder, "test", tree)
    return Splits(train=train, val=val, test=test, hierarchy=tree, name=NAME)


def _find_folder(root: str | Path | None, download: bool) -> Path:
    places = search_folders(root, DEBIAN_FOLDER)
    names = [name for part in FILES for name in FILES[part]]
    expected = f"expected {names}, each gzipped (.gz) or not; {_HOW_TO_GET}"
    for place in places:
        for folder in (place, place / "fashion-mnist", place / "FashionMNIST" / "raw"):
            missing = [name for name in names if not _path(folder, name).is_file()]
            if not missing:
                return folder
            if len(missing) < len(names):
                raise FileNotFoundError(f"{folder} lacks {missing}: {expected}")
    if not download:
        raise FileNotFoundError(f"no Fashion-MNIST in {[str(p) for p in places]}: {expected}")
    target = download_root(root) / "FashionMNIST"
    download_folder(target, _fetch)
    return target / "raw"


def _fetch(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(folder, download=True)


def _path(folder: Path, name: str) -> Path:
    """The file of that name, gzipped if it is there both ways: then it carries a checksum."""
    gzipped = folder / f"{name}.gz"
    return gzipped if gzipped.is_file() else folder / name


def _read_part(folder: Path, part: str, tree: Hierarchy) -> TensorSplit:
    images_path, labels_path = (_path(folder, name) for name in FILES[part])
    images = read_idx(images_path, (COUNTS[part], SIZE, SIZE))
    labels = read_idx(labels_path, (COUNTS[part],)).long()
    if int(labels.max()) >= tree.num_classes[-1]:
        raise ValueError(
            f"{labels_path} must hold labels in 0..{tree.num_classes[-1] - 1}, "
            f"got {int(labels.max())}"
        )
    padded = torch.nn.functional.pad(images, (BORDER,) * 4)
    return TensorSplit(
        images=padded[:, None].expand(-1, 3, -1, -1),
        labels=tree.label_table(labels),
        hierarchy=tree,
        name=NAME,
        part=part,
        mean=(MEAN,) * 3,
        std=(STD,) * 3,
        augmentations=("crop", "flip"),
    )
