"""Take pictures of the widgets for the README and the book; ``make pictures`` runs this.

Each widget is opened in JupyterLab, in a browser, in a state that shows its use, and its output is
saved as a picture. The figures of the README are those of ``results/``.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import browser
import series

PICTURES = series.ROOT / "docs" / "pictures"
VIEWPORT = {"width": 1500, "height": 1300}
SETUP = """
from IPython.display import display
from hbnlab import data, models
from hbnlab.collect import collect_records
from hbnlab.policies import FineTolerance
from hbnlab.training import TrainConfig, fit
from hbnlab.widgets import ExitInspector, PolicyExplorer, TrainingMonitor
try:
    splits = data.load("fashion_mnist")
except FileNotFoundError:
    splits = data.load("glyphs")
network = models.create("gran-hbn", weights=splits.name)
val = collect_records(network, splits.val, progress=False)
test = collect_records(network, splits.test, progress=False)
policy = FineTolerance([0.5, 0.5], 0.25)
"""
# Code, and the words on the page that say when to take the picture, even while a training runs.
WIDGETS = {
    "exit-inspector": (
        """
panel = ExitInspector(test, splits.test.images, policy)
decisions = policy.decide(test)
at_2 = (decisions.exit_index == 1) & (decisions.level_index == 0)
doubt = test.entropy[:, 1, 1].where(at_2, -1.0)
panel.image_index = int(doubt.argmax())
panel
""",
        "leaves at exit 2 with the coarse answer",
    ),
    "policy-explorer": (
        """
explorer = PolicyExplorer(val, policy)
explorer.best_for_accuracy(0.94, specificity=0.5)
explorer
""",
        "policies this one is the cheapest",
    ),
    "training-monitor": (
        """
import torch
from dataclasses import replace
part = torch.arange(12_000)
few = replace(splits, train=splits.train.subset(part), val=splits.val.subset(part[:1_000]))
pupil = models.create("gran-hbn", splits.hierarchy, width=0.25, seed=0)
monitor = TrainingMonitor(splits.hierarchy)
display(monitor)
_ = fit(pupil, few, TrainConfig.quick(splits.name, epochs=8), on_step=monitor, progress=False)
""",
        "train, epoch 6 of 8",
    ),
}


def main() -> None:
    """Take the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(WIDGETS)}; default: all")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(WIDGETS):
        parser.error(f"names must be among {list(WIDGETS)}, got {sorted(unknown)}")
    if browser.CHROMIUM is None:
        parser.error("a Chromium is needed; on Debian and Ubuntu: apt install chromium")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with browser.jupyterlab(folder) as base, browser.browser_page(folder / "profile") as page:
            page.set_viewport_size(VIEWPORT)
            for widget in chosen.names or WIDGETS:
                take(page, base, folder, widget)


def take(page: Any, base: str, folder: Path, name: str) -> None:
    """Run a notebook with one widget and write its picture."""
    code, words = WIDGETS[name]
    browser.write_notebook(folder / f"{name}.ipynb", [SETUP, code])
    panel = browser.open_in_lab(page, base, f"{name}.ipynb")
    page.evaluate(browser.START_ALL)
    panel.get_by_text(words).first.wait_for()
    path = PICTURES / f"{name}.png"
    panel.locator(".jp-OutputArea-output").last.screenshot(path=path)
    print(f"{path.relative_to(series.ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
