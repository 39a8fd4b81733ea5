"""Time: a clock for each kind of machine, and measurements that take turns."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

Times = Mapping[str, Sequence[float]]


class Clock:
    """Seconds: processor time where that measures the work, else wall time.

    Other processes do not disturb the processor time of one thread. With several threads, or a GPU,
    only wall time says how long the work took.
    """

    def __init__(self, device: torch.device, threads: int) -> None:
        self.device = device
        self._by_processor = device.type == "cpu" and threads == 1

    @property
    def name(self) -> str:
        """What is measured, in words."""
        return "processor time" if self._by_processor else "wall time"

    def now(self) -> float:
        """Seconds since a fixed moment, after the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self._by_processor else time.perf_counter()

    def time(self, work: Callable[[], object]) -> float:
        """How many seconds the work takes."""
        start = self.now()
        work()
        return self.now() - start


def in_turn(
    works: Sequence[Callable[[], Mapping[str, float]]],
    rounds: int,
    on_round: Callable[[], object],
) -> dict[str, list[float]]:
    """Measure works in turn, round by round, so that drift affects all of them alike.

    Args:
        works: each returns the seconds of its parts by name.
        rounds: number of rounds; one more, the first, warms up and is left out.
        on_round: called after every round.

    Returns:
        The seconds of every part, one value per round.
    """
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for work in works:
            for name, seconds in work().items():
                times.setdefault(name, [])
                if number > 0:
                    times[name].append(seconds)
        on_round()
    return times


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratio of two times in each round."""
    return [one / other for one, other in zip(above, below, strict=True)]


def medians(times: Times) -> dict[str, float]:
    """The median of every part."""
    return {name: statistics.median(values) for name, values in times.items()}
