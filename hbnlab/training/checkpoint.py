"""The state of a run: written whole or not at all, and resumed as if it was never interrupted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hbnlab.history import History, Phase
from hbnlab.models.network import EarlyExitNetwork
from hbnlab.models.weights import PREFIX, StoredWeights, load_weights, network_tensors, with_trunk
from hbnlab.storage import load_tensors, save_tensors
from hbnlab.training.config import TrainConfig

_OPTIMIZER = "optimizer."


@dataclass
class RunState:
    """Everything that the next step of a run depends on.

    Attributes:
        network: being trained.
        optimizer: over some of its parameters.
        generator: of the order of the images and of their augmentation.
        phase: which training this is.
        config: its settings.
        data: fingerprint of the training images.
        history: the epochs so far.
    """

    network: EarlyExitNetwork
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    phase: Phase
    config: TrainConfig
    data: str
    history: History

    def save(self, path: str | Path) -> None:
        """Write the state; equal runs on one machine write equal bytes, so no time is in it."""
        tensors = network_tensors(self.network) | self._optimizer_tensors()
        tensors |= {f"random.{name}": state for name, state in self._random_states().items()}
        header = {
            "format": "hbnlab-checkpoint-1",
            "network": self.network.to_spec(),
            "phase": self.phase,
            "config": self.config.to_spec(),
            "data": self.data,
            "history": self.history.to_spec(with_times=False),
        }
        save_tensors(path, tensors, header)

    def restore(self, path: str | Path, times: History) -> Phase:
        """Take over the state that a file holds.

        A file of the other phase gives weights and history only: after the joint training the gate
        starts afresh, and before it nothing is left to do.

        Args:
            path: of the file.
            times: a history with the seconds of the epochs, which no checkpoint holds.

        Returns:
            The phase that the file was written in.

        Raises:
            ValueError: when the file is damaged or of another run, naming the fields that differ.
        """
        tensors, header = load_tensors(path)
        self._check(path, header)
        weights = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
        self.network.load_state_dict(weights)
        stored = History.from_spec(header["history"])
        self.history.epochs[:] = stored.with_seconds_of(times).epochs
        if header["phase"] == self.phase:
            self._restore_optimizer(tensors)
            self.generator.set_state(tensors["random.batches"])
            torch.set_rng_state(tensors["random.cpu"])
            if "random.cuda" in tensors and self.network.device.type == "cuda":
                torch.cuda.set_rng_state(tensors["random.cuda"], self.network.device)
        return header["phase"]

    def _check(self, path: str | Path, header: Mapping[str, Any]) -> None:
        if header.get("format") != "hbnlab-checkpoint-1":
            raise ValueError(f"{path} is no checkpoint of a run, but {header.get('format')!r}")
        StoredWeights(Path(path), with_trunk(header["network"]), {}, header).check(
            **self.network.to_spec()
        )
        try:
            differing = self.config.differences(header["config"])
        except ValueError as error:
            raise ValueError(f"the settings in {path} cannot be read: {error}") from error
        if header["data"] != self.data:
            differing.append(f"training images were {header['data']}, now {self.data}")
        if differing:
            raise ValueError(f"{path} is of another run: {'; '.join(differing)}")

    def _named(self) -> dict[str, Tensor]:
        """The parameters under the optimizer, in its own order."""
        names = {id(p): name for name, p in self.network.named_parameters()}
        return {names[id(p)]: p for group in self.optimizer.param_groups for p in group["params"]}

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        return {
            f"{_OPTIMIZER}{name}.{key}": value
            for name, parameter in self._named().items()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for index, (name, parameter) in enumerate(self._named().items()):
            start = f"{_OPTIMIZER}{name}."
            found = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            if found:
                state[index] = {key: _laid_out_as(parameter, value) for key, value in found.items()}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _random_states(self) -> dict[str, Tensor]:
        states = {"batches": self.generator.get_state(), "cpu": torch.get_rng_state()}
        if self.network.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.network.device)
        return states


def load_checkpoint(path: str | Path) -> tuple[StoredWeights, History]:
    """Read the network and the history of a run, to inspect or to test it.

    Raises:
        ValueError: for a damaged file, or one that is no checkpoint.

    Example:
        >>> import tempfile
        >>> from hbnlab import data, models
        >>> from hbnlab.training import TrainConfig, fit
        >>> splits = data.load("glyphs", train_size=20, val_size=20, test_size=20)
        >>> network = models.create("gran-hbn", splits.hierarchy, width=0.1)
        >>> config = TrainConfig(epochs=1, device="cpu")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "checkpoint.safetensors"
        ...     _ = fit(network, splits, config, checkpoint=path, progress=False)
        ...     stored, history = load_checkpoint(path)
        >>> stored.spec["name"], len(history.epochs)
        ('gran-hbn', 1)
    """
    stored = load_weights(Path(path))
    if "history" not in stored.header:
        raise ValueError(f"{path} holds weights without a history; it is no checkpoint of a run")
    return stored, History.from_spec(stored.header["history"])


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """Give what an optimizer keeps of a parameter the memory layout of that parameter.

    A file stores rows in order, a channels_last parameter does not, and a fused optimizer pairs
    numbers by their position in memory: it would silently mix them up.
    """
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device="cpu").copy_(value)
