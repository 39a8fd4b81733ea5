"""Trees from files: what is read, and which line a refusal names."""

import json

import pytest

from hbnlab import trees
from hbnlab.hierarchy import Hierarchy, read_tree

CSV = """kind,animal,breed
pet,dog,poodle
pet,dog,pug
wild,cat,lynx
"""
NESTED = {"pet": {"dog": ["poodle", "pug"]}, "wild": {"cat": ["lynx"]}}


@pytest.fixture
def write(tmp_path):
    def write_file(name, text):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write_file


# ------------------------------------------------------------------ what is read


def test_a_csv_file_has_one_row_per_finest_class_below_the_names_of_the_levels(write):
    tree = read_tree(write("tree.csv", CSV)).hierarchy
    assert tree == Hierarchy.from_dict(NESTED)
    assert tree.level_names == ("kind", "animal", "breed")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + CSV,
        CSV.replace("\n", "\r\n"),
        CSV.replace(",", ", "),
        CSV.replace("\n", "\n\n"),
        CSV.replace("dog", '"dog"'),
        CSV.rstrip(),
    ],
    ids=["a byte order mark", "Windows", "blanks", "empty lines", "quotes", "no last line end"],
)
def test_a_csv_file_may_come_from_any_spreadsheet(write, text):
    given = read_tree(write("tree.csv", text))
    assert given.hierarchy.class_names == Hierarchy.from_dict(NESTED).class_names
    assert given.hierarchy.level_names == ("kind", "animal", "breed")


def test_a_name_in_quotes_may_hold_a_comma(write):
    tree = read_tree(write("tree.csv", 'coarse,fine\n"cats, small","manx, tailless"\n')).hierarchy
    assert tree.class_names == (("cats, small",), ("manx, tailless",))


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_file_holds_what_from_dict_takes(write, indent):
    assert read_tree(write("tree.json", json.dumps(NESTED, indent=indent))).hierarchy == (
        Hierarchy.from_dict(NESTED)
    )


@pytest.mark.parametrize("name", ["CIFAR100_THREE", "GLYPHS", "FASHION_MNIST"])
def test_a_json_file_of_to_spec_gives_the_same_tree_with_the_same_numbers(write, name):
    tree = getattr(trees, name)
    read = read_tree(write("tree.json", json.dumps(tree.to_spec()))).hierarchy
    assert read == tree
    assert read.level_names == tree.level_names


def test_a_tree_in_memory_is_taken_as_it_is():
    for source in (trees.CIFAR10, trees.CIFAR10.to_spec(), read_tree(trees.CIFAR10)):
        assert read_tree(source).hierarchy == trees.CIFAR10
    assert read_tree(NESTED).hierarchy == Hierarchy.from_dict(NESTED)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("tree.csv", CSV, {"poodle": 2, "pug": 3, "lynx": 4}),
        ("tree.csv", "\n" + CSV.replace("\n", "\n\n"), {"poodle": 4, "pug": 6, "lynx": 8}),
        (
            "tree.json",
            '{"pug": {"dog": ["poodle",\n"pug"]},\n"wild": {"lynx": [\n"lynx"]}}',
            {"poodle": 1, "pug": 2, "lynx": 4},
        ),
        ("tree.json", '{"\\u00e9":\n\n["\\u00e8 \\"x\\": y"]}', {'è "x": y': 3}),
    ],
)
def test_each_finest_class_knows_its_line(write, name, text, lines):
    assert dict(read_tree(write(name, text)).lines) == lines


# ------------------------------------------------------------------ matching


def test_classes_may_come_in_any_order_and_must_be_those_of_the_tree(write):
    given = read_tree(write("tree.csv", CSV))
    assert given.for_classes({"pug", "lynx", "poodle"}, "the folders") == given.hierarchy


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["poodle", "lynx"],
            r"tree\.csv, line 3: every finest class must be one of the zoo, got \['pug'\]$",
        ),
        (
            ["poodle", "pugg", "lynx"],
            r"line 3: .* got \['pug'\]; it has \['pugg'\], which have no row",
        ),
        (["lynx"], r"line 2, 3: .* got \['poodle', 'pug'\]"),
        (
            ["poodle", "pug", "lynx", "boa"],
            r"tree\.csv must have a row for every class of the zoo, got none for \['boa'\]",
        ),
    ],
)
def test_a_class_that_only_one_side_has_is_named_with_its_line(write, names, message):
    with pytest.raises(ValueError, match=message):
        read_tree(write("tree.csv", CSV)).for_classes(names, "the zoo")


def test_a_tree_in_memory_has_no_lines_to_name():
    with pytest.raises(ValueError, match=r"the tree: every .* got \['pug'\]"):
        read_tree(NESTED).for_classes(["poodle", "lynx"], "the zoo")


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\nx,y\nz,y\n", r"line 3: finest class names must be unique, repeated: \['y'\]"),
        (
            "a,b,c\nx,y,1\nz,q,2\nz,y,3\nz,y,4\n",
            r"line 4: every class needs one parent, got \['x', 'z'\] for 'y'",
        ),
        (
            "a,b\nx,y\n,z\n",
            r"line 3: class names must not be empty, got '' for class 1 of 'coarse'",
        ),
        ("a,b\nx,y\nz\n", r"line 3: every row must have 2 columns like line 1 .* got \('z',\)"),
        ("a,b\nx,y,z\n", r"line 2: every row must have 2 columns .* got \('x', 'y', 'z'\)"),
        ("\na,a\nx,y\n", r"line 2: level names must be unique, got \['a', 'a'\]"),
        ("a,b\n", "a hierarchy needs at least one row, got none"),
        ("\n", "must name the levels in its first line, got an empty file"),
    ],
)
def test_a_csv_file_that_is_no_tree_is_refused_by_line(write, text, message):
    with pytest.raises(ValueError, match=rf"tree\.csv.*{message}"):
        read_tree(write("tree.csv", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ["x"],\n"b": ["x"]}', r"line 2: finest class names must be unique, repeated: .'x'"),
        (
            '{"a": {"m": ["x"]},\n"b":\n{"m": ["y"]}}',
            r"line 3: every class needs one parent, got \['a', 'b'\] for 'm'",
        ),
        ('{"a": ["x"],\n"b": ["y"],\n"a": ["z"]}', "line 3: 'a' stands twice under one parent"),
        ('{"a": ["x"],\n"b" ["y"]}', "line 2: Expecting ':' delimiter"),
        ('{"a": ["x"], "b": {"c": ["y"]}}', "line 1: every row must have 2 columns, got 3"),
        ('{"a": []}', "every class needs a child, none under 'a'"),
        ('{"a": ["x", 3]}', "class names must be text, got 3"),
        ('{"a": 3}', "under 'a' a mapping or a list is expected, got 3"),
        ('"a"', "a mapping or a list is expected, got 'a'"),
        ("[]", "every class needs a child, none under 'the root'"),
        (
            '{"level_names": 3, "class_names": 3, "parents": 3}',
            "must be lists, one entry per level",
        ),
        ('{"level_names": ["a"], "class_names": [["x"]], "parents": [[0]]}', "must be empty"),
    ],
)
def test_a_json_file_that_is_no_tree_is_refused(write, text, message):
    with pytest.raises(ValueError, match=rf"tree\.json.*{message}"):
        read_tree(write("tree.json", text))


def test_a_file_that_is_missing_or_of_another_kind_is_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no tree file at .*nowhere\.csv"):
        read_tree(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=r"must end in \.json or \.csv, got .*tree\.yaml"):
        read_tree(write("tree.yaml", ""))
    (tmp_path / "latin.csv").write_bytes(b"a,b\n\xe9,y\n")
    with pytest.raises(ValueError, match=r"latin\.csv must be UTF-8 text"):
        read_tree(tmp_path / "latin.csv")
