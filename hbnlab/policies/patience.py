"""Leave when enough exits in a row agree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from hbnlab.formatting import spoken
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.base import Policy
from hbnlab.policies.settings import Setting
from hbnlab.policies.view import ExitView


@dataclass(frozen=True)
class Patience(Policy):
    """Leave at the first exit where k exits in a row agree on the class.

    Every image decides alone, and every branch is consulted, since the next exit needs its class.

    Attributes:
        agreeing: k, how many exits in a row must agree, this one included; 1 = the first answers.
            The patience t of the source, which counts repetitions, is k - 1.
        level: level that is compared and answered; None = the finest.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> Patience(2).decide(simulated_records(100)).exit_index.bincount().tolist()
        [0, 28, 72]

    Source:
        PABEE (Zhou et al., "BERT loses patience", NeurIPS 2020).
    """

    agreeing: int
    level: int | None = None

    def __post_init__(self) -> None:
        if self.agreeing < 1:
            raise ValueError(f"agreeing must be 1 or more, got {self.agreeing}")

    def answers(self, exit_index: int, view: ExitView) -> Mapping[int, Bool[Tensor, " sample"]]:
        """Images about which the last k exits agree; at the last exit all."""
        level = view.num_levels - 1 if self.level is None else self.level
        if view.is_last:
            return {level: view.all_images()}
        first = exit_index - self.agreeing + 1
        if first < 0:
            return {}
        classes = torch.stack([view.prediction(e, level) for e in range(first, exit_index + 1)])
        return {level: (classes == classes[0]).all(dim=0)}

    def cells(self, head_mask: Sequence[Sequence[bool]]) -> Iterable[tuple[int, int]]:
        """The level compared, at every exit."""
        level = len(head_mask[0]) - 1 if self.level is None else self.level
        return [(exit_index, level) for exit_index in range(len(head_mask))]

    def explain(self, view: ExitView, row: int, hierarchy: Hierarchy) -> list[str]:
        """The classes so far."""
        outcome = self.outcome(view, row, hierarchy)
        if view.is_last:
            return [f"last exit: {outcome}"]
        level = hierarchy.finest if self.level is None else self.level
        classes = [int(view.prediction(e, level)[row]) for e in range(view.exit_index + 1)]
        names = ", ".join(spoken(hierarchy.class_names[level][cls]) for cls in classes)
        verdict = "yes" if outcome.startswith("answer") else "no"
        return [
            f"the last {self.agreeing} of the classes so far the same? {names}: {verdict}, "
            f"{outcome}"
        ]

    def adjustable(self, hierarchy: Hierarchy) -> tuple[Setting, ...]:
        """None: how many exits can agree depends on the network."""
        del hierarchy
        return ()
