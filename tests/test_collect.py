"""Records hold exactly what the network says, once for every image."""

import pytest
import torch

from hbnlab import models
from hbnlab.collect import collect_records, network_fingerprint
from hbnlab.costs import macs_to_exits
from hbnlab.data import TensorSplit
from hbnlab.trees import FASHION_MNIST


@pytest.fixture
def images():
    return torch.randn(21, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return torch.arange(21) % 10


def network_of(name):
    return models.create(name, FASHION_MNIST, width=0.05, seed=3)


def split_of(count):
    generator = torch.Generator().manual_seed(2)
    return TensorSplit(
        images=torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator),
        labels=FASHION_MNIST.label_table(torch.arange(count) % 10),
        hierarchy=FASHION_MNIST,
        name="noise",
        part="test",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        augmentations=("crop", "flip"),
        attributes={"difficulty": torch.arange(count) / count},
    )


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_records_hold_the_logits_of_every_cell(name, images, labels):
    network = network_of(name).eval()
    records = collect_records(network, (images, labels), batch_size=8)
    with torch.inference_mode():
        outputs = network(images)
    for exit_index, row in enumerate(outputs.logits):
        for level, logits in enumerate(row):
            stored = records.logits[level][:, exit_index]
            if logits is None:
                assert stored.isnan().all()
            else:
                torch.testing.assert_close(stored, logits, rtol=1e-4, atol=1e-5)
    assert records.has_gate == network.has_gate
    assert records.head_mask == network.head_mask


def test_records_count_the_costs_of_the_study():
    network = network_of("ag-hbn")
    records = collect_records(network, split_of(3))
    counted = [records.macs_to(exit_index) for exit_index in range(3)]
    assert counted == macs_to_exits(network)


def test_every_image_is_seen_once_in_its_order(images, labels):
    network, seen = network_of("b-alexnet"), []
    network.stages[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].clone()))
    collect_records(network, (images, labels), batch_size=5)
    counted_for_costs = [batch for batch in seen if len(batch) == 1 and not batch.any()]
    assert torch.equal(torch.cat(seen[: len(seen) - len(counted_for_costs)]), images)


def test_a_split_and_its_normalised_images_give_the_same_logits():
    network, split = network_of("gran-hbn"), split_of(30)
    by_split = collect_records(network, split, batch_size=16)
    pair = (split.normalise(split.images), split.labels)
    by_pair = collect_records(network, pair, batch_size=16)
    assert torch.equal(by_split.logits[1], by_pair.logits[1])
    assert by_split.split == "noise test"
    assert torch.equal(by_split.attributes["difficulty"], split.attributes["difficulty"])


def test_the_network_is_left_as_it_was(images, labels):
    network = network_of("gran-hbn").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    collect_records(network, (images, labels))
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_images_are_augmented_only_when_asked():
    network, split = network_of("gran-hbn"), split_of(30)
    plain = [collect_records(network, split).logits[1] for _ in range(2)]
    drawn = [
        collect_records(network, split, augment=torch.Generator().manual_seed(seed)).logits[1]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(plain[0], plain[1])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(plain[0], drawn[0])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_fingerprint_names_network_and_data(images, labels):
    first = collect_records(network_of("gran-hbn"), (images, labels)).fingerprint
    assert collect_records(network_of("gran-hbn"), (images, labels)).fingerprint == first
    assert collect_records(network_of("gran-hbn"), (images + 1, labels)).fingerprint != first
    assert network_fingerprint(network_of("b-alexnet")) not in first


def test_what_does_not_fit_is_refused_with_its_value(images, labels):
    network = network_of("gran-hbn")
    broken = images.clone()
    broken[4, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="image 4"):
        collect_records(network, (broken, labels))
    with pytest.raises(ValueError, match=r"images of \(3, 32, 32\), the batch has \(1, 32, 32\)"):
        collect_records(network, (images[:, :1], labels))
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        collect_records(network, (images.byte(), labels))
    with pytest.raises(ValueError, match="0 images"):
        collect_records(network, (images[:0], labels[:0]))
    with pytest.raises(ValueError, match="21 images and 20 labels"):
        collect_records(network, (images, labels[:20]))
    with pytest.raises(ValueError, match=r"must be in 0\.\.9, got 0\.\.10"):
        collect_records(network, (images, labels + (labels == 9).long()))
