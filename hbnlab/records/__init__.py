"""What every exit of a network said about every image, and what a policy decided from it."""

from hbnlab.records.decisions import Decisions
from hbnlab.records.exit_records import Cell, ExitRecords
from hbnlab.records.simulated import simulated_records

__all__ = ["Cell", "Decisions", "ExitRecords", "simulated_records"]
