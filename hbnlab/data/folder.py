"""Your own images in nested folders: the nesting is the tree, the innermost folders its classes."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader

from hbnlab.data.batches import IMAGENET_MEAN, IMAGENET_STD
from hbnlab.data.image_checks import check_same
from hbnlab.data.image_files import SUFFIXES, is_image, read_images
from hbnlab.data.split import PARTS, Split, Splits, TensorSplit
from hbnlab.hierarchy import Hierarchy

_DECODED_AT_ONCE = 64


def load(
    root: str | Path,
    *,
    image_size: int = 32,
    level_names: Sequence[str] | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 7,
    augmentations: tuple[str, ...] = ("crop",),
    memory_limit: int = 2**30,
    workers: int = 0,
) -> Splits:
    """Load images from nested folders, such as ``root/dog/poodle/rex.jpg``.

    ``root`` holds either the tree itself or the folder ``train`` and, if you like, ``val`` and
    ``test``, each with the whole tree. A missing part is taken at random from the training images,
    the same fraction of every class. Files that are not images are ignored.

    Args:
        root: the outermost folder.
        image_size: height and width of the loaded images, in pixels.
        level_names: names of the levels, coarsest first.
        val_fraction: fraction of each class that is held out for validation if there is no folder
            ``val``; at least one image per class.
        test_fraction: the same for testing.
        seed: of the choice of the held-out images.
        augmentations: those that keep your labels. ``"flip"`` is off by default, because a
            mirrored 3 is not a digit.
        memory_limit: up to this many bytes all images are decoded once and kept in memory; beyond
            it they are read from disk in every epoch.
        workers: processes that decode images read from disk; 0 = the training process itself.

    Raises:
        FileNotFoundError: if ``root`` is not a folder.
        ValueError: if the folders do not form a tree, a class has too few images, or a file cannot
            be read: which.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as root:
        ...     for name in ("dog/poodle", "dog/pug", "cat/tabby"):
        ...         (Path(root) / name).mkdir(parents=True)
        ...         for number in range(4):
        ...             Image.new("RGB", (40, 30)).save(f"{root}/{name}/{number}.png")
        ...     splits = load(root)
        >>> len(splits.train), len(splits.val), len(splits.test)
        (6, 3, 3)
    """
    root = Path(root).expanduser()
    tree, files = _list_parts(root, level_names)
    files = _hold_out(files, {"val": val_fraction, "test": test_fraction}, tree, seed)
    split_of = functools.partial(
        FolderSplit, augmentations=augmentations, root=root, image_size=image_size, workers=workers
    )
    parts = {part: split_of(part=part, **_columns(files[part], tree)) for part in PARTS}
    if 3 * image_size**2 * sum(map(len, parts.values())) <= memory_limit:
        parts = {part: split.in_memory() for part, split in parts.items()}
    return Splits(**parts, hierarchy=tree, name="folder")


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderSplit(Split):
    """A split whose images stay on disk and are decoded batch by batch.

    Attributes:
        root: the folder that the paths are relative to.
        paths: one file per image.
        image_size: height and width of the decoded images, in pixels.
        workers: processes that decode; 0 = the training process itself.
    """

    root: Path
    paths: tuple[str, ...]
    image_size: int
    workers: int = 0
    name: str = "folder"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1, got {self.image_size}")
        check_same("number", len(self.paths), len(self.labels))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        return 3, self.image_size, self.image_size

    def _rows_at(self, index: Int[Tensor, " chosen"]) -> dict[str, object]:
        paths = tuple(self.paths[i] for i in index.tolist())
        return {"paths": paths, **super()._rows_at(index)}

    def in_memory(self) -> TensorSplit:
        """The same split with all images decoded."""
        images = torch.empty((len(self), *self.image_shape), dtype=torch.uint8, device=self.device)
        batches = torch.arange(len(self)).split(_DECODED_AT_ONCE)
        for indices, batch in zip(batches, self._read(batches), strict=True):
            images[indices] = batch
        shared = {field.name: getattr(self, field.name) for field in fields(Split)}
        return TensorSplit(images=images, **shared)

    def _read(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        files: Any = [self.root / path for path in self.paths]  # a loader takes any sequence
        loader = DataLoader(
            files,
            batch_sampler=[indices.tolist() for indices in batches],
            num_workers=self.workers,
            collate_fn=functools.partial(read_images, size=self.image_size),
            # Without a generator of its own, a loader would draw from the global one.
            generator=torch.Generator(),
        )
        for images in loader:
            yield images.to(self.device)

    def _content(self) -> Iterator[str]:
        for path in self.paths:
            yield f"{path} {(self.root / path).stat().st_size}\n"


ClassFiles = list[list[str]]
"""The files of one part: for each finest class a list of paths relative to the root."""


def _list_parts(
    root: Path, level_names: Sequence[str] | None
) -> tuple[Hierarchy, dict[str, ClassFiles]]:
    """The tree, and the files of each part that has a folder; without any, all are in ``train``."""
    names = {p.name for p in root.iterdir() if p.is_dir()} if root.is_dir() else set()
    names = {name for name in names if not name.startswith(".")}
    if not names or not names <= set(PARTS):
        tree = Hierarchy.from_folder(root, level_names)
        return tree, {"train": _list_images(root, root, tree)}
    if "train" not in names:
        raise ValueError(f"{root} must hold a folder train beside {sorted(names)}, got none")
    tree = Hierarchy.from_folder(root / "train", level_names)
    for part in sorted(names):
        other = Hierarchy.from_folder(root / part, level_names)
        if other != tree:
            classes = set(tree.class_names[-1]) ^ set(other.class_names[-1])
            raise ValueError(
                f"{root / part} and {root / 'train'} must hold the same folders, "
                f"which differ in {sorted(classes) or 'their nesting'}"
            )
    return tree, {part: _list_images(root / part, root, tree) for part in names}


def _list_images(folder: Path, root: Path, tree: Hierarchy) -> ClassFiles:
    class_folders = [folder.joinpath(*names) for names in _lineages(tree)]
    above = {p for path in class_folders for p in path.parents if p.is_relative_to(folder)}
    stray = [p for parent in above for p in parent.iterdir() if is_image(p)]
    if stray:
        raise ValueError(f"images must be in the innermost folders, got {min(stray)}")
    files: ClassFiles = []
    for class_folder in class_folders:
        found = [path for path in class_folder.iterdir() if is_image(path)]
        if not found:
            raise ValueError(
                f"every class needs an image ({', '.join(SUFFIXES)}), none in {class_folder}"
            )
        files.append(sorted(path.relative_to(root).as_posix() for path in found))
    return files


def _lineages(tree: Hierarchy) -> list[list[str]]:
    """The names of each finest class and its ancestors, coarsest first."""
    table = tree.label_table(torch.arange(tree.num_classes[-1])).tolist()
    return [[names[i] for names, i in zip(tree.class_names, row, strict=True)] for row in table]


def _hold_out(
    files: Mapping[str, ClassFiles], fractions: Mapping[str, float], tree: Hierarchy, seed: int
) -> dict[str, ClassFiles]:
    """Take the parts in ``fractions`` that have no files from the training images, by class."""
    fractions = {part: fraction for part, fraction in fractions.items() if part not in files}
    for part, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise ValueError(f"{part}_fraction must be between 0 and 1, got {fraction}")
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, ClassFiles] = {**files, "train": [], **{part: [] for part in fractions}}
    for name, paths in zip(tree.class_names[-1], files["train"], strict=True):
        counts = {p: max(1, round(fraction * len(paths))) for p, fraction in fractions.items()}
        if sum(counts.values()) >= len(paths):
            raise ValueError(
                f"class {name!r} must keep an image to train on, got {len(paths)} images, of which "
                f"{counts} would be held out"
            )
        order = torch.randperm(len(paths), generator=generator).tolist()
        for part, count in counts.items():
            parts[part].append(sorted(paths[i] for i in order[:count]))
            order = order[count:]
        parts["train"].append(sorted(paths[i] for i in order))
    return parts


def _columns(files: ClassFiles, tree: Hierarchy) -> dict[str, Any]:
    pairs = [(index, path) for index, paths in enumerate(files) for path in paths]
    classes, paths = zip(*pairs, strict=True)
    return {"hierarchy": tree, "labels": tree.label_table(torch.tensor(classes)), "paths": paths}
