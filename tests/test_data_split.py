"""Splits: what they refuse, and what their batches promise."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torchvision import transforms

from hbnlab.data import NAMES, load
from hbnlab.data.split import Splits, TensorSplit, with_validation
from hbnlab.hierarchy import Hierarchy

TREE = Hierarchy.from_dict({"cat": ["siamese"], "dog": ["collie", "poodle"]})
COUNT = 23


def make_split(**changes):
    generator = torch.Generator().manual_seed(0)
    fields = {
        "images": torch.randint(0, 256, (COUNT, 3, 8, 10), dtype=torch.uint8, generator=generator),
        "labels": TREE.label_table(torch.arange(COUNT) % 3),
        "hierarchy": TREE,
        "name": "pets",
        "part": "train",
        "mean": (0.4, 0.5, 0.6),
        "std": (0.2, 0.25, 0.3),
        "augmentations": ("crop", "flip"),
        "attributes": {"age": torch.arange(COUNT)},
    }
    return TensorSplit(**(fields | changes))


def grey_split():
    grey = make_split().images[:, :1]
    return make_split(images=grey.expand(-1, 3, -1, -1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def joined(batches):
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


# ------------------------------------------------------------------ batches


@pytest.mark.parametrize("size", [1, 5, COUNT, 100])
def test_batches_in_order_are_the_normalised_images(size):
    split = make_split()
    images, labels = joined(split.batches(size))
    assert torch.equal(images, split.normalise(split.images))
    assert torch.equal(labels, split.labels)


@pytest.mark.parametrize("shuffle", [True, False])
def test_batch_indices_tell_which_images_are_in_each_batch(shuffle):
    split = make_split()
    batches = split.batches(11, generator=seeded(), shuffle=shuffle)
    indices = split.batch_indices(11, seeded(), shuffle)
    for (images, labels), chosen in zip(batches, indices, strict=True):
        assert torch.equal(images, split.normalise(split.images[chosen]))
        assert torch.equal(labels, split.labels[chosen])


@pytest.mark.parametrize(
    ("size", "min_size", "sizes"),
    [(11, 1, [11, 11, 1]), (11, 2, [11, 12]), (7, 2, [7, 7, 7, 2]), (30, 40, [23])],
)
def test_a_last_batch_below_the_least_size_joins_the_one_before(size, min_size, sizes):
    split = make_split()
    batches = list(split.read_batches(split.batch_indices(size, min_size=min_size)))
    assert [len(images) for images, _ in batches] == sizes
    assert torch.equal(joined(batches)[1], make_split().labels)


def test_the_last_short_batch_is_kept():
    assert [len(labels) for _, labels in make_split().batches(10)] == [10, 10, 3]


def test_shuffled_batches_visit_every_image_once_with_its_own_label():
    split = make_split()
    images, labels = joined(split.batches(4, generator=seeded()))
    whole = split.normalise(split.images)
    same = (images[:, None] == whole[None]).flatten(2).all(dim=2)
    visited = same.float().argmax(dim=1)
    assert same.sum() == COUNT
    assert not torch.equal(visited, torch.arange(COUNT))
    assert torch.equal(visited.sort().values, torch.arange(COUNT))
    assert torch.equal(labels, split.labels[visited])


def test_a_generator_without_shuffling_keeps_the_order():
    split = make_split()
    images, _ = joined(split.batches(4, generator=seeded(), shuffle=False))
    assert torch.equal(images, split.normalise(split.images))


def test_equal_generators_give_equal_batches_and_others_do_not():
    split = make_split()
    first, again, other = (
        joined(split.batches(4, augment=True, generator=seeded(seed)))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_are_augmented_only_when_asked():
    split = make_split()
    plain, _ = joined(split.batches(4, generator=seeded(), shuffle=False))
    augmented, labels = joined(split.batches(4, augment=True, generator=seeded(), shuffle=False))
    assert torch.equal(plain, split.normalise(split.images))
    assert not torch.equal(augmented, plain)
    assert torch.equal(labels, split.labels)


def test_only_the_augmentations_that_keep_the_labels_are_applied():
    split = make_split(augmentations=())
    images, _ = joined(split.batches(4, augment=True, generator=seeded(), shuffle=False))
    assert torch.equal(images, split.normalise(split.images))


def test_batches_leave_the_global_generator_and_the_images_alone():
    split = make_split()
    state, images = torch.get_rng_state(), split.images.clone()
    joined(split.batches(4, augment=True, generator=seeded()))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(split.images, images)


def test_normalisation_is_torchvisions():
    split = make_split()
    images, _ = joined(split.batches(6))
    normalise = transforms.Normalize(split.mean, split.std)
    to_tensor = transforms.ToTensor()
    for image, normalised in zip(split.images, images, strict=True):
        as_array = image.permute(1, 2, 0).numpy()
        assert torch.allclose(normalised, normalise(to_tensor(as_array)), atol=1e-6)


@pytest.mark.parametrize("settings", [{"augment": True}, {"shuffle": True}])
def test_random_batches_without_a_generator_are_refused_at_once(settings):
    with pytest.raises(ValueError, match="need a generator"):
        make_split().batches(4, **settings)


def test_a_batch_size_of_zero_is_refused_at_once():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        make_split().batches(0)


# ------------------------------------------------------------------ grey images


def test_grey_images_take_the_memory_of_one_channel():
    split = grey_split().subset(range(10)).to("cpu")
    assert split.image_shape == (3, 8, 10)
    assert split.images.untyped_storage().nbytes() == 10 * 8 * 10


def test_grey_images_behave_as_three_equal_channels():
    grey = grey_split()
    colour = replace(grey, images=grey.images.contiguous())
    one, _ = joined(grey.batches(4, augment=True, generator=seeded()))
    three, _ = joined(colour.batches(4, augment=True, generator=seeded()))
    assert torch.equal(one, three)
    assert grey.fingerprint == colour.fingerprint


# ------------------------------------------------------------------ parts of a split


def test_a_subset_keeps_images_labels_and_attributes_together():
    split = make_split()
    chosen = split.subset([7, 2, 2])
    assert torch.equal(chosen.images, split.images[[7, 2, 2]])
    assert torch.equal(chosen.labels, split.labels[[7, 2, 2]])
    assert chosen.attributes["age"].tolist() == [7, 2, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"images": make_split().images.flip(0)},
        {"labels": TREE.label_table((torch.arange(COUNT) + 1) % 3)},
        {"mean": (0.4, 0.5, 0.7)},
    ],
)
def test_the_fingerprint_changes_with_what_a_network_sees(changes):
    assert make_split().fingerprint == make_split(part="test").fingerprint
    assert make_split().fingerprint != make_split(**changes).fingerprint


def test_held_out_images_are_those_of_random_split_and_never_stay():
    split = make_split()
    splits = with_validation(split, make_split(part="test"), 6, seed=7)
    train, val = splits.train, splits.val
    ages = range(COUNT)
    kept, held = torch.utils.data.random_split(ages, [COUNT - 6, 6], seeded(7))
    assert train.attributes["age"].tolist() == sorted(kept)
    assert val.attributes["age"].tolist() == sorted(held)
    assert (train.part, val.part) == ("train", "val")


@pytest.mark.parametrize("count", [0, COUNT, -1])
def test_holding_out_nothing_or_everything_is_refused(count):
    with pytest.raises(ValueError, match=rf"val_size must be in 1\.\.22 .* got {count}"):
        with_validation(make_split(), make_split(part="test"), count, seed=7)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(COUNT, 3, 8, 8)}, "must be uint8, got torch.float32"),
        ({"images": torch.zeros(COUNT, 1, 8, 8, dtype=torch.uint8)}, r"got \(23, 1, 8, 8\)"),
        ({"images": torch.zeros(COUNT, 8, 8, dtype=torch.uint8)}, r"got \(23, 8, 8\)"),
        ({"images": torch.zeros(4, 3, 8, 8, dtype=torch.uint8)}, "same number, got 4 and 23"),
        ({"labels": torch.zeros(COUNT, dtype=torch.int64)}, r"shape \(sample, 2\)"),
        ({"labels": torch.zeros(COUNT, 3, dtype=torch.int64)}, r"got \(23, 3\)"),
        ({"labels": torch.zeros(COUNT, 2)}, "must be int64, got torch.float32"),
        ({"labels": torch.full((COUNT, 2), 3)}, r"'coarse' must be in 0\.\.1, got 3\.\.3"),
        ({"labels": torch.tensor([[0, -1]] * COUNT)}, r"'fine' must be in 0\.\.2, got -1\.\.-1"),
        (
            {"labels": torch.tensor([[0, 0]] * (COUNT - 1) + [[0, 2]])},
            "'poodle' is under 'dog', got 'cat' for image 22",
        ),
        (
            {
                "images": torch.zeros(0, 3, 8, 8, dtype=torch.uint8),
                "labels": torch.zeros(0, 2, dtype=torch.int64),
            },
            "at least one image, got none",
        ),
        (
            {"attributes": {"age": torch.zeros(4)}},
            r"'age' must have one value per image .* got shape \(4,\)",
        ),
        ({"mean": (0.5, float("nan"), 0.5)}, "mean must be 3 finite numbers"),
        ({"std": (0.5, 0.5)}, "std must be 3 finite numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "std must be above 0"),
        ({"augmentations": ("rotate",)}, r"\['crop', 'flip'\], got \['rotate'\]"),
        ({"part": "training"}, r"\['train', 'val', 'test'\], got \['training'\]"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_split(**changes)


def make_splits(**changes):
    parts = {part: make_split(part=part) for part in ("train", "val", "test")}
    return Splits(**(parts | {"hierarchy": TREE, "name": "pets"} | changes))


def test_splits_of_different_trees_sizes_or_parts_are_refused():
    other = Hierarchy.from_dict({"cat": ["siamese"], "dog": ["collie", "pug"]})
    small = make_split(part="val", images=torch.zeros(COUNT, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"val\.image_shape must be \(3, 8, 10\), got \(3, 8, 8\)"):
        make_splits(val=small)
    with pytest.raises(ValueError, match=rf"test\.hierarchy must be '{TREE.fingerprint}', got"):
        make_splits(test=make_split(part="test", hierarchy=other))
    with pytest.raises(ValueError, match=r"test\.part must be 'test', got 'train'"):
        make_splits(test=make_split())


# ------------------------------------------------------------------ loading by name


def test_an_unknown_data_set_lists_what_there_is():
    with pytest.raises(ValueError, match="got 'imagenet'") as caught:
        load("imagenet")
    assert all(name in str(caught.value) for name in NAMES)


def test_a_root_where_none_is_needed_or_none_where_one_is_needed_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"root is an option of \[.*'folder'\], not of glyphs"):
        load("glyphs", root=tmp_path)
    with pytest.raises(ValueError, match="folder needs the root"):
        load("folder")


@pytest.mark.parametrize("name", ["glyphs", "folder"])
def test_an_option_of_other_data_sets_is_refused_and_they_are_named(name, tmp_path):
    root = tmp_path if name == "folder" else None
    others = r"\['fashion_mnist', 'cifar10', 'cifar100'\]"
    words = rf"three_levels is an option of {others}, not of {name}, got True"
    with pytest.raises(ValueError, match=words):
        load(name, root=root, three_levels=True)


def test_any_data_set_takes_another_tree_of_the_same_finest_classes(monkeypatch, tmp_path):
    register_stripes(monkeypatch, lambda: make_splits())
    own = load("stripes")
    fine = own.hierarchy.class_names[-1]
    (tmp_path / "tree.csv").write_text(
        "size,breed\n" + "".join(f"{len(name) % 2},{name}\n" for name in reversed(fine))
    )
    other = load("stripes", tree=tmp_path / "tree.csv")
    assert other.hierarchy.class_names[-1] == fine[::-1]
    assert other.hierarchy.level_names == ("size", "breed")
    for part in ("train", "val", "test"):
        before, after = getattr(own, part), getattr(other, part)
        assert torch.equal(after.labels[:, -1], len(fine) - 1 - before.labels[:, -1])
        assert torch.equal(after.images, before.images)
        assert before.fingerprint != after.fingerprint


def test_a_tree_of_other_classes_than_the_data_set_has_is_refused_by_line(monkeypatch, tmp_path):
    register_stripes(monkeypatch, lambda: make_splits())
    fine = TREE.class_names[-1]
    (tmp_path / "tree.csv").write_text("breed\n" + "\n".join((*fine, "lynx")))
    line = len(fine) + 2
    with pytest.raises(ValueError, match=rf"line {line}: .* one of stripes, got \['lynx'\]"):
        load("stripes", tree=tmp_path / "tree.csv")
    with pytest.raises(ValueError, match=rf"the tree must have .* none for \['{fine[-1]}'\]"):
        load("stripes", tree={"all": list(fine[:-1])})


def test_a_tree_and_three_levels_contradict_each_other(tmp_path):
    with pytest.raises(
        ValueError, match="three_levels and tree are two trees for cifar10, give one"
    ):
        load("cifar10", tree=TREE, three_levels=True)


def register_stripes(monkeypatch, load_stripes):
    module = ModuleType("hbnlab.data.stripes")
    module.load = load_stripes
    monkeypatch.setitem(sys.modules, "hbnlab.data.stripes", module)
    monkeypatch.setattr("hbnlab.data.NAMES", (*NAMES, "stripes"))


def test_a_data_set_whose_load_downloads_needs_its_name_in_the_table_only(monkeypatch):
    asked = []

    def load_stripes(root=None, download=False):
        asked.append((root, download))
        return make_splits()

    register_stripes(monkeypatch, load_stripes)
    load("stripes", "there", True)
    load("stripes")
    assert asked == [("there", True), (None, False)]


# ------------------------------------------------------------------ devices


def test_moving_to_a_device_moves_every_part():
    moved = make_splits().to("cpu")
    assert moved.val.device == torch.device("cpu")
    assert moved.val.fingerprint == make_split(part="val").fingerprint


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("build", [make_split, grey_split])
def test_a_generator_on_the_processor_gives_equal_batches_on_every_device(build):
    split, moved = build(), build().to("cuda")
    here, labels = joined(split.batches(5, augment=True, generator=seeded()))
    there, labels_there = joined(moved.batches(5, augment=True, generator=seeded()))
    assert there.device.type == "cuda"
    assert torch.allclose(here, there.cpu(), atol=1e-6)
    assert torch.equal(labels, labels_there.cpu())
    assert moved.fingerprint == split.fingerprint
