"""Leaving early, and one pass for all policies, each beside the most that it could save.

``hbnlab bench`` with the result kept beside the others; takes the same options.

    python benchmarks/early_exit.py
"""

import sys

from hbnlab.cli import main

if __name__ == "__main__":
    main(["bench", "--out", "results/bench_early_exit.json", *sys.argv[1:]])
