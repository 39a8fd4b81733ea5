"""The widgets in a real browser: JupyterLab and Voila, moved by keyboard, names read out."""

import re
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import browser
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is absent")
pytest.importorskip("jupyterlab", reason="jupyterlab is absent")
if browser.CHROMIUM is None:
    pytest.skip("there is no Chromium", allow_module_level=True)

from playwright.sync_api import Locator, Page, expect

expect.set_options(timeout=browser.WAIT)
pytestmark = [pytest.mark.browser, pytest.mark.slow]

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import math
import torch
from plot_inputs import images_of
from random_records import random_records
from hbnlab.policies import FineTolerance
from hbnlab.widgets import ExitInspector, PolicyExplorer, TrainingMonitor
torch.set_num_threads(1)
records = random_records(40)
"""
INSPECTOR = """
ExitInspector(records, images_of(records), FineTolerance([math.inf, math.inf], 0.0))
"""
REFUSING = """
few = random_records(40, heads=[[True, False], [True, True], [True, True]])
ExitInspector(few, images_of(few), FineTolerance([0, 0.5], 0.2))
"""
EXPLORER = "PolicyExplorer(records, FineTolerance([0.8, 0.6], 0.3))"
MONITOR = """
from conftest import TINY_TREE, tiny_split
from hbnlab import models
from hbnlab.data import Splits
from hbnlab.training import TrainConfig, fit
parts = {part: tiny_split(part, 500, 0) for part in ("train", "val", "test")}
splits = Splits(**parts, hierarchy=TINY_TREE, name="colours")
network = models.create("gran-hbn", TINY_TREE, width=0.05)
monitor = TrainingMonitor(TINY_TREE, every=0.2)
display(monitor)
config = TrainConfig(epochs=1000, batch_size=20)
history = fit(network, splits, config, on_step=monitor, progress=False)
print("epochs kept:", len(history.epochs))
"""
NAMELESS = re.compile(r"^\s*- '?(spinbutton|combobox|button|textbox|img)(?! \")", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A notebook for each widget."""
    folder = tmp_path_factory.mktemp("notebooks")
    cells = {
        "inspector": INSPECTOR,
        "refusing": REFUSING,
        "explorer": EXPLORER,
        "monitor": MONITOR,
    }
    for name, cell in cells.items():
        browser.write_notebook(folder / f"{name}.ipynb", [SETUP, cell])
    return folder


@pytest.fixture(scope="module")
def lesson(folder) -> Path:
    """A copy of notebook 09 beside them."""
    notebook = Path(__file__).parents[1] / "notebooks" / "09_inspect_exits.ipynb"
    return Path(shutil.copy(notebook, folder))


@pytest.fixture(scope="module")
def lab(folder) -> Iterator[str]:
    """JupyterLab over all of them."""
    with browser.jupyterlab(folder) as base:
        yield base


@pytest.fixture
def page(tmp_path) -> Iterator[Page]:
    with browser.browser_page(tmp_path / "profile") as page:
        yield page


def slider(panel: Locator, number: int) -> Locator:
    """The handle of a slider, which has no name of its own."""
    return panel.locator(".widget-slider .noUi-handle").nth(number)


def check_tolerance_by_keyboard(page: Page, panel: Any) -> None:
    """Move the tolerance, the third slider, and see the verdict follow."""
    box = panel.get_by_role("spinbutton", name="fine tolerance")
    expect(panel.get_by_text("< 0.00: ")).to_be_visible()
    slider(panel, 2).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_text("< 0.02: ")).to_be_visible()
    expect(box).to_have_value("0.02")
    page.keyboard.press("End")
    expect(panel.get_by_text("yes, answer fine")).to_be_visible()
    page.keyboard.press("Home")
    expect(panel.get_by_text("answer coarse")).to_be_visible()
    box.fill("0.5")
    box.press("Enter")
    expect(panel.get_by_text("< 0.50: ")).to_be_visible()


def test_the_exit_inspector_in_jupyterlab(lab, page):
    panel = browser.open_in_lab(page, lab, "inspector.ipynb")
    page.evaluate(browser.RUN_ALL)
    check_tolerance_by_keyboard(page, panel)
    number = panel.get_by_role("spinbutton", name="image", exact=True)
    number.fill("7")
    number.press("Enter")
    expect(panel.get_by_role("status")).to_contain_text("Image 7 leaves at exit")
    expect(panel.get_by_role("img", name="The path of image 7:")).to_be_visible()
    panel.get_by_role("combobox", name="kind of image").select_option("wrong")
    expect(panel.get_by_role("status")).to_contain_text("wrong, after")
    before = number.input_value()
    panel.get_by_role("button", name="next").press("Enter")
    expect(number).not_to_have_value(before)


def test_a_number_that_does_not_fit_goes_back_and_the_page_says_why(lab, page):
    panel = browser.open_in_lab(page, lab, "refusing.ipynb")
    page.evaluate(browser.RUN_ALL)
    box = panel.get_by_role("spinbutton", name="threshold, exit 1")
    refused = panel.get_by_role("status").filter(has_text="This does not fit")
    expect(box).to_have_value("0")
    box.fill("0.5")
    box.press("Enter")
    expect(refused).to_contain_text("where there is no head")
    expect(box).to_have_value("0")
    box = panel.get_by_role("spinbutton", name="threshold, exit 2")
    box.fill("0.4")
    box.press("Enter")
    expect(refused).to_have_count(0)
    slider(panel, 0).focus()
    page.keyboard.press("ArrowRight")
    expect(refused).to_contain_text("where there is no head")
    expect(slider(panel, 0)).to_have_attribute("aria-valuenow", "0.0")


def test_the_next_stop_after_a_slider_is_the_box_that_has_its_name(lab, page):
    panel = browser.open_in_lab(page, lab, "inspector.ipynb")
    page.evaluate(browser.RUN_ALL)
    for number, name in enumerate(("threshold, exit 1", "threshold, exit 2", "fine tolerance")):
        slider(panel, number).focus()
        page.keyboard.press("Tab")
        expect(panel.get_by_role("spinbutton", name=name)).to_be_focused()


def test_the_policy_explorer_in_jupyterlab(lab, page):
    panel = browser.open_in_lab(page, lab, "explorer.ipynb")
    page.evaluate(browser.RUN_ALL)
    line = panel.get_by_role("textbox", name="Python line")
    expect(line).to_have_value("FineTolerance([0.8, 0.6], 0.3)")
    slider(panel, 0).focus()
    page.keyboard.press("ArrowLeft")
    expect(line).to_have_value("FineTolerance([0.79, 0.6], 0.3)")
    picture = panel.get_by_role("img", name=re.compile("^Accuracy .* operating points"))
    words = picture.get_attribute("alt")
    panel.get_by_role("combobox", name="decide by").select_option("batch")
    expect(line).to_have_value(re.compile("per=.batch., batch_size=40"))
    expect(picture).not_to_have_attribute("alt", words)
    panel.get_by_role("button", name="best for this budget").press("Enter")
    expect(panel.get_by_role("status")).to_contain_text("the most accurate within")
    line.fill("typed by hand")
    line.press("Enter")
    expect(line).to_have_value(re.compile(r"^FineTolerance\("))


@pytest.mark.parametrize("name", ["inspector", "explorer"])
def test_all_controls_and_pictures_have_names(lab, page, name):
    panel = browser.open_in_lab(page, lab, f"{name}.ipynb")
    page.evaluate(browser.RUN_ALL)
    expect(panel.get_by_role("spinbutton", name="fine tolerance")).to_be_visible()
    snapshot = panel.locator(".jp-OutputArea").last.aria_snapshot()
    assert snapshot.count("- slider") == 3
    assert NAMELESS.findall(snapshot) == []
    for name in ("threshold, exit 1", "threshold, exit 2", "fine tolerance"):
        assert f'- spinbutton "{name}"' in snapshot


@pytest.mark.skipif(
    int(version("ipykernel").split(".")[0]) < 7,
    reason="ipykernel before 7 answers no widget while a cell runs",
)
def test_the_stop_button_ends_the_training_that_runs(lab, page):
    panel = browser.open_in_lab(page, lab, "monitor.ipynb")
    page.evaluate(browser.START_ALL)
    expect(panel.get_by_role("img", name=re.compile("^Training curves"))).to_be_visible()
    stop = panel.get_by_role("button", name="stop and keep what was learned")
    stop.press("Enter")
    expect(panel.get_by_text(re.compile(r"^epochs kept: \d"))).to_be_visible()
    expect(panel.get_by_role("status")).to_contain_text("stopped, what was learned is kept")
    expect(stop).to_be_disabled()


def check_lesson(page: Page, panel: Any) -> None:
    """Notebook 09 opens its inspector at an image that a larger tolerance lets answer finely."""
    status = panel.get_by_role("status").filter(has_text="leaves at exit").first
    expect(status).to_contain_text("leaves at exit 1 with the coarse answer")
    slider(panel, 2).focus()
    page.keyboard.press("End")
    expect(status).to_contain_text("leaves at exit 1 with the fine answer")
    number = panel.get_by_role("spinbutton", name="image", exact=True).first
    number.fill("7")
    number.press("Enter")
    expect(status).to_contain_text("Image 7 leaves at exit")


def test_the_lesson_in_jupyterlab(lab, lesson, page):
    panel = browser.open_in_lab(page, lab, lesson.name)
    page.evaluate(browser.RUN_ALL)
    check_lesson(page, panel)


def test_the_lesson_in_voila(lesson, page):
    pytest.importorskip("voila", reason="voila is absent")
    with browser.voila(lesson) as base:
        page.goto(base)
        check_lesson(page, page.locator("body"))
