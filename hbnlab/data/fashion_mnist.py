"""Fashion-MNIST: 70,000 grey images of clothes, shoes and bags in 10 classes."""

from pathlib import Path

import torch

from hbnlab.data.data_folders import file_path, find_folder
from hbnlab.data.idx_files import read_idx
from hbnlab.data.split import Splits, TensorSplit, with_validation
from hbnlab.hierarchy import Hierarchy
from hbnlab.trees import FASHION_MNIST, FASHION_MNIST_THREE

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
        download: download the files through torchvision if none of these folders has them.
        three_levels: put clothes and goods above the 6 coarse classes.
        val_size: number of training images held out for validation.
        seed: of the choice of these images.

    Raises:
        FileNotFoundError: for a missing file: which, and how to get it.
        ValueError: for a damaged file: which, and what was expected.

    Source:
        Xiao et al., "Fashion-MNIST", arXiv 1708.07747, 2017; the trees are in ``hbnlab.trees``.
    """
    folder = find_folder(
        root,
        download,
        torchvision_name="FashionMNIST",
        files=[name for names in FILES.values() for name in names],
        subfolders=("", "fashion-mnist", "FashionMNIST/raw"),
        system_folder=DEBIAN_FOLDER,
        hint="`apt install dataset-fashion-mnist`, or with ",
    )
    tree = FASHION_MNIST_THREE if three_levels else FASHION_MNIST
    train, test = (_read_part(folder, part, tree) for part in FILES)
    return with_validation(train, test, val_size, seed)


def _read_part(folder: Path, part: str, tree: Hierarchy) -> TensorSplit:
    images_path, labels_path = (file_path(folder, name) for name in FILES[part])
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
        name="fashion_mnist",
        part=part,
        mean=(MEAN,) * 3,
        std=(STD,) * 3,
        augmentations=("crop", "flip"),
    )
