"""Your own images: folders nested like the tree, or one folder per class and a tree beside them."""

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
from hbnlab.hierarchy import GivenTree, Hierarchy, TreeSource, read_tree
from hbnlab.progress import progress_bar

_DECODED_AT_ONCE = 64
# So many small images are read in a second; more of them show a bar.
_READ_AT_A_GLANCE = 2000


def load(
    root: str | Path,
    *,
    image_size: int = 32,
    tree: TreeSource | None = None,
    level_names: Sequence[str] | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 7,
    augmentations: Sequence[str] = ("crop",),
    memory_limit: int = 2**30,
    workers: int = 0,
    title: str = "folder",
) -> Splits:
    """Load images from nested folders, such as ``root/dog/poodle/rex.jpg``, or from flat ones.

    Flat folders, such as ``root/poodle/rex.jpg``, need a tree. ``root`` holds either the folders of
    the classes or the folder ``train`` and, if you like, ``val`` and ``test``, each with all
    classes. A missing part is a random share of the training images of each class.

    Args:
        root: the outermost folder; files in it that are not images are ignored.
        image_size: height and width of the loaded images, in pixels.
        tree: of flat folders, as in ``hbnlab.data.load``; it numbers the classes.
        level_names: names of the levels, coarsest first; None = those of the tree.
        val_fraction: fraction of each class that is held out for validation if there is no folder
            ``val``; at least one image per class.
        test_fraction: the same for testing.
        seed: of the choice of these images.
        augmentations: those that keep your labels; a mirrored 3, say, is not a digit.
        memory_limit: up to this many bytes of images are read once; more, once per epoch.
        workers: processes that decode images read from disk; 0 = the training process itself.
        title: what reports call these images.

    Raises:
        FileNotFoundError: if ``root`` is not a folder.
        ValueError: if the folders form no tree or not the given one, a class has too few images, or
            a file cannot be read: which.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as root:
        ...     for name in ("dog/poodle", "dog/pug", "cat/tabby"):
        ...         (Path(root) / name).mkdir(parents=True)
        ...         for n in range(4): Image.new("RGB", (40, 30)).save(f"{root}/{name}/{n}.png")
        ...     splits = load(root)
        >>> len(splits.train), len(splits.val), len(splits.test)
        (6, 3, 3)
    """
    root = Path(root).expanduser()
    hierarchy, files = _classes(root, tree, level_names)
    files = _hold_out(files, {"val": val_fraction, "test": test_fraction}, hierarchy, seed)
    how: dict[str, Any] = {"root": root, "image_size": image_size, "workers": workers}
    how |= {"augmentations": tuple(augmentations), "name": title}
    columns = {part: _columns(files[part], hierarchy) for part in PARTS}
    parts = {part: FolderSplit(part=part, **how, **columns[part]) for part in PARTS}
    if 3 * image_size**2 * sum(map(len, parts.values())) <= memory_limit:
        parts = {part: split.in_memory() for part, split in parts.items()}
    return Splits(**parts, hierarchy=hierarchy, name=title)


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
        with progress_bar(
            len(self), f"read {self.part}", "image", visible=len(self) > _READ_AT_A_GLANCE
        ) as bar:
            for indices, batch in zip(batches, self._read(batches), strict=True):
                images[indices] = batch
                bar.update(len(batch))
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


def _classes(
    root: Path, tree: TreeSource | None, level_names: Sequence[str] | None
) -> tuple[Hierarchy, dict[str, ClassFiles]]:
    """The tree, and the files of each part that has a folder, in the order of its classes."""
    nesting, files = _list_parts(root)
    hierarchy = _tree_of(nesting, None if tree is None else read_tree(tree), root)
    if level_names is not None:
        hierarchy = hierarchy.with_level_names(level_names)
    order = [nesting.class_names[-1].index(name) for name in hierarchy.class_names[-1]]
    return hierarchy, {part: [classes[i] for i in order] for part, classes in files.items()}


def _tree_of(nesting: Hierarchy, given: GivenTree | None, root: Path) -> Hierarchy:
    """The tree of the classes: the nesting of the folders, or the one given for flat folders."""
    if given is None:
        if nesting.num_levels == 1:
            raise ValueError(
                f"{root} holds flat classes, such as {nesting.class_names[0][0]!r}, and no tree: "
                "nest their folders, or give a CSV or JSON file as tree (on the command line "
                "--tree FILE), such as one row per class from coarse to fine below a line with the "
                "names of the levels"
            )
        return nesting
    if nesting.num_levels > 1:
        raise ValueError(
            f"{given.source} is a tree for flat folders, one per class, got nested ones in {root}: "
            f"{'/'.join(nesting.rows[0])}"
        )
    return given.for_classes(nesting.class_names[0], f"the folders in {root}")


def _list_parts(root: Path) -> tuple[Hierarchy, dict[str, ClassFiles]]:
    """The nesting of the folders, and the files of each part; without any part, of ``train``."""
    names = {p.name for p in root.iterdir() if p.is_dir()} if root.is_dir() else set()
    names = {name for name in names if not name.startswith(".")}
    if not names or not names <= set(PARTS):
        tree = Hierarchy.from_folder(root)
        return tree, {"train": _list_images(root, root, tree)}
    if "train" not in names:
        raise ValueError(f"{root} must hold a folder train beside {sorted(names)}, got none")
    tree = Hierarchy.from_folder(root / "train")
    for part in sorted(names):
        other = Hierarchy.from_folder(root / part)
        if other != tree:
            classes = set(tree.class_names[-1]) ^ set(other.class_names[-1])
            raise ValueError(
                f"{root / part} and {root / 'train'} must hold the same folders, "
                f"which differ in {sorted(classes) or 'their nesting'}"
            )
    return tree, {part: _list_images(root / part, root, tree) for part in names}


def _list_images(folder: Path, root: Path, tree: Hierarchy) -> ClassFiles:
    class_folders = [folder.joinpath(*names) for names in tree.rows]
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
