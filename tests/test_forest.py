"""hbnlab.policies.forest: a regression forest as tables."""

import pytest
import torch

from hbnlab.policies.forest import Forest, grow_forest, leaf_means


def _samples(count: int = 300, features: int = 5, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, features, generator=generator)
    return x, torch.stack([x[:, 0] * 3 + x[:, 1], x[:, 2].round()], dim=1)


def _stump(threshold: float) -> Forest:
    """One tree of one comparison: leaf 1 to the left, leaf 2 to the right."""
    table = {
        "feature": [[0, 0, 0]],
        "left": [[1, 1, 2]],
        "right": [[2, 1, 2]],
    }
    whole = {name: torch.tensor(rows) for name, rows in table.items()}
    return Forest(threshold=torch.tensor([[threshold, 0.0, 0.0]]).double(), depth=1, **whole)


def test_a_stump_sends_a_sample_left_up_to_its_threshold():
    x = torch.tensor([[0.2], [0.5], [0.6]])
    assert _stump(0.5).leaves(x).tolist() == [[1], [1], [2]]


def test_the_tables_end_in_the_leaves_of_the_trees_that_they_were_made_of(monkeypatch):
    from sklearn import tree as trees

    grown = []

    class Kept(trees.DecisionTreeRegressor):
        def fit(self, *given, **named):
            grown.append(self)
            return super().fit(*given, **named)

    monkeypatch.setattr(trees, "DecisionTreeRegressor", Kept)
    x, y = _samples()
    forest, _ = grow_forest(x, y, trees=7)
    fresh, _ = _samples(seed=1)
    expected = [tree.apply(fresh.numpy()).tolist() for tree in grown]
    assert len(grown) == 7
    assert forest.leaves(fresh).T.tolist() == expected
    assert forest.depth == max(tree.get_depth() for tree in grown)


def test_every_tree_sees_half_of_the_samples_and_another_half():
    _, in_bag = grow_forest(*_samples(301), trees=8)
    assert in_bag.sum(dim=0).tolist() == [151] * 8
    assert len({tuple(column.tolist()) for column in in_bag.T}) == 8


def test_the_same_seed_grows_the_same_forest():
    first, again, other = (grow_forest(*_samples(), seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first.threshold, again.threshold)
    assert first.threshold.shape != other.threshold.shape or not torch.equal(
        first.threshold, other.threshold
    )


@pytest.mark.parametrize("count", [2, 15, 39])
def test_few_samples_give_trees_of_one_leaf(count):
    forest, _ = grow_forest(*_samples(count), trees=3)
    assert (forest.depth, forest.feature.shape) == (0, (3, 1))
    assert forest.leaves(_samples(4)[0]).tolist() == [[0, 0, 0]] * 4


def test_a_leaf_holds_the_mean_of_the_samples_that_its_tree_has_seen():
    x = torch.tensor([[0.0], [0.1], [0.9], [1.0]])
    forest, target = _stump(0.5), torch.tensor([1.0, 3.0, 10.0, 20.0]).double()
    in_bag = torch.tensor([[True], [True], [True], [False]])
    values, unseen = leaf_means(forest, forest.leaves(x), in_bag, target)
    assert values.tolist() == [[0.0, 2.0, 10.0]]
    assert unseen.tolist() == [2.0, 2.0, 10.0, 10.0]


def test_no_sample_is_predicted_by_a_tree_that_has_seen_it():
    x, _ = _samples(200)
    forest, in_bag = grow_forest(x, x, trees=10)
    leaves, target = forest.leaves(x), torch.zeros(200).double()
    moved = target.clone()
    moved[17] = 1e6
    before, after = (leaf_means(forest, leaves, in_bag, t)[1] for t in (target, moved))
    assert after[17] == before[17]
    assert not torch.equal(before, after)
