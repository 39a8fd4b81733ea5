"""A single image that leaves at exit 1, beside a full forward pass.

The target: at most half of the full pass. Both take turns in one process, on one thread, on the
bundled Gran-HBN of Fashion-MNIST; a figure is the median over the rounds.

    python benchmarks/single_image.py
"""

import math
import statistics
import sys

import torch

from hbnlab import models
from hbnlab.bench.clock import Clock, in_turn, ratios
from hbnlab.inference import predict
from hbnlab.policies import EntropyThreshold
from hbnlab.storage import write_json
from hbnlab.training.device import threads_set

ROUNDS = 300
TARGET = 0.5


def main() -> int:
    """Measure, print, and write the result; 1 where the target is missed."""
    clock = Clock(torch.device("cpu"), threads=1)
    network = models.create("gran-hbn", weights="fashion_mnist").eval()
    image = torch.randn(1, *network.image_shape, generator=torch.Generator().manual_seed(0))
    leaves_at_once = EntropyThreshold([math.inf] * (network.num_exits - 1))

    @torch.inference_mode()
    def all_exits() -> dict[str, float]:
        return {"all exits": clock.time(lambda: network(image))}

    @torch.inference_mode()
    def first_exit() -> dict[str, float]:
        return {
            "stage 1 and its branch": clock.time(
                lambda: network.run_branch(0, network.run_stage(0, image))
            )
        }

    def leaving() -> dict[str, float]:
        return {"predict": clock.time(lambda: predict(network, image, leaves_at_once))}

    with threads_set(1):
        times = in_turn([all_exits, first_exit, leaving], ROUNDS, lambda: None)
    share = statistics.median(ratios(times["predict"], times["all exits"]))
    for name, seconds in times.items():
        print(f"{name:<24} {1e3 * statistics.median(seconds):6.3f} ms")
    print(f"predict takes {share:.2f} of a full pass; target at most {TARGET}")
    result = {name: statistics.median(seconds) for name, seconds in times.items()}
    write_json("results/bench_single_image.json", {"seconds": result, "share": share})
    return int(share > TARGET)


if __name__ == "__main__":
    sys.exit(main())
