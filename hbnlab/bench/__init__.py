"""What leaving early and one pass for all policies save, beside the most that they could save."""

from hbnlab.bench.bench_text import format_bench
from hbnlab.bench.measurements import SHARES, run_bench

__all__ = ["SHARES", "format_bench", "run_bench"]
