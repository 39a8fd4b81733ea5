"""What a run is trained with: one frozen set of settings, validated when it is made."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from hbnlab.losses import BranchWeights, branch_weights_for
from hbnlab.types import Number

Schedule = Literal["constant", "warmup-cosine"]
Precision = Literal["auto", "float32", "bfloat16"]
Optimizer = Literal["adam", "sgd"]

_RATES = ("learning_rate", "post_learning_rate", "fine_weight", "gate_weight")
_RULES: tuple[tuple[tuple[str, ...], str, Callable[[Any], bool]], ...] = (
    (("epochs", "post_epochs", "seed"), "an integer of at least 0", lambda n: _is_count(n, 0)),
    (("batch_size",), "an integer of at least 1", lambda n: _is_count(n, 1)),
    (("seed",), "below 2**64", lambda seed: seed < 2**64),
    (_RATES, "finite and above 0", lambda value: 0 < value < math.inf),
    (("weight_decay",), "finite and at least 0", lambda value: 0 <= value < math.inf),
    (("dropout",), "in [0, 1)", lambda value: value is None or 0 <= value < 1),
    (("fine_tolerance",), "finite", math.isfinite),
    (("schedule",), f"one of {list(get_args(Schedule))}", get_args(Schedule).__contains__),
    (("optimizer",), f"one of {list(get_args(Optimizer))}", get_args(Optimizer).__contains__),
    (("precision",), f"one of {list(get_args(Precision))}", get_args(Precision).__contains__),
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of a run. The defaults are those of the study's README.

    Attributes:
        epochs: number of epochs of the joint training.
        post_epochs: number of epochs of the post-training, for a network with a gate.
        batch_size: images per step. In a network with batch statistics (BatchNorm), a last batch
            of one image joins the batch before it.
        optimizer: of the joint training: ``"adam"``, as in the study, or ``"sgd"`` with Nesterov's
            momentum of 0.9, which suits networks with BatchNorm. Post-training always takes Adam.
        learning_rate: of the joint training; the peak where the schedule has one.
        post_learning_rate: of the post-training.
        weight_decay: L2 penalty added to the gradient, as the study does.
        schedule: ``"constant"``, or ``"warmup-cosine"``: linearly up over the first tenth of the
            steps, then down to 0 along a cosine.
        dropout: probability to set in the network's branches, or None to leave it as it is. The
            trunk keeps its own.
        augment: whether training images are cropped and flipped, as far as the data set allows.
            Validation and test images never are (the study left it on there).
        branch_weights: weights of the joint loss, one per exit; None and ``"rising"`` = those of
            ``hbnlab.losses.branch_weights_for``: the study's 1.0, 0.8, 0.6 for three exits, or
            0.4, 0.7, 1.0.
        level_weights: weights of the joint loss, one per level, or None for 1 everywhere.
        fine_weight: w_f of the gate's targets and of the granular entropy.
        gate_weight: alpha of the semantic loss.
        gate_targets_with_dropout: whether the heads that set the gate's targets keep their dropout
            on, as in the study, or answer as they do when they are used.
        fine_tolerance: tau of the specificity that the history records for a network that is
            trained jointly; it has no influence on the training.
        seed: of the order of the images, their augmentation and the dropout; below 2**64.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"auto"`` is mixed bfloat16 on a GPU that has it, else float32.
        compile: whether torch.compile makes the step; it takes a minute at the start.

    Example:
        >>> config = TrainConfig(epochs=3, batch_size=64)
        >>> config.change(seed=1).epochs
        3
    """

    epochs: int = 2
    post_epochs: int = 1
    batch_size: int = 256
    optimizer: Optimizer = "adam"
    learning_rate: Number = 1e-3
    post_learning_rate: Number = 1e-5
    weight_decay: Number = 1e-4
    schedule: Schedule = "constant"
    dropout: Number | None = None
    augment: bool = True
    branch_weights: BranchWeights = None
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
        for names, rule, holds in _RULES:
            for name in names:
                if not holds(value := getattr(self, name)):
                    raise ValueError(f"{name} must be {rule}, got {value!r}")
        for name in ("branch_weights", "level_weights"):
            weights = getattr(self, name)
            if isinstance(weights, str):
                branch_weights_for(1, weights)
            elif weights is not None:
                object.__setattr__(self, name, _loss_weights(weights))

    @classmethod
    def readme(cls, **changes: Any) -> "TrainConfig":
        """The defaults of the study's command line; its device was "cuda", ours is "auto"."""
        return cls(**changes)

    @classmethod
    def paper(cls, name: str, *, published_code: bool = False, **changes: Any) -> "TrainConfig":
        """Table I of the study, for the network of that name.

        Args:
            name: of the network; ``"ag-hbn"`` trains for 100 epochs and post-trains for 20. A
                network that is not one of the study's takes what its other networks share.
            published_code: adopt also what the code does beyond the paper: for Gran-HBN it weights
                the fine loss by 1.5 and the coarse loss by 0.75, and it trains Sem-HBN with branch
                weights 1.0, 1.0, 0.8, because it looks them up by exit // 2.
            changes: any other field.
        """
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
    def quick(cls, dataset: str, trunk: str = "alexnet", **changes: Any) -> "TrainConfig":
        """What trains a narrow network well, in a minute or two on two cores.

        Args:
            dataset: ``"glyphs"`` has settings of its own; any other data set takes those that
                suit Fashion-MNIST.
            trunk: ``"alexnet"``, or another with BatchNorm.
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
        if trunk != "alexnet":
            table |= {"epochs": 3, "batch_size": 128, "dropout": 0.1, "optimizer": "sgd"}
            table |= {"learning_rate": 0.1, "weight_decay": 5e-4, "augment": True}
            table |= {"branch_weights": "rising"}
            if dataset == "glyphs":
                # A point more at the last exit than with the above, in the same time.
                table |= {"epochs": 6, "batch_size": 64, "dropout": 0.0}
        return cls(**(table | changes))

    @classmethod
    def long(cls, dataset: str, trunk: str = "alexnet", **changes: Any) -> "TrainConfig":
        """What the bundled weights were trained with: minutes to an hour per network on one core.

        Args:
            dataset: name of the data set, as for ``quick``.
            trunk: name of the trunk, likewise.
            changes: any other field.
        """
        table: dict[str, Any] = {"post_epochs": 2}
        if trunk != "alexnet":
            table |= {"epochs": {"glyphs": 20, "fashion_mnist": 15}.get(dataset, 30)}
            table |= {"batch_size": 128, "learning_rate": 0.1, "dropout": 0.1}
        elif dataset == "glyphs":
            table |= {"epochs": 12, "dropout": 0.1}
        elif dataset == "fashion_mnist":
            table |= {"epochs": 8, "dropout": 0.3}
        else:
            table |= {"epochs": 20, "dropout": 0.3, "augment": True}
        return cls.quick(dataset, trunk, **(table | changes))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "TrainConfig":
        """Read the settings that a file holds; one that is newer than the file has its default.

        Raises:
            ValueError: for a setting that is not one, by name, or a value out of range.
        """
        read = dict(spec)
        if read.get("schedule") == "one-cycle":  # its name in files of earlier versions
            read["schedule"] = "warmup-cosine"
        return cls().change(**read)

    def to_spec(self) -> dict[str, Any]:
        """The settings as plain data that JSON can hold; ``from_spec`` reads them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}

    def change(self, **changes: Any) -> "TrainConfig":
        """A copy with some fields changed."""
        known = {field.name for field in fields(self)}
        if unknown := changes.keys() - known:
            raise ValueError(f"a training setting is one of {sorted(known)}, got {sorted(unknown)}")
        return replace(self, **changes)

    def for_exits(self, num_exits: int) -> "TrainConfig":
        """The same settings with exactly one branch weight per exit.

        Raises:
            ValueError: when there are fewer branch weights than exits.
        """
        return replace(self, branch_weights=branch_weights_for(num_exits, self.branch_weights))

    def differences(self, spec: Mapping[str, Any]) -> list[str]:
        """Describe the settings of a file that are not those of this run, but must be to resume it.

        The device may differ and, under a constant learning rate, the number of epochs.

        Args:
            spec: what ``to_spec`` gave, of settings with one branch weight per exit, as here.

        Raises:
            ValueError: as for ``from_spec``.
        """
        stored = type(self).from_spec(spec).for_exits(len(self.branch_weights or ()))
        free = {"device"}
        if stored.schedule == self.schedule == "constant":
            free |= {"epochs", "post_epochs"}
        before, now = stored.to_spec(), self.to_spec()
        return [
            f"{name} was {before[name]!r}, now {now[name]!r}"
            for name in sorted(before.keys() - free)
            if before[name] != now[name]
        ]


def _loss_weights(weights: Sequence[Number]) -> tuple[float, ...]:
    for weight in weights:
        if not 0 <= weight < math.inf:
            raise ValueError(f"loss weights must be finite and not negative, got {weight}")
    return tuple(float(weight) for weight in weights)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and value >= least
