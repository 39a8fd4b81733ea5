"""Numbers and tables computed from records and decisions; nothing here draws."""

from hbnlab.metrics.by_lot import ByLot, by_lot
from hbnlab.metrics.calibration import Reliability, failure_auroc, reliability
from hbnlab.metrics.cell_table import cell_table
from hbnlab.metrics.confusions import Confusion, confusion
from hbnlab.metrics.cost_curves import (
    CostCurve,
    area_between,
    cost_curve,
    flops_for_accuracy,
)
from hbnlab.metrics.curves import OperatingCurve, operating_curve
from hbnlab.metrics.evaluation import Evaluation, answer_values, evaluate
from hbnlab.metrics.intervals import (
    Interval,
    bootstrap,
    evaluation_intervals,
    percentile_interval,
    resampled_means,
)
from hbnlab.metrics.mistakes import LcaScores, Severity, lca_scores, severity
from hbnlab.metrics.overlaps import (
    Overlap,
    overlap_coefficient,
    uncertainties,
    uncertainty_overlap,
)
from hbnlab.metrics.ranking import top_k_accuracy
from hbnlab.metrics.reference_curves import PublishedResults, ReferenceCurve, reference_curve
from hbnlab.metrics.regions import OperatingRegion, entropy_gap, operating_region, tolerance_bound
from hbnlab.metrics.selection import Constraints, best, pareto_front
from hbnlab.metrics.sweeps import sweep, sweep_table
from hbnlab.records.temperatures import fit_temperatures, with_temperatures

__all__ = [
    "ByLot",
    "Confusion",
    "Constraints",
    "CostCurve",
    "Evaluation",
    "Interval",
    "LcaScores",
    "OperatingCurve",
    "OperatingRegion",
    "Overlap",
    "PublishedResults",
    "ReferenceCurve",
    "Reliability",
    "Severity",
    "answer_values",
    "area_between",
    "best",
    "bootstrap",
    "by_lot",
    "cell_table",
    "confusion",
    "cost_curve",
    "entropy_gap",
    "evaluate",
    "evaluation_intervals",
    "failure_auroc",
    "fit_temperatures",
    "flops_for_accuracy",
    "lca_scores",
    "operating_curve",
    "operating_region",
    "overlap_coefficient",
    "pareto_front",
    "percentile_interval",
    "reference_curve",
    "reliability",
    "resampled_means",
    "severity",
    "sweep",
    "sweep_table",
    "tolerance_bound",
    "top_k_accuracy",
    "uncertainties",
    "uncertainty_overlap",
    "with_temperatures",
]
