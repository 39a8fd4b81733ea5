"""How often a promise of ``choose`` is broken, where the truth is known.

The test records of a data set are the population. Each round draws images from it, chooses on them
among stopping by value and Algorithm 1 (fitted on validation records), and asks whether the chosen
policy breaks a constraint on the whole population. A promise with confidence 0.9 may be broken in
one round of ten. What is best is what ``choose`` would take if it knew the population.

    python benchmarks/guarantees.py [--rounds 1000] [--trunk residual] [--dataset glyphs]
"""

import argparse
import math
import sys

import torch

from hbnlab import data, models
from hbnlab.collect import collect_records
from hbnlab.metrics import evaluate
from hbnlab.policies import ForcedExit, OptimalStopping, choose, starting_policies
from hbnlab.policies.choose import METHODS
from hbnlab.policies.outcomes import Outcomes
from hbnlab.progress import progress_bar
from hbnlab.records import ExitRecords
from hbnlab.storage import write_json
from hbnlab.training.device import threads_set

CONFIDENCE = 0.9
IMAGES = 4000


def main() -> int:
    """Measure, print and write; 1 where a method breaks more promises than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", action="append", choices=models.bundled_names())
    parser.add_argument("--trunk", choices=tuple(models.TRUNKS), default=models.STUDY_TRUNK)
    parser.add_argument("--rounds", type=int, default=1000)
    chosen = parser.parse_args()
    rows = []
    with threads_set(1):
        for dataset in chosen.dataset or ("glyphs", "fashion_mnist"):
            rows += of_dataset(dataset, chosen.trunk, chosen.rounds)
    write_json(f"results/bench_guarantees_{chosen.trunk}.json", {"rows": rows})
    allowed = 1 - CONFIDENCE
    slack = 2 * math.sqrt(allowed * CONFIDENCE / chosen.rounds)
    return int(any(row["broken"] > allowed + slack for row in rows))


def of_dataset(dataset: str, trunk: str, rounds: int) -> list[dict]:
    """The rounds of one data set, for each method and question."""
    splits = data.load(dataset)
    network = models.create("gran-hbn", weights=dataset, trunk=trunk)
    val, test = collect_records(network, splits.val), collect_records(network, splits.test)
    stopping = OptimalStopping.fit(val, error_price=5.0, compute_price=0.5)
    algorithm = starting_policies(val)["fine tolerance"]
    candidates = [*stopping.grid(val), *algorithm.grid(val)]
    population = Outcomes.of(candidates, test)
    rows = []
    for limits, objective in questions(val):
        best = choose(candidates, population, at_least=limits, confidence=None, **objective)
        for method in METHODS:
            rows.append(
                {"dataset": dataset, "trunk": trunk, "method": method, "limits": limits}
                | objective
                | simulate(candidates, population, limits, objective, method, rounds)
                | {"best": best.estimates}
            )
            print(rows[-1], flush=True)
    return rows


def questions(val: ExitRecords) -> list[tuple[dict[str, float], dict[str, str]]]:
    """Accuracies between that of all fine and that of all coarse answers of the last exit."""
    last = val.num_exits - 1
    levels = (0, val.hierarchy.finest)
    coarse, fine = (evaluate(ForcedExit(last, n).decide(val), val).accuracy for n in levels)
    middle = round(fine + 0.6 * (coarse - fine), 3)
    return [
        ({"accuracy": middle}, {"maximise": "information"}),
        ({"accuracy": middle, "specificity": 0.3}, {"minimise": "flops"}),
    ]


def simulate(
    candidates: list,
    population: Outcomes,
    limits: dict[str, float],
    objective: dict[str, str],
    method: str,
    rounds: int,
) -> dict[str, float]:
    """Choose on many samples, and count what the population says of the choices."""
    truth = {name: population.means(name) for name in (*limits, "information", "flops")}
    chosen, broken = [], 0
    with progress_bar(rounds, method, "round") as bar:
        for seed in range(rounds):
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randint(population.num_images, (IMAGES,), generator=generator)
            how = {"confidence": CONFIDENCE, "method": method, "seed": seed}
            made = choose(candidates, population.subset(drawn), at_least=limits, **objective, **how)
            bar.update()
            if made.policy is None:
                continue
            row = next(n for n, policy in enumerate(candidates) if policy is made.policy)
            chosen.append(row)
            broken += any(float(truth[name][row]) < limit for name, limit in limits.items())
    means = {name: float(truth[name][chosen].mean()) for name in ("information", "flops")}
    return {"rounds": rounds, "chosen": len(chosen) / rounds, "broken": broken / rounds, **means}


if __name__ == "__main__":
    sys.exit(main())
