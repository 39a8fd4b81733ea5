"""The rendered characters: what is drawn, how hard it is, and that it is drawn alike each time."""

import os
import subprocess
import sys

import pytest
import torch
from fontTools.ttLib import TTFont
from torch import Tensor

from hbnlab.data import Splits, glyphs, load
from hbnlab.data.glyphs.characters import CHARACTERS
from hbnlab.data.glyphs.effects import EFFECTS
from hbnlab.data.glyphs.fonts import INK, atlas, font_paths
from hbnlab.trees import GLYPHS

FINGERPRINT = (
    "from hbnlab.data import glyphs; "
    "print(glyphs.load(train_size=150, val_size=1, test_size=1).train.fingerprint)"
)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load("glyphs", train_size=1030, val_size=200, test_size=300)


def drawn(class_name: str, difficulty: float, count: int = 50) -> tuple[Tensor, dict[str, Tensor]]:
    """Lightness in [0, 1] of images of one class, and their attributes."""
    classes = torch.full((count,), GLYPHS.class_names[1].index(class_name))
    generator = torch.Generator().manual_seed(1)
    images, attributes = glyphs.render(classes, torch.full((count,), difficulty), generator)
    return images.float().mean(dim=1) / 255, attributes


# ------------------------------------------------------------------ characters and fonts


def test_every_class_has_a_character_of_its_own_in_the_order_of_the_tree():
    assert tuple(CHARACTERS) == GLYPHS.class_names[1]
    assert len(set(CHARACTERS.values())) == 100


def test_a_character_is_drawn_from_exactly_the_fonts_whose_map_has_it():
    maps = []
    for path in font_paths():
        with TTFont(path, lazy=True) as font:
            maps.append(font.getBestCmap())
    for cls, character in enumerate(CHARACTERS.values()):
        first, count = int(atlas().first[cls]), int(atlas().num_fonts[cls])
        having = [index for index, font in enumerate(maps) if ord(character) in font]
        assert atlas().font[first : first + count].tolist() == having
        assert len(having) >= 4


def test_no_two_characters_of_a_font_look_the_same_as_empty_boxes_would():
    for font in range(len(font_paths())):
        masks = atlas().masks[atlas().font == font].flatten(1)
        assert len(masks.unique(dim=0)) == len(masks)


def test_masks_are_centred_have_ink_of_one_size_and_an_empty_rim():
    ink = atlas().masks > 0
    for dim in (1, 2):
        assert not ink.any(dim)[:, [0, 1, -2, -1]].any()
    extents = []
    for dim in (1, 2):
        inked = ink.any(dim).int()
        first, after_last = inked.argmax(1), inked.shape[1] - inked.flip(1).argmax(1)
        assert ((first + after_last - inked.shape[1]).abs() <= 3).all()
        extents.append(after_last - first)
    longer = torch.maximum(*extents)
    assert (longer >= INK).all()
    assert (longer <= INK + 4).all()  # softening adds up to two pixels to either side


def test_missing_fonts_are_named_with_the_way_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"DejaVuSerif\.ttf.*installing matplotlib"):
        font_paths()


def test_an_easy_image_looks_most_like_its_own_character():
    classes = torch.arange(100).repeat(2)
    images, _ = glyphs.render(classes, torch.zeros(200), torch.Generator().manual_seed(0))
    grey = images.float().mean(dim=1)
    ink = (grey - grey[:, :2].flatten(1).median(dim=1).values[:, None, None]).abs()
    # Resized as a whole, 96 mask pixels make 34 of an image where the ink makes 0.88 * 32.
    templates = torch.nn.functional.interpolate(
        atlas().masks[:, None].float(), size=34, mode="area"
    )[:, :, 1:-1, 1:-1]
    templates = templates / templates.flatten(1).norm(dim=1)[:, None, None, None]
    scores = torch.nn.functional.conv2d(ink[:, None], templates, padding=2).amax(dim=(2, 3))
    owner = torch.arange(100).repeat_interleave(atlas().num_fonts)
    assert (owner[scores.argmax(dim=1)] == classes).float().mean() > 0.95


# ------------------------------------------------------------------ parts


def test_classes_are_equally_frequent_but_for_one_image(splits):
    for split in (splits.train, splits.val, splits.test):
        counts = torch.bincount(split.labels[:, 1], minlength=100)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1


def test_parts_have_the_sizes_asked_for_and_say_what_they_are(splits):
    assert [len(splits.train), len(splits.val), len(splits.test)] == [1030, 200, 300]
    assert splits.hierarchy == splits.test.hierarchy == GLYPHS
    assert (splits.test.name, splits.test.part) == ("glyphs", "test")
    assert splits.train.image_shape == (3, 32, 32)


@pytest.mark.parametrize("difficulty", [0.0, 0.5])
def test_no_image_is_in_two_parts_or_twice_in_one(difficulty):
    parts = glyphs.load(difficulty=difficulty, train_size=600, val_size=300, test_size=300)
    images = torch.cat([part.images for part in (parts.train, parts.val, parts.test)])
    assert len(images.flatten(1).unique(dim=0)) == 1200


def test_no_augmentation_is_declared_as_none_keeps_every_label(splits):
    assert splits.train.augmentations == ()


def test_normalised_images_have_mean_0_and_deviation_1(splits):
    batches = [images for images, _ in splits.train.batches(103)]
    values = torch.cat(batches).transpose(0, 1).flatten(1)
    torch.testing.assert_close(values.mean(dim=1), torch.zeros(3), atol=0.06, rtol=0)
    torch.testing.assert_close(values.std(dim=1), torch.ones(3), atol=0.03, rtol=0)


# ------------------------------------------------------------------ determinism


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    def fingerprints(seed: int) -> list[str]:
        parts = glyphs.load(seed, train_size=110, val_size=20, test_size=20)
        return [part.fingerprint for part in (parts.train, parts.val, parts.test)]

    assert fingerprints(3) == fingerprints(3)
    assert not set(fingerprints(3)) & set(fingerprints(4))


def test_bytes_do_not_depend_on_the_number_of_threads_or_on_vector_instructions():
    here = glyphs.load(train_size=150, val_size=1, test_size=1).train.fingerprint
    threads = "1" if torch.get_num_threads() > 1 else "2"
    settings = {"OMP_NUM_THREADS": threads, "ATEN_CPU_CAPABILITY": "default"}
    there = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here


def test_attributes_are_deterministic_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    first, second = (
        glyphs.load(train_size=30, val_size=1, test_size=1).train.attributes for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(before, torch.get_rng_state())


# ------------------------------------------------------------------ difficulty


@pytest.mark.parametrize("knob", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_the_knob_is_the_mean_difficulty(knob):
    parts = glyphs.load(difficulty=knob, train_size=1500, val_size=1, test_size=1)
    difficulty = parts.train.attributes["difficulty"]
    assert float(difficulty.mean()) == pytest.approx(knob, abs=0.03)
    assert 0 <= difficulty.min() <= difficulty.max() <= 1
    if knob in (0, 1):
        assert difficulty.unique().tolist() == [knob]


def test_turning_the_knob_up_lowers_the_contrast_of_the_pixels():
    spreads = [
        float(glyphs.load(0, knob, 200, 1, 1).train.images.float().std(dim=(2, 3)).mean())
        for knob in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] > 2 * spreads[-1]


def test_difficulty_is_the_mean_hardness_of_the_effects(splits):
    attributes = splits.train.attributes
    assert set(attributes) == {"difficulty", *EFFECTS}
    hardness = []
    for name, (easiest, hardest) in EFFECTS.items():
        hardness.append((attributes[name] - easiest) / (hardest - easiest))
        assert hardness[-1].min() > -1e-5
        assert hardness[-1].max() < 1 + 1e-5
    mean = torch.stack(hardness).mean(dim=0)
    torch.testing.assert_close(mean, attributes["difficulty"], atol=1e-5, rtol=0)


def test_effects_differ_within_an_image_of_middling_difficulty():
    _, attributes = drawn("alpha", 0.5)
    assert all(column.std() > 0 for name, column in attributes.items() if name != "difficulty")


@pytest.mark.parametrize("difficulty", [0.0, 0.3])
def test_character_and_background_differ_in_lightness_by_the_contrast(difficulty):
    images, attributes = drawn("diamond", difficulty, count=100)
    inside = images[:, 14:18, 14:18].flatten(1).mean(dim=1)
    outside = images[:, [0, 1, -2, -1]].flatten(1).median(dim=1).values
    error = (inside - outside).abs() - attributes["contrast"]
    assert float(error.abs().median()) < 0.02


def test_easy_images_are_cleaner():
    easy, hard = (drawn("circled_dot", difficulty)[0] for difficulty in (0.0, 1.0))
    corner_easy, corner_hard = (
        float(images[:, :3, :3].flatten(1).std(dim=1).mean()) for images in (easy, hard)
    )
    assert corner_easy < 0.015
    assert corner_hard > 3 * corner_easy


def test_ink_spans_the_scale_and_stays_inside_the_image():
    images, attributes = drawn("square_bracket", 0.0)
    inked = (images - images[:, :, -1:].median(dim=1, keepdim=True).values).abs() > 0.3
    rows = inked.any(dim=2).sum(dim=1).float()
    torch.testing.assert_close(rows, attributes["scale"] * 32, atol=1.6, rtol=0)


def test_either_ink_or_background_may_be_the_lighter():
    images, _ = drawn("diamond", 0.0)
    lighter = images[:, 16, 16] > images[:, 0, 0]
    assert 0.2 < lighter.float().mean() < 0.8


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"difficulty": -0.1}, r"difficulty must be in \[0, 1\], got -0.1"),
        ({"difficulty": 1.5}, r"difficulty must be in \[0, 1\], got 1.5"),
        ({"difficulty": float("nan")}, r"difficulty must be in \[0, 1\], got nan"),
        ({"train_size": 0}, "train_size must be at least 1, got 0"),
        ({"val_size": -2}, "val_size must be at least 1, got -2"),
        ({"test_size": 0}, "test_size must be at least 1, got 0"),
    ],
)
def test_a_wrong_knob_or_size_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load("glyphs", **options)


@pytest.mark.parametrize(
    ("classes", "difficulty", "message"),
    [
        ([100], [0.5], r"labels of level 'fine' must be in 0..99, got 100..100"),
        ([-1, 3], [0.5, 0.5], r"labels of level 'fine' must be in 0..99, got -1..3"),
        ([1], [1.25], r"difficulty must be in \[0, 1\], got 1.25..1.25"),
        ([1, 2], [0.5, float("nan")], r"difficulty must be in \[0, 1\], got nan"),
    ],
)
def test_classes_and_difficulties_that_are_not_there_are_refused(classes, difficulty, message):
    with pytest.raises(ValueError, match=message):
        glyphs.render(torch.tensor(classes), torch.tensor(difficulty), torch.Generator())


def test_rendering_nothing_is_refused():
    nothing = torch.tensor([], dtype=torch.int64)
    with pytest.raises(ValueError, match="at least 1, got 0 and 0"):
        glyphs.render(nothing, nothing.float(), torch.Generator())
