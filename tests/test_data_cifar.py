"""CIFAR-10 and CIFAR-100, on files of their format that the tests write."""

import hashlib
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from local_server import serving

from hbnlab import trees
from hbnlab.data import load
from hbnlab.hierarchy import Hierarchy
from hbnlab.trees import CIFAR100


@dataclass(frozen=True)
class Format:
    """How one of the two data sets is published, and what hbnlab makes of it."""

    name: str
    folder: str
    files: dict[str, int]  # images in each, the last one for testing
    meta: str
    three: Hierarchy

    @property
    def source(self):
        return getattr(torchvision.datasets, self.name.upper())

    @property
    def tree(self):
        return getattr(trees, self.name.upper())

    def part_content(self, file):
        """What a file of images holds: each tells its number in its first two pixels."""
        first = sum(list(self.files.values())[: list(self.files).index(file)])
        numbers = np.arange(first, first + self.files[file])
        data = np.random.default_rng(first).integers(0, 256, (len(numbers), 3072), dtype=np.uint8)
        data[:, 0], data[:, 1] = numbers // 256, numbers % 256
        fine = torch.from_numpy(numbers) % self.tree.num_classes[-1]
        labels = {"labels": fine.tolist()}
        if self.name == "cifar100":
            coarse = self.tree.lift_labels(fine, "coarse").tolist()
            labels = {"fine_labels": fine.tolist(), "coarse_labels": coarse}
        return {"filenames": [f"image_{n}.png" for n in numbers], "data": data, **labels}

    def meta_content(self):
        coarse, fine = (list(names) for names in self.tree.class_names)
        if self.name == "cifar10":
            return {"label_names": fine}
        return {"fine_label_names": fine, "coarse_label_names": coarse}


FORMATS = [
    Format(
        "cifar10",
        "cifar-10-batches-py",
        {**{f"data_batch_{number}": 60 for number in range(1, 6)}, "test_batch": 100},
        "batches.meta",
        trees.CIFAR10_THREE,
    ),
    Format(
        "cifar100", "cifar-100-python", {"train": 300, "test": 100}, "meta", trees.CIFAR100_THREE
    ),
]


@pytest.fixture(params=FORMATS, ids=lambda files: files.name)
def files(request):
    return request.param


@pytest.fixture
def write(tmp_path, monkeypatch, files):
    """Write the files and tell torchvision their checksums; give the folder they are in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HBNLAB_DATA", raising=False)

    def write_files(root=tmp_path, **changes):
        folder = Path(root) / files.folder
        folder.mkdir(parents=True, exist_ok=True)
        contents = {file: files.part_content(file) for file in files.files}
        contents[files.meta] = files.meta_content()
        checksums = {}
        for name, content in contents.items():
            raw = pickle.dumps(content | changes.get(name, {}), protocol=2)
            (folder / name).write_bytes(raw)
            checksums[name] = hashlib.md5(raw).hexdigest()
        *train, test = ([file, checksums[file]] for file in files.files)
        monkeypatch.setattr(files.source, "train_list", train)
        monkeypatch.setattr(files.source, "test_list", [test])
        monkeypatch.setitem(files.source.meta, "md5", checksums[files.meta])
        return folder

    return write_files


@pytest.fixture
def load_small(files):
    def load_files(root=None, **options):
        return load(files.name, root=root, val_size=60, **options)

    return load_files


def numbers(split):
    return (split.images[:, 0, 0, 0].int() * 256 + split.images[:, 0, 0, 1]).tolist()


only_cifar100 = pytest.mark.parametrize("files", FORMATS[1:], ids=["cifar100"], indirect=True)


# ------------------------------------------------------------------ content


def test_images_and_fine_labels_are_those_that_torchvision_reads(
    tmp_path, write, files, load_small
):
    write()
    split = load_small(tmp_path).test
    theirs = files.source(tmp_path, train=False)
    assert split.image_shape == (3, 32, 32)
    assert len(split) == len(theirs)
    for image, label, (their_image, their_label) in zip(
        split.images, split.labels[:, -1], theirs, strict=True
    ):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(their_image))
        assert label == their_label


@only_cifar100
def test_coarse_labels_are_those_of_the_files(tmp_path, write, files, load_small):
    write()
    splits = load_small(tmp_path)
    assert splits.test.labels[:, 0].tolist() == files.part_content("test")["coarse_labels"]
    coarse = torch.tensor(files.part_content("train")["coarse_labels"])
    assert torch.equal(splits.train.labels[:, 0], coarse[numbers(splits.train)])


def test_every_image_keeps_the_label_that_stands_beside_it_in_its_file(tmp_path, write, load_small):
    write()
    splits = load_small(tmp_path)
    for split in (splits.train, splits.val, splits.test):
        fine = torch.tensor(numbers(split)) % split.hierarchy.num_classes[-1]
        assert torch.equal(split.labels, split.hierarchy.label_table(fine))


def test_training_and_validation_images_are_disjoint_and_complete(tmp_path, write, load_small):
    write()
    splits = load_small(tmp_path)
    train, val = numbers(splits.train), numbers(splits.val)
    assert (len(train), len(val), len(splits.test)) == (240, 60, 100)
    assert sorted(train + val) == list(range(300))


def test_both_hold_out_5000_images_and_normalise_as_the_study_does(
    tmp_path, write, files, load_small
):
    write()
    with pytest.raises(ValueError, match=r"val_size must be in 1\.\.299 .*, got 5000"):
        load(files.name, root=tmp_path)
    split = load_small(tmp_path).train
    assert (split.mean, split.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (split.name, split.augmentations) == (files.name, ("crop", "flip"))


def test_three_levels_put_a_coarser_one_above_the_same_images(tmp_path, write, files, load_small):
    write()
    two, three = load_small(tmp_path), load_small(tmp_path, three_levels=True)
    assert three.hierarchy == files.three
    assert torch.equal(three.val.labels[:, 1:], two.val.labels)
    assert torch.equal(three.val.images, two.val.images)


def test_files_are_found_through_the_variable(tmp_path, write, load_small, monkeypatch):
    write()
    monkeypatch.setenv("HBNLAB_DATA", str(tmp_path))
    assert load_small().train.fingerprint == load_small(tmp_path).train.fingerprint


# ------------------------------------------------------------------ what is refused


def test_a_missing_folder_is_named_with_the_ways_to_get_it(tmp_path, write, files, load_small):
    with pytest.raises(FileNotFoundError) as caught:
        load_small(tmp_path / "nowhere")
    hints = ("nowhere", "download=True", "--download", "HBNLAB_DATA")
    for hint in (files.folder, *files.files, files.meta, *hints):
        assert hint in str(caught.value)


def test_a_missing_file_is_named(tmp_path, write, files, load_small):
    folder = write()
    for name in (*files.files, files.meta):
        (folder / name).rename(tmp_path / "kept")
        with pytest.raises(FileNotFoundError, match=rf"lacks \['{name}'\]: .*download=True"):
            load_small(tmp_path)
        (tmp_path / "kept").rename(folder / name)


class Trap:
    """A pickle that leaves a mark when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_damaged_file_is_named_and_never_unpickled(tmp_path, write, files, load_small):
    folder = write()
    for name in (*files.files, files.meta):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "executed")))
        with pytest.raises(ValueError, match=rf"{name} is damaged: expected the MD5 sum"):
            load_small(tmp_path)
        (folder / name).write_bytes(whole)
    assert not (tmp_path / "executed").exists()


def test_a_label_that_is_no_class_is_refused(tmp_path, write, files, load_small):
    file = list(files.files)[-1]
    key = "labels" if files.name == "cifar10" else "fine_labels"
    write(**{file: {key: [files.tree.num_classes[-1]] * files.files[file]}})
    with pytest.raises(ValueError, match=r"labels of level 'fine' must be in 0\.\.9.*, got"):
        load_small(tmp_path)


@only_cifar100
def test_a_coarse_label_that_contradicts_the_tree_is_refused_by_class(
    tmp_path, write, files, load_small
):
    labels = files.part_content("test")["coarse_labels"]
    labels[3] = 1
    write(test={"coarse_labels": labels})
    with pytest.raises(
        ValueError, match=r"'bear' is under 'large_carnivores', got 'fish' for image 3"
    ):
        load_small(tmp_path)


def test_a_class_of_another_name_is_refused_by_number(tmp_path, write, files, load_small):
    names = list(files.tree.class_names[-1])
    names[0], names[1] = names[1], names[0]
    key = "label_names" if files.name == "cifar10" else "fine_label_names"
    write(**{files.meta: {key: names}})
    expected = rf"fine class 0 must be '{names[1]}', the file names it '{names[0]}'"
    with pytest.raises(ValueError, match=expected):
        load_small(tmp_path)


@only_cifar100
def test_another_number_of_classes_is_refused(tmp_path, write, load_small):
    write(meta={"coarse_label_names": CIFAR100.class_names[0][:19]})
    with pytest.raises(ValueError, match="class 19 must be 'vehicles_2', the file names it None"):
        load_small(tmp_path)


# ------------------------------------------------------------------ download


@pytest.fixture
def served(tmp_path, write, files, monkeypatch):
    """Let torchvision fetch an archive that this test wrote from a server on this machine."""
    folder = write(tmp_path / "made")
    (tmp_path / "server").mkdir()
    archive = tmp_path / "server" / files.source.filename
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, arcname=files.folder)
    monkeypatch.setattr(files.source, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with serving(tmp_path / "server") as address:
        monkeypatch.setattr(files.source, "url", f"{address}{files.source.filename}")
        yield archive


# Python 3.12 and 3.13 warn of the way in which torchvision unpacks archives.
@pytest.mark.filterwarnings("ignore:.*extraction filter:DeprecationWarning")
def test_a_download_gives_the_files_that_were_served(tmp_path, served, files, load_small):
    downloaded = load_small(tmp_path / "root", download=True)
    assert downloaded.train.fingerprint == load_small(tmp_path / "made").train.fingerprint
    assert [path.name for path in (tmp_path / "root").iterdir()] == [files.folder]
    served.unlink()
    assert load_small(tmp_path / "root", download=True).name == files.name


def test_a_download_that_fails_says_so_and_leaves_nothing(tmp_path, served, files, load_small):
    served.write_bytes(b"cut off")
    with pytest.raises(OSError, match=f"cannot download to .*{files.folder}"):
        load_small(tmp_path / "root", download=True)
    assert list((tmp_path / "root").iterdir()) == []
