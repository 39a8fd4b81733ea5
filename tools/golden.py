"""Check a refactoring to the bit: digests of decisions, metrics, training and commands.

Use: python tools/golden.py --write     before a change: writes tests/golden.json
     python tools/golden.py             after a change, on the same machine: lists what differs

Words may change but numbers may not, so names and sentences are left out. The last bits of a logit
depend on the processor and on torch, so a file from another machine proves nothing; in that case,
``machine`` is among the differences.
"""

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from hbnlab import cli, data, models
from hbnlab.collect import collect_records
from hbnlab.inference import predict
from hbnlab.metrics import evaluate, sweep
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    ForcedExit,
    MarginThreshold,
    Patience,
    Policy,
    SemanticGate,
    budget_policies,
    fit_thresholds,
    fit_tolerance,
)
from hbnlab.records import ExitRecords
from hbnlab.training import TrainConfig, fit, post_train

GOLDEN = Path(__file__).parent.parent / "tests" / "golden.json"
NETWORKS = ("alexnet", "b-alexnet", "sem-hbn", "gran-hbn", "ag-hbn")
IMAGES = 2000
STEPS = 20


def decisions_and_metrics(dataset: str) -> dict[str, Any]:
    """Every policy on the bundled weights: what it decides, and what that is worth."""
    splits = data.load(dataset)
    found: dict[str, Any] = {}
    for name in NETWORKS:
        network = models.create(name, weights=dataset)
        val = first_images(collect_records(network, splits.val))
        test = first_images(collect_records(network, splits.test))
        policies = all_policies(test) | fitted(val)
        for title, policy in policies.items():
            found[f"{name}: {title}"] = measured(policy, test)
        swept = [result.to_dict() for result in sweep(list(policies.values()), test, batch_size=64)]
        found[f"{name}: sweep"] = digest_of_numbers(swept)
        images = next(iter(splits.test.batches(256, shuffle=False)))[0]
        for title, policy in policies.items():
            if policy.view_batch_size is None:
                found[f"{name}: predict, {title}"] = columns(predict(network, images, policy))
    return found


def first_images(records: ExitRecords) -> ExitRecords:
    """The records of the first images."""
    return records.subset(torch.arange(min(IMAGES, len(records))))


def all_policies(records: ExitRecords) -> dict[str, Policy]:
    """Policies of every kind that fit the records, by name."""
    early = records.num_exits - 1
    made: list[Policy] = [ForcedExit(e, level) for e, level in records.cells]
    for kind, value in itertools.product(
        (EntropyThreshold, ConfidenceThreshold, MarginThreshold), (0.0, 0.3, 0.9, math.inf)
    ):
        made.append(kind([value] * early))
    made += [Patience(1), Patience(2), EntropyThreshold([0.5] * early, per="batch", batch_size=64)]
    if records.hierarchy.num_levels > 1:
        for rule, tau in itertools.product(("algorithm-1", "published-code"), (-0.2, 0.4, 1.5)):
            made.append(FineTolerance([0.8, 0.4][:early], tau, rule))
            made.append(FineTolerance([0.8, 0.4][:early], tau, rule, per="batch", batch_size=32))
        made += [
            SemanticGate([0.8] * early),
            SemanticGate([0.8] * early, per="batch", batch_size=9),
        ]
    return {repr_of(policy): policy for policy in made if fits(policy, records)}


def fitted(records: ExitRecords) -> dict[str, Policy]:
    """What is fitted on validation records."""
    early = records.num_exits - 1
    zeros, shares = [0.0] * early, [0.5 ** (n + 1) for n in range(early)] + [0.5**early]
    made: dict[str, Policy] = {}
    for policy in (EntropyThreshold(zeros), ConfidenceThreshold(zeros), FineTolerance(zeros, 0.3)):
        if fits(policy, records):
            made[f"fitted {type(policy).__name__}"] = fit_thresholds(policy, records, shares)
    budget = budget_policies(ConfidenceThreshold(zeros), records, number=5)
    made |= {f"budget {number}": policy for number, policy in enumerate(budget)}
    tolerant = FineTolerance([0.8] * early, 0.0)
    if fits(tolerant, records):
        made["fitted tolerance"] = fit_tolerance(tolerant, records, 0.6)
    return made


def fits(policy: Policy, records: ExitRecords) -> bool:
    """Whether the policy can decide about the records."""
    try:
        policy.decide(records)
    except ValueError:
        return False
    return True


def repr_of(policy: Policy) -> str:
    """Name and settings, whatever the order of the fields."""
    settings = policy.settings()
    return ", ".join(f"{key}={settings[key]}" for key in sorted(settings))


def measured(policy: Policy, records: ExitRecords) -> dict[str, Any]:
    """Digest of the decisions, and all metrics."""
    decided = policy.decide(records)
    result = evaluate(decided, records, batch_size=64).to_dict()
    return {"decisions": columns(decided), "metrics": digest_of_numbers(result)}


def columns(decided: Any) -> str:
    """Digest of the four columns of decisions."""
    four = (decided.exit_index, decided.level_index, decided.prediction, decided.macs)
    return digest(b"".join(column.long().numpy().tobytes() for column in four))


def training() -> dict[str, Any]:
    """Loss of twenty steps of every network, and a digest of its weights, in both phases."""
    splits = data.load("glyphs", train_size=STEPS * 32, val_size=64, test_size=64)
    found: dict[str, Any] = {}
    for name in NETWORKS:
        network = models.create(name, splits.hierarchy, width=0.125, seed=1)
        config = TrainConfig.quick("glyphs", epochs=1, batch_size=32, seed=3, device="cpu")
        losses: list[str] = []
        keep = recorder(losses)
        history = fit(network, splits, config, keep, progress=False)
        if network.has_gate:
            post_train(network, splits, config, keep, history=history, progress=False)
        epochs = [
            {k: v for k, v in vars(epoch).items() if k != "seconds"} for epoch in history.epochs
        ]
        found[name] = {
            "losses": losses,
            "weights": digest_of_weights(network),
            "epochs": digest_of_numbers(json.loads(json.dumps(epochs, default=vars))),
        }
    return found


def recorder(losses: list[str]) -> Any:
    """An ``on_step`` that keeps each loss to the bit."""

    def keep(step: Any) -> None:
        losses.append(float(step.loss).hex())

    return keep


def digest_of_weights(network: torch.nn.Module) -> str:
    """Digest of all tensors, by name."""
    state = network.state_dict()
    return digest(b"".join(state[key].contiguous().numpy().tobytes() for key in sorted(state)))


def commands() -> dict[str, Any]:
    """Numbers that each command prints and writes, clocks left out."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = ["--out", f"{root}/run"]
        train = "train --dataset glyphs --model ag-hbn --preset quick --width 0.1 --num-epochs 1"
        found["train"] = printed([*train.split(), *run, "--seed", "5"])
        found["train: checkpoint"] = digest((root / "run/checkpoint.safetensors").read_bytes())
        found["test"] = printed(["test", *run])
        found["test: test.json"] = digest_of_file(root / "run/test.json")
        demo = ["demo", "--out", f"{root}/demo"]
        found["demo"] = printed(demo)
        found["demo: test.json"] = digest_of_file(root / "demo/test.json")
        for extra in ((), ("--paper-protocol",)):
            report = ["reproduce", "--dataset", "glyphs", "--out", f"{root}/report", *extra]
            printed(report)
            folder = root / "report" / ("paper-protocol" if extra else "")
            found[f"reproduce {' '.join(extra)}"] = digest_of_file(folder / "results.json")
        bench = f"bench --out {root}/bench.json --width 0.1 --images 128 --rounds 1"
        printed(bench.split())
        numbers = [n for n in numbers_in(json.loads((root / "bench.json").read_text()))]
        found["bench: how many numbers"] = len(numbers)
    return found


def printed(words: list[str]) -> str:
    """Digest of the numbers in the tables that a command prints."""
    screen = io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(io.StringIO()):
        code = cli.main(words)
    if code:
        raise SystemExit(f"hbnlab {' '.join(words)} returned {code}")
    rows = [
        re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", line) for line in screen.getvalue().split("\n")
    ]
    return digest(json.dumps([row for row in rows if len(row) >= 4]).encode())


def digest_of_file(path: Path) -> str:
    """Digest of the numbers in a JSON file."""
    return digest_of_numbers(json.loads(path.read_text(encoding="utf-8")))


def digest_of_numbers(value: Any) -> str:
    """Digest of all numbers, in whatever order and under whatever names they stand."""
    return digest(json.dumps(sorted(numbers_in(value))).encode())


def numbers_in(value: Any, key: str = "") -> Iterator[float]:
    """All numbers within, but seconds."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from numbers_in(item, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers_in(item, key)
    elif isinstance(value, int | float) and "second" not in key and not isinstance(value, bool):
        yield float(value)


def digest(content: bytes) -> str:
    """Twelve hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:12]


def machine() -> dict[str, str]:
    """What the last bits depend on."""
    return {"torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability()}


def all_of_it() -> dict[str, Any]:
    """Everything that is held to the bit."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {"machine": machine()}
    for dataset in ("glyphs", "fashion_mnist"):
        found[f"policies on {dataset}"] = decisions_and_metrics(dataset)
    found["training"] = training()
    found["commands"] = commands()
    return found


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Where two results differ, a line each."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            yield from differences(before.get(key), after.get(key), f"{place} / {key}")
    elif before != after:
        yield f"{place}: {before} -> {after}"


def main() -> int:
    """Write the golden file, or compare with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the file instead")
    chosen = parser.parse_args()
    found = json.loads(json.dumps(all_of_it()))
    if chosen.write:
        GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    different = sorted(differences(json.loads(GOLDEN.read_text(encoding="utf-8")), found))
    print("\n".join(different) or "nothing differs")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
