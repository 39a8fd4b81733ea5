"""The two things a run can minimise, each with the parameters that it may change."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from hbnlab.history import Phase
from hbnlab.losses import joint_loss, semantic_loss, semantic_targets
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.training.config import TrainConfig


class Objective(ABC):
    """A loss, what it trains, how often and how fast."""

    phase: ClassVar[Phase]

    def __init__(self, network: EarlyExitNetwork, config: TrainConfig) -> None:
        self.network = network
        self.config = config

    @property
    @abstractmethod
    def epochs(self) -> int:
        """How many passes over the training images."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """Peak learning rate."""

    @property
    @abstractmethod
    def trained(self) -> list[nn.Parameter]:
        """What the optimizer changes."""

    @abstractmethod
    def set_modes(self) -> None:
        """Put the layers into the mode that the loss is computed in."""

    @abstractmethod
    def loss(self, outputs: ExitOutputs, labels: Tensor) -> Tensor:
        """The scalar to minimise."""

    @contextlib.contextmanager
    def prepared(self, device: torch.device) -> Iterator[None]:
        """Move the network to the device and freeze whatever is not trained, for a while."""
        self.network.to(device)
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        chosen = {id(parameter) for parameter in self.trained}
        frozen = [p for p in self.network.parameters() if p.requires_grad and id(p) not in chosen]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)


class JointObjective(Objective):
    """All heads and the trunk, on the joint loss. A gate takes no part in it."""

    phase = "train"

    @property
    def epochs(self) -> int:
        """From the configuration."""
        return self.config.epochs

    @property
    def learning_rate(self) -> float:
        """From the configuration."""
        return self.config.learning_rate

    @property
    def trained(self) -> list[nn.Parameter]:
        """Everything but the gate."""
        return [p for name, p in self.network.named_parameters() if not name.startswith("gate.")]

    def set_modes(self) -> None:
        """Dropout on."""
        if self.config.dropout is not None:
            self.network.set_dropout(self.config.dropout)
        self.network.train()

    def loss(self, outputs: ExitOutputs, labels: Tensor) -> Tensor:
        """The joint loss over all cells."""
        weights = self.config.branch_weights, self.config.level_weights
        return joint_loss(outputs, labels, *weights).total


class GateObjective(Objective):
    """The gate alone, on the semantic loss."""

    phase = "post-train"

    def __init__(self, network: EarlyExitNetwork, config: TrainConfig) -> None:
        if network.gate is None:
            raise ValueError(f"post-training needs a network with a gate, {network.name} has none")
        bare = [
            number for number, row in enumerate(network.heads_grid, 1) if not (row[0] and row[-1])
        ]
        if bare:
            raise ValueError(
                "the gate's targets need a coarsest and a finest head at every exit, "
                f"one is missing at exit {bare}"
            )
        super().__init__(network, config)
        self._gate = network.gate

    @property
    def epochs(self) -> int:
        """From the configuration."""
        return self.config.post_epochs

    @property
    def learning_rate(self) -> float:
        """From the configuration."""
        return self.config.post_learning_rate

    @property
    def trained(self) -> list[nn.Parameter]:
        """The gate's weights and bias."""
        return list(self._gate.parameters())

    def set_modes(self) -> None:
        """Dropout as the configuration says."""
        self.network.train(self.config.gate_targets_with_dropout)

    def loss(self, outputs: ExitOutputs, labels: Tensor) -> Tensor:
        """The semantic loss against targets made from the answers of the same pass."""
        fine = _correct(outputs, labels, level=-1)
        coarse = _correct(outputs, labels, level=0)
        targets = semantic_targets(fine, coarse, self.config.fine_weight)
        return semantic_loss(
            outputs,
            targets,
            fine_weight=self.config.fine_weight,
            gate_weight=self.config.gate_weight,
        )


def _correct(outputs: ExitOutputs, labels: Tensor, level: int) -> Tensor:
    """Whether each exit's head of one level is right: (batch, exit)."""
    rows = [row[level] for row in outputs.logits]
    columns = [row.argmax(dim=1) == labels[:, level] for row in rows if row is not None]
    return torch.stack(columns, dim=1)
