"""The networks of a report and their records: loaded or trained, computed once, then kept."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hbnlab import models
from hbnlab.collect import collect_records, records_fingerprint
from hbnlab.costs import num_parameters, size_mb
from hbnlab.data import Split, Splits
from hbnlab.history import History
from hbnlab.models import EarlyExitNetwork
from hbnlab.models.weights import load_weights
from hbnlab.records import ExitRecords
from hbnlab.report.plan import Plan
from hbnlab.run_folder import train_run
from hbnlab.training.device import choose_device

AUGMENTATION_SEED = 0


@dataclass
class Times:
    """Seconds that each piece of work took, by name; work that was already done is missing."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Measure what is done within."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """A trained network's description and records; the network itself is no longer needed.

    Attributes:
        name: name of the network.
        seed: of its training.
        width: factor on its channels.
        parameters: number of its parameters.
        size_mb: size of its weights in single precision, in units of 2**20 bytes.
        val: records of the validation images, never augmented.
        test: records of the test images, augmented if the protocol says so.
        history: of its training, or None for bundled weights that have none.
        saw_augmented: whether its training images were augmented; None where that is not known.
        trunk: of the network.
    """

    name: str
    seed: int
    width: float
    parameters: int
    size_mb: float
    val: ExitRecords
    test: ExitRecords
    history: History | None
    saw_augmented: bool | None
    trunk: str = models.STUDY_TRUNK


def measure(
    plan: Plan, name: str, seed: int, splits: Splits, times: Times, *, progress: bool = True
) -> Measured:
    """Load or train one network and collect its records, unless they are already stored."""
    on_trunk = "" if plan.trunk == models.STUDY_TRUNK else f" on {plan.trunk}"
    label = f"{name}{on_trunk} seed {seed}"
    with times.of(f"{label}: weights"):
        network, history, saw_augmented = trained_network(plan, name, seed, splits, progress)
    network.to(choose_device(plan.device))
    folder, augmented = plan.run_folder(name, seed), plan.protocol.augmented
    with times.of(f"{label}: records of validation images"):
        path = folder / "records-val.safetensors"
        val = kept_records(path, network, splits.val, progress=progress)
    with times.of(f"{label}: records of test images"):
        path = folder / f"records-test{'-augmented' if augmented else ''}.safetensors"
        test = kept_records(path, network, splits.test, augmented=augmented, progress=progress)
    return Measured(
        name=name,
        seed=seed,
        width=network.width,
        parameters=num_parameters(network),
        size_mb=size_mb(network),
        val=val,
        test=test,
        history=history,
        saw_augmented=saw_augmented,
        trunk=network.trunk,
    )


def kept_records(
    path: Path,
    network: EarlyExitNetwork,
    split: Split,
    *,
    augmented: bool = False,
    progress: bool = True,
) -> ExitRecords:
    """Load the records of this network and these images from a file, or collect and save them.

    A damaged file, or one of other weights or images, is replaced.
    """
    wanted = records_fingerprint(network, split)
    if path.is_file():
        try:
            records = ExitRecords.load(path)
        except ValueError:
            records = None
        if records is not None and records.fingerprint == wanted:
            return records
    generator = torch.Generator(split.device).manual_seed(AUGMENTATION_SEED) if augmented else None
    records = collect_records(network, split, augment=generator, progress=progress)
    records.save(path)
    return records


def trained_network(
    plan: Plan, name: str, seed: int, splits: Splits, progress: bool
) -> tuple[EarlyExitNetwork, History | None, bool | None]:
    """A trained network, the history of its training, and whether that saw augmented images."""
    if plan.weights == "bundled":
        dataset = plan.bundle_name
        network = models.create(name, splits.hierarchy, weights=dataset, trunk=plan.trunk)
        header = load_weights(dataset, name, plan.trunk).header
        history = History.from_spec(header["history"]) if "history" in header else None
        return network, history, header.get("config", {}).get("augment")
    network = models.create(name, splits.hierarchy, plan.trained_width, seed=seed, trunk=plan.trunk)
    config = plan.train_config(name, seed)
    folder = plan.run_folder(name, seed)
    history = train_run(
        folder, network, plan.choice, splits, config, resume=True, progress=progress
    )
    return network, history, config.augment
