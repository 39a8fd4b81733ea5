"""Run the series twice in clean kernels, as handed out and solved: what ``make soak`` runs.

Prints the measured times beside the times in the headers. Fails if a notebook fails, a check has an
unexpected verdict, a notebook takes more than one minute, the series takes more than five, or the
time in a header is exceeded by more than five seconds and more than a factor of two.
"""

import sys

import nbformat
import series
from notebook_headers import RUNS_IN

ROUNDS = 2
LONGEST, LONGEST_SERIES = 60, 300


def main() -> int:
    """Run all notebooks and return the exit status."""
    series.keep_to_two_cores()
    faults, totals = [], [0.0] * (2 * ROUNDS)
    print(f"{'notebook':32} header  as handed out, s      solved, s")
    for path in series.paths():
        notebook = nbformat.read(path, as_version=4)
        runs = [(notebook, "Not answered yet"), (series.solved(notebook), "Right.")]
        times = [_run(path.stem, *run, faults) for run in runs for _ in range(ROUNDS)]
        totals = [total + seconds for total, seconds in zip(totals, times, strict=True)]
        promised = int(RUNS_IN.search(notebook.cells[0].source)[1])
        faults += _too_slow(path.stem, promised, times)
        print(_row(path.stem, promised, times), flush=True)
    print(_row("all", 0, totals))
    faults += [f"the series took {s:.0f} s" for s in totals if s > LONGEST_SERIES]
    print("\n".join(faults) or "No faults.")
    return bool(faults)


def _run(stem: str, notebook: nbformat.NotebookNode, verdict: str, faults: list[str]) -> float:
    try:
        seconds = series.execute(notebook)
    except Exception as error:  # reported, so that the other notebooks still run
        faults.append(f"{stem}: {error}")
        return float("nan")
    said = series.verdicts(notebook)
    faults += [f"{stem}: a check said {words!r}" for words in said if not words.startswith(verdict)]
    return seconds


def _too_slow(stem: str, promised: int, times: list[float]) -> list[str]:
    slowest = max(times)
    faults = []
    if slowest > LONGEST:
        faults.append(f"{stem}: took {slowest:.0f} s")
    if slowest > max(2 * promised, promised + 5):
        faults.append(f"{stem}: took {slowest:.0f} s, its header says {promised}")
    return faults


def _row(stem: str, promised: int, times: list[float]) -> str:
    cells = "".join(f"{seconds:10.1f}" for seconds in times)
    return f"{stem:32} {promised or '':>6}{cells}"


if __name__ == "__main__":
    sys.exit(main())
