"""What to reproduce: which networks on which data, whose weights, under which protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hbnlab.models import bundled_names
from hbnlab.models.alexnet import NAMES
from hbnlab.models.weights import bundled_path
from hbnlab.report.protocol import OURS, PUBLISHED, Protocol
from hbnlab.run_folder import DataChoice, trained_width
from hbnlab.training import TrainConfig

Weights = Literal["bundled", "train"]
Preset = Literal["quick", "readme", "paper"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One reproduction, checked before anything is computed.

    Attributes:
        choice: the data set.
        out: folder of the report.
        names: which of the five networks, in the order of the tables.
        weights: ``"bundled"`` or ``"train"``.
        seeds: one training each; bundled weights are those of seed 0 and cannot be trained again.
        paper_protocol: follow the published protocol to the letter.
        preset: with which settings to train.
        width: factor on channels; None = a quarter for ``"quick"``, else the study's own width.
        device: where to train and to compute the records.
        settings: of ``TrainConfig``, over those of the preset.
    """

    choice: DataChoice
    out: Path
    names: Sequence[str] = NAMES
    weights: Weights
    seeds: Sequence[int] = (0,)
    paper_protocol: bool = False
    preset: Preset = "quick"
    width: float | None = None
    device: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in NAMES]
        if not self.names or unknown or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"models must be some of {list(NAMES)}, each once, got {list(self.names)}"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(
                f"seeds must be one number or more from 0 up, each once, got {list(self.seeds)}"
            )
        if self.weights == "bundled":
            self._check_bundled()

    def _check_bundled(self) -> None:
        dataset = self.choice.name
        train = f"train them with: hbnlab reproduce --dataset {dataset} --weights train"
        if list(self.seeds) != [0]:
            raise ValueError(
                f"bundled weights are those of one seed, got {len(self.seeds)} seeds; {train} "
                f"--seeds {len(self.seeds)}"
            )
        if dataset not in bundled_names():
            raise ValueError(
                f"weights are bundled for {list(bundled_names())}, not for {dataset!r}; {train}"
            )
        missing = [name for name in self.names if not bundled_path(dataset, name).is_file()]
        if missing:
            raise ValueError(f"no weights of {missing} are bundled for {dataset!r}; {train}")

    @property
    def protocol(self) -> Protocol:
        """How the networks are tested."""
        return PUBLISHED if self.paper_protocol else OURS

    @property
    def report_folder(self) -> Path:
        """Where the report goes; that of the published protocol lies within the other's folder."""
        return self.out / "paper-protocol" if self.paper_protocol else self.out

    @property
    def trained_width(self) -> float:
        """Factor on the channels of a network that is trained."""
        return trained_width(self.preset, self.width)

    def run_folder(self, name: str, seed: int) -> Path:
        """Where checkpoint and records of one network are kept, so that a second start goes on.

        Settings that give other weights have a folder of their own.
        """
        if self.weights == "bundled":
            return self.out / "runs" / "bundled" / name
        recipe = f"{self.preset}-code" if self._by_published_code else self.preset
        return self.out / "runs" / recipe / name / f"seed-{seed}"

    def train_config(self, name: str, seed: int) -> TrainConfig:
        """The settings that one network is trained with."""
        changes = {"device": self.device, **self.settings, "seed": seed}
        if self.preset == "paper":
            return TrainConfig.paper(name, published_code=self._by_published_code, **changes)
        if self.preset == "readme":
            return TrainConfig.readme(**changes)
        return TrainConfig.quick(self.choice.name, **changes)

    @property
    def command(self) -> str:
        """The command line that makes the same report."""
        words = ["hbnlab reproduce", f"--dataset {self.choice.name}"]
        words += ["--root FOLDER"] if self.choice.root is not None else []
        words += ["--download"] if self.choice.download else []
        words += [f"--{name.replace('_', '-')}" for name in self.choice.options]
        if self.weights == "train":
            words.append(f"--weights train --preset {self.preset} --seeds {len(self.seeds)}")
            words += [f"--width {self.width:g}"] if self.width is not None else []
            words += [f"--num-epochs {n}" for key, n in self.settings.items() if key == "epochs"]
        if tuple(self.names) != tuple(NAMES):
            words.append(f"--models {' '.join(self.names)}")
        if self.paper_protocol:
            words.append("--paper-protocol")
        return " ".join(words)

    @property
    def _by_published_code(self) -> bool:
        """Whether losses are weighted as the study's code does beside its paper."""
        return self.preset == "paper" and self.paper_protocol
