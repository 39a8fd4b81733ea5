"""How long the kernel takes to answer a change in a panel, on 10,000 images.

A change is made from Python, which does what a moved slider does in the kernel: decide, evaluate
and draw. Only sending the page to a browser is left out. The records are simulated logits of the
size of CIFAR-100's test set: 3 exits with 20 coarse and 100 fine classes. Time is processor time on
one thread; the limit is for the median. The time for a new kind of policy or a new batch size
includes the evaluation of the whole cloud of policies.

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

from hbnlab.bench.clock import Clock
from hbnlab.history import CellScore, Epoch, History
from hbnlab.policies import FineTolerance
from hbnlab.records import ExitRecords, simulated_records
from hbnlab.storage import write_json
from hbnlab.training import Step
from hbnlab.training.device import threads_set
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
        records = simulated_records(arguments.images, hierarchy=CIFAR100, signal=6.0)
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
    """Median and longest processor time of a change, without the first one."""
    clock = Clock(torch.device("cpu"), threads=1)
    change()
    times = [1000 * clock.time(change) for _ in range(rounds)]
    return {"median_ms": statistics.median(times), "longest_ms": max(times)}


def inspector_changes(records: ExitRecords) -> dict[str, Callable[[], object]]:
    """What a person does with the exit inspector."""
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
    """What a person does with the policy explorer."""
    panel, batches, kinds = (PolicyExplorer(records) for _ in range(3))
    # Each has evaluated only the cloud of its first policy.
    fresh = iter([PolicyExplorer(records) for _ in range(rounds + 1)])
    accuracies = (0.3 + 0.01 * (n % 50) for n in itertools.count())
    return {
        "explorer, tolerance": setting(panel, "fine_tolerance", hundredths()),
        "explorer, thresholds": setting(panel, "thresholds", ([x, x] for x in hundredths())),
        "explorer, best for an accuracy": lambda: panel.best_for_accuracy(next(accuracies)),
        "explorer, known kind of policy": setting(kinds, "kind", itertools.cycle(kinds.kinds)),
        "explorer, new kind of policy": lambda: setattr(next(fresh), "kind", "entropy threshold"),
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
    """A change that sets an attribute to the next of some values."""
    remaining = iter(values)
    return lambda: setattr(panel, name, next(remaining))


def hundredths() -> Iterator[float]:
    """The numbers that a slider passes."""
    return (0.3 + 0.01 * number for number in itertools.count())


if __name__ == "__main__":
    main()
