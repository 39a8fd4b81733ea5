"""What to reproduce: which networks on which data, with which weights and protocol."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hbnlab.models import (
    NAMES,
    STUDY_TRUNK,
    TRUNKS,
    bundled_names,
    bundled_trunks,
    name_on,
    names_on,
)
from hbnlab.models.weights import bundled_file
from hbnlab.report.protocol import OURS, PUBLISHED, Protocol
from hbnlab.run_folder import DataChoice, preset_config, trained_width
from hbnlab.training import TrainConfig
from hbnlab.training.device import choose_device

Weights = Literal["bundled", "train"]
Preset = Literal["quick", "long", "readme", "paper"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One reproduction, validated before anything is computed.

    Attributes:
        choice: the data set.
        out: folder of the report.
        trunk: of the networks in the tables; the study's has its published numbers beside it.
        names: which of the trunk's five networks, in the order of the tables; None = all.
        weights: ``"bundled"`` or ``"train"``.
        bundle: the data set whose bundled weights are loaded; None = that of ``choice``. Another
            one serves images of the same classes.
        seeds: one training per seed; bundled weights are those of seed 0.
        compare_trunks: whether to answer "Does depth pay?", for which Gran-HBN is measured, and
            with ``weights="train"`` also trained, on other trunks as well.
        paper_protocol: follow the published protocol to the letter.
        preset: the settings to train with, None = ``"quick"``; like width and settings, only with
            ``weights="train"``.
        width: multiplies the number of channels; None = that of the preset.
        device: where to train and to compute the records.
        settings: fields of ``TrainConfig`` that replace those of the preset.

    Raises:
        ValueError: for unknown trunks, names, seeds or devices, weights that are not bundled,
            invalid settings, and settings given with bundled weights.
    """

    choice: DataChoice
    out: Path
    trunk: str = STUDY_TRUNK
    names: Sequence[str] | None = None
    weights: Weights
    bundle: str | None = None
    seeds: Sequence[int] = (0,)
    compare_trunks: bool = True
    paper_protocol: bool = False
    preset: Preset | None = None
    width: float | None = None
    device: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.trunk not in TRUNKS:
            raise ValueError(f"trunk must be one of {list(TRUNKS)}, got {self.trunk!r}")
        known, names = names_on(self.trunk), self.network_names
        if not names or set(names) - set(known) or len(set(names)) < len(names):
            raise ValueError(
                f"models must be some of {list(known)}, each once, got {list(self.names or ())}"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(
                f"seeds must be one or more whole numbers from 0 up, each once, "
                f"got {list(self.seeds)}"
            )
        choose_device(self.device)
        if self.weights == "bundled":
            self._check_bundled()
        for name in self.network_names:
            self.train_config(name, max(self.seeds))

    def _check_bundled(self) -> None:
        dataset = self.bundle_name
        of_trunk = "" if self.trunk == STUDY_TRUNK else f" --trunk {self.trunk}"
        train = f"train them with: hbnlab reproduce --dataset {dataset}{of_trunk} --weights train"
        asked = {"preset": self.preset, "width": self.width, **self.settings}
        given = [f"{name}={value!r}" for name, value in asked.items() if value is not None]
        if given:
            raise ValueError(
                f"bundled weights are already trained, which contradicts {', '.join(given)}; "
                f"{train}"
            )
        if list(self.seeds) != [0]:
            raise ValueError(
                f"bundled weights are those of one seed, got {len(self.seeds)} seeds; {train} "
                f"--seeds {len(self.seeds)}"
            )
        if dataset not in bundled_names():
            raise ValueError(
                f"weights are bundled for {list(bundled_names())}, not for {dataset!r}; {train}"
            )
        missing = [
            n for n in self.network_names if not bundled_file(dataset, n, self.trunk).is_file()
        ]
        if missing:
            there = [name for name in self.network_names if name not in missing]
            without = f"leave them out with: --models {' '.join(there)}, or " if there else ""
            raise ValueError(
                f"no weights of {missing} are bundled for {dataset!r} on the trunk "
                f"{self.trunk!r}; {without}{train}"
            )

    @property
    def bundle_name(self) -> str:
        """The data set whose bundled weights are loaded."""
        return self.choice.name if self.bundle is None else self.bundle

    @property
    def network_names(self) -> tuple[str, ...]:
        """The names of the networks on the trunk."""
        names = names_on(self.trunk) if self.names is None else self.names
        return tuple(name_on(self.trunk, name) if name in NAMES else name for name in names)

    @property
    def protocol(self) -> Protocol:
        """How the networks are tested."""
        return PUBLISHED if self.paper_protocol else OURS

    @property
    def report_folder(self) -> Path:
        """Folder of the report; that by the published protocol is inside the folder of ours."""
        return self.out / "paper-protocol" if self.paper_protocol else self.out

    @property
    def training_preset(self) -> Preset:
        """The preset that networks are trained with."""
        return self.preset or "quick"

    @property
    def trained_width(self) -> float:
        """What multiplies the number of channels of a network to be trained."""
        return trained_width(self.training_preset, self.width, self.trunk)

    @property
    def compared_trunks(self) -> tuple[str, ...]:
        """The trunks on which Gran-HBN is compared; none by the published protocol.

        All of them where weights are trained, else those with bundled weights.
        """
        wanted = self.compare_trunks and "gran-hbn" in self.network_names
        if self.paper_protocol or not wanted:
            return ()
        return tuple(TRUNKS) if self.weights == "train" else bundled_trunks(self.bundle_name)

    def on_trunk(self, trunk: str) -> "Plan":
        """The same plan for Gran-HBN on another trunk."""
        return replace(self, trunk=trunk, names=("gran-hbn",))

    def run_folder(self, name: str, seed: int) -> Path:
        """Where checkpoint and records of one network are kept, so that a second start continues.

        Settings that lead to other weights have a folder of their own, named after them.
        """
        of_trunk = [] if self.trunk == STUDY_TRUNK else [self.trunk]
        if self.weights == "bundled":
            return self.out / "runs" / "-".join(["bundled", *of_trunk]) / name
        words = [self.training_preset, *of_trunk, *(["code"] if self._by_published_code else [])]
        if self.trained_width != trained_width(self.training_preset, None, self.trunk):
            words.append(f"width-{self.trained_width:g}")
        usual = asdict(replace(self, settings={}).train_config(name, seed))
        for key, value in asdict(self.train_config(name, seed)).items():
            if value != usual[key] and key != "device":
                values = value if isinstance(value, tuple) else (value,)
                words += [key.replace("_", "-"), *(str(part) for part in values)]
        return self.out / "runs" / "-".join(words) / name / f"seed-{seed}"

    def train_config(self, name: str, seed: int) -> TrainConfig:
        """The settings for training one network."""
        changes = {"device": self.device, **self.settings, "seed": seed}
        return preset_config(
            self.training_preset,
            name,
            self.choice.name,
            self.trunk,
            published_code=self._by_published_code,
            **changes,
        )

    @property
    def command(self) -> str:
        """The command that makes this report."""
        words = ["hbnlab reproduce", f"--dataset {self.choice.name}"]
        words += [f"--trunk {self.trunk}"] if self.trunk != STUDY_TRUNK else []
        words += ["--root FOLDER"] if self.choice.root is not None else []
        words += ["--download"] if self.choice.download else []
        words += ["--tree FILE"] if "tree" in self.choice.options else []
        words += ["--three-levels"] if self.choice.options.get("three_levels") else []
        options = self.choice.options
        words += [f"--title {shlex.quote(options['title'])}"] if "title" in options else []
        words += ["--flip"] if "augmentations" in options else []
        words += [f"--weights {self.bundle}"] if self.bundle is not None else []
        if self.weights == "train":
            preset, seeds = self.training_preset, len(self.seeds)
            words.append(f"--weights train --preset {preset} --seeds {seeds}")
            words += [f"--width {self.width:g}"] if self.width is not None else []
            options = {"epochs": "--num-epochs", "post_epochs": "--num-pt-epochs"}
            words += [f"{options[key]} {n}" for key, n in self.settings.items() if key in options]
        if self.network_names != names_on(self.trunk):
            words.append(f"--models {' '.join(self.network_names)}")
        words += [] if self.compare_trunks else ["--one-trunk"]
        if self.paper_protocol:
            words.append("--paper-protocol")
        return " ".join(words)

    @property
    def _by_published_code(self) -> bool:
        """Whether losses are weighted as in the study's code, which differs from its paper."""
        return self.training_preset == "paper" and self.paper_protocol
