"""The label trees of the known data sets.

Example:
    >>> print(CIFAR100.summary)
    20 coarse > 100 fine
    >>> print(FASHION_MNIST_THREE.summary)
    2 group > 6 coarse > 10 fine
    >>> [GLYPHS.class_names[1][leaf] for leaf in GLYPHS.leaves(0, 4)]
    ['three', 'five', 'six', 'eight', 'nine']
"""

from hbnlab.hierarchy import Hierarchy


def _read(lines: str, *, sort: bool = False) -> Hierarchy:
    """Read one line per coarse class: its name, a colon, and the names of its fine classes."""
    rows = (line.split(": ") for line in lines.strip().splitlines())
    return Hierarchy.from_dict({coarse: fine.split() for coarse, fine in rows}, sort=sort)


CIFAR100 = _read(
    """
aquatic_mammals: beaver dolphin otter seal whale
fish: aquarium_fish flatfish ray shark trout
flowers: orchid poppy rose sunflower tulip
food_containers: bottle bowl can cup plate
fruit_and_vegetables: apple mushroom orange pear sweet_pepper
household_electrical_devices: clock keyboard lamp telephone television
household_furniture: bed chair couch table wardrobe
insects: bee beetle butterfly caterpillar cockroach
large_carnivores: bear leopard lion tiger wolf
large_man-made_outdoor_things: bridge castle house road skyscraper
large_natural_outdoor_scenes: cloud forest mountain plain sea
large_omnivores_and_herbivores: camel cattle chimpanzee elephant kangaroo
medium_mammals: fox porcupine possum raccoon skunk
non-insect_invertebrates: crab lobster snail spider worm
people: baby boy girl man woman
reptiles: crocodile dinosaur lizard snake turtle
small_mammals: hamster mouse rabbit shrew squirrel
trees: maple_tree oak_tree palm_tree pine_tree willow_tree
vehicles_1: bicycle bus motorcycle pickup_truck train
vehicles_2: lawn_mower rocket streetcar tank tractor
""",
    sort=True,
)
"""CIFAR-100: 20 coarse and 100 fine classes, with the names and indices of the data files."""

CIFAR100_THREE = CIFAR100.with_coarser_level(
    "group",
    (
        "aquatic_animals",
        "plants",
        "household_things",
        "invertebrates",
        "land_animals",
        "outdoor_scenes",
        "people",
        "vehicles",
    ),
    (0, 0, 1, 2, 1, 2, 2, 3, 4, 5, 5, 4, 4, 3, 6, 4, 4, 1, 7, 7),
)
"""CIFAR-100 with 8 groups above the coarse classes (Zhu and Bain, B-CNN, 2017; names ours)."""

CIFAR10 = Hierarchy.from_table(
    [
        ("sky", "airplane"),
        ("road", "automobile"),
        ("bird", "bird"),
        ("pet", "cat"),
        ("medium-sized mammal", "deer"),
        ("pet", "dog"),
        ("reptile", "frog"),
        ("medium-sized mammal", "horse"),
        ("water", "ship"),
        ("road", "truck"),
    ]
)
"""CIFAR-10: 7 coarse and 10 fine classes (Zhu and Bain, B-CNN, 2017)."""

CIFAR10_THREE = CIFAR10.with_coarser_level("group", ("transport", "animal"), (0, 0, 1, 1, 1, 1, 0))
"""CIFAR-10 with transport and animals above the coarse classes (Zhu and Bain, B-CNN, 2017)."""

FASHION_MNIST = Hierarchy.from_table(
    [
        ("tops", "T-shirt/top"),
        ("bottoms", "Trouser"),
        ("tops", "Pullover"),
        ("dresses", "Dress"),
        ("outers", "Coat"),
        ("shoes", "Sandal"),
        ("tops", "Shirt"),
        ("shoes", "Sneaker"),
        ("accessories", "Bag"),
        ("shoes", "Ankle boot"),
    ]
)
"""Fashion-MNIST: 6 coarse and 10 fine classes (Seo and Shin, H-CNN, 2019)."""

FASHION_MNIST_THREE = FASHION_MNIST.with_coarser_level(
    "group", ("clothes", "goods"), (0, 0, 0, 0, 1, 1)
)
"""Fashion-MNIST with clothes and goods above the coarse classes (Seo and Shin, H-CNN, 2019)."""

GLYPHS = _read("""
greek: alpha gamma delta sigma omega
cyrillic: zhe tse sha shcha yu
hebrew: bet he het final_mem tav
arabic: beh peh teh theh noon
digits: three five six eight nine
accents: a_grave a_acute a_circumflex a_diaeresis a_ring
fractions: one_half one_third two_thirds one_quarter three_quarters
marks: exclamation inverted_exclamation question inverted_question interrobang
currency: dollar cent pound yen euro
brackets: parenthesis square_bracket curly_brace angle_bracket ceiling
equalities: equal not_equal identical almost_equal congruent
circled: circled_plus circled_minus circled_times circled_slash circled_dot
arrows: left_arrow up_arrow right_arrow down_arrow left_right_arrow
box_drawing: tee_right tee_left tee_down tee_up crossing
shapes: up_triangle right_triangle down_triangle left_triangle diamond
dice: die_one die_two die_three die_four die_five
chess: king queen rook bishop knight
music: quarter_note eighth_note beamed_eighths beamed_sixteenths flat
planets: mercury venus earth mars uranus
stars: four_pointed_star five_pointed_star six_pointed_star eight_pointed_star twelve_pointed_star
""")
"""Rendered characters: 20 coarse classes of 5 fine ones that look alike."""
