"""CIFAR-100, on files of its format that the tests write."""

import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from local_server import serving
from torchvision.datasets import CIFAR100

from hbnlab.data import load
from hbnlab.trees import CIFAR100 as TREE
from hbnlab.trees import CIFAR100_THREE

COUNTS = {"train": 300, "test": 100}
FOLDER = "cifar-100-python"


def part_content(part):
    """What a file of images holds: each tells its number in its first two pixels."""
    count = COUNTS[part]
    data = np.random.default_rng(count).integers(0, 256, (count, 3072), dtype=np.uint8)
    data[:, 0], data[:, 1] = np.arange(count) // 256, np.arange(count) % 256
    fine = torch.arange(count) % 100
    return {
        "filenames": [f"image_{number}.png" for number in range(count)],
        "batch_label": f"{part} batch 1 of 1",
        "fine_labels": fine.tolist(),
        "coarse_labels": TREE.lift_labels(fine, "coarse").tolist(),
        "data": data,
    }


def meta_content():
    coarse, fine = (list(names) for names in TREE.class_names)
    return {"fine_label_names": fine, "coarse_label_names": coarse}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the three files and tell torchvision their checksums; give the folder they are in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HBNLAB_DATA", raising=False)

    def write_files(root=tmp_path, **changes):
        folder = Path(root) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        contents = {part: part_content(part) for part in COUNTS} | {"meta": meta_content()}
        checksums = {}
        for name, content in contents.items():
            raw = pickle.dumps(content | changes.get(name, {}), protocol=2)
            (folder / name).write_bytes(raw)
            checksums[name] = hashlib.md5(raw).hexdigest()
        for part in COUNTS:
            monkeypatch.setattr(CIFAR100, f"{part}_list", [[part, checksums[part]]])
        monkeypatch.setitem(CIFAR100.meta, "md5", checksums["meta"])
        return folder

    return write_files


def load_small(root=None, **options):
    return load("cifar100", root=root, val_size=60, **options)


def numbers(split):
    return (split.images[:, 0, 0, 0].int() * 256 + split.images[:, 0, 0, 1]).tolist()


# ------------------------------------------------------------------ content


def test_images_and_fine_labels_are_those_that_torchvision_reads(tmp_path, write):
    write()
    split = load_small(tmp_path).test
    theirs = CIFAR100(tmp_path, train=False)
    assert split.image_shape == (3, 32, 32)
    assert len(split) == len(theirs)
    for image, label, (their_image, their_label) in zip(
        split.images, split.labels[:, -1], theirs, strict=True
    ):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(their_image))
        assert label == their_label


def test_coarse_labels_are_those_of_the_files(tmp_path, write):
    write()
    splits = load_small(tmp_path)
    assert splits.test.labels[:, 0].tolist() == part_content("test")["coarse_labels"]
    coarse = torch.tensor(part_content("train")["coarse_labels"])
    assert torch.equal(splits.train.labels[:, 0], coarse[numbers(splits.train)])


def test_training_and_validation_images_are_disjoint_and_complete(tmp_path, write):
    write()
    splits = load_small(tmp_path)
    train, val = numbers(splits.train), numbers(splits.val)
    assert (len(train), len(val), len(splits.test)) == (240, 60, 100)
    assert sorted(train + val) == list(range(300))


def test_the_study_holds_out_5000_images_and_normalises_as_for_imagenet(tmp_path, write):
    write()
    with pytest.raises(ValueError, match=r"val_size must be in 1\.\.299 .*, got 5000"):
        load("cifar100", root=tmp_path)
    split = load_small(tmp_path).train
    assert (split.mean, split.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_three_levels_put_a_coarser_one_above_the_same_images(tmp_path, write):
    write()
    two, three = load_small(tmp_path), load_small(tmp_path, three_levels=True)
    assert three.hierarchy == CIFAR100_THREE
    assert torch.equal(three.val.labels[:, 1:], two.val.labels)
    assert torch.equal(three.val.images, two.val.images)


def test_files_are_found_through_the_variable(tmp_path, write, monkeypatch):
    write()
    monkeypatch.setenv("HBNLAB_DATA", str(tmp_path))
    assert load_small().train.fingerprint == load_small(tmp_path).train.fingerprint


# ------------------------------------------------------------------ what is refused


def test_a_missing_folder_is_named_with_the_ways_to_get_it(tmp_path, write):
    with pytest.raises(FileNotFoundError) as caught:
        load_small(tmp_path / "nowhere")
    for hint in (FOLDER, "nowhere", "train", "meta", "download=True", "--download", "HBNLAB_DATA"):
        assert hint in str(caught.value)


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_a_missing_file_is_named(tmp_path, write, name):
    (write() / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"lacks \['{name}'\]: .*download=True"):
        load_small(tmp_path)


class Trap:
    """A pickle that leaves a mark when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_a_damaged_file_is_named_and_never_unpickled(tmp_path, write, name):
    (write() / name).write_bytes(pickle.dumps(Trap(tmp_path / "executed")))
    with pytest.raises(ValueError, match=rf"{name} is damaged: expected the MD5 sum"):
        load_small(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_coarse_label_that_contradicts_the_tree_is_refused_by_class(tmp_path, write):
    labels = part_content("test")["coarse_labels"]
    labels[3] = 1
    write(test={"coarse_labels": labels})
    with pytest.raises(
        ValueError, match=r"'bear' is under 'large_carnivores', got 'fish' for image 3"
    ):
        load_small(tmp_path)


def test_a_class_of_another_name_is_refused_by_number(tmp_path, write):
    names = list(TREE.class_names[-1])
    names[0], names[1] = names[1], names[0]
    write(meta={"fine_label_names": names})
    with pytest.raises(ValueError, match=r"fine class 0 must be 'apple', .* names it 'aquarium"):
        load_small(tmp_path)


def test_another_number_of_classes_is_refused(tmp_path, write):
    write(meta={"coarse_label_names": TREE.class_names[0][:19]})
    with pytest.raises(ValueError, match="class 19 must be 'vehicles_2', the file names it None"):
        load_small(tmp_path)


# ------------------------------------------------------------------ download


@pytest.fixture
def served(tmp_path, write, monkeypatch):
    """Let torchvision fetch an archive that this test wrote from a server on this machine."""
    folder = write(tmp_path / "made")
    (tmp_path / "server").mkdir()
    archive = tmp_path / "server" / CIFAR100.filename
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, arcname=FOLDER)
    monkeypatch.setattr(CIFAR100, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with serving(tmp_path / "server") as address:
        monkeypatch.setattr(CIFAR100, "url", f"{address}{CIFAR100.filename}")
        yield archive


# Python 3.12 and 3.13 warn of the way in which torchvision unpacks archives.
@pytest.mark.filterwarnings("ignore:.*extraction filter:DeprecationWarning")
def test_a_download_gives_the_files_that_were_served(tmp_path, served):
    downloaded = load_small(tmp_path / "root", download=True)
    assert downloaded.train.fingerprint == load_small(tmp_path / "made").train.fingerprint
    assert [path.name for path in (tmp_path / "root").iterdir()] == [FOLDER]
    served.unlink()
    assert load_small(tmp_path / "root", download=True).name == "cifar100"


def test_a_download_that_fails_says_so_and_leaves_nothing(tmp_path, served):
    served.write_bytes(b"cut off")
    with pytest.raises(OSError, match=f"cannot download to .*{FOLDER}"):
        load_small(tmp_path / "root", download=True)
    assert list((tmp_path / "root").iterdir()) == []
