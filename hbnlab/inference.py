"""Inference that really leaves early: what a policy does not ask for is never computed."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Int
from torch import Tensor

from hbnlab.collect import default_batch_size, image_batches
from hbnlab.costs import PartMacs, part_macs
from hbnlab.data.split import Split
from hbnlab.models.network import EarlyExitNetwork, evaluation_mode
from hbnlab.policies import ExitView, Policy, policy_macs
from hbnlab.policies.base import AMBIGUOUS, GOES_ON
from hbnlab.records import Decisions


@dataclass(frozen=True, eq=False)
class EarlyDecisions(Decisions):
    """Decisions reached by leaving early, and what they took.

    Attributes:
        images_per_stage: number of images that ran through each stage of the trunk.
        images_per_branch: the same for the branches; 0 for one that the policy does not consult.
        total_macs: multiply-accumulates of all images together: the sum of ``macs``.
        seconds: from the first image read to the last decision; of this machine, this time.

    Example:
        >>> from hbnlab import models, policies, trees
        >>> network = models.create("gran-hbn", trees.GLYPHS, width=0.1)
        >>> found = predict(network, torch.zeros(5, 3, 32, 32), policies.ForcedExit(1))
        >>> found.images_per_stage, found.images_per_branch
        ((5, 5, 0), (0, 5, 0))
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
    """Run a network on images, stage by stage, and let each image leave where the policy says.

    Images that go on wait before the next stage until they fill a batch, together with those of
    other chunks. A branch that the policy never consults is not run. Decisions are the same as from
    records, except for scores within about 1e-5 of a threshold: the last bits of a score depend on
    how many images ran beside it.

    A policy that decides by batch gets its own batches, in order; each leaves as a whole, so none
    waits for another, and ``batch_size`` and ``pool`` mean nothing.

    On CUDA the processor waits once per chunk and consulted exit, to learn which images go on (a
    few times for a policy by batch). Less than one batch waits before each stage.

    Args:
        network: put into evaluation mode for the pass and left as it was.
        images: normalised floats (sample, channel, height, width), or a split, which is read one
            chunk at a time.
        policy: any that fits the network.
        batch_size: images per chunk; None = ``hbnlab.collect.default_batch_size``.
        pool: whether images from different chunks wait for each other.
        progress: show a bar.

    Raises:
        ValueError: when the policy asks for what the network lacks, or the images are not finite
            floats of the network's shape.

    Example:
        >>> from hbnlab import models, policies, trees
        >>> network = models.create("gran-hbn", trees.GLYPHS, width=0.1)
        >>> policy = policies.EntropyThreshold([100.0, 0.0])  # no entropy is above 100 nats
        >>> predict(network, torch.zeros(5, 3, 32, 32), policy).exit_index
        tensor([0, 0, 0, 0, 0])
    """
    policy.check_fits(network.head_mask, network.hierarchy, network.has_gate)
    device = network.device
    size = batch_size if batch_size is not None else default_batch_size(device)
    by_batch = policy.view_batch_size
    bar_title = f"{network.name} leaving early" if progress else None
    chunks = image_batches(network, images, by_batch or size, bar_title=bar_title, device=device)
    start = time.perf_counter()
    with torch.inference_mode(), evaluation_mode(network) as modules:
        macs = part_macs(network, modules)
        descent = _Descent(network, policy, macs, size if pool and not by_batch else None)
        for chunk in chunks:
            descent.enter(chunk)
        descent.finish()
    return descent.decisions(start)


_Group = dict[str | tuple[int, int], Tensor]
"""Images that are on their way together, one row per image in each tensor.

``"rows"``: their indices. ``"hidden"``: the output of their last stage, at first the images.
``(exit, level)``: the logits of each cell computed so far. ``"gate"``: its logits.
"""


_Written = tuple[Tensor, int, Tensor, Tensor]
"""Images that were answered together: their indices, exit, levels and classes."""


def _take(group: _Group, rows: slice | Int[Tensor, " chosen"]) -> _Group:
    return {key: tensor[rows] for key, tensor in group.items()}  # keeps channels last


def _join(groups: Sequence[_Group]) -> _Group:
    """One group of several before the same stage, for which the same cells have been computed."""
    return {key: torch.cat([group[key] for group in groups]) for key in groups[0]}


class _Descent:
    """Groups of images on their way down a network, until every image has left."""

    def __init__(
        self,
        network: EarlyExitNetwork,
        policy: Policy,
        macs: PartMacs,
        pool_size: int | None,
    ) -> None:
        self.network = network
        self.policy = policy
        self.pool_size = pool_size
        self.macs = macs
        self.written: list[_Written] = []
        self.costs = policy_macs(policy, *macs)
        num_exits = len(self.costs)
        self.last = num_exits - 1
        self.consulted = policy.consulted_exits(num_exits)
        self.entered = 0
        self.per_stage, self.per_branch = [0] * num_exits, [0] * num_exits
        self.waiting: list[list[_Group]] = [[] for _ in range(num_exits)]

    def enter(self, images: Tensor) -> None:
        """Take a chunk as far as it fills batches."""
        stop = self.entered + images.shape[0]
        rows = torch.arange(self.entered, stop, device=images.device)
        self.entered = stop
        self._descend(0, {"rows": rows, "hidden": images})

    def finish(self) -> None:
        """Take the images that still wait for a full batch to the end, stage by stage."""
        for exit_index, groups in enumerate(self.waiting):
            if groups:
                self._descend(exit_index, _join(groups))

    def _descend(self, exit_index: int, group: _Group | None) -> None:
        """Run the next stage, then each later one for which there are enough images."""
        while group is not None:
            group = self._run_exit(exit_index, group)
            exit_index += 1
            if group is not None and self.pool_size is not None:
                group = self._full_batch(self.waiting[exit_index], group, self.pool_size)

    def _full_batch(self, waiting: list[_Group], group: _Group, size: int) -> _Group | None:
        """A full batch of the images that wait, the group now among them; None if too few."""
        waiting.append(group)
        if sum(len(some["rows"]) for some in waiting) < size:
            return None
        together = _join(waiting)
        rest = _take(together, slice(size, None))
        waiting[:] = [rest] if len(rest["rows"]) else []
        return _take(together, slice(size))

    def _run_exit(self, exit_index: int, group: _Group) -> _Group | None:
        """Run a stage and, where the policy consults it, its branch; return those that go on."""
        hidden = self.network.run_stage(exit_index, group["hidden"])
        group = group | {"hidden": hidden}
        self.per_stage[exit_index] += hidden.shape[0]
        if exit_index not in self.consulted:
            return group
        output = self.network.run_branch(exit_index, hidden)
        self.per_branch[exit_index] += hidden.shape[0]
        for level, logits in enumerate(output.logits):
            if logits is not None:
                group[exit_index, level] = logits.float()
        if output.gate is not None:
            group["gate"] = output.gate.float()
        levels = self.policy.step(exit_index, self._view(exit_index, group))
        if exit_index == self.last:
            self._write(exit_index, levels, group, answered=range(len(output.logits)))
            return None
        known = levels.tolist()  # the one wait for the device
        staying = [row for row, level in enumerate(known) if level == GOES_ON]
        if len(staying) == len(known):
            return group
        self._check_together(len(staying), len(known))
        self._write(exit_index, levels, group, answered=set(known))
        return _take(group, torch.tensor(staying, device=levels.device)) if staying else None

    def _view(self, exit_index: int, group: _Group) -> ExitView:
        levels = range(self.network.hierarchy.num_levels)
        return ExitView(
            [[group.get((index, level)) for level in levels] for index in range(exit_index + 1)],
            group.get("gate"),
            is_last=exit_index == self.last,
            batch_size=self.policy.view_batch_size,
        )

    def _write(
        self,
        exit_index: int,
        levels: Int[Tensor, " image"],
        group: _Group,
        *,
        answered: Iterable[int],
    ) -> None:
        """Write down the answers; an image that goes on is answered again later."""
        cells = [(exit_index, level) for level in answered if (exit_index, level) in group]
        prediction = levels
        for number, cell in enumerate(cells):
            best = group[cell].argmax(dim=-1)
            prediction = best if number == 0 else torch.where(levels == cell[1], best, prediction)
        self.written.append((group["rows"], exit_index, levels, prediction))

    def _check_together(self, staying: int, there: int) -> None:
        if staying and self.policy.view_batch_size is not None:
            raise ValueError(
                f"a batch must leave as a whole, but of {there} images {staying} stay under "
                f"{self.policy}"
            )

    def _columns(self) -> Sequence[Tensor]:
        """Exit, level, class and MACs of all images in order, as ordinary tensors.

        This is called outside of inference mode.
        """
        table = torch.empty(4, 0, dtype=torch.int64)
        for rows, exit_index, levels, prediction in self.written:
            exits, macs = (torch.full_like(levels, n) for n in (exit_index, self.costs[exit_index]))
            if len(self.written) == 1:  # all left together, so they are in order
                return exits.cpu(), levels.cpu().clone(), prediction.cpu().clone(), macs.cpu()
            if table.shape[1] != self.entered:
                table = levels.new_full((4, self.entered), GOES_ON)
            # An image that went on is answered again later.
            table.index_copy_(1, rows, torch.stack([exits, levels, prediction, macs]))
        return table.cpu().unbind()

    def decisions(self, start: float) -> EarlyDecisions:
        """Put the answers together, on the processor."""
        exit_index, level_index, prediction, macs = self._columns()
        seconds = time.perf_counter() - start
        levels = level_index.tolist()
        twice, never = levels.count(AMBIGUOUS), levels.count(GOES_ON)
        self.policy.check_answered(twice=twice, never=never, total=len(levels))
        ran = zip((*self.per_stage, *self.per_branch), chain(*self.macs), strict=True)
        return EarlyDecisions(
            exit_index,
            level_index,
            prediction,
            macs,
            images_per_stage=tuple(self.per_stage),
            images_per_branch=tuple(self.per_branch),
            total_macs=sum(images * cost for images, cost in ran),
            seconds=seconds,
        )
