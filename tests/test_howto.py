"""The pages of "Add your own", followed to the letter in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import book_examples
import pytest

ROOT = Path(__file__).parents[1]
HOWTO = ROOT / "docs" / "howto"

# Which block of a page goes into which file, as the last section of the page says.
MODULES = {
    "add_policy": (0, "hbnlab/policies/finest_confident.py"),
    "add_data_set": (2, "hbnlab/data/stripes.py"),
    "add_network": (0, "hbnlab/models/small_net.py"),
    "add_figure": (0, "hbnlab/plots/accuracy_by_exit.py"),
}


def _import_first(module: str, name: str) -> Callable[[str], str]:
    """Add an import before all others of the package, where a circular import would show."""
    line = f"from {module} import {name}\n"
    return lambda text: re.sub(r"^from hbnlab", f"{line}from hbnlab", text, count=1, flags=re.M)


def _add_to(table: str, entry: str) -> Callable[[str], str]:
    """Add an entry at the start of a table."""

    def edit(text: str) -> str:
        edited, count = re.subn(rf"^({table}\b[^\n]*= [({{])", rf"\1{entry}, ", text, flags=re.M)
        assert count == 1
        return edited

    return edit


# The one line that each page tells to add, and where.
LINES = {
    "hbnlab/policies/__init__.py": [
        _import_first("hbnlab.policies.finest_confident", "FinestConfident")
    ],
    "hbnlab/data/__init__.py": [_add_to("NAMES", '"stripes"')],
    "hbnlab/models/named_networks.py": [
        _import_first("hbnlab.models", "small_net"),
        _add_to("TRUNKS", '"small-net": small_net.trunk'),
    ],
    "hbnlab/plots/__init__.py": [
        _import_first("hbnlab.plots.accuracy_by_exit", "accuracy_by_exit")
    ],
}


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy of the package with all four additions."""
    root = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__", "bundled")
    shutil.copytree(ROOT / "hbnlab", root / "hbnlab", ignore=ignored)
    for page, (number, target) in MODULES.items():
        text = (HOWTO / f"{page}.md").read_text(encoding="utf-8")
        assert f"`{target}`" in text
        (root / target).write_text(book_examples.examples(text)[number].code, encoding="utf-8")
    for name, edits in LINES.items():
        path = root / name
        text = path.read_text(encoding="utf-8")
        for edit in edits:
            changed = edit(text)
            assert changed != text
            text = changed
        path.write_text(text, encoding="utf-8")
    return root


def _run(folder: Path, code: str) -> str:
    """Run code in a new interpreter that sees the copy only."""
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_every_page_is_followed():
    assert {path.stem for path in HOWTO.glob("*.md")} == MODULES.keys()


@pytest.mark.parametrize("target", [target for _, target in MODULES.values()])
def test_what_a_page_adds_can_be_imported_first(extended, target):
    _run(extended, f"import {target.removesuffix('.py').replace('/', '.')}")


def test_an_added_network_trains_on_an_added_data_set_from_the_command_line(extended):
    code = """
from hbnlab.cli import main

train = "train --preset {} --dataset stripes --trunk small-net --num-epochs 1 --device cpu --out {}"
for preset in ("quick", "paper"):
    assert main(train.format(preset, preset).split()) == 0
    assert main(["test", "--out", preset, "--device", "cpu"]) == 0
"""
    assert "specificity" in _run(extended, code)


def test_an_added_policy_and_figure_work_on_records_of_an_added_network(extended):
    code = """
from hbnlab import data, models, plots
from hbnlab.collect import collect_records
from hbnlab.metrics import evaluate
from hbnlab.policies import FinestConfident

splits = data.load("stripes")
network = models.create("gran-hbn", splits.hierarchy, trunk="small-net")
records = collect_records(network, splits.test)
print("specificity", evaluate(FinestConfident(0.0).decide(records), records).specificity)
print(plots.describe(plots.accuracy_by_exit(records)))
"""
    printed = _run(extended, code)
    assert "specificity 1.0" in printed
    assert "Accuracy by exit (stripes test, 100 images)" in printed
