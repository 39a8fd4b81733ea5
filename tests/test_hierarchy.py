"""hbnlab.hierarchy: building, validating, asking and lifting."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hbnlab import trees
from hbnlab.hierarchy import Hierarchy, default_level_names

PETS = {"dog": ["poodle", "collie"], "cat": ["siamese"]}
DEEP = {"animal": PETS, "plant": {"tree": ["oak", "elm", "ash"], "flower": ["rose"]}}


@st.composite
def hierarchies(draw: st.DrawFn) -> Hierarchy:
    """Trees of one to four levels, with one to three children a class, numbered at random."""
    depth = draw(st.integers(1, 4))
    parents: list[tuple[int, ...]] = [()]
    widths = [draw(st.integers(1, 4))]
    for _ in range(1, depth):
        counts = draw(st.lists(st.integers(1, 3), min_size=widths[-1], max_size=widths[-1]))
        row = [parent for parent, count in enumerate(counts) for _ in range(count)]
        parents.append(tuple(draw(st.permutations(row))))
        widths.append(len(row))
    names = tuple(tuple(f"{level}.{c}" for c in range(width)) for level, width in enumerate(widths))
    return Hierarchy(default_level_names(depth), names, tuple(parents))


# ---------------------------------------------------------------------- building


def test_a_tree_from_nested_mappings_keeps_the_order_in_which_it_was_written():
    tree = Hierarchy.from_dict(PETS)
    assert tree.level_names == ("coarse", "fine")
    assert tree.class_names == (("dog", "cat"), ("poodle", "collie", "siamese"))
    assert tree.parents == ((), (0, 0, 1))
    assert tree.num_classes == (2, 3)


def test_a_tree_may_have_any_number_of_levels():
    flat = Hierarchy.from_table([("a",), ("b",)])
    assert (flat.level_names, flat.num_classes, flat.finest) == (("level 1",), (2,), 0)
    deep = Hierarchy.from_dict(DEEP)
    assert deep.level_names == ("level 1", "level 2", "level 3")
    assert deep.num_classes == (2, 4, 7)
    assert deep.parents == ((), (0, 0, 1, 1), (0, 0, 1, 2, 2, 2, 3))


def test_dict_table_and_folder_build_the_same_tree(tmp_path):
    rows = [("dog", "poodle"), ("dog", "collie"), ("cat", "siamese")]
    for coarse, fine in rows:
        (tmp_path / coarse / fine).mkdir(parents=True)
    (tmp_path / ".cache" / "hidden").mkdir(parents=True)
    (tmp_path / "dog" / "readme.txt").write_text("a file is no class")
    (tmp_path / "dog" / "collie").rmdir()
    (tmp_path / ".cache" / "elsewhere").mkdir()
    (tmp_path / "dog" / "collie").symlink_to(tmp_path / ".cache" / "elsewhere")
    assert Hierarchy.from_table(rows) == Hierarchy.from_dict(PETS)
    assert Hierarchy.from_folder(tmp_path) == Hierarchy.from_dict(PETS, sort=True)


def test_sorting_numbers_each_level_alphabetically_and_keeps_the_parents():
    tree = Hierarchy.from_dict(DEEP, sort=True)
    for names in tree.class_names:
        assert list(names) == sorted(names)
    assert set(_edges(tree)) == set(_edges(Hierarchy.from_dict(DEEP)))


def test_level_names_can_be_given():
    assert Hierarchy.from_dict(PETS, ["kind", "breed"]).level_names == ("kind", "breed")


def test_a_coarser_level_goes_on_top():
    tree = Hierarchy.from_dict(PETS).with_coarser_level("all", ["pet"], [0, 0])
    assert tree.level_names == ("all", "coarse", "fine")
    assert tree.parents == ((), (0, 0), (0, 0, 1))
    assert tree.leaves(0, 0) == (0, 1, 2)


def _edges(tree: Hierarchy) -> list[tuple[str, str]]:
    return [
        (tree.class_names[level - 1][parent], tree.class_names[level][child])
        for level in range(1, tree.num_levels)
        for child, parent in enumerate(tree.parents[level])
    ]


# ---------------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"level_names": ("a",)}, "one entry per level"),
        ({"level_names": ("a", "a")}, "level names must be unique"),
        ({"parents": ((0, 0), (0, 0, 1))}, r"parents\[0\] must be empty"),
        ({"class_names": ((), ("x", "y", "z"))}, "at least one class"),
        ({"class_names": (("dog", ""), ("x", "y", "z"))}, r"must not be empty, got '' for class 1"),
        ({"class_names": (("dog", "cat"), ("x", "y", "x"))}, r"unique within 'fine'.*\['x'\]"),
        ({"parents": ((), (0, 1))}, "2 parents for 3 classes"),
        ({"parents": ((), (0, 2, 1))}, r"must be in 0\.\.1, got \[2\]"),
        ({"parents": ((), (0, -1, 1))}, r"must be in 0\.\.1, got \[-1\]"),
        ({"parents": ((), (0, 0, 0))}, r"needs a child at 'fine', none under \['cat'\]"),
    ],
)
def test_a_tree_that_is_none_is_refused_with_the_rule_and_the_value(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Hierarchy.from_dict(PETS), **fields)


def test_no_levels_at_all_are_refused():
    with pytest.raises(ValueError, match="one entry per level"):
        Hierarchy((), (), ())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([()], "must have 0 columns"),
        ([("a", "x"), ("b",)], "must have 2 columns, got 1"),
        ([("a", "x"), ("b", "x")], r"finest class names must be unique, repeated: \['x'\]"),
        ([("a", "m", "x"), ("b", "m", "y")], r"one parent, got \['a', 'b'\] for 'm'"),
    ],
)
def test_a_table_that_is_no_tree_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        Hierarchy.from_table(rows)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "none under 'the root'"),
        ({"dog": []}, "none under 'dog'"),
        ({"dog": "poodle"}, "under 'dog' a mapping or a list is expected, got 'poodle'"),
        ({"dog": 3}, "got 3"),
        ({"dog": ["poodle"], "cat": {"big": ["lion"]}}, "must have 2 columns, got 3"),
    ],
)
def test_nested_mappings_that_are_no_tree_are_refused(tree, message):
    with pytest.raises(ValueError, match=message):
        Hierarchy.from_dict(tree)


def test_folders_that_are_no_tree_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Hierarchy.from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="found no folder"):
        Hierarchy.from_folder(tmp_path)
    (tmp_path / "dog" / "poodle").mkdir(parents=True)
    (tmp_path / "cat").mkdir()
    with pytest.raises(
        ValueError, match=r"equally deep, got cat \(levels: 1\) and dog/poodle \(levels: 2\)"
    ):
        Hierarchy.from_folder(tmp_path)


# ---------------------------------------------------------------------- asking


def test_a_level_is_found_by_name_by_index_and_from_the_end():
    tree = Hierarchy.from_dict(PETS)
    assert [tree.level_index(level) for level in ("coarse", 0, -2)] == [0, 0, 0]
    assert [tree.level_index(level) for level in ("fine", 1, -1)] == [1, 1, 1]


@pytest.mark.parametrize("level", ["medium", 2, -3])
def test_a_level_that_is_not_there_is_refused_with_those_that_are(level):
    with pytest.raises(ValueError, match=r"\['coarse', 'fine'\].*, got"):
        Hierarchy.from_dict(PETS).level_index(level)


@given(hierarchies())
def test_the_leaves_of_a_level_share_out_all_finest_classes(tree):
    for level in range(tree.num_levels):
        leaves = [tree.leaves(level, c) for c in range(tree.num_classes[level])]
        assert sorted(sum(leaves, ())) == list(range(tree.num_classes[-1]))
        assert [len(below) for below in leaves] == tree.leaf_counts(level).tolist()


@given(hierarchies())
def test_the_children_of_a_class_are_those_that_name_it_as_parent(tree):
    for level in range(tree.finest):
        for parent in range(tree.num_classes[level]):
            children = tree.children(level, parent)
            assert children == tuple(sorted(children))
            assert all(tree.parents[level + 1][child] == parent for child in children)
        total = sum(len(tree.children(level, c)) for c in range(tree.num_classes[level]))
        assert total == tree.num_classes[level + 1]
    assert tree.children(tree.finest, 0) == ()


@given(hierarchies())
def test_information_is_that_of_a_uniform_leaf(tree):
    for level in range(tree.num_levels):
        bits = tree.information(level)
        torch.testing.assert_close((2.0**-bits).sum(), torch.tensor(1.0))
        assert (bits >= 0).all()
    torch.testing.assert_close(
        tree.information(tree.finest),
        torch.full((tree.num_classes[-1],), math.log2(tree.num_classes[-1])),
    )


def test_information_of_a_class_counts_the_leaves_below_it():
    tree = Hierarchy.from_dict({"a": ["p"], "b": ["q", "r", "s"]})
    torch.testing.assert_close(tree.information(0), torch.tensor([2.0, 2.0 - math.log2(3)]))


# ---------------------------------------------------------------------- lifting


def test_labels_lift_to_the_class_that_holds_them():
    tree = Hierarchy.from_dict(DEEP)
    leaves = torch.arange(7)
    assert tree.lift_labels(leaves, 0).tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert tree.lift_labels(leaves, "level 2").tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert tree.lift_labels(torch.tensor([3, 1]), 0, from_level=1).tolist() == [1, 0]


@given(hierarchies(), st.data())
def test_lifting_by_way_of_a_level_between_changes_nothing(tree, data):
    low, middle, high = sorted(data.draw(st.integers(0, tree.finest)) for _ in range(3))
    labels = torch.arange(tree.num_classes[high]).reshape(1, -1)
    direct = tree.lift_labels(labels, low, from_level=high)
    between = tree.lift_labels(labels, middle, from_level=high)
    assert torch.equal(direct, tree.lift_labels(between, low, from_level=middle))
    prob = torch.rand(2, tree.num_classes[high], dtype=torch.float64).softmax(-1)
    torch.testing.assert_close(
        tree.lift_prob(prob, low, from_level=high),
        tree.lift_prob(tree.lift_prob(prob, middle, from_level=high), low, from_level=middle),
    )


@given(hierarchies(), st.data())
def test_a_certain_class_lifts_to_the_certainty_of_its_ancestor(tree, data):
    level = data.draw(st.integers(0, tree.finest))
    certain = torch.eye(tree.num_classes[-1])
    ancestors = tree.lift_labels(torch.arange(tree.num_classes[-1]), level)
    expected = torch.eye(tree.num_classes[level])[ancestors]
    assert torch.equal(tree.lift_prob(certain, level), expected)


@given(hierarchies())
def test_lifting_from_a_level_to_itself_changes_nothing(tree):
    for level in range(tree.num_levels):
        labels = torch.arange(tree.num_classes[level])
        assert torch.equal(tree.lift_labels(labels, level, from_level=level), labels)
        prob = torch.rand(3, tree.num_classes[level])
        assert torch.equal(tree.lift_prob(prob, level, from_level=level), prob)


def test_lifted_probabilities_keep_their_sum_their_type_and_their_gradient():
    tree = Hierarchy.from_dict(DEEP)
    logits = torch.randn(2, 5, 7, dtype=torch.float64, requires_grad=True)
    lifted = tree.lift_prob(logits.softmax(-1), 1)
    assert (lifted.shape, lifted.dtype) == ((2, 5, 4), torch.float64)
    torch.testing.assert_close(lifted.sum(-1), torch.ones(2, 5, dtype=torch.float64))
    lifted[..., 0].sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


def test_a_label_table_has_one_column_a_level_coarsest_first():
    table = Hierarchy.from_dict(DEEP).label_table(torch.tensor([0, 3, 6]))
    assert table.tolist() == [[0, 0, 0], [1, 2, 3], [1, 3, 6]]


def test_no_labels_lift_to_no_labels():
    tree = Hierarchy.from_dict(PETS)
    assert tree.lift_labels(torch.empty(0, dtype=torch.long), 0).shape == (0,)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_outside_its_classes_is_refused(label):
    with pytest.raises(ValueError, match=rf"'fine' must be in 0\.\.2, got .*{label}"):
        Hierarchy.from_dict(PETS).lift_labels(torch.tensor([0, label]), 0)


def test_lifting_downwards_is_refused():
    tree = Hierarchy.from_dict(PETS)
    with pytest.raises(ValueError, match="fine to coarse only, got from level 0 to 1"):
        tree.lift_labels(torch.tensor([0]), "fine", from_level="coarse")
    with pytest.raises(ValueError, match="fine to coarse only"):
        tree.lift_prob(torch.rand(1, 2), "fine", from_level="coarse")


def test_probabilities_over_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="must have 3 classes, got 2"):
        Hierarchy.from_dict(PETS).lift_prob(torch.rand(4, 2), 0)


# ---------------------------------------------------------------------- writing


@given(hierarchies())
def test_a_tree_comes_back_from_its_plain_lists(tree):
    copy = Hierarchy.from_spec(tree.to_spec())
    assert copy == tree
    assert copy.fingerprint == tree.fingerprint


def test_names_of_levels_are_no_part_of_a_tree():
    for nested, names in ((PETS, ["kind", "breed"]), (DEEP, ["kingdom", "family", "species"])):
        tree, renamed = Hierarchy.from_dict(nested), Hierarchy.from_dict(nested, names)
        assert renamed.level_names == tuple(names)
        assert renamed == tree
        assert hash(renamed) == hash(tree)
        assert renamed.fingerprint == tree.fingerprint


@pytest.mark.parametrize(
    ("tree", "fingerprint"),
    [
        (Hierarchy.from_table([("a",), ("b",)]), "67e4db50a13e"),
        (trees.FASHION_MNIST, "657d41d27cb1"),
        (trees.CIFAR100, "313c3b96bfe7"),
        (trees.GLYPHS, "129933962ddf"),
        (trees.FASHION_MNIST_THREE, "72ff17a8d1e6"),
        (trees.CIFAR100_THREE, "ec65abaf859c"),
        (Hierarchy.from_dict({"a": {"b": {"c": ["d"]}}}), "c6f091d0ba6e"),
    ],
)
def test_fingerprints_that_are_stored_in_files_stay_as_they_were(tree, fingerprint):
    assert tree.fingerprint == fingerprint


def test_any_change_of_a_tree_changes_its_fingerprint():
    tree = Hierarchy.from_dict(PETS)
    others = [
        Hierarchy.from_dict(PETS, sort=True),
        Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["persian"]}),
        dataclasses.replace(tree, parents=((), (0, 1, 0))),
        tree.with_coarser_level("all", ["pet"], [0, 0]),
    ]
    assert len({tree.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_the_text_shows_every_class_under_its_parent():
    assert Hierarchy.from_dict(PETS).to_text().splitlines() == [
        "2 coarse > 3 fine",
        "dog",
        "    poodle",
        "    collie",
        "cat",
        "    siamese",
    ]


def test_the_text_can_count_the_rest_of_many_children():
    lines = Hierarchy.from_dict(DEEP).to_text(max_children=1).splitlines()
    assert "        oak" in lines
    assert "        ... and 2 more" in lines
    assert "        elm" not in lines


def test_information_never_falls_from_parent_to_child():
    tree = Hierarchy.from_dict(DEEP)
    for above, below in pairwise(range(tree.num_levels)):
        parent_bits = tree.information(above)[tree.ancestors(above, below)]
        assert (tree.information(below) >= parent_bits).all()
