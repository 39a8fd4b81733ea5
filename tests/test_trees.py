"""hbnlab.trees: the known hierarchies against the tables of their sources."""

import pytest
import torch

from hbnlab import trees

# Fine classes by coarse class, with the numbers that the data files of CIFAR-100 give them.
CIFAR100_TABLE = """
0 aquatic_mammals: beaver 4, dolphin 30, otter 55, seal 72, whale 95
1 fish: aquarium_fish 1, flatfish 32, ray 67, shark 73, trout 91
2 flowers: orchid 54, poppy 62, rose 70, sunflower 82, tulip 92
3 food_containers: bottle 9, bowl 10, can 16, cup 28, plate 61
4 fruit_and_vegetables: apple 0, mushroom 51, orange 53, pear 57, sweet_pepper 83
5 household_electrical_devices: clock 22, keyboard 39, lamp 40, telephone 86, television 87
6 household_furniture: bed 5, chair 20, couch 25, table 84, wardrobe 94
7 insects: bee 6, beetle 7, butterfly 14, caterpillar 18, cockroach 24
8 large_carnivores: bear 3, leopard 42, lion 43, tiger 88, wolf 97
9 large_man-made_outdoor_things: bridge 12, castle 17, house 37, road 68, skyscraper 76
10 large_natural_outdoor_scenes: cloud 23, forest 33, mountain 49, plain 60, sea 71
11 large_omnivores_and_herbivores: camel 15, cattle 19, chimpanzee 21, elephant 31, kangaroo 38
12 medium_mammals: fox 34, porcupine 63, possum 64, raccoon 66, skunk 75
13 non-insect_invertebrates: crab 26, lobster 45, snail 77, spider 79, worm 99
14 people: baby 2, boy 11, girl 35, man 46, woman 98
15 reptiles: crocodile 27, dinosaur 29, lizard 44, snake 78, turtle 93
16 small_mammals: hamster 36, mouse 50, rabbit 65, shrew 74, squirrel 80
17 trees: maple_tree 47, oak_tree 52, palm_tree 56, pine_tree 59, willow_tree 96
18 vehicles_1: bicycle 8, bus 13, motorcycle 48, pickup_truck 58, train 90
19 vehicles_2: lawn_mower 41, rocket 69, streetcar 81, tank 85, tractor 89
"""


def _cifar100_rows() -> list[tuple[int, str, int, str]]:
    rows = []
    for line in CIFAR100_TABLE.strip().splitlines():
        head, members = line.split(": ")
        coarse, coarse_name = head.split(" ")
        for member in members.split(", "):
            name, number = member.split(" ")
            rows.append((int(coarse), coarse_name, int(number), name))
    return rows


def test_the_100_numbers_of_the_cifar_100_tree_are_those_of_the_files():
    rows = _cifar100_rows()
    assert len({number for _, _, number, _ in rows}) == 100
    for coarse, coarse_name, number, name in rows:
        assert trees.CIFAR100.class_names[1][number] == name
        assert trees.CIFAR100.class_names[0][coarse] == coarse_name
        assert trees.CIFAR100.parents[1][number] == coarse


def test_a_cifar_100_answer_carries_the_bits_of_its_level():
    assert trees.CIFAR100.num_classes == (20, 100)
    torch.testing.assert_close(trees.CIFAR100.information(0), torch.full((20,), 4.321928))
    torch.testing.assert_close(trees.CIFAR100.information(1), torch.full((100,), 6.643856))


def test_the_three_level_cifar_100_tree_puts_eight_groups_on_top():
    tree = trees.CIFAR100_THREE
    assert tree.num_classes == (8, 20, 100)
    members: dict[str, list[str]] = {}
    for coarse, group in enumerate(tree.parents[1]):
        members.setdefault(tree.class_names[0][group], []).append(tree.class_names[1][coarse])
    assert members == {
        "aquatic_animals": ["aquatic_mammals", "fish"],
        "plants": ["flowers", "fruit_and_vegetables", "trees"],
        "household_things": [
            "food_containers",
            "household_electrical_devices",
            "household_furniture",
        ],
        "invertebrates": ["insects", "non-insect_invertebrates"],
        "land_animals": [
            "large_carnivores",
            "large_omnivores_and_herbivores",
            "medium_mammals",
            "reptiles",
            "small_mammals",
        ],
        "outdoor_scenes": ["large_man-made_outdoor_things", "large_natural_outdoor_scenes"],
        "people": ["people"],
        "vehicles": ["vehicles_1", "vehicles_2"],
    }


def test_the_fashion_mnist_trees_group_the_ten_labels_of_the_files():
    labels = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    assert trees.FASHION_MNIST.class_names[1] == tuple(labels.split(","))
    groups = {
        "tops": (0, 2, 6),
        "bottoms": (1,),
        "dresses": (3,),
        "outers": (4,),
        "shoes": (5, 7, 9),
        "accessories": (8,),
    }
    tree = trees.FASHION_MNIST_THREE
    for coarse, name in enumerate(tree.class_names[1]):
        assert tree.leaves(1, coarse) == groups[name]
    assert tree.leaves(0, 0) == (0, 1, 2, 3, 4, 6)
    assert tree.class_names[0] == ("clothes", "goods")


def test_the_cifar_10_trees_group_the_ten_labels_of_the_files():
    labels = "airplane automobile bird cat deer dog frog horse ship truck"
    assert trees.CIFAR10.class_names[1] == tuple(labels.split())
    tree = trees.CIFAR10_THREE
    members = {name: tree.leaves(1, coarse) for coarse, name in enumerate(tree.class_names[1])}
    assert members == {
        "sky": (0,),
        "road": (1, 9),
        "bird": (2,),
        "pet": (3, 5),
        "medium-sized mammal": (4, 7),
        "reptile": (6,),
        "water": (8,),
    }
    assert tree.class_names[0] == ("transport", "animal")
    assert (tree.leaves(0, 0), tree.leaves(0, 1)) == ((0, 1, 8, 9), (2, 3, 4, 5, 6, 7))


@pytest.mark.parametrize(
    ("three", "two"),
    [
        (trees.CIFAR10_THREE, trees.CIFAR10),
        (trees.CIFAR100_THREE, trees.CIFAR100),
        (trees.FASHION_MNIST_THREE, trees.FASHION_MNIST),
    ],
)
def test_a_third_level_leaves_the_two_below_as_they_were(three, two):
    assert three.level_names == ("group", *two.level_names)
    assert three.class_names[1:] == two.class_names
    assert three.parents[2] == two.parents[1]


def test_the_glyphs_have_as_many_classes_as_cifar_100_in_families_of_five():
    assert trees.GLYPHS.num_classes == trees.CIFAR100.num_classes
    assert trees.GLYPHS.leaf_counts(0).tolist() == [5] * 20
