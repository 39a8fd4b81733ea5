"""Train networks on a data set and bundle their weights: what ``make weights`` runs.

Each file says in its header which command, seed and settings made it on what, how its training
went, and what it reaches on the test images, as it will be read back: in half precision. Times go
into times.json beside the files, for they are never the same twice.

Where AG-HBN stands alone, its file is also that of Gran-HBN, which is the same but for the gate.
CIFAR-10 is read from its own files or, with --root, from a folder of images: train/CLASS and
test/CLASS.

A training that was interrupted is continued from its checkpoint in runs/weights.

One thread computes, whatever the machine: the sums of two would not be the same to the last bit.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

import hbnlab
from hbnlab import data, models, trees
from hbnlab.collect import collect_records
from hbnlab.data import Splits
from hbnlab.metrics import cell_table
from hbnlab.models.named_networks import names_on
from hbnlab.models.weights import BUNDLED, bundled_path
from hbnlab.run_folder import trained_width
from hbnlab.storage import write_json
from hbnlab.training import TrainConfig, fit, post_train

BUNDLES = {
    ("glyphs", "alexnet"): names_on("alexnet"),
    ("fashion_mnist", "alexnet"): names_on("alexnet"),
    ("glyphs", "residual"): ("ag-hbn",),
    ("fashion_mnist", "residual"): ("ag-hbn",),
    ("cifar10", "alexnet"): ("ag-hbn",),
    ("cifar10", "residual"): ("ag-hbn",),
}
MAX_BYTES = 2_500_000
CHECKPOINTS = Path("runs/weights")


def main() -> None:
    """Make the weights asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=sorted({dataset for dataset, _ in BUNDLES}))
    parser.add_argument("--trunk", choices=tuple(models.TRUNKS))
    parser.add_argument("--model", choices=models.NAMES, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", help="folder of CIFAR-10 as images")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for (dataset, trunk), names in BUNDLES.items():
        if chosen.dataset in (None, dataset) and chosen.trunk in (None, trunk):
            splits = load(dataset, chosen.root)
            for name in chosen.model or names:
                make(name, trunk, dataset, splits, chosen.seed)


def load(dataset: str, root: str | None) -> Splits:
    """The data; CIFAR-10 from a folder of images where one is given."""
    if dataset != "cifar10" or root is None:
        return data.load(dataset)
    return data.load("folder", root, tree=trees.CIFAR10, augmentations=("crop", "flip"))


def make(name: str, trunk: str, dataset: str, splits: Splits, seed: int) -> None:
    """Train one network and bundle it."""
    config = TrainConfig.long(dataset, trunk, seed=seed, device="cpu")
    width = trained_width("long", None, trunk)
    network = models.create(name, splits.hierarchy, width, seed=seed, trunk=trunk)
    how = {"checkpoint": CHECKPOINTS / f"{dataset}-{trunk}-{name}-{seed}", "resume": True}
    history = fit(network, splits, config, **how)
    if network.has_gate:
        history = post_train(network, splits, config, history=history, **how)
    with tempfile.TemporaryDirectory() as folder:
        rounded = Path(folder) / "rounded.safetensors"
        models.save_weights(network, rounded, half=True)
        records = collect_records(models.create(name, weights=rounded), splits.test)
    asked = f"--dataset {dataset} --trunk {trunk} --model {name} --seed {seed}"
    is_copy = dataset == "cifar10" and splits.name == "folder"
    notes = {
        "command": f"python tools/make_weights.py {asked}{' --root FOLDER' if is_copy else ''}",
        "data": "CIFAR-10 (JPEG copy)" if is_copy else dataset,
        "seed": seed,
        "environment": hbnlab.environment(),
        "config": asdict(config),
        "history": history.to_spec(with_times=False),
        "trained_on": splits.train.fingerprint,
        "test": cell_table(records),
    }
    path = bundled_path(dataset, name, trunk)
    models.save_weights(network, path, half=True, notes=notes)
    if path.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
    _note_time(dataset, trunk, name, history.seconds)
    for row in notes["test"]:
        print(f"{dataset} {trunk} {name} exit {row['exit']} {row['level']}: {row['accuracy']:.4f}")


def _note_time(dataset: str, trunk: str, name: str, seconds: float) -> None:
    path = BUNDLED / "times.json"
    times = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    of_trunk = times.setdefault(dataset, {}).setdefault(trunk, {})
    of_trunk[name] = {"seconds": round(seconds, 1)}
    write_json(path, times)


if __name__ == "__main__":
    main()
