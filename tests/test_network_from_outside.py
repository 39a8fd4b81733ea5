"""A network defined here in a few lines works everywhere, with any number of exits and levels."""

import pytest
import torch
from torch import nn

from hbnlab import costs
from hbnlab.collect import collect_records
from hbnlab.data import Splits, TensorSplit
from hbnlab.hierarchy import Hierarchy
from hbnlab.inference import predict
from hbnlab.metrics import cell_table, evaluate, sweep
from hbnlab.models import EarlyExitNetwork, load_weights, save_weights
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    ForcedExit,
    MarginThreshold,
    Patience,
    SemanticGate,
    fit_thresholds,
    starting_policies,
)
from hbnlab.training import TrainConfig, fit, post_train

EXITS, LEVELS = (2, 4, 7), (1, 2, 3, 6)


def small_net(hierarchy: Hierarchy, num_exits: int, *, gated: bool = True) -> EarlyExitNetwork:
    """Every level at every exit, with BatchNorm in the trunk."""

    def stage(inputs: int, stride: int) -> nn.Module:
        convolution = nn.Conv2d(inputs, 8, 3, stride=stride, padding=1)
        return nn.Sequential(convolution, nn.BatchNorm2d(8), nn.ReLU())

    def branch() -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EarlyExitNetwork(
            stages=[stage(3, 2), *(stage(8, 1) for _ in range(num_exits - 1))],
            branches=[branch() for _ in range(num_exits)],
            features=[8] * num_exits,
            hierarchy=hierarchy,
            heads=[[True] * hierarchy.num_levels] * num_exits,
            gated=gated,
            image_shape=(3, 8, 8),
            name="small-net",
        )


def tree_of(levels: int) -> Hierarchy:
    """Four finest classes in two groups; each further level above holds all of them."""
    if levels == 1:
        return Hierarchy.from_table([(name,) for name in "abcd"])
    above = [f"group {level}" for level in range(levels - 2)]
    return Hierarchy.from_table([(*above, pair, name) for pair in ("ab", "cd") for name in pair])


def splits_of(tree: Hierarchy) -> Splits:
    """Noise around one grey value per class."""
    parts = {}
    for seed, (part, count) in enumerate([("train", 17), ("val", 16), ("test", 16)]):
        generator = torch.Generator().manual_seed(seed)
        fine = torch.arange(count) % 4
        noise = torch.randint(0, 60, (count, 3, 8, 8), generator=generator)
        parts[part] = TensorSplit(
            images=(60 * fine[:, None, None, None] + noise).to(torch.uint8),
            labels=tree.label_table(fine),
            hierarchy=tree,
            name="greys",
            part=part,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            augmentations=("crop", "flip"),
        )
    return Splits(**parts, hierarchy=tree, name="greys")


def policies_for(records) -> dict:
    """One policy of every kind that the tree allows, and those that the panels start with."""
    early = records.num_exits - 1
    shares = [1 / records.num_exits] * records.num_exits
    policies = {
        "entropy": fit_thresholds(EntropyThreshold([0.0] * early), records, shares),
        "by batch": EntropyThreshold([1.0] * early, per="batch", batch_size=4),
        "confidence": ConfidenceThreshold([0.3] * early),
        "margin": MarginThreshold([0.1] * early),
        "patience": Patience(2),
        "forced": ForcedExit(early),
    }
    if records.hierarchy.num_levels > 1:
        policies["tolerance"] = FineTolerance([0.9] * early, 0.1)
        policies["published"] = FineTolerance([0.9] * early, 0.1, "published-code")
        policies["gate"] = SemanticGate([0.9] * early)
    return policies | starting_policies(records)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("num_exits", EXITS)
def test_what_is_decided_from_records_is_what_inference_decides(num_exits, levels):
    tree = tree_of(levels)
    network, splits = small_net(tree, num_exits), splits_of(tree)
    with torch.no_grad():
        network.train()(splits.val.normalise(splits.val.images))  # so BatchNorm has statistics
    records = collect_records(network, splits.test)
    assert network.head_mask == records.head_mask
    assert [records.macs_to(index) for index in range(num_exits)] == costs.macs_to_exits(network)
    for title, policy in policies_for(records).items():
        decided = policy.decide(records)
        found = predict(network, splits.test, policy, batch_size=5)
        assert torch.equal(found.exit_index, decided.exit_index), title
        assert torch.equal(found.prediction, decided.prediction), title
        assert torch.equal(found.macs, decided.macs), title
        assert sweep([policy], records) == [evaluate(decided, records)], title


def test_every_cell_stands_in_the_table_of_a_test():
    tree = tree_of(3)
    records = collect_records(small_net(tree, 4), splits_of(tree).test)
    rows = cell_table(records)
    assert [(row["exit"], row["level"]) for row in rows] == [
        (number, name) for number in range(1, 5) for name in tree.level_names
    ]


@pytest.mark.parametrize("preset", ["paper", "quick", "readme"])
@pytest.mark.parametrize("num_exits", EXITS)
def test_it_trains_with_every_preset(num_exits, preset):
    tree = tree_of(2)
    network, splits = small_net(tree, num_exits), splits_of(tree)
    start = {"paper": ("small-net",), "quick": ("greys",), "readme": ()}[preset]
    make = getattr(TrainConfig, preset)
    config = make(*start, epochs=2, post_epochs=1, batch_size=16, device="cpu")  # 16 + 1 images
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    history = fit(network, splits, config, progress=False)
    assert len(history.epochs) == 2
    moved = [name for name, t in network.state_dict().items() if not torch.equal(t, before[name])]
    assert {name.split(".")[0] for name in moved} == {"stages", "heads"}
    trained = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    post_train(network, splits, config, history=history, progress=False)
    moved = [name for name, t in network.state_dict().items() if not torch.equal(t, trained[name])]
    assert {name.split(".")[0] for name in moved} == {"gate"}


def test_its_weights_come_back_from_a_file_under_other_names_of_levels(tmp_path):
    tree = tree_of(2)
    network = small_net(tree, 4)
    save_weights(network, tmp_path / "w.safetensors")
    stored = load_weights(tmp_path / "w.safetensors")
    renamed = Hierarchy(("family", "kind"), tree.class_names, tree.parents)
    stored.check(name="small-net", hierarchy=renamed, heads=network.head_mask)
    again = small_net(renamed, 4)
    again.load_state_dict(dict(stored.state))
    image = torch.zeros(1, 3, 8, 8)
    first, second = network.eval()(image), again.eval()(image)
    assert torch.equal(first.logits[3][1], second.logits[3][1])


@pytest.mark.parametrize("num_exits", [2, 4])
def test_it_is_tested_and_drawn_as_the_demo_does(num_exits, tmp_path):
    from hbnlab import run_folder

    tree = tree_of(2)
    network, splits = small_net(tree, num_exits), splits_of(tree)
    history = fit(
        network, splits, TrainConfig.quick("greys", epochs=1, device="cpu"), progress=False
    )
    tested = run_folder.examine(network, splits, progress=False)
    assert len(tested.report["cells"]) == 2 * num_exits
    run_folder.draw_demo(tmp_path, tested, history)
    assert {path.name for path in tmp_path.iterdir()} == {"exits.png", "training.png"}
