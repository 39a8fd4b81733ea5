"""What leaving early and one pass for all policies save, beside the most that they could."""

from hbnlab.bench.bench_text import format_bench
from hbnlab.bench.measurements import leaving_shares, run_bench

__all__ = ["format_bench", "leaving_shares", "run_bench"]
