"""A label hierarchy: the same images labelled at several levels, from coarse to fine.

| module | contents |
| --- | --- |
| tree | `Hierarchy`: the classes of every level, and how labels and probabilities are lifted |
| class_rows | reads classes from tables, nested mappings and folders, and checks them |
"""

from hbnlab.hierarchy.class_rows import default_level_names
from hbnlab.hierarchy.tree import Hierarchy

__all__ = ["Hierarchy", "default_level_names"]
