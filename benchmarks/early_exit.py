"""Leaving early, and one pass for all policies, each beside the most that it could save.

The same as ``hbnlab bench``: Gran-HBN with random weights, 60 / 25 / 15 % of the images leaving at
exits 1 / 2 / 3, all variants in turn in one process.

    python benchmarks/early_exit.py
"""

import argparse
from pathlib import Path

from hbnlab.bench import format_bench, run_bench
from hbnlab.storage import write_json


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench_early_exit.json"))
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, help="default: 64, or 512 on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    result = run_bench(
        width=arguments.width,
        num_images=arguments.images,
        batch_size=arguments.batch_size,
        rounds=arguments.rounds,
        threads=arguments.threads,
        device=arguments.device,
        progress=True,
    )
    print(format_bench(result))
    write_json(arguments.out, result)
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
