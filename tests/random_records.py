"""Simulated exit records under a short name, and a tree of three levels, for tests."""

from hbnlab.records.simulated import PETS
from hbnlab.records.simulated import simulated_records as random_records

__all__ = ["DEEP", "PETS", "random_records"]

DEEP = PETS.with_coarser_level("kingdom", ["mammal", "other"], [0, 0, 1])
"""The tree of the pets with a third level above."""
