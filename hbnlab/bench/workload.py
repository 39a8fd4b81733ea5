"""The variants that are measured against each other, on one network and one set of images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hbnlab.bench.clock import Clock
from hbnlab.collect import collect_records
from hbnlab.entropy import entropy
from hbnlab.head_mask import finest_level, has_two_heads
from hbnlab.inference import predict
from hbnlab.metrics import sweep
from hbnlab.models import EarlyExitNetwork
from hbnlab.policies import EntropyThreshold, ExitView, FineTolerance, Policy

# Slow variants run on some of the images and are scaled up: the loop over single images on this
# many that leave at each exit, the runs for each policy on this many.
SINGLE_IMAGES = 24
IMAGES_AGAIN = 512
TOLERANCES = tuple(step / 49 for step in range(50))
"""The sweep has one policy per tolerance and exit."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Everything that is timed; each method works once and returns the seconds of its parts.

    Attributes:
        network: in evaluation mode, on its device.
        images: normalised, on the same device.
        labels: finest classes, on the CPU.
        policy: decides which images leave early.
        leaving: the exit of each image under that policy, from 0.
        batch_size: images per batch.
        clock: measures the time.
    """

    network: EarlyExitNetwork
    images: Tensor
    labels: Tensor
    policy: EntropyThreshold
    leaving: Tensor
    batch_size: int
    clock: Clock

    @property
    def exits(self) -> range:
        """The exits, from 0."""
        return range(self.network.num_exits)

    @property
    def policies(self) -> list[Policy]:
        """The study's sweep: every image leaves at one exit, for every tolerance."""
        return [self._policy(e, tolerance) for e in self.exits for tolerance in TOLERANCES]

    def _policy(self, exit_index: int, tolerance: float) -> Policy:
        """All images leave at one exit: by a fine tolerance where every exit has two heads."""
        num_exits = self.network.num_exits
        if has_two_heads(self.network.head_mask):
            return FineTolerance.at_exit(exit_index, num_exits, tolerance)
        return EntropyThreshold.at_exit(exit_index, num_exits)

    def variants(self) -> list[Callable[[], dict[str, float]]]:
        """All methods that are timed; those that are compared with one another come first."""
        return [
            self.all_exits,
            self.leaving_early,
            self.one_by_one,
            self.all_exits_contiguous,
            self.parts,
            self.one_pass,
            self.runs_again,
            self.peak,
        ]

    def all_exits(self) -> dict[str, float]:
        """Every exit of every image, channels last."""
        return {"all exits": self.clock.time(lambda: self._forward(torch.channels_last))}

    def all_exits_contiguous(self) -> dict[str, float]:
        """The same in torch's default memory format."""
        seconds = self.clock.time(lambda: self._forward(torch.contiguous_format))
        return {"all exits, contiguous": seconds}

    def parts(self) -> dict[str, float]:
        """Every stage and every branch by itself, on full batches: the seconds up to each exit."""
        seconds = [0.0 for _ in self.exits]
        with torch.inference_mode():
            for chunk in self.images.split(self.batch_size):
                hidden = chunk.contiguous(memory_format=torch.channels_last)
                for exit_index in self.exits:
                    start = self.clock.now()
                    hidden = self.network.run_stage(exit_index, hidden)
                    self.network.run_branch(exit_index, hidden)
                    seconds[exit_index] += self.clock.now() - start
        return {f"to exit {index + 1}": sum(seconds[: index + 1]) for index in self.exits}

    def leaving_early(self) -> dict[str, float]:
        """Leaving early, with and without pooling the images that stay."""

        def run(pool: bool) -> float:
            return self.clock.time(
                lambda: predict(self.network, self.images, self.policy, self.batch_size, pool=pool)
            )

        return {"leaving early, pooled": run(True), "leaving early, not pooled": run(False)}

    def one_by_one(self) -> dict[str, float]:
        """A plain loop over single images that leaves early, scaled up from some at each exit."""
        seconds = 0.0
        for exit_index in self.exits:
            rows = (self.leaving == exit_index).nonzero().flatten()
            some = self.images[rows[:SINGLE_IMAGES].to(self.images.device)]
            if len(some):
                seconds += (
                    self.clock.time(lambda some=some: self._loop(some)) * len(rows) / len(some)
                )
        return {"one image at a time": seconds}

    def one_pass(self) -> dict[str, float]:
        """Records once, and all policies on them."""
        start, split = self.clock.now(), (self.images, self.labels)
        records = collect_records(self.network, split, batch_size=self.batch_size)
        collected = self.clock.now()
        sweep(self.policies, records)
        end = self.clock.now()
        return {
            "records": collected - start,
            "policies": end - collected,
            "one pass": end - start,
        }

    def runs_again(self) -> dict[str, float]:
        """A run for every policy, scaled up from one policy per exit: a tolerance costs no time.

        Once as the study does, running every branch on the way; once leaving early, without them.
        """
        study, early = 0.0, 0.0
        images, middle = self.images[:IMAGES_AGAIN], TOLERANCES[len(TOLERANCES) // 2]
        for exit_index in self.exits:
            policy = self._policy(exit_index, middle)
            study += self.clock.time(lambda p=policy, e=exit_index: self._run(images, p, e))
            early += self.clock.time(
                lambda p=policy: predict(self.network, images, p, self.batch_size)
            )
        scale = len(TOLERANCES) * len(self.images) / len(images)
        return {
            "a run for each policy": scale * study,
            "a run for each policy, leaving early": scale * early,
        }

    def peak(self) -> dict[str, float]:
        """Seconds for 10^12 FLOPs at the best rate of this machine."""
        scale = 8 if self.images.is_cuda else 1
        square = torch.ones(1024 * scale, 1024 * scale, device=self.images.device)
        pixels = torch.ones(64 * scale**2, 256, 8, 8, device=self.images.device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        filters = torch.ones(256, 256, 3, 3, device=self.images.device)
        filters = filters.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            matmul = self.clock.time(lambda: square @ square)
            conv = self.clock.time(lambda: functional.conv2d(pixels, filters, padding=1))
        return {
            "10^12 FLOPs, matrix": matmul / (2e-12 * len(square) ** 3),
            "10^12 FLOPs, convolution": conv / (2e-12 * len(pixels) * 64 * 256 * 256 * 9),
        }

    @torch.inference_mode()
    def _forward(self, memory_format: torch.memory_format) -> None:
        for chunk in self.images.split(self.batch_size):
            self.network(chunk.contiguous(memory_format=memory_format))

    @torch.inference_mode()
    def _loop(self, images: Tensor) -> None:
        for image in images:
            hidden = image[None]
            for exit_index, threshold in enumerate([*self.policy.thresholds, float("inf")]):
                hidden = self.network.run_stage(exit_index, hidden)
                finest = finest_level(self.network.head_mask[exit_index])
                logits = self.network.run_branch(exit_index, hidden).logits[finest]
                if logits is not None and entropy(logits).item() < threshold:
                    break

    @torch.inference_mode()
    def _run(self, images: Tensor, policy: Policy, last: int) -> None:
        for chunk in images.split(self.batch_size):
            hidden, logits = chunk.contiguous(memory_format=torch.channels_last), []
            for exit_index in range(last + 1):
                hidden = self.network.run_stage(exit_index, hidden)
                logits.append(self.network.run_branch(exit_index, hidden).logits)
            policy.step(last, ExitView(logits, is_last=last == self.exits[-1]))
