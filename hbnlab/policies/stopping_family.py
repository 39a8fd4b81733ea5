"""What stopping by value learns once from validation records, for any two prices."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.policies.forest import Forest, grow_forest, leaf_means
from hbnlab.policies.view import ExitView
from hbnlab.records import ExitRecords
from hbnlab.records.temperatures import fit_temperatures

_SCORES = ("entropy", "confidence", "margin")


class Lookahead(NamedTuple):
    """A forest at one exit, and where the validation images are in it."""

    forest: Forest
    leaves: Int[Tensor, "sample tree"]
    in_bag: Bool[Tensor, "sample tree"]


@dataclass(frozen=True, eq=False, kw_only=True)
class StoppingFamily:
    """Calibrated probabilities and forests, from which a rule for any two prices follows.

    The forest of an exit sorts images by how probable their answers will be at later exits. That
    depends on no price. For two prices, backward induction puts into the leaves what going on is
    worth there, which takes milliseconds; no image is predicted by a tree that has seen it.

    Attributes:
        hierarchy: the tree of the classes.
        temperatures: one per cell, NaN without a head.
        shares: cumulative computation to each exit, 1 at the last.
        probabilities: of the answers of the validation images, calibrated; NaN without a head.
        bits: information of these answers; NaN without a head.
        lookaheads: one per exit but the last.

    Example:
        >>> from hbnlab.records import simulated_records
        >>> family = StoppingFamily.fit(simulated_records(400))
        >>> [len(one.forest.feature) for one in family.lookaheads], family.shares[-1]
        ([40, 40], 1.0)

    Source:
        Finite-horizon optimal stopping; cells as states, and prices in bits, are ours.
    """

    hierarchy: Hierarchy
    temperatures: Float[Tensor, "exit level"]
    shares: tuple[float, ...]
    probabilities: Float[Tensor, "sample exit level"]
    bits: Float[Tensor, "sample exit level"]
    lookaheads: tuple[Lookahead, ...] = field(repr=False)

    @classmethod
    def fit(cls, records: ExitRecords, *, trees: int = 40, seed: int = 0) -> "StoppingFamily":
        """Fit temperatures and forests on validation records.

        Args:
            records: of images that the network was not trained on; report on others.
            trees: number of trees per exit.
            seed: of the forests.

        Raises:
            ValueError: for fewer than two images.
        """
        if len(records) < 2:
            raise ValueError(f"stopping by value needs two or more images, got {len(records)}")
        last, tree = records.num_exits - 1, records.hierarchy
        temperatures = fit_temperatures(records)
        view = ExitView.from_records(records, last)
        tables = [answer_table(view, n, temperatures, tree) for n in range(last + 1)]
        prob, bits = (torch.stack(column, dim=1) for column in zip(*tables, strict=True))
        lookaheads = []
        for n in range(last):
            features = exit_features(view, n)
            later = prob[:, n + 1 :].flatten(1)
            forest, in_bag = grow_forest(
                features, later[:, ~later.isnan().any(dim=0)], trees=trees, seed=seed
            )
            lookaheads.append(Lookahead(forest, forest.leaves(features), in_bag))
        return cls(
            hierarchy=tree,
            temperatures=temperatures,
            shares=tuple(records.macs_to(n) / records.macs_to(last) for n in range(last + 1)),
            probabilities=prob,
            bits=bits,
            lookaheads=tuple(lookaheads),
        )

    @cached_property
    def most_bits(self) -> float:
        """Information of a finest answer that is the most specific."""
        return float(self.hierarchy.information(-1).max())

    def leaf_values(
        self, error_price: float, compute_price: float
    ) -> list[Float[Tensor, "tree node"]]:
        """For each exit but the last, what going on adds to the value now, in every leaf.

        Backward induction: at the last exit an image is worth its best answer there. At an exit
        before it, going on is worth what the next exit is worth, minus the price of computing up
        to it; the mean of this advantage goes into the leaves.
        """
        now = expected_worth(self.probabilities, self.bits, error_price).amax(dim=-1)
        worth, tables = now[:, -1], []
        for n in range(len(self.lookaheads) - 1, -1, -1):
            step = compute_price * (self.shares[n + 1] - self.shares[n])
            advantage = worth - step - now[:, n]
            values, expected = leaf_means(*self.lookaheads[n], advantage)
            tables.append(values)
            worth = now[:, n] + torch.where(expected > 0, advantage, 0.0)
        return tables[::-1]


def expected_worth(
    prob: Float[Tensor, "*image level"], bits: Float[Tensor, "*image level"], error_price: float
) -> Float[Tensor, "*image level"]:
    """Expected worth of an answer in bits: its information if right, minus the price if wrong.

    -inf where there is no head.

    Example:
        >>> expected_worth(torch.tensor([0.75]), torch.tensor([2.0]), error_price=4.0)
        tensor([0.5000])
    """
    return (bits * prob - error_price * (1 - prob)).nan_to_num(nan=-torch.inf)


def answer_table(
    view: ExitView, exit_index: int, temperatures: Float[Tensor, "exit level"], tree: Hierarchy
) -> tuple[Float[Tensor, "sample level"], Float[Tensor, "sample level"]]:
    """How probable the answers of an exit are, and how many bits they have; NaN without a head.

    The probability of a coarse class is the mean of what its own head says and of the sum over
    the finest head below it, each at its temperature. A class that is the only one below another
    is as probable as that one: the two say the same.
    """
    shape = (view.num_images, tree.num_levels)
    prob, bits = (torch.full(shape, torch.nan, device=view.device) for _ in range(2))
    above = None
    for level in range(tree.num_levels):
        if not view.has_head(exit_index, level):
            continue
        classes = _class_prob(view, exit_index, level, temperatures, tree)
        if above is not None:
            classes = _as_the_only_child(classes, level, *above, tree)
        above = classes, level
        answer = view.prediction(exit_index, level)
        prob[:, level] = classes.gather(1, answer[:, None])[:, 0]
        bits[:, level] = tree.information(level).to(answer.device)[answer]
    return prob, bits


def exit_features(view: ExitView, exit_index: int) -> Float[Tensor, "sample feature"]:
    """Entropy, largest probability and margin of every head up to an exit."""
    return torch.stack(
        [
            getattr(view, score)(n, level)
            for n in range(exit_index + 1)
            for level in range(view.num_levels)
            if view.has_head(n, level)
            for score in _SCORES
        ],
        dim=1,
    )


def _class_prob(
    view: ExitView,
    exit_index: int,
    level: int,
    temperatures: Float[Tensor, "exit level"],
    tree: Hierarchy,
) -> Float[Tensor, "sample cls"]:
    """Of every class of a level: from its own head, and from the finest one where there is one."""

    def calibrated(at: int) -> Float[Tensor, "sample cls"]:
        return (view.logits(exit_index, at) / float(temperatures[exit_index, at])).softmax(dim=-1)

    if level == tree.finest or not view.has_head(exit_index, tree.finest):
        return calibrated(level)
    return (calibrated(level) + tree.lift_prob(calibrated(tree.finest), level)) / 2


def _as_the_only_child(
    prob: Float[Tensor, "sample cls"],
    level: int,
    above: Float[Tensor, "sample parent"],
    level_above: int,
    tree: Hierarchy,
) -> Float[Tensor, "sample cls"]:
    """The probabilities of a level; that of the class above where both have the same leaves."""
    parents = tree.ancestors(level_above, level)
    alone = tree.leaf_counts(level) == tree.leaf_counts(level_above)[parents]
    return torch.where(alone.to(prob.device), above[:, parents.to(prob.device)], prob)
