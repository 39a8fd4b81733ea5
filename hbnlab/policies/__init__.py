"""The rules that decide where an image leaves and how specific its answer is."""

from hbnlab.policies.base import Policy, policy_macs
from hbnlab.policies.calibrate import budget_policies, fit_thresholds, fit_tolerance
from hbnlab.policies.confidence import ConfidenceThreshold, MarginThreshold
from hbnlab.policies.entropy_threshold import EntropyThreshold
from hbnlab.policies.fine_tolerance import FineTolerance
from hbnlab.policies.forced_exit import ForcedExit
from hbnlab.policies.patience import Patience
from hbnlab.policies.semantic_gate import SemanticGate
from hbnlab.policies.thresholds import ThresholdPolicy
from hbnlab.policies.two_levels import TwoLevelPolicy
from hbnlab.policies.view import ExitView, batch_means

__all__ = [
    "ConfidenceThreshold",
    "EntropyThreshold",
    "ExitView",
    "FineTolerance",
    "ForcedExit",
    "MarginThreshold",
    "Patience",
    "Policy",
    "SemanticGate",
    "ThresholdPolicy",
    "TwoLevelPolicy",
    "batch_means",
    "budget_policies",
    "fit_thresholds",
    "fit_tolerance",
    "policy_macs",
]
