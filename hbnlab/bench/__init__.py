"""What leaving early and one pass for all policies save, and the most they could save."""

from hbnlab.bench.bench_text import format_bench
from hbnlab.bench.measurements import leaving_shares, run_bench

__all__ = ["format_bench", "leaving_shares", "run_bench"]
