"""A label hierarchy: the same images labelled at several levels, from coarse to fine.

| module | contents |
| --- | --- |
| tree | `Hierarchy`: the classes of every level, and how labels and probabilities are lifted |
| class_rows | reads classes from tables, nested mappings and folders, and checks them |
| tree_files | reads a tree from a JSON or CSV file |
"""

from hbnlab.hierarchy.class_rows import default_level_names
from hbnlab.hierarchy.tree import Hierarchy
from hbnlab.hierarchy.tree_files import GivenTree, TreeSource, read_tree

__all__ = ["GivenTree", "Hierarchy", "TreeSource", "default_level_names", "read_tree"]
