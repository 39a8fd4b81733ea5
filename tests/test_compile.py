"""torch.compile: one graph, and the same training. In a process of its own, without the checker.

jaxtyping's checker, which the tests run under, is not something that torch.compile can read.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SET_UP = """
import sys
sys.path.insert(0, {tests!r})
import torch
from conftest import TINY_TREE, tiny_split
from hbnlab import models
from hbnlab.data import Splits
from hbnlab.training import TrainConfig, fit

torch.set_num_threads(1)
"""

ONE_GRAPH = """
images = torch.randn(4, 3, 32, 32)
ours = [(name, "residual") for name in ("plain", "branchy", "ag-hbn")]
for name, trunk in [*((name, "alexnet") for name in models.STUDY_NAMES), *ours]:
    network = models.create(name, TINY_TREE, width=0.05, trunk=trunk).eval()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    for row, expected in zip(compiled(images).logits, network(images).logits, strict=True):
        for logits, wanted in zip(row, expected, strict=True):
            assert (logits is None) == (wanted is None)
            assert logits is None or torch.equal(logits, wanted)
"""

SAME_TRAINING = """
parts = [("train", 32), ("val", 15), ("test", 10)]
train, val, test = (tiny_split(part, count, seed) for seed, (part, count) in enumerate(parts))
splits = Splits(train=train, val=val, test=test, hierarchy=TINY_TREE, name="colours")
for trunk, optimizer in (("alexnet", "adam"), ("residual", "sgd")):
    trained = []
    for compiled in (False, True):
        network = models.create("sem-hbn", TINY_TREE, width=0.05, trunk=trunk)
        settings = {"batch_size": 16, "dropout": 0.0, "device": "cpu", "optimizer": optimizer}
        fit(network, splits, TrainConfig(**settings, compile=compiled), progress=False)
        trained.append(network.state_dict())
    assert trained[0].keys() == trained[1].keys()
    for name in trained[0]:
        torch.testing.assert_close(trained[0][name], trained[1][name], rtol=1e-2, atol=1e-4)
"""


def _run(code: str, cache: Path) -> None:
    set_up = SET_UP.format(tests=str(Path(__file__).parent))
    ended = subprocess.run(
        [sys.executable, "-c", set_up + code],
        cwd=cache,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_every_network_compiles_to_one_graph(tmp_path):
    _run(ONE_GRAPH, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler on a processor, and this system has none",
)
def test_compiled_training_learns_the_same(tmp_path):
    _run(SAME_TRAINING, tmp_path)
