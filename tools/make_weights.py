"""Train the five networks on a data set and bundle their weights: what ``make weights`` runs.

Each file says in its header which command, seed and settings made it on what, how its training
went, and what it reaches on the test images, as it will be read back: in half precision. Times go
into times.json beside the files, for they are never the same twice.

One thread computes, whatever the machine: the sums of two would not be the same to the last bit.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

import hbnlab
from hbnlab import data, models
from hbnlab.collect import collect_records
from hbnlab.data import Splits
from hbnlab.metrics import cell_table
from hbnlab.models.weights import BUNDLED, bundled_path
from hbnlab.storage import write_json
from hbnlab.training import TrainConfig, fit, post_train

WIDTH = 0.25
LONGER = {
    "glyphs": {"epochs": 12, "post_epochs": 2, "dropout": 0.1},
    "fashion_mnist": {"epochs": 8, "post_epochs": 2, "dropout": 0.3},
}
MAX_BYTES = 2_000_000


def main() -> None:
    """Make the weights asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=tuple(LONGER), action="append")
    parser.add_argument("--model", choices=models.NAMES, action="append")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for dataset in chosen.dataset or LONGER:
        splits = data.load(dataset)
        for name in chosen.model or models.NAMES:
            make(name, dataset, splits, chosen.seed)


def make(name: str, dataset: str, splits: Splits, seed: int) -> None:
    """Train one network and bundle it."""
    config = TrainConfig.quick(dataset, seed=seed, **LONGER[dataset])
    network = models.create(name, splits.hierarchy, width=WIDTH, seed=seed)
    history = fit(network, splits, config)
    if network.has_gate:
        history = post_train(network, splits, config, history=history)
    network.to("cpu")
    with tempfile.TemporaryDirectory() as folder:
        rounded = Path(folder) / "rounded.safetensors"
        models.save_weights(network, rounded, half=True)
        records = collect_records(models.create(name, weights=rounded), splits.test)
    notes = {
        "command": f"python tools/make_weights.py --dataset {dataset} --model {name} --seed {seed}",
        "seed": seed,
        "environment": hbnlab.environment(),
        "config": asdict(config),
        "history": history.to_spec(with_times=False),
        "trained_on": splits.train.fingerprint,
        "test": cell_table(records),
    }
    path = bundled_path(dataset, name)
    models.save_weights(network, path, half=True, notes=notes)
    if path.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
    _note_time(dataset, name, history.seconds)
    for row in notes["test"]:
        print(f"{name} {dataset} exit {row['exit']} {row['level']}: {row['accuracy']:.4f}")


def _note_time(dataset: str, name: str, seconds: float) -> None:
    path = BUNDLED / "times.json"
    times = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    times.setdefault(dataset, {})[name] = {"seconds": round(seconds, 1)}
    write_json(path, times)


if __name__ == "__main__":
    main()
