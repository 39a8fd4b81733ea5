"""The two things a run can minimise, each with the parameters that it may change."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hbnlab.history import Phase
from hbnlab.losses import joint_loss, semantic_loss, semantic_targets
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.training.config import TrainConfig


class Objective(ABC):
    """A loss, what it trains, how often and how fast.

    Args:
        network: to be trained.
        config: of the run.
        trained: the parameters that the optimizer may change.
        epochs: passes over the training images.
        learning_rate: its peak.
        dropout_on: whether the loss is computed with dropout.
    """

    phase: ClassVar[Phase]

    def __init__(
        self,
        network: EarlyExitNetwork,
        config: TrainConfig,
        *,
        trained: Iterable[nn.Parameter],
        epochs: int,
        learning_rate: float,
        dropout_on: bool,
    ) -> None:
        self.network = network
        self.config = config
        self.trained = list(trained)
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.dropout_on = dropout_on

    @abstractmethod
    def loss(self, outputs: ExitOutputs, labels: Int[Tensor, "batch level"]) -> Float[Tensor, ""]:
        """The scalar to minimise."""

    @contextlib.contextmanager
    def prepared(self, device: torch.device) -> Iterator[None]:
        """Put the network in order for a run, and freeze what is not trained for as long.

        However the run ends, the network is left in evaluation mode and free to be trained.
        """
        self.network.to(device)
        # torch takes a memory format here, but declares no overload for it.
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if self.config.dropout is not None:
            self.network.set_dropout(self.config.dropout)
        chosen = {id(parameter) for parameter in self.trained}
        frozen = [p for p in self.network.parameters() if p.requires_grad and id(p) not in chosen]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)
            self.network.eval()


class JointObjective(Objective):
    """All heads and the trunk, on the joint loss. A gate takes no part in it."""

    phase = "train"

    def __init__(self, network: EarlyExitNetwork, config: TrainConfig) -> None:
        super().__init__(
            network,
            config,
            trained=[p for name, p in network.named_parameters() if not name.startswith("gate.")],
            epochs=config.epochs,
            learning_rate=config.learning_rate,
            dropout_on=True,
        )

    def loss(self, outputs: ExitOutputs, labels: Int[Tensor, "batch level"]) -> Float[Tensor, ""]:
        """The joint loss over all cells."""
        return joint_loss(outputs, labels, self.config.branch_weights, self.config.level_weights)


class GateObjective(Objective):
    """The gate alone, on the semantic loss."""

    phase = "post-train"

    def __init__(self, network: EarlyExitNetwork, config: TrainConfig) -> None:
        if network.gate is None:
            raise ValueError(f"post-training needs a network with a gate, {network.name} has none")
        bare = [
            number for number, row in enumerate(network.head_mask, 1) if not (row[0] and row[-1])
        ]
        if bare:
            raise ValueError(
                "the gate's targets need a coarsest and a finest head at every exit, "
                f"one is missing at exit {bare}"
            )
        super().__init__(
            network,
            config,
            trained=network.gate.parameters(),
            epochs=config.post_epochs,
            learning_rate=config.post_learning_rate,
            dropout_on=config.gate_targets_with_dropout,
        )

    def loss(self, outputs: ExitOutputs, labels: Int[Tensor, "batch level"]) -> Float[Tensor, ""]:
        """The semantic loss against targets made from the answers of the same pass."""
        fine_weight = self.config.fine_weight
        targets = semantic_targets(
            _correct(outputs, labels, level=-1), _correct(outputs, labels, level=0), fine_weight
        )
        return semantic_loss(outputs, targets, fine_weight, self.config.gate_weight)


def _correct(
    outputs: ExitOutputs, labels: Int[Tensor, "batch level"], level: int
) -> Bool[Tensor, "batch exit"]:
    """Whether each exit's head of one level is right."""
    rows = [row[level] for row in outputs.logits]
    columns = [row.argmax(dim=1) == labels[:, level] for row in rows if row is not None]
    return torch.stack(columns, dim=1)
