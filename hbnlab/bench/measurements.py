"""``run_bench``: make the work, measure in turn, and return the result as plain data."""

import os
import platform
from typing import Any

import numpy as np
import torch

from hbnlab import models
from hbnlab.bench.clock import Clock, Times, in_turn, medians
from hbnlab.bench.comparisons import make_rows
from hbnlab.bench.speed_limits import flops_to_exits, peak_flops
from hbnlab.bench.workload import Work
from hbnlab.collect import collect_records, default_batch_size
from hbnlab.inference import predict
from hbnlab.models import EarlyExitNetwork
from hbnlab.policies import EntropyThreshold, fit_thresholds
from hbnlab.progress import progress_bar
from hbnlab.training.device import choose_device, threads_set
from hbnlab.trees import CIFAR100


def leaving_shares(num_exits: int) -> list[float]:
    """The shares of the images that leave at each exit in the benchmark, first to last.

    Of three exits 60, 25 and 15 %; other numbers of exits follow the same curve.
    """
    staying = np.interp(
        [exit_index / num_exits for exit_index in range(num_exits + 1)],
        [0.0, 1 / 3, 2 / 3, 1.0],
        [1.0, 0.40, 0.15, 0.0],
    )
    return [round(float(share), 6) for share in staying[:-1] - staying[1:]]


def run_bench(
    network: EarlyExitNetwork | None = None,
    *,
    width: float = 1.0,
    num_images: int = 2048,
    batch_size: int | None = None,
    rounds: int = 5,
    threads: int = 1,
    device: str = "auto",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure leaving early, and one pass for 50 policies per exit against a run for each policy.

    The images are noise: the content of an image changes no time, and the thresholds are set so
    that ``leaving_shares`` leave at each exit. All variants take turns in one process; a figure is
    the median over the rounds of the ratio within a round.

    The loop over single images (24 that leave at each exit) and the runs for every policy (the
    first 512 images, one policy per exit, because a tolerance costs no time) are scaled up.

    Args:
        network: with any number of exits and levels; None = Gran-HBN with random weights.
        width: of Gran-HBN.
        num_images: number of images; more give steadier figures.
        batch_size: images per batch; None = 64 on a CPU and 512 elsewhere.
        rounds: number of measurements, after one more that warms up.
        threads: number of CPU threads. With one, processor time is measured, which other processes
            hardly disturb; with more, wall time.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        seed: of weights and images.
        progress: show a bar.

    Returns:
        Plain data for JSON. ``settings``: all that the figures depend on. ``shares``: of the images
        that left at each exit. ``flops_to_exits``: per image. ``peak_gflops``: per second, the
        compute roof. ``seconds``: the median of everything timed, for all images.
        ``images_per_second``: of the variants. ``rows``: the comparisons, each with ``name``,
        ``value``, ``lowest`` and ``highest`` of its ``rounds``, and ``limits`` by name.

    Raises:
        ValueError: for a count below 1, or a device that does not exist.
    """
    for name, value in {"num_images": num_images, "rounds": rounds, "threads": threads}.items():
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, got {value}")
    where = choose_device(device)
    batch_size = batch_size or default_batch_size(where)
    if network is None:
        network = models.create("gran-hbn", CIFAR100, width=width, seed=seed)
    with threads_set(threads), progress_bar(rounds + 1, "bench", "round", visible=progress) as bar:
        work = _make_work(network, num_images, batch_size, Clock(where, threads), seed)
        times = in_turn(work.variants(), rounds, bar.update)
    settings = {"network": network.name, "width": network.width, "images": num_images}
    settings |= {"batch_size": batch_size, "rounds": rounds, "threads": threads, "seed": seed}
    settings |= {"clock": work.clock.name, "device": where.type, "machine": _machine(where)}
    return {"settings": settings | {"torch": torch.__version__}} | _result(work, times)


def _result(work: Work, times: Times) -> dict[str, Any]:
    """Everything that is computed from the times."""
    count, seconds = len(work.images), medians(times)
    shares = [n / count for n in work.leaving.bincount(minlength=len(work.exits)).tolist()]
    variants = ("all exits", "all exits, contiguous", "one image at a time", "one pass")
    variants += ("leaving early, pooled", "leaving early, not pooled")
    return {
        "shares": shares,
        "flops_to_exits": flops_to_exits(work.network),
        "peak_gflops": peak_flops(seconds) / 1e9,
        "seconds": seconds,
        "images_per_second": {name: count / seconds[name] for name in variants},
        "rows": make_rows(work, times, shares),
    }


def _make_work(
    network: EarlyExitNetwork, num_images: int, batch_size: int, clock: Clock, seed: int
) -> Work:
    generator = torch.Generator().manual_seed(seed)
    network = network.eval().to(clock.device)
    images = torch.randn(num_images, *network.image_shape, generator=generator).to(clock.device)
    labels = torch.randint(network.hierarchy.num_classes[-1], (num_images,), generator=generator)
    records = collect_records(network, (images, labels), batch_size=batch_size)
    shares = leaving_shares(network.num_exits)
    policy = fit_thresholds(EntropyThreshold([0.0] * (len(shares) - 1)), records, shares)
    return Work(
        network=network,
        images=images,
        labels=labels,
        policy=policy,
        leaving=predict(network, images, policy, batch_size).exit_index,
        batch_size=batch_size,
        clock=clock,
    )


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {os.cpu_count()} cores"
