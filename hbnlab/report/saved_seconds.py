"""What leaving early really saves: shares of seconds beside shares of FLOPs."""

import json
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hbnlab.bench.clock import Clock, in_turn, ratios
from hbnlab.collect import default_batch_size
from hbnlab.costs import macs_to_exits
from hbnlab.data import Split, Splits
from hbnlab.inference import predict
from hbnlab.models import EarlyExitNetwork
from hbnlab.models.network import evaluation_mode
from hbnlab.policies import Policy
from hbnlab.report.depth import LOSSES, Depth
from hbnlab.report.measured import trained_network
from hbnlab.report.plan import Plan
from hbnlab.training.device import choose_device, threads_set

IMAGES = 1000
ROUNDS = 5


def saved_seconds(
    plan: Plan, splits: Splits, depths: Mapping[str, Depth], *, progress: bool = True
) -> dict[str, Any]:
    """Measure the chosen policies and one exit for all, on each trunk; or read what was measured.

    A measurement of the same records and policies is kept, so that a second start writes the same
    report.

    Args:
        plan: which networks.
        splits: the test images are the first 1,000.
        depths: by trunk, of the first seed.
        progress: show bars where a network is still trained.
    """
    path = plan.report_folder / "seconds.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {}
    for trunk, depth in depths.items():
        about = {"records": depth.measured.test.fingerprint, "policies": repr(timed(depth))}
        before = kept.get(trunk, {})
        if about.items() <= before.items():
            found[trunk] = before
            continue
        there, seed = plan.on_trunk(trunk), depth.measured.seed
        network, *_ = trained_network(there, "gran-hbn", seed, splits, progress)
        network.to(choose_device(plan.device))
        found[trunk] = about | _measured(network, splits.test, timed(depth))
    return found


def timed(depth: Depth) -> dict[str, Policy]:
    """The policies to measure, by what they do; equal ones once."""
    found = {f"everybody at exit {n}": one for n, one in enumerate(depth.exits, start=1)}
    for loss, policy in zip(LOSSES, depth.chosen, strict=True):
        if policy not in found.values():
            found[f"{depth.rule}, at most {100 * loss:g} points lost"] = policy
    return found


def _measured(
    network: EarlyExitNetwork, split: Split, policies: Mapping[str, Policy]
) -> dict[str, Any]:
    """Seconds and FLOPs of policies over those of every exit, in turn, on one thread."""
    device, count = network.device, min(IMAGES, len(split))
    batches = split.subset(torch.arange(count)).batches(count)
    images = next(iter(batches))[0].to(device)
    size, clock = default_batch_size(device), Clock(device, 1)
    runs: dict[str, Callable[[], object]] = {"": partial(_every_exit, network, images, size)}
    runs |= {name: partial(predict, network, images, p, size) for name, p in policies.items()}
    with threads_set(1):
        works = [lambda n=name, run=run: {n: clock.time(run)} for name, run in runs.items()]
        times = in_turn(works, ROUNDS, lambda: None)
        ran = {name: predict(network, images, p, size) for name, p in policies.items()}
    whole = macs_to_exits(network)[-1] * count
    rows = []
    for name, decisions in ran.items():
        shares, flops = ratios(times[name], times[""]), decisions.total_macs / whole
        middle = statistics.median(shares)
        rows.append(
            {
                "answers": name,
                "flops_share": flops,
                "seconds_share": middle,
                "intervals": {"seconds_share": [min(shares), max(shares)]},
                "saved_of_promise": (1 - middle) / (1 - flops) if flops < 1 else None,
            }
        )
    return {"images": count, "rounds": ROUNDS, "clock": clock.name, "rows": rows}


@torch.inference_mode()
def _every_exit(network: EarlyExitNetwork, images: Tensor, size: int) -> None:
    with evaluation_mode(network):
        for chunk in images.split(size):
            network(chunk.contiguous(memory_format=torch.channels_last))
