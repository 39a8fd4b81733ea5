"""What decisions and records are worth, as numbers and tables; nothing here draws."""

from hbnlab.metrics.evaluation import Evaluation, evaluate
from hbnlab.metrics.sweeps import sweep, sweep_table
from hbnlab.metrics.tables import cell_table

__all__ = ["Evaluation", "cell_table", "evaluate", "sweep", "sweep_table"]
