"""What a run is trained with: one frozen set of choices, checked when it is made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from hbnlab.models.alexnet import NAMES
from hbnlab.types import Number

Schedule = Literal["constant", "warmup-cosine"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The choices of a run. The defaults are those of the study's README.

    Attributes:
        epochs: passes of the joint training.
        post_epochs: passes of the post-training, of a network with a gate.
        batch_size: images a step.
        learning_rate: of Adam, in the joint training; the peak where the schedule has one.
        post_learning_rate: the same in post-training.
        weight_decay: L2 penalty added to Adam's gradient, as the study does.
        schedule: ``"constant"``, or ``"warmup-cosine"``: linearly up over the first tenth of the
            steps, then down to nothing along a cosine.
        dropout: probability to set in the network's branches, or None to leave it as it is.
        augment: whether training images are cropped and flipped, as far as the data set allows.
            Validation and test images never are (the study left it on there).
        branch_weights: of the joint loss, one an exit.
        level_weights: of the joint loss, one a level, or None for 1 everywhere.
        fine_weight: w_f of the gate's targets and of the granular entropy.
        gate_weight: alpha of the semantic loss.
        gate_targets_with_dropout: whether the heads that set the gate's targets keep their dropout
            on, as in the study, or answer as they do when they are used.
        fine_tolerance: tau of the specificity that the history records for a network that is
            trained jointly; has no influence on the training.
        seed: of the order of the images, their augmentation and the dropout.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ...
        precision: ``"auto"`` is mixed bfloat16 on a GPU that has it, else float32.
        compile: whether torch.compile makes the step; it costs a minute at the start.
    """

    epochs: int = 2
    post_epochs: int = 1
    batch_size: int = 256
    learning_rate: Number = 1e-3
    post_learning_rate: Number = 1e-5
    weight_decay: Number = 1e-4
    schedule: Schedule = "constant"
    dropout: Number | None = None
    augment: bool = True
    branch_weights: Sequence[Number] = (1.0, 0.8, 0.6)
    level_weights: Sequence[Number] | None = None
    fine_weight: Number = 1.02
    gate_weight: Number = 5.0
    gate_targets_with_dropout: bool = True
    fine_tolerance: Number = 0.5
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("branch_weights", "level_weights"):
            if getattr(self, name) is not None:
                weights = tuple(float(weight) for weight in getattr(self, name))
                object.__setattr__(self, name, weights)
        _whole(self, 0, "epochs", "post_epochs", "seed")
        _whole(self, 1, "batch_size")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be finite and at least 0, got {self.weight_decay}")
        _positive(self, "learning_rate", "post_learning_rate", "fine_weight", "gate_weight")
        _one_of(self, "schedule", ("constant", "warmup-cosine"))
        _one_of(self, "precision", ("auto", "float32", "bfloat16"))
        if self.dropout is not None and not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if not math.isfinite(self.fine_tolerance):
            raise ValueError(f"fine_tolerance must be finite, got {self.fine_tolerance}")
        for weight in (*self.branch_weights, *(self.level_weights or ())):
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"loss weights must be finite and not negative, got {weight}")

    @classmethod
    def readme(cls, **changes: Any) -> "TrainConfig":
        """The defaults of the study's command line; its device was "cuda", ours is "auto"."""
        return cls(**changes)

    @classmethod
    def paper(cls, name: str, *, published_code: bool = False, **changes: Any) -> "TrainConfig":
        """Table I of the study, for one of its networks.

        Args:
            name: which network; AG-HBN trains 100 epochs and post-trains 20, the others train 120.
            published_code: take also what the code does beside the paper: for Gran-HBN it weights
                the fine loss by 1.5 and the coarse by 0.75, and it trains Sem-HBN with branch
                weights 1.0, 1.0, 0.8, for it looks them up by exit // 2.
            changes: any other field.

        Raises:
            ValueError: for an unknown name.
        """
        if name not in NAMES:
            raise ValueError(f"model must be one of {list(NAMES)}, got {name!r}")
        table: dict[str, Any] = {
            "epochs": 120,
            "batch_size": 64,
            "learning_rate": 1.5e-4,
            "weight_decay": 5e-4,
            "dropout": 0.5,
        }
        if name == "ag-hbn":
            table |= {"epochs": 100, "post_epochs": 20, "post_learning_rate": 1e-5}
        if published_code and name == "gran-hbn":
            table["level_weights"] = (0.75, 1.5)
        if published_code and name == "sem-hbn":
            table["branch_weights"] = (1.0, 1.0, 0.8)
        return cls(**(table | changes))

    @classmethod
    def quick(cls, dataset: str, **changes: Any) -> "TrainConfig":
        """What trains well at a quarter of the width, in a minute or two on two cores.

        Args:
            dataset: ``"glyphs"`` and ``"fashion_mnist"`` have settings of their own; any other
                data set takes those of Fashion-MNIST.
            changes: any other field.
        """
        table: dict[str, Any] = {
            "epochs": 3,
            "post_epochs": 1,
            "batch_size": 128,
            "learning_rate": 3e-3,
            "post_learning_rate": 1e-3,
            "weight_decay": 0.0,
            "schedule": "warmup-cosine",
            "dropout": 0.1,
            "augment": False,
        }
        if dataset == "glyphs":
            table |= {"epochs": 8, "batch_size": 64, "learning_rate": 2e-3, "dropout": 0.05}
        return cls(**(table | changes))

    def change(self, **changes: Any) -> "TrainConfig":
        """A copy with some fields changed."""
        known = {field.name for field in fields(self)}
        if unknown := changes.keys() - known:
            raise ValueError(f"a training setting is one of {sorted(known)}, got {sorted(unknown)}")
        return replace(self, **changes)


def _whole(config: TrainConfig, least: int, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number from {least} up, got {value!r}")


def _positive(config: TrainConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and above 0, got {value}")


def _one_of(config: TrainConfig, name: str, allowed: tuple[str, ...]) -> None:
    if getattr(config, name) not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}, got {getattr(config, name)!r}")
