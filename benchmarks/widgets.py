"""How long the kernel takes to answer a change in a widget, on 10,000 images.

A change is made from Python, which does what a moved slider does in the kernel: decide, measure and
draw. Only sending the page to a browser is left out, for there is none. The records are random
logits of the size of CIFAR-100's test set: 3 exits with 20 coarse and 100 fine classes. Time is
processor time on one thread; the limit is for the median. For a rule or a batch size that is new,
the cloud of policies is worked out on the way.

    python benchmarks/widgets.py
"""

import argparse
import itertools
import platform
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from hbnlab.bench.clock import Clock, threads_set
from hbnlab.history import CellScore, Epoch, History
from hbnlab.policies import FineTolerance
from hbnlab.records import ExitRecords
from hbnlab.storage import write_json
from hbnlab.training import Step
from hbnlab.trees import CIFAR100
from hbnlab.widgets import ExitInspector, PolicyExplorer, TrainingMonitor

LIMIT_MS = 100.0
EXITS = 3
KINDS = ("wrong", "leaves early", "fine answer at coarse confidence", "any")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench_widgets.json"))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with threads_set(1):
        records = random_records(arguments.images)
        changes = {
            **inspector_changes(records),
            **explorer_changes(records, arguments.rounds),
            **monitor_changes(),
        }
        rows = {name: measure(change, arguments.rounds) for name, change in changes.items()}
    result = {
        "images": arguments.images,
        "rounds": arguments.rounds,
        "limit_ms": LIMIT_MS,
        "is_kept": all(row["median_ms"] <= LIMIT_MS for row in rows.values()),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "changes": rows,
    }
    for name, row in rows.items():
        print(f"{name:45} {row['median_ms']:6.1f} ms (longest {row['longest_ms']:6.1f} ms)")
    print(f"limit {LIMIT_MS:.0f} ms: {'kept' if result['is_kept'] else 'BROKEN'}")
    write_json(arguments.out, result)
    print(f"written to {arguments.out}")


def measure(change: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median and longest processor time of a change, the first one left out."""
    clock = Clock(torch.device("cpu"), threads=1)
    change()
    times = [1000 * clock.time(change) for _ in range(rounds)]
    return {"median_ms": statistics.median(times), "longest_ms": max(times)}


def random_records(images: int) -> ExitRecords:
    """Logits that point to the truth, more so at later exits."""
    generator = torch.Generator().manual_seed(0)
    labels = CIFAR100.label_table(torch.randint(100, (images,), generator=generator))
    logits = []
    for level, classes in enumerate(CIFAR100.num_classes):
        noise = 2 * torch.randn(images, EXITS, classes, generator=generator)
        truth = torch.nn.functional.one_hot(labels[:, level], classes)[:, None]
        logits.append(noise + torch.tensor([5.0, 6.0, 7.0])[:, None] * truth)
    return ExitRecords(
        logits=tuple(logits),
        available=torch.ones(EXITS, CIFAR100.num_levels, dtype=torch.bool),
        labels=labels,
        stage_macs=(8_000_000, 18_000_000, 27_000_000),
        branch_macs=(1_900_000, 3_500_000, 6_000_000),
        gate_logits=torch.randn(images, 2, generator=generator),
        attributes={"difficulty": torch.rand(images, generator=generator)},
        hierarchy=CIFAR100,
        split="random test",
    )


def inspector_changes(records: ExitRecords) -> dict[str, Callable[[], object]]:
    """What one does with the exit inspector."""
    generator = torch.Generator().manual_seed(1)
    shape = (len(records), 3, 32, 32)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    panel = ExitInspector(records, images, FineTolerance([2.0, 1.5], 0.5))
    by_batch = ExitInspector(
        records, images, FineTolerance([2.0, 1.5], 0.5, per="batch", batch_size=512)
    )
    return {
        "inspector, tolerance": setting(panel, "fine_tolerance", hundredths()),
        "inspector, thresholds": setting(panel, "thresholds", ([x, x] for x in hundredths())),
        "inspector, image": setting(panel, "image_index", itertools.count()),
        "inspector, kind of image": setting(panel, "kind", itertools.cycle(KINDS)),
        "inspector, next image": panel.next,
        "inspector, tolerance by batch of 512": setting(by_batch, "fine_tolerance", hundredths()),
    }


def explorer_changes(records: ExitRecords, rounds: int) -> dict[str, Callable[[], object]]:
    """What one does with the policy explorer."""
    panel, batches, rules = (PolicyExplorer(records) for _ in range(3))
    # Each knows no cloud but that of its first rule.
    fresh = iter([PolicyExplorer(records) for _ in range(rounds + 1)])
    accuracies = (0.3 + 0.01 * (n % 50) for n in itertools.count())
    return {
        "explorer, tolerance": setting(panel, "fine_tolerance", hundredths()),
        "explorer, thresholds": setting(panel, "thresholds", ([x, x] for x in hundredths())),
        "explorer, best for an accuracy": lambda: panel.best_for_accuracy(next(accuracies)),
        "explorer, known rule": setting(rules, "rule", itertools.cycle(rules.rules)),
        "explorer, new rule": lambda: setattr(next(fresh), "rule", "entropy"),
        "explorer, new batch size": setting(batches, "batch_size", itertools.count(64)),
    }


def monitor_changes() -> dict[str, Callable[[], object]]:
    """A step that is drawn, in the 30th of 40 epochs."""
    cells = list(itertools.product(range(EXITS), range(CIFAR100.num_levels)))
    scores = tuple(CellScore(e, k, 1.0, 0.5, 0.9) for e, k in cells)
    epochs = [
        Epoch(n, "train", 1.0, 1e-3, {"val": scores}, (0.5,) * EXITS, (0.5,) * EXITS)
        for n in range(1, 30)
    ]
    history = History(epochs)
    monitor = TrainingMonitor(CIFAR100, every=0.0)
    numbers = itertools.count(1)

    def step() -> None:
        monitor(Step("train", 30, 40, next(numbers), 700, lambda: 1.0, history))

    return {"monitor, step that is drawn": step}


def setting(panel: Any, name: str, values: Iterable[Any]) -> Callable[[], object]:
    """A change that gives an attribute the next of some values."""
    remaining = iter(values)
    return lambda: setattr(panel, name, next(remaining))


def hundredths() -> Iterator[float]:
    """Numbers as a slider goes through them."""
    return (0.3 + 0.01 * number for number in itertools.count())


if __name__ == "__main__":
    main()
