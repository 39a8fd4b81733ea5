"""Your own images: folders that the tests fill with small pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from hbnlab import trees
from hbnlab.data import TensorSplit, load
from hbnlab.data.folder import FolderSplit
from hbnlab.data.image_files import read_image
from hbnlab.hierarchy import Hierarchy, read_tree
from hbnlab.progress import progress_bar

HOWTO = Path(__file__).parents[1] / "docs" / "howto"

TREE = {"cat": ["manx", "siamese"], "dog": ["collie", "poodle"]}
SIZE = 12


def picture(number, width=15, height=13):
    """Noise that is different for every number."""
    generator = np.random.default_rng(number)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def fill(root, tree=TREE, count=10, first=0):
    """Write ``count`` different pictures into the folder of every class."""
    for coarse, classes in tree.items():
        for name in classes:
            folder = root / coarse / name
            folder.mkdir(parents=True)
            for number in range(first, first + count):
                picture(number).save(folder / f"{name}_{number}.png")
            first += 100
    return root


def load_small(root, **options):
    return load("folder", root=root, image_size=SIZE, **options)


def streamed(root, **options):
    return load_small(root, memory_limit=0, **options)


def parts(splits):
    return splits.train, splits.val, splits.test


def read_everything(splits):
    for split in parts(splits):
        list(split.batches(8))


# ------------------------------------------------------------------ tree and parts


def test_the_nesting_is_the_tree_and_every_image_has_its_folders_labels(tmp_path):
    splits = streamed(fill(tmp_path))
    assert splits.hierarchy == Hierarchy.from_dict(TREE, sort=True)
    for split in parts(splits):
        for path, (coarse, fine) in zip(split.paths, split.labels.tolist(), strict=True):
            names = splits.hierarchy.class_names
            assert path.startswith(f"{names[0][coarse]}/{names[1][fine]}/")


def test_every_image_is_in_one_part_and_every_class_in_every_part(tmp_path):
    splits = streamed(fill(tmp_path), val_fraction=0.1, test_fraction=0.3)
    paths = [path for split in parts(splits) for path in split.paths]
    assert len(paths) == len(set(paths)) == 40
    for split, count in zip(parts(splits), (6, 1, 3), strict=True):
        assert split.labels[:, -1].bincount().tolist() == [count] * 4


def test_a_small_class_gives_at_least_one_image_to_every_part(tmp_path):
    splits = streamed(fill(tmp_path, count=3))
    assert [split.labels[:, -1].bincount().tolist() for split in parts(splits)] == [[1] * 4] * 3


def test_the_seed_chooses_the_images_held_out(tmp_path):
    fill(tmp_path)
    first, again, other = (streamed(tmp_path, seed=seed).test.paths for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_folders_train_val_and_test_are_taken_as_they_are(tmp_path):
    for first, part in enumerate(("train", "val", "test")):
        fill(tmp_path / part, count=2 + first, first=1000 * first)
    splits = streamed(tmp_path)
    assert [len(split) for split in parts(splits)] == [8, 12, 16]
    for split in parts(splits):
        assert all(path.startswith(f"{split.part}/") for path in split.paths)


@pytest.mark.parametrize("given", ["val", "test"])
def test_a_part_without_a_folder_is_taken_from_the_training_images(tmp_path, given):
    fill(tmp_path / "train")
    fill(tmp_path / given, count=2, first=1000)
    splits = streamed(tmp_path, val_fraction=0.2, test_fraction=0.2)
    missing = {"val": "test", "test": "val"}[given]
    assert len(getattr(splits, given)) == 8
    assert all(path.startswith("train/") for path in getattr(splits, missing).paths)
    assert set(getattr(splits, missing).paths).isdisjoint(splits.train.paths)
    assert len(splits.train) == 32


def test_a_folder_train_is_a_part_even_without_another_part(tmp_path):
    fill(tmp_path / "train")
    splits = streamed(tmp_path)
    assert splits.hierarchy == Hierarchy.from_dict(TREE, sort=True)
    assert [len(split) for split in parts(splits)] == [28, 4, 8]
    assert all(path.startswith("train/") for split in parts(splits) for path in split.paths)


@pytest.mark.parametrize("names", [("val",), ("val", "test")])
def test_parts_without_a_folder_train_are_refused(tmp_path, names):
    for name in names:
        fill(tmp_path / name)
    with pytest.raises(ValueError, match=r"must hold a folder train beside \[.*'val'\], got none"):
        load_small(tmp_path)


def test_classes_called_train_and_test_among_others_are_classes(tmp_path):
    fill(tmp_path, {"train": ["steam"], "test": ["exam"], "bus": ["double"]})
    assert load_small(tmp_path).hierarchy.class_names[0] == ("bus", "test", "train")


def test_folders_may_be_nested_more_deeply_and_levels_named(tmp_path):
    for top in ("animal", "thing"):
        fill(tmp_path / top, {f"{top}_a": [f"{top}_x"], f"{top}_b": [f"{top}_y"]}, count=3)
    splits = load_small(tmp_path, level_names=["kind", "group", "class"])
    assert splits.hierarchy.num_classes == (2, 4, 4)
    assert splits.hierarchy.level_names == ("kind", "group", "class")


def test_other_files_and_hidden_folders_are_passed_over(tmp_path):
    fill(tmp_path)
    (tmp_path / "README.txt").write_text("notes")
    (tmp_path / "cat" / "manx" / "notes.csv").write_text("a,b")
    (tmp_path / "cat" / "manx" / ".thumbnail.png").write_bytes(b"not an image")
    (tmp_path / ".cache").mkdir()
    assert sum(len(split) for split in parts(load_small(tmp_path))) == 40


# ------------------------------------------------------------------ flat folders and a tree

# Neither the coarse nor the fine classes are in alphabetical order.
ROWS = "kind,breed\ndog,poodle\ncat,siamese\ndog,collie\ncat,manx\n"


def fill_flat(root, names=("collie", "manx", "poodle", "siamese"), **options):
    return fill(root, {".": names}, **options)


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "tree.csv").write_text(ROWS)
    return tmp_path / "tree.csv"


@pytest.mark.parametrize("parts_are_folders", [False, True])
def test_flat_folders_get_the_tree_of_a_file_and_its_numbers(tmp_path, rows, parts_are_folders):
    root = tmp_path / "pictures"
    for number, part in enumerate(("train", "val", "test") if parts_are_folders else ("",)):
        fill_flat(root / part, first=1000 * number)
    splits = streamed(root, tree=rows)
    assert splits.hierarchy.class_names == (
        ("dog", "cat"),
        ("poodle", "siamese", "collie", "manx"),
    )
    assert splits.hierarchy.level_names == ("kind", "breed")
    for split in parts(splits):
        for path, row in zip(split.paths, split.labels.tolist(), strict=True):
            _, breed = (
                names[i] for names, i in zip(splits.hierarchy.class_names, row, strict=True)
            )
            assert f"{breed}/{breed}_" in path
        assert set(split.labels[:, -1].tolist()) == {0, 1, 2, 3}


def test_a_tree_may_be_given_as_a_file_a_mapping_or_a_hierarchy(tmp_path, rows):
    root = fill_flat(tmp_path / "pictures")
    nested = {"dog": ["poodle", "collie"], "cat": ["siamese", "manx"]}
    (tmp_path / "tree.json").write_text(json.dumps(nested))
    tree = Hierarchy.from_dict(nested)
    loaded = [load_small(root, tree=given) for given in (tmp_path / "tree.json", nested, tree)]
    assert {splits.train.fingerprint for splits in loaded} == {loaded[0].train.fingerprint}
    assert load_small(root, tree=str(rows)).hierarchy.num_classes == tree.num_classes


def test_the_names_of_the_levels_may_be_others_than_in_the_file(tmp_path, rows):
    splits = load_small(fill_flat(tmp_path / "pictures"), tree=rows, level_names=["a", "b"])
    assert splits.hierarchy.level_names == ("a", "b")


def test_one_column_is_a_tree_of_one_level(tmp_path):
    (tmp_path / "tree.csv").write_text("breed\nmanx\npoodle\n")
    root = fill_flat(tmp_path / "pictures", ("manx", "poodle"))
    assert load_small(root, tree=tmp_path / "tree.csv").hierarchy.num_classes == (2,)


def test_flat_folders_without_a_tree_are_refused_with_a_way_to_give_one(tmp_path):
    with pytest.raises(
        ValueError, match="holds flat classes, such as 'collie', and no tree"
    ) as told:
        load_small(fill_flat(tmp_path))
    for hint in ("CSV or JSON", "--tree FILE", "one row per class from coarse to fine"):
        assert hint in str(told.value)


def test_a_row_without_a_folder_and_a_folder_without_a_row_are_named(tmp_path, rows):
    root = fill_flat(tmp_path / "pictures")
    (root / "manx").rename(root / "sphynx")
    with pytest.raises(
        ValueError, match=r"tree\.csv, line 5: .*pictures, got \['manx'\]; it has \['s"
    ):
        load_small(root, tree=rows)
    rows.write_text(ROWS.replace("cat,manx\n", ""))
    with pytest.raises(
        ValueError, match=r"tree\.csv must have a row .*, got none for \['sphynx'\]"
    ):
        load_small(root, tree=rows)


def test_a_tree_for_nested_folders_is_refused(tmp_path, rows):
    root = fill(tmp_path / "pictures")
    with pytest.raises(ValueError, match=r"for flat folders.*, got nested ones in .*: dog/collie"):
        load_small(root, tree=rows)


def test_the_trees_of_cifar_10_in_the_documentation_are_those_of_the_package():
    for name, tree in (("cifar10", trees.CIFAR10), ("cifar10_three", trees.CIFAR10_THREE)):
        read = read_tree(HOWTO / f"{name}.csv").hierarchy
        assert (read, read.level_names) == (tree, tree.level_names)


def test_many_images_show_a_bar_and_few_do_not(tmp_path, monkeypatch):
    shown = []

    def bar(total, description, unit, *, visible):
        shown.append((total, description, visible))
        return progress_bar(total, description, unit, visible=False)

    monkeypatch.setattr("hbnlab.data.folder.progress_bar", bar)
    fill(tmp_path)
    load_small(tmp_path)
    monkeypatch.setattr("hbnlab.data.folder._READ_AT_A_GLANCE", 10)
    load_small(tmp_path)
    assert shown == [
        (28, "read train", False),
        (4, "read val", False),
        (8, "read test", False),
        (28, "read train", True),
        (4, "read val", False),
        (8, "read test", False),
    ]


# ------------------------------------------------------------------ from disk, from memory


@pytest.mark.parametrize("options", [{}, {"augmentations": ("crop", "flip"), "augment": True}])
def test_streamed_and_decoded_batches_are_identical(tmp_path, options):
    augment = options.pop("augment", False)
    fill(tmp_path)
    for from_disk, in_memory in zip(
        parts(streamed(tmp_path, **options)), parts(load_small(tmp_path, **options)), strict=True
    ):
        assert isinstance(from_disk, FolderSplit)
        assert isinstance(in_memory, TensorSplit)
        for generators in (None, None), [torch.Generator().manual_seed(3) for _ in range(2)]:
            here, there = (
                list(split.batches(3, generator=g, augment=augment and g is not None))
                for split, g in zip((from_disk, in_memory), generators, strict=True)
            )
            for one, other in zip(here, there, strict=True):
                assert torch.equal(one[0], other[0])
                assert torch.equal(one[1], other[1])


# From 3.12 on, Python warns of forked processes where there are threads, as torch has.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_worker_reads_the_same_batches(tmp_path):
    fill(tmp_path)
    alone, helped = (list(streamed(tmp_path, workers=workers).val.batches(3)) for workers in (0, 1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(alone, helped, strict=True))


def test_images_are_decoded_once_up_to_the_memory_limit(tmp_path):
    fill(tmp_path)
    needed = 40 * 3 * SIZE**2
    assert isinstance(load_small(tmp_path, memory_limit=needed).train, TensorSplit)
    assert isinstance(load_small(tmp_path, memory_limit=needed - 1).train, FolderSplit)


def test_a_streamed_subset_keeps_images_and_labels_together(tmp_path):
    split = streamed(fill(tmp_path)).train
    (images, labels), *_ = split.subset([5, 0]).batches(2)
    (whole, all_labels), *_ = split.batches(len(split))
    assert torch.equal(images, whole[[5, 0]])
    assert torch.equal(labels, all_labels[[5, 0]])


def test_streaming_leaves_the_global_generator_alone(tmp_path):
    split = streamed(fill(tmp_path)).train
    state = torch.get_rng_state()
    list(split.batches(8, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_fingerprint_of_a_folder_changes_with_its_files(tmp_path):
    before = streamed(fill(tmp_path)).train
    assert streamed(tmp_path).train.fingerprint == before.fingerprint
    picture(0, width=30).save(tmp_path / before.paths[0])
    assert streamed(tmp_path).train.fingerprint != before.fingerprint


# ------------------------------------------------------------------ one image


@pytest.mark.parametrize("size", [(12, 12), (15, 13), (40, 13), (7, 30), (3, 3), (12, 200)])
def test_images_are_resized_and_cropped_as_by_torchvision(tmp_path, size):
    image = picture(1, *size)
    image.save(tmp_path / "image.png")
    reference = v2.Compose([v2.Resize(SIZE), v2.CenterCrop(SIZE), v2.PILToTensor()])
    assert torch.equal(read_image(tmp_path / "image.png", SIZE), reference(image))


def read_saved(path, image, **options):
    image.save(path, **options)
    return read_image(path, min(image.size))


def test_grey_palette_and_opaque_images_become_rgb(tmp_path):
    colour, grey = picture(2, 10, 10), picture(2, 10, 10).convert("L")
    palette = colour.quantize(16)
    opaque = colour.convert("RGBA")
    for number, (image, expected) in enumerate(
        [
            (grey, grey.convert("RGB")),
            (palette, palette.convert("RGB")),
            (opaque, colour),
            (grey.convert("1"), grey.convert("1").convert("RGB")),
        ]
    ):
        pixels = read_saved(tmp_path / f"{number}.png", image)
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(expected))


def test_transparent_pixels_become_white(tmp_path):
    clear = picture(3, 10, 10).convert("RGBA")
    clear.putalpha(0)
    assert read_saved(tmp_path / "clear.png", clear).unique().tolist() == [255]
    palette = Image.new("P", (10, 10))
    pixels = read_saved(tmp_path / "palette.png", palette, transparency=0)
    assert pixels.unique().tolist() == [255]


def test_sixteen_bits_a_pixel_keep_their_scale(tmp_path):
    values = (np.arange(100, dtype=np.uint16) * 655).reshape(10, 10)
    pixels = read_saved(tmp_path / "deep.png", Image.fromarray(values))
    assert np.array_equal(pixels[0].numpy(), values >> 8)


def test_a_photograph_is_turned_upright(tmp_path):
    image, exif = picture(4, 10, 10), Image.Exif()
    exif[0x0112] = 6  # the camera was turned a quarter to the right
    pixels = read_saved(tmp_path / "turned.png", image, exif=exif)
    upright = np.asarray(image.rotate(-90))
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), upright)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("damage", [lambda raw: b"not an image", lambda raw: raw[:-60]])
@pytest.mark.parametrize("memory_limit", [0, 2**30])
def test_an_unreadable_image_is_named(tmp_path, damage, memory_limit):
    path = fill(tmp_path) / "dog" / "collie" / "collie_203.png"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"collie_203\.png is not a readable image"):
        read_everything(load_small(tmp_path, memory_limit=memory_limit))


def test_pixels_that_bytes_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"deep\.tiff .* 8 or 16 bits per channel, got mode 'F'"):
        read_saved(tmp_path / "deep.tiff", Image.new("F", (10, 10)))


def test_a_class_without_an_image_is_named(tmp_path):
    (fill(tmp_path) / "cat" / "sphynx").mkdir()
    with pytest.raises(ValueError, match=r"every class needs an image .*none in .*sphynx"):
        load_small(tmp_path)


@pytest.mark.parametrize("place", [".", "dog"])
def test_an_image_outside_the_innermost_folders_is_refused(tmp_path, place):
    picture(5).save(fill(tmp_path) / place / "stray.png")
    with pytest.raises(ValueError, match=r"innermost folders, got .*stray\.png"):
        load_small(tmp_path)


def test_a_class_too_small_to_share_is_named(tmp_path):
    fill(tmp_path, {"cat": ["manx"]}, count=2)
    with pytest.raises(ValueError, match=r"class 'manx' must keep an image .* got 2 images"):
        load_small(tmp_path)


def test_parts_with_different_folders_are_refused(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test", {"cat": ["manx", "siamese"], "dog": ["collie", "pug"]})
    with pytest.raises(ValueError, match=r"same folders, which differ in \['poodle', 'pug'\]"):
        load_small(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_fraction": 0.0}, "val_fraction must be between 0 and 1, got 0.0"),
        ({"test_fraction": 1.0}, "test_fraction must be between 0 and 1, got 1.0"),
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
        ({"augmentations": ("rotate",)}, r"got \['rotate'\]"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, options, message):
    fill(tmp_path)
    with pytest.raises(ValueError, match=message):
        load("folder", root=tmp_path, **options)


def test_a_root_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_small(tmp_path / "nowhere")
