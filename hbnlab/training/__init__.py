"""Training: ``fit`` for all heads, ``post_train`` for the gate, ``TrainConfig`` for both."""

from hbnlab.history import Step
from hbnlab.training.config import TrainConfig
from hbnlab.training.loop import OnEpoch, OnStep, fit, post_train

__all__ = ["OnEpoch", "OnStep", "Step", "TrainConfig", "fit", "post_train"]
