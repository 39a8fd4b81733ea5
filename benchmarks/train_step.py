"""Training Gran-HBN on one thread: hbnlab's ``fit`` against a PIL pipeline with plain Adam.

``fit`` reads whole augmented batches, computes with channels last and updates with fused Adam; its
time counts everything that it does in a step, the scores too. The other side is what one would
write first: PIL images transformed one at a time by a DataLoader, torch's default memory format,
``torch.optim.Adam`` with its defaults. Network, loss, batch size and augmentation are the same.
After every step of ``fit`` the other side makes one, so that both meet the same machine; what
counts is the median of the ratio of two such steps. Time is processor time.

    python benchmarks/train_step.py
"""

import argparse
import itertools
import os
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from input_pipeline import PilDataset, random_split
from torch.utils.data import DataLoader

from hbnlab import models
from hbnlab.data import Splits
from hbnlab.losses import joint_loss
from hbnlab.storage import write_json
from hbnlab.training import Step, TrainConfig, fit
from hbnlab.trees import CIFAR100

TARGET = 1.15
WARM_UP = 3


class PlainTraining:
    """The other side: one step at a time, in the way of a first script."""

    def __init__(self, splits: Splits, config: TrainConfig, width: float) -> None:
        self.network = models.create("gran-hbn", CIFAR100, width=width, seed=config.seed).train()
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.branch_weights = config.branch_weights
        loader = DataLoader(PilDataset(splits.train), batch_size=config.batch_size, shuffle=True)
        self.batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def step(self) -> tuple[float, float]:
        """Make a step; return its seconds, with and without those for reading the batch."""
        start = time.process_time()
        images, labels = next(self.batches)
        read = time.process_time()
        loss = joint_loss(self.network(images), labels, self.branch_weights)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        end = time.process_time()
        return end - start, end - read


def measure(width: float, steps: int, batch_size: int) -> dict[str, list[float]]:
    """Seconds of every step of both sides; the first few of each warm up and are left out."""
    config = TrainConfig.paper("gran-hbn", epochs=1, batch_size=batch_size, device="cpu")
    train = random_split((steps + WARM_UP) * batch_size)
    few = train.subset(range(batch_size))
    splits = Splits(
        train=train,
        val=replace(few, part="val"),
        test=replace(few, part="test"),
        hierarchy=CIFAR100,
        name="noise",
    )
    plain = PlainTraining(splits, config, width)
    seconds: dict[str, list[float]] = {"hbnlab": [], "pil": [], "pil, batch read before": []}
    last = time.process_time()

    def on_step(step: Step) -> None:
        nonlocal last
        ours = time.process_time() - last
        whole, without_reading = plain.step()
        if step.number > WARM_UP:
            for name, value in zip(seconds, (ours, whole, without_reading), strict=True):
                seconds[name].append(value)
        last = time.process_time()

    network = models.create("gran-hbn", CIFAR100, width=width, seed=config.seed)
    fit(network, splits, config, on_step, progress=False)
    return seconds


def report(seconds: dict[str, list[float]], width: float, batch_size: int) -> dict[str, object]:
    """The figures of one width."""
    per_second = {n: batch_size / statistics.median(values) for n, values in seconds.items()}
    whole, computing = (
        [other / ours for other, ours in zip(seconds[name], seconds["hbnlab"], strict=True)]
        for name in ("pil", "pil, batch read before")
    )
    return {
        "width": width,
        "hbnlab_images_per_second": round(per_second["hbnlab"]),
        "pil_images_per_second": round(per_second["pil"]),
        "ratio": round(statistics.median(whole), 2),
        "ratio_quartiles": [round(value, 2) for value in statistics.quantiles(whole)[::2]],
        "target": TARGET,
        "ratio_not_counting_pil": round(statistics.median(computing), 2),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench_train_step.json"))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--widths", type=float, nargs="+", default=[1.0, 0.25])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for width in arguments.widths:
        seconds = measure(width, arguments.steps, arguments.batch_size)
        rows.append(report(seconds, width, arguments.batch_size))
        for key, value in rows[-1].items():
            print(f"{key.replace('_', ' '):>30}  {value}")
    result = {
        "what": "whole training steps on one thread, images per second of processor time",
        "rows": rows,
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
    }
    write_json(arguments.out, result)
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
