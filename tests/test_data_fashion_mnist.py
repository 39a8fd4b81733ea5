"""Fashion-MNIST: small files of its format that the tests write, and the real ones if installed."""

import gzip
import hashlib
import struct

import pytest
import torch
import torchvision
from local_server import serving

from hbnlab.data import fashion_mnist, load
from hbnlab.trees import FASHION_MNIST, FASHION_MNIST_THREE

COUNTS = {"train": 300, "test": 40}
NAMES = [name for names in fashion_mnist.FILES.values() for name in names]
REAL = fashion_mnist.DEBIAN_FOLDER


def idx_bytes(values):
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return header + values.numpy().tobytes()


def part_arrays(part):
    """Images that tell their number in their first two pixels, and labels of all classes."""
    count = COUNTS[part]
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, generator=generator)
    images[:, 0, 0], images[:, 0, 1] = torch.arange(count) // 256, torch.arange(count) % 256
    return images, (torch.arange(count) % 10).to(torch.uint8)


def write_files(folder, gzipped=True):
    folder.mkdir(parents=True, exist_ok=True)
    for part, names in fashion_mnist.FILES.items():
        for name, values in zip(names, part_arrays(part), strict=True):
            if gzipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values), mtime=0))
            else:
                (folder / name).write_bytes(idx_bytes(values))


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    """Small counts, and no files but those that a test writes."""
    monkeypatch.setattr(fashion_mnist, "COUNTS", COUNTS)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HBNLAB_DATA", raising=False)


def load_small(root=None, **options):
    return load("fashion_mnist", root=root, val_size=50, **options)


def numbers(split):
    return (split.images[:, 0, 2, 2].int() * 256 + split.images[:, 0, 2, 3]).tolist()


# ------------------------------------------------------------------ content


def test_images_are_those_of_the_files_in_a_black_border(tmp_path):
    write_files(tmp_path)
    split = load_small(tmp_path).test
    images, labels = part_arrays("test")
    assert split.image_shape == (3, 32, 32)
    assert torch.equal(split.images[:, 1, 2:-2, 2:-2], images)
    assert split.images.sum() == 3 * images.sum()
    assert torch.equal(split.labels, FASHION_MNIST.label_table(labels.long()))
    assert split.augmentations == ("crop", "flip")


def test_training_and_validation_images_are_disjoint_and_complete(tmp_path):
    write_files(tmp_path)
    splits = load_small(tmp_path)
    train, val = numbers(splits.train), numbers(splits.val)
    assert (len(train), len(val), len(splits.test)) == (250, 50, 40)
    assert sorted(train + val) == list(range(300))
    assert (splits.train.labels[:, -1] == torch.tensor(train) % 10).all()
    assert (splits.val.labels[:, -1] == torch.tensor(val) % 10).all()


def test_the_seed_chooses_the_validation_images(tmp_path):
    write_files(tmp_path)
    first, again, other = (numbers(load_small(tmp_path, seed=seed).val) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_three_levels_put_a_coarser_one_above_the_same_images(tmp_path):
    write_files(tmp_path)
    two, three = load_small(tmp_path), load_small(tmp_path, three_levels=True)
    assert three.hierarchy == FASHION_MNIST_THREE
    assert torch.equal(three.train.labels[:, 1:], two.train.labels)
    assert torch.equal(three.train.images, two.train.images)


# ------------------------------------------------------------------ places


def test_files_may_be_unzipped_and_where_torchvision_puts_them(tmp_path):
    write_files(tmp_path / "a")
    write_files(tmp_path / "b" / "FashionMNIST" / "raw", gzipped=False)
    a, b = load_small(tmp_path / "a"), load_small(tmp_path / "b")
    assert a.train.fingerprint == b.train.fingerprint


def test_the_variable_comes_before_debians_folder_and_that_before_the_cache(tmp_path, monkeypatch):
    places = tmp_path / "named", tmp_path / "debian", tmp_path / "cache" / "hbnlab"
    for label, place in enumerate(places):
        write_files(place)
        labels = torch.full((COUNTS["test"],), label, dtype=torch.uint8)
        (place / f"{NAMES[3]}.gz").write_bytes(gzip.compress(idx_bytes(labels)))

    def place_read():
        return int(load_small().test.labels[0, -1])

    assert place_read() == 1
    monkeypatch.setenv("HBNLAB_DATA", str(tmp_path / "named"))
    assert place_read() == 0
    monkeypatch.setenv("HBNLAB_DATA", str(tmp_path / "empty"))
    assert place_read() == 1
    for path in (tmp_path / "debian").iterdir():
        path.unlink()
    assert place_read() == 2


# ------------------------------------------------------------------ what is refused


def test_missing_files_are_named_with_the_ways_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_small(tmp_path / "nowhere")
    message = str(caught.value)
    for hint in (*NAMES, "nowhere", "apt install", "download=True", "--download", "HBNLAB_DATA"):
        assert hint in message


def test_a_root_that_lacks_the_files_is_not_replaced_by_another_folder(tmp_path):
    write_files(tmp_path / "debian")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_small(tmp_path / "nowhere")


@pytest.mark.parametrize("name", NAMES)
def test_one_missing_file_is_named(tmp_path, name):
    write_files(tmp_path)
    (tmp_path / f"{name}.gz").unlink()
    with pytest.raises(FileNotFoundError, match=rf"lacks \['{name}'\]"):
        load_small(tmp_path)


def changed_byte(content):
    return content[:400] + bytes([content[400] ^ 255]) + content[401:]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-20], lambda content: b"", lambda content: b"<html>oops"]
)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_named(tmp_path, name, damage):
    write_files(tmp_path)
    path = tmp_path / f"{name}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{name}\.gz .*expected idx bytes of shape \("):
        load_small(tmp_path)


def test_a_changed_byte_in_a_gzipped_file_is_noticed(tmp_path):
    write_files(tmp_path)
    path = tmp_path / f"{NAMES[0]}.gz"
    path.write_bytes(changed_byte(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{NAMES[0]}.gz is damaged"):
        load_small(tmp_path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (NAMES[0], torch.zeros(299, 28, 28, dtype=torch.uint8)),
        (NAMES[0], torch.zeros(300, 28, 27, dtype=torch.uint8)),
        (NAMES[0], torch.zeros(300, dtype=torch.uint8)),
        (NAMES[3], torch.zeros(41, dtype=torch.uint8)),
    ],
)
def test_another_number_or_size_of_images_is_refused(tmp_path, name, values):
    write_files(tmp_path)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values)))
    with pytest.raises(ValueError, match=rf"{name}\.gz starts with .*expected idx bytes"):
        load_small(tmp_path)


def test_a_file_longer_than_its_header_says_is_refused(tmp_path):
    write_files(tmp_path, gzipped=False)
    with (tmp_path / NAMES[1]).open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match=f"{NAMES[1]} holds 304 values"):
        load_small(tmp_path)


def test_a_label_without_a_class_is_refused(tmp_path):
    write_files(tmp_path, gzipped=False)
    labels = torch.full((COUNTS["test"],), 10, dtype=torch.uint8)
    (tmp_path / NAMES[3]).write_bytes(idx_bytes(labels))
    with pytest.raises(ValueError, match=rf"{NAMES[3]} must hold labels in 0\.\.9, got 10"):
        load_small(tmp_path)


# ------------------------------------------------------------------ download


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Let torchvision fetch files that this test wrote from a server on this machine."""
    write_files(tmp_path / "server")
    checksums = [
        (f"{name}.gz", hashlib.md5((tmp_path / "server" / f"{name}.gz").read_bytes()).hexdigest())
        for name in NAMES
    ]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", checksums)
    with serving(tmp_path / "server") as address:
        monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [address])
        yield tmp_path / "server"


def test_a_download_gives_the_images_that_torchvision_reads(tmp_path, served):
    splits = load_small(tmp_path / "root", download=True)
    theirs = torchvision.datasets.FashionMNIST(tmp_path / "root", train=False)
    assert torch.equal(splits.test.images[:, 0, 2:-2, 2:-2], theirs.data)
    assert torch.equal(splits.test.labels[:, -1], theirs.targets)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["FashionMNIST"]


def test_a_download_without_a_root_goes_to_the_cache_and_is_found_there(tmp_path, served):
    first = load_small(download=True)
    for path in served.iterdir():
        path.unlink()
    assert load_small().train.fingerprint == first.train.fingerprint
    assert (tmp_path / "cache" / "hbnlab" / "FashionMNIST").is_dir()


def test_a_download_that_fails_says_so_and_leaves_nothing(tmp_path, served):
    (served / f"{NAMES[2]}.gz").write_bytes(b"cut off")
    with pytest.raises(OSError, match=r"cannot download to .*FashionMNIST"):
        load_small(tmp_path / "root", download=True)
    assert list((tmp_path / "root").iterdir()) == []


# ------------------------------------------------------------------ the real files


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL} (Debian: dataset-fashion-mnist)")
def test_the_real_files_have_the_published_sizes_and_the_constants_measured(monkeypatch):
    monkeypatch.undo()
    splits = load("fashion_mnist", root=REAL)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (55_000, 5_000, 10_000)
    assert splits.test.labels[:, -1].bincount().tolist() == [1_000] * 10
    assert splits.train.image_shape == (3, 32, 32)
    pixels = splits.train.images[:, 0].double() / 255
    assert splits.train.mean == pytest.approx([pixels.mean().item()] * 3, abs=5e-6)
    assert splits.train.std == pytest.approx([pixels.std().item()] * 3, abs=5e-6)
