"""Whole-batch augmentation, against windows cut one by one out of torch's own padding."""

import pytest
import torch
from torch.nn.functional import pad

from hbnlab.data import batches
from hbnlab.data.batches import augment_images

OFFSETS = 9


def random_images(count=40, height=11, width=12):
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def windows(images):
    """Every crop of the reflect-padded image, then each mirrored: (batch, 2 * 81, 3, h, w).

    A width of 10 or more makes them all different.
    """
    height, width = images.shape[2:]
    padded = pad(images.float(), (4, 4, 4, 4), mode="reflect").to(torch.uint8)
    crops = [
        padded[:, :, top : top + height, left : left + width]
        for top in range(OFFSETS)
        for left in range(OFFSETS)
    ]
    return torch.stack([*crops, *(crop.flip(3) for crop in crops)], dim=1)


def which_window(images, augmented):
    """For each image, the one window that it was cut from."""
    same = (windows(images) == augmented[:, None]).flatten(2).all(dim=2)
    assert same.sum(dim=1).tolist() == [1] * len(images)
    return same.float().argmax(dim=1)


def test_every_augmented_image_is_a_window_of_its_reflect_padded_self():
    images = random_images()
    found = which_window(images, augment_images(images, ("crop", "flip"), seeded()))
    assert len(found.unique()) > 20


def test_all_crops_and_mirrors_come_up_equally_often():
    images = random_images(count=1).expand(8_100, -1, -1, -1)
    augmented = augment_images(images, ("crop", "flip"), seeded())
    kinds, counts = augmented.flatten(1).unique(dim=0, return_counts=True)
    assert len(kinds) == 2 * OFFSETS**2
    # 50 expected of each; six standard deviations
    assert 50 - 43 < counts.min() <= counts.max() < 50 + 43


def test_crop_alone_never_mirrors():
    images = random_images()
    found = which_window(images, augment_images(images, ("crop",), seeded()))
    assert found.max() < OFFSETS**2


def test_flip_alone_gives_the_image_or_its_mirror():
    images = random_images(count=400)
    augmented = augment_images(images, ("flip",), seeded())
    mirrored = (augmented == images.flip(3)).flatten(1).all(dim=1)
    kept = (augmented == images).flatten(1).all(dim=1)
    assert torch.equal(mirrored, ~kept)
    assert 140 < mirrored.sum() < 260


def test_no_augmentation_changes_nothing():
    images = random_images()
    assert torch.equal(augment_images(images, (), seeded()), images)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_size_of_the_chunks_does_not_matter(monkeypatch, chunk):
    images = random_images(count=150)
    expected = augment_images(images, ("crop", "flip"), seeded())
    monkeypatch.setattr(batches, "_CHUNK", chunk)
    assert torch.equal(augment_images(images, ("crop", "flip"), seeded()), expected)


def test_bytes_and_floats_are_moved_alike():
    images = random_images()
    as_bytes = augment_images(images, ("crop", "flip"), seeded())
    as_floats = augment_images(images.float(), ("crop", "flip"), seeded())
    assert torch.equal(as_bytes.float(), as_floats)


def test_channels_last_images_are_moved_alike():
    images = random_images()
    expected = augment_images(images, ("crop", "flip"), seeded())
    channels_last = images.to(memory_format=torch.channels_last)
    assert torch.equal(augment_images(channels_last, ("crop", "flip"), seeded()), expected)


def test_images_that_cannot_be_reflected_are_refused():
    with pytest.raises(ValueError, match=r"more than 4 pixels high and wide .* got 4 x 12"):
        augment_images(random_images(height=4), ("crop",), seeded())


def test_an_unknown_augmentation_lists_what_there_is():
    with pytest.raises(ValueError, match=r"among \['crop', 'flip'\], got \['rotate'\]"):
        augment_images(random_images(), ("rotate",), seeded())
