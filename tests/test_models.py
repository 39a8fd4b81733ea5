"""hbnlab.models: the study's five networks, to the last parameter, FLOP and logit."""

import itertools
import os
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hbnlab import costs, models
from hbnlab.hierarchy import Hierarchy
from hbnlab.models import EarlyExitNetwork, load_weights, save_weights
from hbnlab.models.weights import BUNDLED
from hbnlab.storage import save_tensors
from hbnlab.trees import CIFAR100, FASHION_MNIST, FASHION_MNIST_THREE

PARAMETERS = {
    "alexnet": 8_752_036,
    "b-alexnet": 12_066_540,
    "sem-hbn": 11_738_700,
    "gran-hbn": 12_189_480,
    "ag-hbn": 12_193_578,
}
FLOPS = {
    "alexnet": [96_452_608],
    "b-alexnet": [31_703_040, 75_628_544, 135_806_976],
    "sem-hbn": [31_375_360, 74_973_184, 135_151_616],
    "gran-hbn": [31_784_960, 75_792_384, 136_052_736],
    "ag-hbn": [31_793_152, 75_800_576, 136_060_928],
}
# The numbers that the files of CIFAR-100 give the fine classes, by coarse class.
CIFAR100_FINE = [
    [4, 30, 55, 72, 95],
    [1, 32, 67, 73, 91],
    [54, 62, 70, 82, 92],
    [9, 10, 16, 28, 61],
    [0, 51, 53, 57, 83],
    [22, 39, 40, 86, 87],
    [5, 20, 25, 84, 94],
    [6, 7, 14, 18, 24],
    [3, 42, 43, 88, 97],
    [12, 17, 37, 68, 76],
    [23, 33, 49, 60, 71],
    [15, 19, 21, 31, 38],
    [34, 63, 64, 66, 75],
    [26, 45, 77, 79, 99],
    [2, 11, 35, 46, 98],
    [27, 29, 44, 78, 93],
    [36, 50, 65, 74, 80],
    [47, 52, 56, 59, 96],
    [8, 13, 48, 58, 90],
    [41, 69, 81, 85, 89],
]


def _images(count: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def _flat(outputs: models.ExitOutputs) -> list[Tensor]:
    """All logits there are, the gate's last."""
    cells = [*itertools.chain.from_iterable(outputs.logits), outputs.gate]
    return [cell for cell in cells if cell is not None]


# ---------------------------------------------------------------------- the study's numbers


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_the_parameters_and_flops_are_those_that_the_study_prints(name):
    network = models.create(name, CIFAR100)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]
    assert [2 * macs for macs in costs.macs_to_exits(network)] == FLOPS[name]


def test_the_100_numbers_of_the_cifar_100_tree_are_those_of_the_files():
    assert sorted(itertools.chain.from_iterable(CIFAR100_FINE)) == list(range(100))
    assert [list(CIFAR100.leaves(0, coarse)) for coarse in range(20)] == CIFAR100_FINE


# ---------------------------------------------------------------------- the study's checkpoints

TRUNK = {
    "features1.0": (64, 3, 3, 3),
    "features2.0": (192, 64, 3, 3),
    "features2.3": (384, 192, 3, 3),
    "features3.0": (256, 384, 3, 3),
    "features3.2": (256, 256, 3, 3),
}
BRANCHES = {
    "branch1.0": (256, 64, 3, 3),
    "branch1.3": (128, 256, 3, 3),
    "branch2.0": (256, 384, 3, 3),
}
CLASSIFIER = {"classifier.1": (2048, 1024), "classifier.4": (2048, 2048)}


def _one_head_branches(classes: int) -> dict[str, tuple[int, ...]]:
    return BRANCHES | {
        "exit1.1": (2048, 512),
        "exit1.3": (classes, 2048),
        "exit2.1": (2048, 256),
        "exit2.3": (classes, 2048),
    }


_GRAN = (
    TRUNK
    | BRANCHES
    | {"lin1.1": (2048, 512), "lin2.1": (2048, 256)}
    | CLASSIFIER
    | {
        f"exit{n}{head}.0": (size, 2048)
        for n in (1, 2, 3)
        for head, size in (("a", 100), ("b", 20))
    }
)
ORIGINAL: dict[str, dict[str, tuple[int, ...]]] = {
    "alexnet": {
        f"features.{ours}": TRUNK[theirs]
        for ours, theirs in zip((0, 3, 6, 8, 10), TRUNK, strict=True)
    }
    | CLASSIFIER
    | {"classifier.6": (100, 2048)},
    "b-alexnet": TRUNK | _one_head_branches(100) | CLASSIFIER | {"classifier.6": (100, 2048)},
    "sem-hbn": TRUNK | _one_head_branches(20) | CLASSIFIER | {"classifier.6": (100, 2048)},
    "gran-hbn": _GRAN,
    "ag-hbn": _GRAN | {"sem_complexity.0": (2, 2048)},
}


def _original_state(name: str, seed: int = 0) -> dict[str, Tensor]:
    """Random weights as the study's code would have saved them."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in ORIGINAL[name].items():
        fan_in = torch.Size(shape[1:]).numel()
        state[f"{key}.weight"] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        state[f"{key}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    return state


class _Original:
    """The table of layers, written out on the study's own keys; dropout is off."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def conv(self, key: str, x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self.state[f"{key}.weight"], self.state[f"{key}.bias"]
        return functional.conv2d(x, weight, bias, stride=stride, padding=1)

    def linear(self, key: str, x: Tensor) -> Tensor:
        return functional.linear(x, self.state[f"{key}.weight"], self.state[f"{key}.bias"])

    def trunk(self, x: Tensor, keys: tuple[str, ...]) -> list[Tensor]:
        one, two, three, four, five = keys
        first = _pool_relu(self.conv(one, x, stride=2))
        second = self.conv(three, _pool_relu(self.conv(two, first))).relu()
        third = _pool_relu(self.conv(five, self.conv(four, second).relu()))
        assert [tuple(t.shape[1:]) for t in (first, second, third)] == [
            (64, 8, 8),
            (384, 4, 4),
            (256, 2, 2),
        ]
        return [first, second, third]

    def features(self, x: Tensor, linear_1: str, linear_2: str) -> list[Tensor]:
        """The 2048 features of the three branches."""
        first, second, third = self.trunk(x, tuple(TRUNK))
        one = _pool_relu(self.conv("branch1.3", _pool_relu(self.conv("branch1.0", first))))
        two = _pool_relu(self.conv("branch2.0", second, stride=2))
        return [
            self.linear(linear_1, one.flatten(1)).relu(),
            self.linear(linear_2, two.flatten(1)).relu(),
            self.classifier(third),
        ]

    def classifier(self, x: Tensor) -> Tensor:
        hidden = self.linear("classifier.1", x.flatten(1)).relu()
        return self.linear("classifier.4", hidden).relu()

    def logits(self, name: str, x: Tensor) -> list[list[Tensor | None]]:
        """By exit: coarse and fine."""
        if name == "alexnet":
            keys = tuple(f"features.{index}" for index in (0, 3, 6, 8, 10))
            last = self.classifier(self.trunk(x, keys)[-1])
            return [[None, self.linear("classifier.6", last)]]
        if name in ("gran-hbn", "ag-hbn"):
            features = self.features(x, "lin1.1", "lin2.1")
            return [
                [self.linear(f"exit{n}b.0", f), self.linear(f"exit{n}a.0", f)]
                for n, f in enumerate(features, start=1)
            ]
        one, two, three = self.features(x, "exit1.1", "exit2.1")
        early = [self.linear("exit1.3", one), self.linear("exit2.3", two)]
        rows = [[head, None] if name == "sem-hbn" else [None, head] for head in early]
        return [*rows, [None, self.linear("classifier.6", three)]]

    def gate(self, x: Tensor) -> Tensor:
        return self.linear("sem_complexity.0", self.features(x, "lin1.1", "lin2.1")[0])


def _pool_relu(x: Tensor) -> Tensor:
    return functional.max_pool2d(x, 2).relu()


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_a_checkpoint_of_the_original_gives_the_logits_of_the_original(name, tmp_path):
    state, images = _original_state(name), _images()
    torch.save(state, tmp_path / "study.pth")
    network = models.load_original(tmp_path / "study.pth", name).eval()
    with torch.inference_mode():
        outputs, original = network(images), _Original(state)
        expected = original.logits(name, images)
        for exit_row, expected_row in zip(outputs.logits, expected, strict=True):
            for logits, wanted in zip(exit_row, expected_row, strict=True):
                assert (logits is None) == (wanted is None)
                if logits is not None:
                    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-6)
        if name == "ag-hbn":
            torch.testing.assert_close(outputs.gate, original.gate(images), rtol=0, atol=1e-6)
        else:
            assert outputs.gate is None


@pytest.mark.parametrize(
    ("written", "asked", "named"),
    [
        ("gran-hbn", "ag-hbn", 'Missing .*: "gate.weight", "gate.bias"'),
        ("ag-hbn", "gran-hbn", 'Unexpected .*: "gate.weight", "gate.bias"'),
        ("alexnet", "b-alexnet", 'Missing .* "branches.0'),
        ("b-alexnet", "alexnet", 'Unexpected .* "branch'),
        ("b-alexnet", "gran-hbn", 'Missing .*"heads.0.0.bias"'),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_with_its_keys(written, asked, named, tmp_path):
    torch.save(_original_state(written), tmp_path / "study.pth")
    with pytest.raises(ValueError, match=rf"not a checkpoint of {asked}: .*{named}"):
        models.load_original(tmp_path / "study.pth", asked)


def test_a_key_that_the_study_has_not_is_named_as_it_stands(tmp_path):
    torch.save(_original_state("alexnet") | {"epoch.count": torch.zeros(1)}, tmp_path / "study.pth")
    with pytest.raises(ValueError, match=r'Network: Unexpected .*: "epoch\.count"'):
        models.load_original(tmp_path / "study.pth", "alexnet")


def test_a_checkpoint_with_other_shapes_is_refused_with_both(tmp_path):
    torch.save(_original_state("b-alexnet"), tmp_path / "study.pth")  # fine where Sem-HBN is coarse
    shapes = r"not a checkpoint of sem-hbn: .*heads\.0\.0\.weight.*\[100, 2048\].*\[20, 2048\]"
    with pytest.raises(ValueError, match=shapes):
        models.load_original(tmp_path / "study.pth", "sem-hbn")


class _Trap:
    """Unpickling this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path):
    state = _original_state("alexnet") | {"classifier.6.bias": _Trap(tmp_path / "sprung")}
    torch.save(state, tmp_path / "trap.pth")
    with pytest.raises(
        ValueError, match="not a plain state dict of tensors; nothing in it was exe"
    ):
        models.load_original(tmp_path / "trap.pth", "alexnet")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"epoch": 3}, {7: torch.zeros(2)}])
def test_a_checkpoint_that_holds_something_else_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not a plain state dict of tensors"):
        models.load_original(tmp_path / "other.pth", "alexnet")


def test_a_damaged_or_missing_checkpoint_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cut\.pth is damaged"):
        models.load_original(tmp_path / "cut.pth", "alexnet")
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        models.load_original(tmp_path / "absent.pth", "alexnet")


# ---------------------------------------------------------------------- making networks


def test_an_unknown_network_is_refused_with_those_there_are(tmp_path):
    study = "'alexnet', 'b-alexnet', 'sem-hbn', 'gran-hbn', 'ag-hbn'"
    with pytest.raises(ValueError, match=rf"one of \[{study}, 'plain', 'branchy'\], got 'resnet'"):
        models.create("resnet", CIFAR100)
    with pytest.raises(ValueError, match=rf"one of \[{study}\], got 'resnet'"):
        models.load_original(tmp_path / "any.pth", "resnet")


def test_a_network_needs_classes():
    with pytest.raises(ValueError, match="gran-hbn needs a hierarchy or weights"):
        models.create("gran-hbn")


def test_the_seed_alone_decides_the_weights(tiny_network):
    first = tiny_network(seed=1).state_dict()
    torch.rand(5)
    again, other = tiny_network(seed=1).state_dict(), tiny_network(seed=2).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


def test_making_a_network_leaves_the_global_generator_as_it_was(tiny_network):
    before = torch.get_rng_state()
    tiny_network(seed=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_width_scales_channels_and_hidden_units_but_not_images_and_classes(name):
    network = models.create(name, FASHION_MNIST, width=0.25)
    full = models.create(name, FASHION_MNIST)
    assert network.width == 0.25
    for (key, narrow), wide in zip(
        network.state_dict().items(), full.state_dict().values(), strict=True
    ):
        out_fixed = key.startswith(("heads.", "gate."))
        assert narrow.shape[0] == (wide.shape[0] if out_fixed else wide.shape[0] // 4)
        if narrow.ndim > 1:
            assert narrow.shape[1] == (3 if key == "stages.0.0.weight" else wide.shape[1] // 4)


def test_the_narrowest_network_still_works(tiny_network):
    assert [out.shape[0] for out in _flat(tiny_network(width=1e-6)(_images()))] == [3] * 6


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_a_width_that_is_none_is_refused(width, tiny_tree):
    with pytest.raises(ValueError, match=f"width must be above 0 and finite, got {width}"):
        models.create("gran-hbn", tiny_tree, width=width)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_probability_is_refused(dropout, tiny_network):
    with pytest.raises(ValueError, match=rf"dropout must be in \[0, 1\), got {dropout}"):
        tiny_network(dropout=dropout)
    with pytest.raises(ValueError, match="dropout must be in"):
        tiny_network().set_dropout(dropout)


def test_dropout_works_in_training_and_can_be_set(tiny_network):
    network, images = tiny_network(dropout=0.5).train(), _images()

    def repeats() -> bool:
        return all(map(torch.equal, _flat(network(images)), _flat(network(images))))

    assert not repeats()
    network.set_dropout(0.0)
    assert repeats()
    network.set_dropout(0.5)
    network.eval()
    assert repeats()


STUDY_CELLS = {
    "alexnet": [[0, 0, 1]],
    "b-alexnet": [[0, 0, 1]] * 3,
    "sem-hbn": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "gran-hbn": [[1, 1, 1]] * 3,
    "ag-hbn": [[1, 1, 1]] * 3,
}


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_a_third_level_is_given_heads_in_each_networks_manner(name):
    network = models.create(name, FASHION_MNIST_THREE, width=0.05)
    assert [[int(cell) for cell in row] for row in network.head_mask] == STUDY_CELLS[name]
    assert network.has_gate == (name == "ag-hbn")
    for row in network(_images()).logits:
        for size, logits in zip((2, 6, 10), row, strict=True):
            assert logits is None or logits.shape == (3, size)


def test_sem_hbn_is_coarse_until_its_last_exit():
    assert models.create("sem-hbn", CIFAR100, width=0.05).head_mask == (
        (True, False),
        (True, False),
        (False, True),
    )


def test_a_tree_of_one_level_fits_every_network():
    flat = Hierarchy(("class",), (("a", "b"),), ((),))
    for name in models.STUDY_NAMES:
        outputs = models.create(name, flat, width=0.05)(_images())
        assert all(logits.shape == (3, 2) for row in outputs.logits for logits in row)


def test_a_grid_of_heads_overrides_the_study(tiny_network):
    grid = ((True, False), (True, True), (False, True))
    network = tiny_network("b-alexnet", heads=grid)
    assert network.head_mask == grid
    present = tuple(tuple(cell is not None for cell in row) for row in network(_images()).logits)
    assert present == grid


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ([[True, True]] * 2, "a head mask must have 3 exits x 2 levels, got"),
        ([[True, True], [True], [True, True]], "a head mask must have 3 exits x 2 levels, got"),
        ([[True, True], [False, False], [True, True]], r"at least one head, none at exit \[2\]"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(heads, message, tiny_network):
    with pytest.raises(ValueError, match=message):
        tiny_network(heads=heads)


def test_parts_of_a_network_that_do_not_pair_are_refused(tiny_tree):
    flatten = torch.nn.Flatten()
    with pytest.raises(ValueError, match="got 2 stages, 1 branches, 1 sizes"):
        EarlyExitNetwork([flatten, flatten], [flatten], [4], tiny_tree, heads=[[True, True]])


# ---------------------------------------------------------------------- running networks


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_stages_and_branches_one_by_one_say_what_the_whole_says(name, tiny_network):
    network, hidden = tiny_network(name).eval(), _images()
    whole = network(hidden)
    for exit_index in range(network.num_exits):
        hidden = network.run_stage(exit_index, hidden)
        part = network.run_branch(exit_index, hidden)
        for mine, theirs in zip(part.logits, whole.logits[exit_index], strict=True):
            assert (mine is None and theirs is None) or torch.equal(mine, theirs)
        assert (part.gate is not None) == (network.has_gate and exit_index == 0)


def test_training_and_evaluation_give_outputs_of_one_form(tiny_network):
    for name in models.STUDY_NAMES:
        network = tiny_network(name)
        forms = [
            [
                [None if cell is None else cell.shape for cell in row]
                for row in network(_images()).logits
            ]
            for network in (network.train(), network.eval())
        ]
        assert forms[0] == forms[1]


def test_an_image_is_judged_by_itself_alone(tiny_network):
    network, images = tiny_network("ag-hbn").eval(), _images(8)
    order = torch.tensor([5, 0, 7, 3, 1, 2, 6, 4])
    for straight, shuffled in zip(
        _flat(network(images)), _flat(network(images[order])), strict=True
    ):
        torch.testing.assert_close(straight[order], shuffled)


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 32)])
def test_images_of_another_shape_are_refused_with_both_shapes(shape, tiny_network):
    both = re.escape(f"gran-hbn takes images of (3, 32, 32), the batch has {shape}")
    with pytest.raises(ValueError, match=both):
        tiny_network()(torch.zeros(2, *shape))


def test_images_that_are_no_batch_of_floats_are_refused(tiny_network):
    with pytest.raises(ValueError, match=r"images of \(3, 32, 32\), the batch has \(32, 32\)"):
        tiny_network().check_images(torch.zeros(3, 32, 32))
    with pytest.raises(ValueError, match=r"images must be normalised floats.* got torch\.uint8"):
        tiny_network().check_images(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))


# ---------------------------------------------------------------------- weights in files


def test_the_names_in_a_file_stay_the_same(tiny_network):
    layers = [
        *("stages.0.0", "stages.1.0", "stages.1.3", "stages.2.0", "stages.2.2"),
        *("branches.0.0.0", "branches.0.0.3", "branches.0.2.1"),
        *("branches.1.0.0", "branches.1.2.1", "branches.2.1.1", "branches.2.1.4"),
        *("heads.0.0", "heads.0.1", "heads.1.0", "heads.1.1", "heads.2.0", "heads.2.1", "gate"),
    ]
    expected = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert tiny_network("ag-hbn").state_dict().keys() == expected


@pytest.mark.parametrize("name", models.STUDY_NAMES)
def test_weights_bring_hierarchy_width_and_heads(name, tiny_network, tmp_path):
    network = tiny_network(name, seed=3)
    save_weights(network, tmp_path / "w.safetensors", notes={"command": "by hand"})
    again = models.create(name, weights=tmp_path / "w.safetensors")
    assert again.to_spec() == network.to_spec()
    assert all(map(torch.equal, _flat(again.eval()(_images())), _flat(network.eval()(_images()))))
    assert load_weights(tmp_path / "w.safetensors").header["command"] == "by hand"


def test_weights_bring_a_grid_of_their_own(tiny_network, tmp_path):
    grid = ((True, False), (True, True), (True, True))
    save_weights(tiny_network(heads=grid), tmp_path / "w.safetensors")
    assert models.create("gran-hbn", weights=str(tmp_path / "w.safetensors")).head_mask == grid


def test_weights_in_half_precision_are_half_the_size_and_nearly_the_same(tiny_network, tmp_path):
    network = tiny_network()
    save_weights(network, tmp_path / "whole", notes={})
    save_weights(network, tmp_path / "half", half=True)
    sizes = {name: (tmp_path / name).stat().st_size for name in ("whole", "half")}
    assert sizes["half"] < 0.6 * sizes["whole"]
    again = models.create("gran-hbn", weights=tmp_path / "half")
    for mine, theirs in zip(
        _flat(again.eval()(_images())), _flat(network.eval()(_images())), strict=True
    ):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-3)


def test_weights_of_something_else_are_refused_and_every_difference_named(tiny_network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(tiny_network(), path)
    with pytest.raises(ValueError, match="holds another network") as caught:
        models.create("ag-hbn", FASHION_MNIST, width=0.25, heads=[[True, True]] * 2, weights=path)
    message = str(caught.value)
    for part in [
        str(path),
        "name is 'gran-hbn', not 'ag-hbn'",
        "width is 0.05, not 0.25",
        "hierarchy has classes (2, 5), not (6, 10)",
        "heads is [[True, True], [True, True], [True, True]], not [[True, True], [True, True]]",
    ]:
        assert part in message


def test_weights_for_other_classes_of_the_same_number_are_refused(
    tiny_network, tiny_tree, tmp_path
):
    save_weights(tiny_network(), tmp_path / "w")
    names = (tiny_tree.class_names[0], ("a", "b", "c", "d", "e"))
    renamed = Hierarchy(tiny_tree.level_names, names, tiny_tree.parents)
    with pytest.raises(
        ValueError, match=r"same numbers of classes \(2, 5\) under other names .*, not '\w+/a'"
    ):
        models.create("gran-hbn", renamed, weights=tmp_path / "w")


def test_weights_for_another_tree_of_the_same_classes_are_refused(tmp_path):
    tree = Hierarchy.from_dict({"pet": ["cat"], "wild": ["deer", "lynx"]})
    save_weights(models.create("gran-hbn", tree, width=0.05), tmp_path / "w")
    moved = Hierarchy.from_dict({"pet": ["cat", "deer"], "wild": ["lynx"]})
    with pytest.raises(ValueError, match="such as 'wild/deer', not 'pet/deer'"):
        models.create("gran-hbn", moved, weights=tmp_path / "w")
    turned = Hierarchy(tree.level_names, (("wild", "pet"), tree.class_names[1]), ((), (1, 0, 0)))
    with pytest.raises(ValueError, match="same coarse classes in another order"):
        models.create("gran-hbn", turned, weights=tmp_path / "w")


def test_weights_that_are_not_there_are_refused_with_those_that_are(tmp_path):
    with pytest.raises(
        ValueError, match=r"weights must be one of \[.*\] or a file, got 'imagenet'"
    ):
        models.create("gran-hbn", weights="imagenet")


def test_a_file_without_a_network_is_no_weights(tmp_path):
    save_tensors(tmp_path / "r.safetensors", {"logits": torch.zeros(2)}, {"format": "records"})
    with pytest.raises(ValueError, match=r"r\.safetensors holds no network, but records"):
        models.create("gran-hbn", weights=tmp_path / "r.safetensors")


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*/*/*.safetensors")), ids=str)
def test_bundled_weights_are_small_and_load(path):
    dataset, trunk, name = *path.parts[-3:-1], path.stem
    network = models.create(name, weights=dataset, trunk=trunk)
    assert (network.name, network.trunk) == (name, trunk)
    assert network.width == {"alexnet": 0.25, "residual": 1.0}[trunk]
    assert all(logits.isfinite().all() for logits in _flat(network.eval()(_images())))
    assert path.stat().st_size <= 2_500_000


def test_all_bundled_weights_together_stay_small():
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) < 30_000_000


@pytest.mark.parametrize("trunk", models.TRUNKS)
def test_the_file_of_an_ag_hbn_is_also_that_of_a_gran_hbn(trunk, tiny_tree, tmp_path, monkeypatch):
    monkeypatch.setattr("hbnlab.models.weights.BUNDLED", tmp_path)
    gated = models.create("ag-hbn", tiny_tree, width=0.05, trunk=trunk).eval()
    save_weights(gated, tmp_path / "moon" / trunk / "ag-hbn.safetensors")
    network = models.create("gran-hbn", weights="moon", trunk=trunk).eval()
    assert (network.name, network.gate) == ("gran-hbn", None)
    images = _images()
    assert all(map(torch.equal, _flat(network(images)), _flat(gated(images))[:-1]))
    with pytest.raises(ValueError, match=f"no weights of sem-hbn on the trunk '{trunk}' are bundl"):
        models.create("sem-hbn", weights="moon", trunk=trunk)
