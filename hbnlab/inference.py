"""Inference that really leaves early: what a policy does not ask for is never computed."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hbnlab.data.split import Split
from hbnlab.models.network import EarlyExitNetwork, check_finite
from hbnlab.policies import ExitView, Policy
from hbnlab.progress import progress_bar
from hbnlab.records import Decisions


@dataclass(frozen=True, eq=False)
class EarlyDecisions(Decisions):
    """Decisions reached by leaving early, and what they took.

    Attributes:
        images_per_stage: how many images ran through each stage of the trunk, one count an exit.
        images_per_branch: the same for the branches; 0 for one that the policy does not consult.
        total_macs: multiply-accumulates of all images together: the sum of ``macs``.
        seconds: from the first image read to the last decision; of this machine, this time.
    """

    images_per_stage: tuple[int, ...]
    images_per_branch: tuple[int, ...]
    total_macs: int
    seconds: float


def predict(
    network: EarlyExitNetwork,
    images: Tensor | Split,
    policy: Policy,
    batch_size: int | None = None,
    *,
    pool: bool = True,
    progress: bool = False,
) -> EarlyDecisions:
    """Run a network on images, stage by stage, letting each leave where the policy says.

    Images that go on wait before the next stage until a full batch of them has come together from
    several chunks. A branch that the policy never consults is not run. The decisions are those of
    ``policy.decide(collect_records(...))``, but for scores within about 1e-5 of a threshold: the
    last bits of a score depend on how many images ran beside it.

    A policy that decides by batch gets its own batches, in order; each leaves as a whole, so none
    waits for another, and ``batch_size`` and ``pool`` mean nothing.

    On CUDA the processor waits once a chunk and consulted exit, to learn which images go on (a
    policy by batch makes it wait a few times); answers stay on the device until the end. Less than
    a batch waits before each stage, whatever the size of the data set.

    Args:
        network: put into evaluation mode for the pass and left as it was.
        images: normalised floats (sample, channel, height, width), or a split, which is read a
            chunk at a time.
        policy: any that fits the network.
        batch_size: images a chunk; None is 64 on a processor, where more do not fit its cache,
            and 512 elsewhere.
        pool: whether images from different chunks wait for each other.
        progress: show a bar.

    Raises:
        ValueError: when the policy asks for what the network lacks, or the images are not finite
            floats of the network's shape.
    """
    policy.check_fits(network.head_mask, network.hierarchy, network.has_gate)
    if batch_size is None:
        batch_size = 64 if network.device.type == "cpu" else 512
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    by_batch = policy.view_batch_size
    chunks = _chunks(network, images, by_batch or batch_size)
    start = time.perf_counter()
    run = _Pass(network, policy, len(images), batch_size if pool and not by_batch else None)
    title = f"{network.name} leaving early"
    was_training = network.training
    network.eval()
    try:
        with progress_bar(len(images), title, "image", shown=progress) as bar:
            run.take_all(chunks, bar.update)
    finally:
        network.train(was_training)
    return run.decisions(start)


def _chunks(network: EarlyExitNetwork, images: Tensor | Split, size: int) -> Iterable[Tensor]:
    """Check images and cut them into chunks, in order."""
    if isinstance(images, Split):
        network.check_data(images.name, images.image_shape)
        return (batch for batch, _ in images.batches(size, shuffle=False))
    network.check_images(images)
    if len(images) == 0:
        return []
    check_finite(images)
    return images.split(size)


@dataclass
class _Part:
    """A stage or a branch, which counts the images that it runs on and what one costs there."""

    run: Callable[[Tensor], Any]
    images: int = 0
    macs: int = 0

    def __call__(self, hidden: Tensor) -> Any:
        first = self.images == 0
        self.images += len(hidden)
        if not first:
            return self.run(hidden)
        with FlopCounterMode(display=False) as counter:
            output = self.run(hidden)
        self.macs = counter.get_total_flops() // (2 * len(hidden))
        return output


@dataclass(frozen=True, eq=False)
class _Group:
    """Images that are on their way together.

    Attributes:
        rows: which images they are.
        hidden: what the last stage gave; the images themselves before the first.
        logits: of the exits behind them, as ``ExitView`` takes them.
        gate: its logits, from the first exit on, where there is one.
    """

    rows: Int[Tensor, " image"]
    hidden: Tensor
    logits: tuple[tuple[Tensor | None, ...], ...] = ()
    gate: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | Tensor) -> "_Group":
        return _Group(
            self.rows[chosen],
            self.hidden[chosen],  # unlike index_select, keeps channels last
            tuple(
                tuple(None if logits is None else logits[chosen] for logits in row)
                for row in self.logits
            ),
            None if self.gate is None else self.gate[chosen],
        )

    @classmethod
    def joined(cls, groups: Sequence["_Group"]) -> "_Group":
        """One group of all, which come from one exit and so have the same heads behind them."""
        exits = zip(*(group.logits for group in groups), strict=True)
        return cls(
            torch.cat([group.rows for group in groups]),
            torch.cat([group.hidden for group in groups]),
            tuple(tuple(_cat(column) for column in zip(*rows, strict=True)) for rows in exits),
            _cat([group.gate for group in groups]),
        )


def _cat(pieces: Sequence[Tensor | None]) -> Tensor | None:
    tensors = [piece for piece in pieces if piece is not None]
    return torch.cat(tensors) if tensors else None


class _Pass:
    """One pass over some images: groups of them go down the network until they leave."""

    def __init__(
        self, network: EarlyExitNetwork, policy: Policy, num_images: int, pool_size: int | None
    ) -> None:
        self.policy = policy
        self.device = network.device
        self.pool_size = pool_size
        exits = range(network.num_exits)
        self.last = exits[-1]
        self.stages = [_Part(partial(network.run_stage, index)) for index in exits]
        self.branches = [_Part(partial(network.run_branch, index)) for index in exits]
        self.unseen = (None,) * network.hierarchy.num_levels
        self.waiting: list[list[_Group]] = [[] for _ in exits]
        # One row a decision: exit, level, class. Made outside of inference mode, so that it can
        # be used like any tensor.
        self.answers = torch.full((3, num_images), -1, device=self.device)

    @torch.inference_mode()
    def take_all(self, chunks: Iterable[Tensor], taken: Callable[[int], object]) -> None:
        """Take every chunk as far as it fills batches, then those who still wait for a full one."""
        done = 0
        for chunk in chunks:
            rows = torch.arange(done, done + len(chunk), device=self.device)
            done += len(chunk)
            images = chunk.to(self.device, non_blocking=True)
            self._run(0, _Group(rows, images.contiguous(memory_format=torch.channels_last)))
            taken(len(chunk))
        for exit_index, groups in enumerate(self.waiting):
            if groups:
                self._run(exit_index, _Group.joined(groups))

    def _run(self, exit_index: int, group: _Group) -> None:
        """Run the next stage, and let leave who may; the others go on or wait."""
        hidden = self.stages[exit_index](group.hidden)
        if exit_index < self.last and not self.policy.consults(exit_index):
            logits = (*group.logits, self.unseen)
            self._go_on(exit_index + 1, _Group(group.rows, hidden, logits, group.gate))
            return
        output = self.branches[exit_index](hidden)
        here = tuple(None if logits is None else logits.float() for logits in output.logits)
        gate = group.gate if output.gate is None else output.gate.float()
        group = _Group(group.rows, hidden, (*group.logits, here), gate)
        view = ExitView(
            group.logits,
            gate,
            is_last=exit_index == self.last,
            batch_size=self.policy.view_batch_size,
        )
        levels = self.policy.step(exit_index, view)
        self._answer(exit_index, levels, group)
        if exit_index == self.last:
            return
        staying = (levels < 0).nonzero().flatten()  # the one wait for the device
        self._check_together(len(staying), len(group))
        if len(staying):
            self._go_on(exit_index + 1, group if len(staying) == len(group) else group[staying])

    def _answer(self, exit_index: int, levels: Int[Tensor, " image"], group: _Group) -> None:
        """Write down the answers; who goes on is answered again later."""
        prediction = levels
        for level, logits in enumerate(group.logits[exit_index]):
            if logits is not None:
                prediction = torch.where(levels == level, logits.argmax(dim=-1), prediction)
        exits = torch.full_like(levels, exit_index)
        self.answers[:, group.rows] = torch.stack([exits, levels, prediction])

    def _go_on(self, exit_index: int, group: _Group) -> None:
        """Run the group on, or let it wait until there are enough for a full batch."""
        if self.pool_size is None:
            self._run(exit_index, group)
            return
        groups = [*self.waiting[exit_index], group]
        self.waiting[exit_index] = groups
        if sum(map(len, groups)) >= self.pool_size:
            full = _Group.joined(groups)
            rest = full[self.pool_size :]
            self.waiting[exit_index] = [rest] if len(rest) else []
            self._run(exit_index, full[: self.pool_size])

    def _check_together(self, staying: int, there: int) -> None:
        if self.policy.view_batch_size is not None and 0 < staying < there:
            raise ValueError(
                f"a batch must leave as a whole, but of {there} images {staying} stay under "
                f"{self.policy}"
            )

    def decisions(self, start: float) -> EarlyDecisions:
        """Put the answers together, on the processor."""
        exit_index, level_index, prediction = self.answers.cpu()
        seconds = time.perf_counter() - start
        unanswered = int((level_index < 0).sum())
        if unanswered:
            raise ValueError(
                f"a policy must answer every image at the last exit, {self.policy} left "
                f"{unanswered} of {len(level_index)}"
            )
        parts = list(zip(self.stages, self.branches, strict=True))
        costs = torch.tensor(list(accumulate(stage.macs + branch.macs for stage, branch in parts)))
        return EarlyDecisions(
            exit_index,
            level_index,
            prediction,
            macs=costs[exit_index],
            images_per_stage=tuple(stage.images for stage in self.stages),
            images_per_branch=tuple(branch.images for branch in self.branches),
            total_macs=sum(part.images * part.macs for pair in parts for part in pair),
            seconds=seconds,
        )
