"""A data set that hbnlab does not know, with a tree of one to six levels, works everywhere."""

import sys
from types import ModuleType

import pytest
import torch

from hbnlab import data, models
from hbnlab.collect import collect_records
from hbnlab.data import Splits, TensorSplit, with_validation
from hbnlab.data.split import Split
from hbnlab.hierarchy import Hierarchy
from hbnlab.inference import predict
from hbnlab.metrics import evaluate, sweep
from hbnlab.policies import EntropyThreshold, FineTolerance, fit_thresholds
from hbnlab.records import ExitRecords
from hbnlab.training import TrainConfig, fit

TREES = {
    1: Hierarchy.from_table([("thin",), ("thick",), ("narrow",), ("wide",)]),
    2: Hierarchy.from_dict({"lying": ["thin", "thick"], "standing": ["narrow", "wide"]}),
    3: Hierarchy.from_dict(
        {"calm": {"lying": ["thin", "thick"]}, "tense": {"standing": ["narrow", "wide"]}},
        level_names=["mood", "direction", "stripe"],
    ),
}
TREES[6] = TREES[3]
for name in ("third", "second", "first"):
    TREES[6] = TREES[6].with_coarser_level(name, [f"{name} a", f"{name} b"], [0, 1])


def draw(part: str, count: int, tree: Hierarchy) -> TensorSplit:
    """Stripes of two directions and two widths, under noise."""
    generator = torch.Generator().manual_seed(count)
    fine = torch.arange(count) % 4
    images = torch.randint(0, 120, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    for image, label in zip(images, fine.tolist(), strict=True):
        lit = torch.arange(32) % (4, 8)[label % 2] < (2, 4)[label % 2]
        image[:, lit] += 120
        if label >= 2:
            image.copy_(image.transpose(1, 2).clone())
    return TensorSplit(
        images=images,
        labels=tree.label_table(fine),
        hierarchy=tree,
        name="stripes",
        part=part,
        mean=(0.5, 0.5, 0.5),
        std=(0.3, 0.3, 0.3),
        augmentations=("crop",),
        attributes={"number": torch.arange(count)},
    )


@pytest.fixture(params=TREES, ids="a tree of {} levels".format)
def splits(request) -> Splits:
    tree = TREES[request.param]
    return with_validation(draw("train", 96, tree), draw("test", 40, tree), val_size=32, seed=0)


def trained(splits: Splits):
    """A narrow network with every head at every exit, after two steps."""
    heads = [[True] * splits.hierarchy.num_levels] * 3
    network = models.create("gran-hbn", splits.hierarchy, width=0.05, heads=heads)
    config = TrainConfig.quick("glyphs", epochs=1, batch_size=32, device="cpu")
    return network, fit(network, splits, config, progress=False)


def test_it_is_trained_for_two_steps_and_every_head_with_it(splits):
    untrained = models.create(
        "gran-hbn",
        splits.hierarchy,
        width=0.05,
        heads=[[True] * splits.hierarchy.num_levels] * 3,
    )
    network, history = trained(splits)
    assert len(history.epochs) == 1
    before = untrained.state_dict()
    moved = {
        name: not torch.equal(value, before[name]) for name, value in network.state_dict().items()
    }
    assert all(moved[name] for name in moved if name.endswith("weight"))


def test_records_policies_and_evaluations_follow(splits, tmp_path):
    network, _ = trained(splits)
    val, test = (collect_records(network, split) for split in (splits.val, splits.test))
    assert test.split == "stripes test"
    assert test.attributes["number"].tolist() == list(range(40))
    test.save(tmp_path / "records")
    assert ExitRecords.load(tmp_path / "records").hierarchy == splits.hierarchy
    policy = fit_thresholds(EntropyThreshold((0.0, 0.0)), val, (0.5, 0.25, 0.25))
    decisions = policy.decide(test)
    result = evaluate(decisions, test)
    assert 0 <= result.accuracy <= 1
    assert result.specificity == 1
    images, _ = next(splits.test.batches(40))
    answered = predict(network, images, policy)
    assert torch.equal(answered.prediction, decisions.prediction)
    assert len(sweep([policy, EntropyThreshold((0.0, 0.0))], test)) == 2


def test_coarse_answers_carry_less_information_than_fine_ones(splits):
    if splits.hierarchy.num_levels == 1:
        pytest.skip("a policy with two levels needs two")
    network, _ = trained(splits)
    records = collect_records(network, splits.test)
    coarse = FineTolerance((9.0, 9.0), fine_tolerance=-9.0)
    fine = FineTolerance((9.0, 9.0), fine_tolerance=9.0)
    low, high = (evaluate(policy.decide(records), records) for policy in (coarse, fine))
    assert (low.specificity, high.specificity) == (0, 1)
    assert low.information < high.information == 2


class Computed(Split):
    """Images that are computed when they are read: a kind of split of one's own."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return 3, 32, 32

    def _read(self, batches):
        for indices in batches:
            shade = self.labels[indices, -1] * 60
            yield shade[:, None, None, None].expand(-1, 3, 32, 32).to(torch.uint8)

    def _content(self):
        yield "shades of the finest class"


def test_a_split_that_computes_its_images_is_a_split_like_any_other():
    tree = TREES[2]
    parts = {
        part: Computed(
            labels=tree.label_table(torch.arange(40) % 4),
            hierarchy=tree,
            name="shades",
            part=part,
            mean=(0.5, 0.5, 0.5),
            std=(0.3, 0.3, 0.3),
        )
        for part in ("train", "val", "test")
    }
    splits = Splits(**parts, hierarchy=tree, name="shades")
    network, _ = trained(splits)
    records = collect_records(network, splits.test.subset([3, 1]))
    assert records.labels[:, -1].tolist() == [3, 1]


def test_a_module_of_ones_own_is_loaded_by_its_name(monkeypatch):
    def load_stripes(seed: int = 0) -> Splits:
        tree = TREES[2]
        return with_validation(draw("train", 96, tree), draw("test", 40, tree), 32, seed)

    module = ModuleType("hbnlab.data.stripes")
    module.load = load_stripes
    monkeypatch.setitem(sys.modules, "hbnlab.data.stripes", module)
    monkeypatch.setattr(data, "NAMES", (*data.NAMES, "stripes"))
    loaded = data.load("stripes", seed=3)
    assert [len(split) for split in (loaded.train, loaded.val, loaded.test)] == [64, 32, 40]
    with pytest.raises(
        ValueError, match=r"difficulty is an option of \['glyphs'\], not of stripes"
    ):
        data.load("stripes", difficulty=0.5)
