"""A regression forest kept as plain tables: scikit-learn grows it, nothing of it is unpickled."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Forest:
    """The splits of many small decision trees, without values in their leaves.

    The values are set afterwards (``leaf_means``), so that one forest serves many targets.

    Attributes:
        feature: index of the feature that a node compares; 0 in a leaf.
        threshold: a node goes left where the feature is at most this.
        left: the node to the left; in a leaf, the leaf itself.
        right: the node to the right; in a leaf, the leaf itself.
        depth: number of comparisons on the longest path.

    Example:
        >>> x = torch.linspace(0, 1, 200)[:, None]
        >>> forest, in_bag = grow_forest(x, x.sqrt(), trees=5)
        >>> forest.leaves(x).shape, in_bag.shape
        (torch.Size([200, 5]), torch.Size([200, 5]))
    """

    feature: Int[Tensor, "tree node"]
    threshold: Float[Tensor, "tree node"]
    left: Int[Tensor, "tree node"]
    right: Int[Tensor, "tree node"]
    depth: int

    def to(self, device: torch.device | str) -> "Forest":
        """The same forest on another device."""
        return Forest(
            feature=self.feature.to(device),
            threshold=self.threshold.to(device),
            left=self.left.to(device),
            right=self.right.to(device),
            depth=self.depth,
        )

    def leaves(self, features: Float[Tensor, "sample feature"]) -> Int[Tensor, "sample tree"]:
        """The leaf that each sample ends in, in every tree."""
        trees, nodes = self.feature.shape
        first = torch.arange(trees, device=features.device) * nodes
        node = torch.zeros(len(features), trees, dtype=torch.int64, device=features.device)
        for _ in range(self.depth):
            place = first + node
            goes_left = features.gather(1, self.feature.take(place)) <= self.threshold.take(place)
            node = torch.where(goes_left, self.left.take(place), self.right.take(place))
        return node


def grow_forest(
    features: Float[Tensor, "sample feature"],
    targets: Float[Tensor, "sample target"],
    *,
    trees: int = 40,
    depth: int = 6,
    min_leaf: int = 20,
    seed: int = 0,
) -> tuple[Forest, Bool[Tensor, "sample tree"]]:
    """Grow trees, each on a random half of the samples, that predict all targets together.

    Args:
        features: of the samples.
        targets: what the splits should tell apart.
        trees: number of trees.
        depth: most comparisons on a path.
        min_leaf: least number of samples in a leaf; trees of a few samples have a single leaf.
        seed: of all randomness.

    Returns:
        The forest, and which samples each tree has seen.

    Source:
        Breiman, "Random forests", Machine Learning 2001; halves without replacement in place of
        bootstrap samples.
    """
    import numpy as np
    from sklearn.tree import DecisionTreeRegressor

    generator = np.random.RandomState(seed)
    x, y = features.cpu().float().numpy(), targets.cpu().double().numpy()
    in_bag = np.zeros((len(x), trees), dtype=bool)
    grown = []
    for index in range(trees):
        rows = generator.permutation(len(x))[: (len(x) + 1) // 2]
        in_bag[rows, index] = True
        tree = DecisionTreeRegressor(
            max_depth=depth,
            min_samples_leaf=min_leaf,
            max_features=0.5,
            random_state=generator.randint(2**31 - 1),
        )
        grown.append(tree.fit(x[rows], y[rows]).tree_)
    nodes = max(tree.node_count for tree in grown)
    tables = {name: np.zeros((trees, nodes)) for name in ("feature", "threshold", "left", "right")}
    for index, tree in enumerate(grown):
        own, is_leaf = np.arange(tree.node_count), tree.children_left < 0
        filled = slice(tree.node_count)
        tables["feature"][index, filled] = np.where(is_leaf, 0, tree.feature)
        tables["threshold"][index, filled] = tree.threshold
        tables["left"][index, filled] = np.where(is_leaf, own, tree.children_left)
        tables["right"][index, filled] = np.where(is_leaf, own, tree.children_right)
    whole = {name: torch.from_numpy(tables[name]).long() for name in ("feature", "left", "right")}
    threshold = torch.from_numpy(tables["threshold"])
    forest = Forest(threshold=threshold, depth=max(tree.max_depth for tree in grown), **whole)
    return forest, torch.from_numpy(in_bag)


def leaf_means(
    forest: Forest,
    leaves: Int[Tensor, "sample tree"],
    in_bag: Bool[Tensor, "sample tree"],
    target: Float[Tensor, " sample"],
) -> tuple[Float[Tensor, "tree node"], Float[Tensor, " sample"]]:
    """The mean of a target in every leaf, and a prediction for each sample by trees without it.

    Args:
        forest: the splits.
        leaves: where each sample ends.
        in_bag: which samples a tree has seen; only these are averaged.
        target: of the samples.

    Returns:
        The means, 0 where no sample came, and for each sample the mean over the trees that have
        not seen it, or over all trees where all have.

    Example:
        >>> x = torch.linspace(0, 1, 200)[:, None]
        >>> forest, in_bag = grow_forest(x, x, trees=20)
        >>> values, unseen = leaf_means(forest, forest.leaves(x), in_bag, x[:, 0].double())
        >>> bool((unseen - x[:, 0]).abs().max() < 0.2)
        True
    """
    trees, nodes = forest.feature.shape
    place = (torch.arange(trees) * nodes + leaves).T.flatten()  # tree after tree
    weight = in_bag.T.flatten().double()
    counts = torch.bincount(place, weight, trees * nodes)
    sums = torch.bincount(place, weight * target.double().repeat(trees), trees * nodes)
    values = sums / counts.clamp(min=1)
    unseen = (~in_bag | in_bag.all(dim=1, keepdim=True)).double()
    found = values.take(place).view(trees, -1).T * unseen
    return values.view(trees, nodes), found.sum(dim=1) / unseen.sum(dim=1)
