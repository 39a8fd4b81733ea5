"""Policies: where an image leaves and how specific its answer is."""

from hbnlab.policies.base import Policy, policy_macs
from hbnlab.policies.calibrate import budget_policies, fit_thresholds, fit_tolerance
from hbnlab.policies.choose import Choice, choose
from hbnlab.policies.explanation import Comparison
from hbnlab.policies.fine_tolerance import FineTolerance
from hbnlab.policies.forced_exit import ForcedExit
from hbnlab.policies.optimal_stopping import OptimalStopping
from hbnlab.policies.patience import Patience
from hbnlab.policies.score_threshold import (
    ConfidenceThreshold,
    EntropyThreshold,
    MarginThreshold,
    ScoreThreshold,
)
from hbnlab.policies.semantic_gate import SemanticGate
from hbnlab.policies.settings import Setting
from hbnlab.policies.starting import starting_policies
from hbnlab.policies.stopping_family import StoppingFamily
from hbnlab.policies.thresholds import ThresholdPolicy, TwoLevelPolicy
from hbnlab.policies.view import ExitView, batch_means

__all__ = [
    "Choice",
    "Comparison",
    "ConfidenceThreshold",
    "EntropyThreshold",
    "ExitView",
    "FineTolerance",
    "ForcedExit",
    "MarginThreshold",
    "OptimalStopping",
    "Patience",
    "Policy",
    "ScoreThreshold",
    "SemanticGate",
    "Setting",
    "StoppingFamily",
    "ThresholdPolicy",
    "TwoLevelPolicy",
    "batch_means",
    "budget_policies",
    "choose",
    "fit_thresholds",
    "fit_tolerance",
    "policy_macs",
    "starting_policies",
]
