"""Training: what to train with (``TrainConfig``), and the two loops (``fit``, ``post_train``)."""

from hbnlab.training.config import TrainConfig
from hbnlab.training.loop import Step, fit, post_train

__all__ = ["Step", "TrainConfig", "fit", "post_train"]
