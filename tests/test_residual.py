"""hbnlab.models.residual: our trunk, and the five networks on it."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hbnlab import costs, models
from hbnlab.collect import collect_records
from hbnlab.inference import predict
from hbnlab.models import load_weights, save_weights
from hbnlab.models.named_networks import names_on
from hbnlab.models.residual import Block
from hbnlab.policies import EntropyThreshold, FineTolerance, ForcedExit, Policy, SemanticGate
from hbnlab.storage import save_tensors
from hbnlab.trees import CIFAR100, FASHION_MNIST, GLYPHS

NAMES = names_on("residual")
WIDTH = 0.25


def _images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def _network(name: str, width: float = WIDTH, tree=FASHION_MNIST):
    return models.create(name, tree, trunk="residual", width=width)


def _with_statistics(network):
    """A network whose BatchNorm has seen images, in evaluation mode."""
    with torch.no_grad():
        network.train()(_images(64, seed=1))
    return network.eval()


def test_it_has_at_most_1_2_million_parameters_and_exits_whose_cost_grows_steeply():
    assert costs.num_parameters(_network("gran-hbn", 1.0, CIFAR100)) == 1_172_688
    assert costs.macs_to_exits(_network("gran-hbn", 1.0)) == [
        875_520,
        6_121_472,
        15_233_024,
        23_623_680,
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_macs_are_those_of_torchs_counter(name):
    network = _with_statistics(_network(name))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(_images(1))
    assert 2 * costs.macs_to_exits(network)[-1] == counter.get_total_flops()


def test_the_macs_are_those_counted_by_hand():
    network = _network("branchy", 1.0)
    conv = lambda inputs, outputs, size: 9 * inputs * outputs * size**2  # noqa: E731
    first_branch = conv(16, 48, 8) + conv(48, 32, 4) + 512 * 192 + 192 * 10
    first = conv(3, 16, 16) + first_branch
    second_branch = conv(32, 64, 8) + conv(64, 32, 4) + 512 * 192 + 192 * 10
    second = conv(16, 32, 16) + conv(32, 32, 16) + 16 * 32 * 16**2 + second_branch
    assert costs.macs_to_exits(network)[:2] == [first, first + second]


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_its_heads_on_four_exits(name):
    network = _network(name)
    coarse_first = ((True, False),) * 3 + ((False, True),)
    expected = {
        "plain": ((False, True),),
        "branchy": ((False, True),) * 4,
        "sem-hbn": coarse_first,
        "gran-hbn": ((True, True),) * 4,
        "ag-hbn": ((True, True),) * 4,
    }
    assert (network.name, network.trunk) == (name, "residual")
    assert network.head_mask == expected[name]
    assert network.has_gate == (name == "ag-hbn")


def test_the_plain_network_is_the_deepest_path_without_earlier_branches():
    plain, branchy = (_with_statistics(_network(name)) for name in ("plain", "branchy"))
    stages = (layer for stage in branchy.stages for layer in stage)
    whole = nn.Sequential(*stages, branchy.branches[3], branchy.heads[3]["1"])
    for ours, theirs in zip(
        [*plain.stages, *plain.branches, plain.heads[0]["1"]],
        [whole[:-2], whole[-2], whole[-1]],
        strict=True,
    ):
        ours.load_state_dict(theirs.state_dict())
    images = _images(3)
    assert torch.equal(plain(images).logits[0][1], branchy(images).logits[3][1])


def test_a_block_whose_convolutions_are_nothing_is_its_shortcut():
    block = Block(8, 8).eval()
    nn.init.zeros_(block.convolutions[-1].weight)
    hidden = torch.rand(2, 8, 4, 4)
    assert torch.equal(block(hidden), hidden)


def _one_policy_of_each_kind(name: str) -> list[Policy]:
    early = [1.2] * 3
    policies: list[Policy] = [EntropyThreshold(early)]
    policies += [ForcedExit(index) for index in range(4)]
    if name in ("gran-hbn", "ag-hbn"):
        policies += [FineTolerance(early, 0.3), FineTolerance(early, 0.3, "published-code")]
    if name == "ag-hbn":
        policies.append(SemanticGate(early))
    return policies


@pytest.mark.parametrize("name", [name for name in NAMES if name != "plain"])
def test_inference_that_leaves_early_decides_as_the_records_do(name):
    network, images = _with_statistics(_network(name)), _images(48)
    records = collect_records(network, (images, torch.zeros(48, dtype=torch.long)))
    for policy in _one_policy_of_each_kind(name):
        decided, found = policy.decide(records), predict(network, images, policy, batch_size=16)
        assert torch.equal(found.exit_index, decided.exit_index)
        assert torch.equal(found.prediction, decided.prediction)
        assert torch.equal(found.macs, decided.macs)


class _Scripted(Policy):
    """Sends each image to an exit of its own; it knows them by their entropies at exit 1."""

    def __init__(self, entropies: Tensor, exits: tuple[int, ...]) -> None:
        object.__setattr__(self, "entropies", entropies)
        object.__setattr__(self, "exits", torch.tensor(exits))

    def answers(self, exit_index, view):
        distance = (view.entropy(0, 1)[:, None] - self.entropies).abs()
        return {1: self.exits[distance.argmin(dim=1)] == exit_index}

    def cells(self, head_mask):
        return [(exit_index, 1) for exit_index in range(len(head_mask))]


@pytest.mark.parametrize("pattern", list(itertools.product(range(4), repeat=3)))
def test_each_image_computes_no_stage_beyond_its_exit(pattern, scripted):
    network, images, records = scripted
    policy = _Scripted(records.entropy[:, 0, 1], pattern)
    decided, found = policy.decide(records), predict(network, images, policy)
    assert decided.exit_index.tolist() == list(pattern)
    assert torch.equal(found.exit_index, decided.exit_index)
    assert torch.equal(found.prediction, decided.prediction)
    assert list(found.images_per_stage) == [sum(e >= stage for e in pattern) for stage in range(4)]


@pytest.fixture(scope="module")
def scripted():
    """A network, three images that it tells apart, and their records."""
    network, images = _with_statistics(_network("branchy")), _images(3)
    return network, images, collect_records(network, (images, torch.zeros(3, dtype=torch.long)))


def test_weights_know_their_trunk_and_refuse_another(tmp_path):
    path = tmp_path / "w.safetensors"
    network = _with_statistics(_network("branchy"))
    save_weights(network, path)
    again = models.create("branchy", weights=path).eval()
    assert (again.trunk, load_weights(path).spec["trunk"]) == ("residual", "residual")
    images = _images(2)
    assert torch.equal(network(images).logits[3][1], again(images).logits[3][1])
    with pytest.raises(ValueError, match=r"another network: name is 'branchy', not 'b-alexnet'; "):
        models.create("branchy", weights=path, trunk="alexnet")
    save_weights(models.create("gran-hbn", GLYPHS, width=0.05), path)
    with pytest.raises(ValueError, match=r"another network: trunk is 'alexnet', not 'residual'$"):
        models.create("gran-hbn", weights=path, trunk="residual")


def test_weights_from_before_there_were_trunks_are_of_the_studys(tmp_path):
    path, network = tmp_path / "w.safetensors", models.create("gran-hbn", GLYPHS, width=0.05)
    spec = {key: value for key, value in network.to_spec().items() if key != "trunk"}
    tensors = {f"network.{key}": tensor for key, tensor in network.state_dict().items()}
    save_tensors(path, tensors, {"format": "hbnlab-weights-1", "network": spec})
    assert models.create("gran-hbn", weights=path).trunk == "alexnet"


def test_an_unknown_trunk_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"trunk must be one of \['alexnet', 'residual'\], got 'v"):
        models.create("gran-hbn", GLYPHS, trunk="vgg")


@pytest.mark.parametrize(("study", "ours"), [("alexnet", "plain"), ("b-alexnet", "branchy")])
def test_a_name_of_the_study_on_another_trunk_says_what_to_write(study, ours):
    message = f"'{study}' is a name on the trunk 'alexnet'; on 'residual' write '{ours}'"
    with pytest.raises(ValueError, match=message):
        models.create(study, GLYPHS, trunk="residual")


@pytest.mark.parametrize(("study", "ours"), [("alexnet", "plain"), ("b-alexnet", "branchy")])
def test_a_trunk_free_name_on_the_studys_trunk_is_the_studys_network(study, ours):
    one, other = (models.create(name, GLYPHS, width=0.05) for name in (study, ours))
    assert one.to_spec() == other.to_spec()
    assert torch.equal(one.stages[0][0].weight, other.stages[0][0].weight)
    assert models.create(ours, weights="glyphs").name == study
