"""What a policy sees when it decides at an exit: everything up to there, but no label."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hbnlab.entropy import entropy
from hbnlab.records import ExitRecords
from hbnlab.records.scores import confidence, margin

_SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "entropy": entropy,
    "confidence": confidence,
    "margin": margin,
}


class ExitView:
    """The logits of some images at exits 0..n; scores are computed from them when asked for.

    It is built from logits, exit by exit, while a network runs, and from records afterwards; the
    same policy code reads both. With ``batch_size`` the scores are means over that many
    consecutive images (the last mean over what is left), given to every image of the batch, so
    that a policy written for one image decides for the whole batch.

    Args:
        logits: ``logits[exit][level]``, (sample, class) or None where a cell has no head or was
            not run, for every exit up to the one that decides.
        gate_logits: (sample, 2), class 0 = coarse and 1 = fine, or None without a gate.
        is_last: whether this is the network's last exit, which always answers.
        batch_size: images per batch for decisions by batch, None for decisions by image.
        known: scores already computed, as ``known(name, exit_index, level_index)``; asked only
            for cells of ``logits``.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> view = ExitView.from_records(simulated_records(4), exit_index=1)
        >>> view.is_last, view.num_images, view.finest_level(1)
        (False, 4, 1)
        >>> view.confidence(0, 1) > 0.9
        tensor([False, False, False, False])
    """

    def __init__(
        self,
        logits: Sequence[Sequence[Tensor | None]],
        gate_logits: Float[Tensor, "sample 2"] | None = None,
        *,
        is_last: bool,
        batch_size: int | None = None,
        known: Callable[[str, int, int], Tensor] | None = None,
    ) -> None:
        if not logits:
            raise ValueError("a view needs the logits of at least one exit, got none")
        self._logits = logits
        self._gate_logits = gate_logits
        self._batch_size = batch_size
        self._known = known
        self._memo: dict[tuple[str, int, int], Tensor] = {}
        self._remembered: dict[Hashable, Any] = {}
        self._any_cell = next(cell for row in reversed(logits) for cell in row if cell is not None)
        self.is_last = is_last

    @classmethod
    def from_records(
        cls, records: ExitRecords, exit_index: int, batch_size: int | None = None
    ) -> "ExitView":
        """The view of all images of the records at one exit."""
        levels = range(records.hierarchy.num_levels)
        logits = [
            [records.logits[k][:, e] if records.head_mask[e][k] else None for k in levels]
            for e in range(exit_index + 1)
        ]
        return cls(
            logits,
            records.gate_logits,
            is_last=exit_index == records.num_exits - 1,
            batch_size=batch_size,
            known=lambda name, e, level: getattr(records, name)[:, e, level],
        )

    @property
    def exit_index(self) -> int:
        """The exit that decides, the last one in the view."""
        return len(self._logits) - 1

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        return self._any_cell.device

    @property
    def num_images(self) -> int:
        """How many images are decided about."""
        return self._any_cell.shape[0]

    def all_images(self) -> Bool[Tensor, " sample"]:
        """A mask of all images."""
        return torch.ones(self.num_images, dtype=torch.bool, device=self.device)

    @property
    def num_levels(self) -> int:
        """How many levels the tree has."""
        return len(self._logits[-1])

    def finest_level(self, exit_index: int) -> int:
        """The finest level that has a head at an exit."""
        return max(
            level for level, logits in enumerate(self._logits[exit_index]) if logits is not None
        )

    def has_head(self, exit_index: int, level_index: int) -> bool:
        """Whether a cell has a head and was run."""
        return self._logits[exit_index][level_index] is not None

    def remember(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, computed once for this view: policies of a family share it."""
        if key not in self._remembered:
            self._remembered[key] = make()
        return self._remembered[key]

    def logits(self, exit_index: int, level_index: int) -> Float[Tensor, "sample cls"]:
        """Logits of one cell.

        Raises:
            ValueError: when the cell has no head, was not run, or lies behind this exit.
        """
        if not 0 <= exit_index <= self.exit_index:
            raise ValueError(
                f"a policy at exit {self.exit_index + 1} sees no other exits than those up to it, "
                f"got exit {exit_index + 1}"
            )
        logits = self._logits[exit_index][level_index]
        if logits is None:
            raise ValueError(
                f"nothing was computed at exit {exit_index + 1}, level {level_index + 1} "
                f"of {self.num_levels}"
            )
        return logits

    def entropy(self, exit_index: int, level_index: int) -> Float[Tensor, " sample"]:
        """Entropy in nats, of each image or of its batch on average."""
        return self._score("entropy", exit_index, level_index)

    def confidence(self, exit_index: int, level_index: int) -> Float[Tensor, " sample"]:
        """Largest probability, of each image or of its batch on average."""
        return self._score("confidence", exit_index, level_index)

    def margin(self, exit_index: int, level_index: int) -> Float[Tensor, " sample"]:
        """Largest probability minus the second, of each image or of its batch on average."""
        return self._score("margin", exit_index, level_index)

    def prediction(self, exit_index: int, level_index: int) -> Int[Tensor, " sample"]:
        """Most probable class of each image."""
        return self.logits(exit_index, level_index).argmax(dim=-1)

    def gate_is_fine(self) -> Bool[Tensor, " sample"]:
        """Whether the gate asks for a fine answer: its class 1 wins, a tie is coarse.

        By batch, whether it does so for at least half of the images.

        Raises:
            ValueError: without a gate.
        """
        if self._gate_logits is None:
            raise ValueError("the gate is asked for, and the network has none")
        fine = self._gate_logits[:, 1] > self._gate_logits[:, 0]
        if self._batch_size is None:
            return fine
        return batch_means(fine.float(), self._batch_size) >= 0.5

    def _score(self, name: str, exit_index: int, level_index: int) -> Tensor:
        key = (name, exit_index, level_index)
        if key not in self._memo:
            logits = self.logits(exit_index, level_index)
            if self._known is None:
                values = _SCORES[name](logits)
            else:  # a column of records is read many times in a sweep
                values = self._known(*key).contiguous()
            if self._batch_size is not None:
                values = batch_means(values, self._batch_size)
            self._memo[key] = values
        return self._memo[key]


def batch_means(values: Float[Tensor, " sample"], batch_size: int) -> Float[Tensor, " sample"]:
    """For each image, the mean over its batch of ``batch_size`` consecutive images.

    The last batch may be shorter; its mean is over its own size. Sums are taken in double
    precision, so that a batch has the same mean alone and among others.

    Example:
        >>> batch_means(torch.tensor([1.0, 3.0, 5.0]), 2)
        tensor([2., 2., 5.])
    """
    batch = torch.arange(len(values), device=values.device) // batch_size
    sums = values.new_zeros(int(batch[-1]) + 1 if len(values) else 0).double()
    sums.index_add_(0, batch, values.double())
    return (sums / batch.bincount())[batch].to(values.dtype)
