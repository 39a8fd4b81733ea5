"""Leaving early gives the decisions of the records, and runs nothing that they do not ask for."""

import functools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest
import torch
from torch.overrides import TorchFunctionMode

from hbnlab import models
from hbnlab.collect import collect_records
from hbnlab.costs import branch_macs, part_macs, stage_macs
from hbnlab.data import TensorSplit
from hbnlab.entropy import entropy
from hbnlab.inference import EarlyDecisions, predict
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    ForcedExit,
    MarginThreshold,
    Patience,
    Policy,
    SemanticGate,
    fit_thresholds,
    policy_macs,
)
from hbnlab.records import Decisions, ExitRecords
from hbnlab.records.scores import confidence, margin
from hbnlab.trees import FASHION_MNIST, FASHION_MNIST_THREE

NEAR = 1e-5
INF = math.inf
ALWAYS = 1e-30  # above every entropy of 0, so the branch is looked at, and hardly anyone leaves


def network_of(name="gran-hbn", hierarchy=FASHION_MNIST, **settings):
    """A small network whose heads, though random, say other things of other images."""
    network = models.create(name, hierarchy, width=0.05, seed=3, **settings).eval()
    layers = [layer for heads in network.heads for layer in heads.values()]
    layers += [network.gate] if network.has_gate else []
    with torch.no_grad():
        outputs = network(images_of(200, seed=9))
        said = [logits for row in outputs.logits for logits in row if logits is not None]
        said += [outputs.gate] if network.has_gate else []
        for layer, logits in zip(layers, said, strict=True):
            std, mean = torch.std_mean(logits, dim=0)
            layer.weight.mul_(2 / std[:, None])
            layer.bias.sub_(mean).mul_(2 / std)
    return network


def images_of(count, seed=1):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def records_of(network, images) -> ExitRecords:
    return collect_records(network, (images, torch.arange(len(images)) % 10))


def split_of(count, kind=TensorSplit):
    generator = torch.Generator().manual_seed(2)
    return kind(
        images=torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator),
        labels=FASHION_MNIST.label_table(torch.arange(count) % 10),
        hierarchy=FASHION_MNIST,
        name="noise",
        part="test",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )


def shares(first, second, policy=None):
    """A policy under which these shares of the images leave at exits 1 and 2.

    A fitted threshold is the score of one image; here it lies beside it, on the side of those who
    leave.
    """
    start = policy or EntropyThreshold([0.0, 0.0])
    aside = -10 * NEAR if start.comparison == "<" else 10 * NEAR

    def fit(records):
        fitted = fit_thresholds(start, records, [first, second, 1 - first - second])
        return replace(fitted, thresholds=[max(0.0, t + aside) for t in fitted.thresholds])

    return fit


def one_survivor(records):
    """All leave at exit 1 but the image that is least sure there."""
    highest = float(records.entropy[:, 0, -1].max())
    second = float(records.entropy[:, 0, -1].sort().values[-2])
    assert highest - second > 10 * NEAR
    return EntropyThreshold([(highest + second) / 2, 0.0])


class Pattern(NamedTuple):
    """How a set of images is to leave: which network, how many images, in what batches."""

    policy: Callable[[ExitRecords], Policy]
    count: int = 53
    batch_size: int = 8
    network: str = "gran-hbn"
    pool: bool = True


PATTERNS = {
    "all leave first": Pattern(lambda _: EntropyThreshold([INF, INF])),
    "none leaves early, no branch is asked": Pattern(lambda _: EntropyThreshold([0.0, 0.0])),
    "none leaves early, all branches are asked": Pattern(lambda _: EntropyThreshold([ALWAYS] * 2)),
    "all leave second": Pattern(lambda _: EntropyThreshold([0.0, INF])),
    "one survivor": Pattern(one_survivor),
    "one survivor, unpooled": Pattern(one_survivor, pool=False),
    "a single image": Pattern(lambda _: EntropyThreshold([ALWAYS, ALWAYS]), count=1),
    "batches of 1": Pattern(shares(0.4, 0.3), count=17, batch_size=1),
    "batches of 2": Pattern(shares(0.4, 0.3), count=17, batch_size=2),
    "ragged last chunk": Pattern(shares(0.6, 0.25)),
    "ragged last chunk of one image": Pattern(shares(0.6, 0.25), count=49),
    "whole chunks": Pattern(shares(0.6, 0.25), count=56),
    "one chunk larger than the set": Pattern(shares(0.6, 0.25), batch_size=64),
    "unpooled": Pattern(shares(0.6, 0.25), pool=False),
    "few leave": Pattern(shares(0.05, 0.1)),
    "none leaves at exit 2": Pattern(shares(0.5, 0.0)),
    "algorithm 1": Pattern(shares(0.5, 0.2, FineTolerance([0.0, 0.0], 0.1))),
    "published code": Pattern(lambda _: FineTolerance([1.0, 1.2], 0.1, "published-code")),
    "tolerance at exit 2 alone": Pattern(lambda _: FineTolerance.at_exit(1, 3, 0.3)),
    "published code by batch": Pattern(
        lambda _: FineTolerance([0.95, 1.15], 0.1, "published-code", per="batch", batch_size=5)
    ),
    "algorithm 1 by batch": Pattern(
        shares(0.5, 0.3, FineTolerance([0.0, 0.0], 0.1, per="batch", batch_size=4))
    ),
    "entropy by batch of 1": Pattern(
        shares(0.5, 0.3, EntropyThreshold([0.0, 0.0], per="batch", batch_size=1))
    ),
    "one batch of all": Pattern(
        lambda _: EntropyThreshold([ALWAYS, INF], per="batch", batch_size=100)
    ),
    "gate": Pattern(shares(0.5, 0.2, SemanticGate([0.0, 0.0])), network="ag-hbn"),
    "gate asked, no branch left at": Pattern(lambda _: SemanticGate([0.0, 0.0]), network="ag-hbn"),
    "gate, exit 2 not asked": Pattern(lambda _: SemanticGate([0.5, 0.0]), network="ag-hbn"),
    "gate by batch": Pattern(
        shares(0.4, 0.3, SemanticGate([0.0, 0.0], per="batch", batch_size=4)), network="ag-hbn"
    ),
    "patience of 2": Pattern(lambda _: Patience(2)),
    "patience of 2 with coarse classes": Pattern(lambda _: Patience(2, level=0), batch_size=4),
    "confidence": Pattern(shares(0.5, 0.2, ConfidenceThreshold([1.0, 1.0]))),
    "confidence, exit 1 not asked": Pattern(lambda _: ConfidenceThreshold([1.0, 0.6])),
    "margin": Pattern(shares(0.3, 0.3, MarginThreshold([1.0, 1.0], level=0))),
    "forced to exit 1": Pattern(lambda _: ForcedExit(0, level=0)),
    "forced to exit 2": Pattern(lambda _: ForcedExit(1)),
    "forced to exit 3": Pattern(lambda _: ForcedExit(2)),
    "one head an exit": Pattern(shares(0.5, 0.2), network="sem-hbn"),
    "one exit": Pattern(lambda _: EntropyThreshold([]), network="alexnet"),
}


def near(policy, records):
    """Images, or batches of them, whose decision hangs on the last bits of a score."""
    entropies, *others = (
        torch.stack([score(logits) for logits in records.logits], dim=-1)
        for score in (entropy, confidence, margin)
    )
    scores = [entropies, entropies[..., -1:] - entropies[..., :1], *others]
    bounds = [*getattr(policy, "thresholds", []), getattr(policy, "fine_tolerance", INF)]
    close = torch.zeros(len(records), dtype=torch.bool)
    for table in scores:
        means = batch_means_of(table, policy.view_batch_size)
        for bound in bounds:
            close |= ((means - bound).abs() <= NEAR).flatten(1).any(dim=1)
    for logits in records.logits:
        close |= tied(logits).any(dim=1)
    if records.gate_logits is not None:
        close |= tied(records.gate_logits)
    return close


def tied(logits):
    """Whether the two largest logits are all but equal."""
    first, second = logits.topk(2, dim=-1).values.unbind(dim=-1)
    return (first - second).abs() <= NEAR


def batch_means_of(table, size):
    if size is None:
        return table
    return torch.cat([part.mean(dim=0, keepdim=True).expand_as(part) for part in table.split(size)])


def count_images(modules):
    """Count the images that each of some modules runs on, from outside."""
    seen = Counter()
    for index, module in enumerate(modules):
        module.register_forward_hook(
            lambda _, inputs, __, index=index: seen.update({index: len(inputs[0])})
        )
    return seen


class Outcome(NamedTuple):
    """A pattern carried out, and what its records say of it."""

    policy: Policy
    records: ExitRecords
    expected: Decisions
    found: EarlyDecisions
    ran: tuple[Counter, Counter]  # images that hooks saw in each stage and in each branch
    costs: list[int]


@functools.cache
def outcome(name) -> Outcome:
    pattern = PATTERNS[name]
    network, images = network_of(pattern.network), images_of(pattern.count)
    records = records_of(network, images)
    policy = pattern.policy(records)
    costs = policy_macs(policy, stage_macs(network), branch_macs(network))
    ran = count_images(network.stages), count_images(network.branches)
    found = predict(network, images, policy, pattern.batch_size, pool=pattern.pool)
    return Outcome(policy, records, policy.decide(records), found, ran, costs)


@pytest.mark.parametrize("name", PATTERNS)
def test_leaving_early_decides_as_the_records_do(name):
    policy, records, expected, found, *_ = outcome(name)
    close = near(policy, records)
    assert int(close.sum()) <= 1  # none where this was written
    for column in ("exit_index", "level_index", "prediction", "macs"):
        differs = getattr(found, column) != getattr(expected, column)
        assert not (differs & ~close).any(), column


@pytest.mark.parametrize("name", PATTERNS)
def test_what_ran_is_what_the_records_predict(name):
    policy, records, expected, found, (stages, branches), costs = outcome(name)
    exits = range(records.num_exits)
    reached = tuple(int((expected.exit_index >= index).sum()) for index in exits)
    asked = [policy.consults(index) or index == exits[-1] for index in exits]
    assert found.images_per_stage == reached == tuple(stages[index] for index in exits)
    assert found.images_per_branch == tuple(branches[index] for index in exits)
    assert found.images_per_branch == tuple(
        count if yes else 0 for count, yes in zip(reached, asked, strict=True)
    )
    assert found.macs.tolist() == [costs[index] for index in found.exit_index]
    assert found.total_macs == int(found.macs.sum()) == int(expected.macs.sum())


def test_patterns_really_are_what_their_names_say():
    def exits_of(name):
        return outcome(name).expected.exit_index.bincount(minlength=3).tolist()

    assert len(PATTERNS) >= 20
    assert exits_of("all leave first") == [53, 0, 0]
    assert exits_of("none leaves early, all branches are asked") == [0, 0, 53]
    assert exits_of("all leave second") == [0, 53, 0]
    assert exits_of("one survivor") == [52, 0, 1]
    assert min(exits_of("ragged last chunk")) > 0
    assert min(exits_of("published code by batch")) > 0
    assert min(exits_of("gate by batch")) > 0
    assert min(exits_of("patience of 2")[1:]) > 0


def test_an_empty_set_gives_empty_decisions():
    found = predict(network_of(), images_of(0), EntropyThreshold([0.5, 0.5]))
    assert len(found) == 0
    assert found.images_per_stage == found.images_per_branch == (0, 0, 0)
    assert found.total_macs == 0


def test_three_levels_leave_early_too():
    network, images = network_of(hierarchy=FASHION_MNIST_THREE), images_of(40)
    records = records_of(network, images)
    policy = fit_thresholds(
        FineTolerance([0.0, 0.0], 0.1, coarse_level=1), records, [0.5, 0.3, 0.2]
    )
    expected, found = policy.decide(records), predict(network, images, policy, 16)
    close = near(policy, records)
    assert torch.equal(found.exit_index[~close], expected.exit_index[~close])
    assert torch.equal(found.prediction[~close], expected.prediction[~close])


def test_a_split_is_decided_as_its_normalised_images_are():
    network, split = network_of(), split_of(45)
    policy = shares(0.5, 0.3)(collect_records(network, split))
    by_split = predict(network, split, policy, 8)
    by_tensor = predict(network, split.normalise(split.images), policy, 8)
    assert torch.equal(by_split.exit_index, by_tensor.exit_index)
    assert torch.equal(by_split.prediction, by_tensor.prediction)


def test_late_stages_run_on_full_batches():
    network, images = network_of(), images_of(100)
    policy = shares(0.5, 0.3)(records_of(network, images))
    sizes = {index: [] for index in range(3)}
    for index, stage in enumerate(network.stages):
        stage.register_forward_hook(
            lambda _, inputs, __, index=index: sizes[index].append(len(inputs[0]))
        )
    predict(network, images, policy, 8)
    assert [size for stage in sizes.values() for size in stage[:-1]] == [8] * (12 + 6 + 2)
    assert [sum(stage) for stage in sizes.values()] == [100, 50, 20]


def test_macs_are_not_counted_again_for_each_image(monkeypatch):
    network, image = network_of(), images_of(1)
    first = predict(network, image, EntropyThreshold([INF, INF]))
    monkeypatch.setattr("hbnlab.costs.FlopCounterMode", None)  # whoever enters it fails
    again = predict(network, image, EntropyThreshold([INF, INF]))
    assert again.macs.tolist() == first.macs.tolist() == [first.total_macs]
    late = predict(network, image, EntropyThreshold([ALWAYS, 0.0]))
    stages, branches = stage_macs(network), branch_macs(network)
    assert late.macs.tolist() == [sum(stages) + branches[0] + branches[2]]


def test_a_data_set_is_read_while_it_is_worked_on():
    events = []

    @dataclass(frozen=True, kw_only=True, eq=False)
    class Watched(TensorSplit):
        def _read(self, batches):
            for images in super()._read(batches):
                events.append("read")
                yield images

    network = network_of()
    part_macs(network)  # counting runs the stages too, once per network
    network.stages[0].register_forward_hook(lambda *_: events.append("run"))
    predict(network, split_of(40, Watched), EntropyThreshold([1.0, 1.0]), 8)
    assert events == ["read", "run"] * 5


def test_channels_stay_last_all_the_way():
    network, images = network_of(), images_of(60)
    policy = shares(0.5, 0.3)(records_of(network, images))
    kept = []
    for stage in network.stages:
        stage.register_forward_hook(
            lambda _, inputs, __: kept.append(
                inputs[0].is_contiguous(memory_format=torch.channels_last)
            )
        )
    predict(network, images, policy, 8)
    assert len(kept) > 10
    assert all(kept)


class _Waits(TorchFunctionMode):
    """Counts the operations that make the processor wait for a device."""

    WAITING = ("tolist", "item", "cpu", "nonzero", "__bool__", "__int__", "__float__")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += getattr(func, "__name__", "") in self.WAITING
        return func(*args, **kwargs or {})


def test_the_device_is_waited_for_once_a_chunk_and_exit():
    network, images = network_of(), images_of(256)
    with _Waits() as before:
        predict(network, images, EntropyThreshold([0.0, 0.0]), 8)
    with _Waits() as waits:
        found = predict(network, images, EntropyThreshold([ALWAYS, ALWAYS]), 8)
    assert found.images_per_stage == (256, 256, 256)
    assert before.count <= 4  # once for the whole set, whatever its size
    assert waits.count == before.count + 2 * 256 // 8


def test_an_image_of_nan_is_refused_by_its_number():
    images = images_of(20)
    images[13, 1, 4, 5] = math.nan
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity in image 13"):
        predict(network_of(), images, EntropyThreshold([1.0, 1.0]))
    images[13] = 0
    images[7, 0, 0, 0] = -INF
    with pytest.raises(ValueError, match="in image 7"):
        predict(network_of(), images, EntropyThreshold([1.0, 1.0]))


def test_images_of_another_shape_or_type_are_refused():
    network, policy = network_of(), EntropyThreshold([1.0, 1.0])
    with pytest.raises(ValueError, match=r"images of \(3, 32, 32\), the batch has \(1, 32, 32\)"):
        predict(network, torch.zeros(4, 1, 32, 32), policy)
    with pytest.raises(ValueError, match=r"images of \(3, 32, 32\), the batch has \(32, 32\)"):
        predict(network, torch.zeros(3, 32, 32), policy)
    with pytest.raises(ValueError, match=r"normalised floats.*torch.uint8"):
        predict(network, torch.zeros(4, 3, 32, 32, dtype=torch.uint8), policy)
    small = TensorSplit(
        images=torch.zeros(2, 3, 28, 28, dtype=torch.uint8),
        labels=FASHION_MNIST.label_table(torch.arange(2)),
        hierarchy=FASHION_MNIST,
        name="small",
        part="test",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    with pytest.raises(ValueError, match=r"gran-hbn takes images of .* small has \(3, 28, 28\)"):
        predict(network, small, policy)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (EntropyThreshold([1.0]), "one threshold for each exit but the last"),
        (SemanticGate([1.0, 1.0]), "asks for a gate"),
        (ForcedExit(3), "exit_index must be in"),
        (EntropyThreshold([1.0, 1.0], hierarchy=FASHION_MNIST_THREE), "fitted for a tree"),
        (EntropyThreshold([1.0, 1.0], level=2), "there is no head"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_before_anything_runs(policy, message):
    network = network_of()
    stages = count_images(network.stages)
    with pytest.raises(ValueError, match=message):
        predict(network, images_of(4), policy)
    assert not stages


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_below_one_is_refused(size):
    with pytest.raises(ValueError, match=f"batch_size must be 1 or more, got {size}"):
        predict(network_of(), images_of(4), EntropyThreshold([1.0, 1.0]), size)


@dataclass(frozen=True)
class _Odd(Policy):
    """Lets every second image leave at exit 1, and answers the rest only where told to."""

    answers_last: bool = True
    batch_size: int | None = None

    def answers(self, exit_index, view):
        even = torch.arange(view.num_images) % 2 == 0
        if view.is_last:
            return {1: view.all_images()} if self.answers_last else {}
        return {1: even} if exit_index == 0 else {}

    def cells(self, head_mask):
        return [(index, 1) for index in range(len(head_mask))]

    @property
    def view_batch_size(self):
        return self.batch_size


def test_a_policy_that_leaves_images_unanswered_is_refused():
    with pytest.raises(
        ValueError, match=r"the last exit must answer every image, _Odd left 5 of 10"
    ):
        predict(network_of(), images_of(10), _Odd(answers_last=False), 10)


def test_a_policy_by_batch_that_tears_a_batch_apart_is_refused():
    with pytest.raises(ValueError, match="leave as a whole, but of 4 images 2 stay"):
        predict(network_of(), images_of(8), _Odd(batch_size=4))


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_in_the_mode_it_was_in(training):
    network = network_of().train(training)
    predict(network, images_of(4), EntropyThreshold([1.0, 1.0]))
    assert network.training == training
    with pytest.raises(ValueError, match="must answer every image"):
        predict(network, images_of(4), _Odd(answers_last=False))
    assert network.training == training


def test_dropout_is_off_and_decisions_repeat():
    network, images = network_of(dropout=0.5).train(), images_of(40)
    policy = shares(0.5, 0.3)(records_of(network, images))
    first, second = (predict(network, images, policy, 8) for _ in range(2))
    assert torch.equal(first.exit_index, second.exit_index)
    assert torch.equal(first.prediction, second.prediction)


def test_decisions_are_ordinary_tensors_afterwards():
    found = predict(network_of(), images_of(4), EntropyThreshold([1.0, 1.0]))
    found.prediction.add_(0)  # raises for a tensor that inference mode made
    assert found.seconds > 0
    assert not found.exit_index.is_inference()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_leaving_early_on_cuda_decides_as_the_records_do():
    network, split = network_of().cuda(), split_of(300)
    records = collect_records(network, split)
    policy = shares(0.6, 0.25)(records)
    expected, found = policy.decide(records), predict(network, split, policy, 32)
    # On a GPU other batch sizes may take other kernels, which differ in more than the last bits.
    assert (found.exit_index == expected.exit_index).float().mean() > 0.98
    assert found.exit_index.device.type == "cpu"


def test_a_policy_that_answers_at_two_levels_at_once_is_refused():
    class BothLevels(ForcedExit):
        def answers(self, exit_index, view):
            return {level: view.all_images() for level in range(view.num_levels)}

    with pytest.raises(ValueError, match="at one level, BothLevels answered 10 of 10 at two"):
        predict(network_of(), images_of(10), BothLevels(1), 4)
