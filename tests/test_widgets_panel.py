"""What all panels have in common: names, pictures, static twins, closing, and bad input."""

import base64
import gc
import io
import re
import weakref
from collections.abc import Callable
from dataclasses import replace

import ipywidgets as w
import pytest
import torch
from ipywidgets.widgets import widget as ipywidgets_registry
from PIL import Image
from random_records import DEEP, random_records
from widget_helpers import (
    RECORDS,
    START,
    check_says,
    control,
    controls_of,
    inspector,
    text_of,
    with_nan,
)

from hbnlab import metrics
from hbnlab.policies import (
    EntropyThreshold,
    Patience,
)
from hbnlab.records import ExitRecords
from hbnlab.widgets import PolicyExplorer, StaticPanel, TrainingMonitor
from hbnlab.widgets.pictures import enlarged


@pytest.mark.parametrize(
    "panel",
    [inspector(), PolicyExplorer(RECORDS), TrainingMonitor()],
    ids=lambda p: type(p).__name__,
)
def test_every_control_has_a_name_that_can_be_read_out(panel):
    controls = list(controls_of(panel))
    assert controls
    assert all(widget.description for widget in controls)
    # A slider has no accessible name in JupyterLab; the number box of the same name has.
    for slider in (widget for widget in controls if isinstance(widget, w.FloatSlider)):
        assert control(panel, slider.description, w.BoundedFloatText).value == slider.value


@pytest.mark.parametrize(
    "panel", [inspector(), PolicyExplorer(RECORDS)], ids=lambda panel: type(panel).__name__
)
def test_a_panel_shows_itself_with_its_twin_for_where_no_widget_runs(panel):
    bundle = panel._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.widget.model_id
    assert bundle["text/plain"] == repr(panel)
    twin = panel.static()
    assert isinstance(twin, StaticPanel)
    assert bundle["text/html"] == twin._repr_html_() == panel.to_html()
    assert panel.words in repr(twin)
    assert "widget" not in twin.html


@pytest.mark.parametrize(
    "panel", [inspector(), PolicyExplorer(RECORDS)], ids=lambda panel: type(panel).__name__
)
def test_every_picture_has_alternative_text(panel):
    images = re.findall(r"<img ([^>]*)>", panel.to_html())
    assert images
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)


@pytest.mark.parametrize(
    ("shape", "sent", "is_pixelated"),
    [((8, 8), (8, 8), True), ((200, 200), (200, 200), False), ((1200, 600), (300, 150), False)],
)
def test_large_pictures_are_shrunk_and_only_small_ones_show_their_pixels(shape, sent, is_pixelated):
    element = enlarged(torch.zeros(3, *shape, dtype=torch.uint8), "black")
    (data,) = re.findall(r'base64,([^"]+)"', element)
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == sent[::-1]
    assert ("pixelated" in element) == is_pixelated
    assert "max-height" in element


@pytest.mark.parametrize(
    "make",
    [inspector, lambda: PolicyExplorer(RECORDS), TrainingMonitor, lambda: inspector(Patience(9))],
    ids=["inspector", "explorer", "monitor", "problem"],
)
def test_a_closed_panel_is_let_go_of(make):
    before = set(ipywidgets_registry._instances)
    panel = make()
    if isinstance(panel, PolicyExplorer):
        panel.kind = "confidence threshold"
    page = panel.to_html()
    panel.close()
    assert set(ipywidgets_registry._instances) <= before
    assert panel._repr_mimebundle_()["text/html"] == panel.to_html() == page
    gone = weakref.ref(panel)
    del panel
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "records",
    [
        random_records(20, hierarchy=DEEP),
        random_records(20, heads=[[True, False], [True, False], [False, True]]),
        random_records(20, num_exits=1, gate=False),
        random_records(20, num_exits=6),
        random_records(20).marginalised(),
    ],
    ids=["three levels", "one head per exit", "one exit", "six exits", "summed"],
)
def test_other_networks_can_be_looked_at(records):
    policy = EntropyThreshold([0.5] * (records.num_exits - 1))
    panel = inspector(policy, records)
    panel.kind = "fine answer at coarse confidence"
    assert text_of(panel.to_html()).count("leaves at exit") == 1
    explorer = PolicyExplorer(records)
    for kind in explorer.kinds:
        explorer.kind = kind
        assert explorer.evaluation == metrics.sweep([explorer.policy], records)[0]
        assert len(explorer.candidates.policies) <= 180


BAD_RECORDS: dict[str, tuple[Callable[[], ExitRecords], str]] = {
    "no split": (lambda: replace(RECORDS, split=""), "do not say which split"),
    "one image": (lambda: random_records(1), "At least 2 images .* hold 1"),
    "NaN logits": (lambda: with_nan("logits"), "NaN.* exit 3, level 'fine'"),
    "NaN gate": (lambda: with_nan("gate"), "NaN.* gate"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
@pytest.mark.parametrize("widget", ["inspector", "explorer"])
def test_records_that_cannot_be_shown_are_answered_in_words(name, widget):
    make, words = BAD_RECORDS[name]
    records = make()
    panel = inspector(records=records) if widget == "inspector" else PolicyExplorer(records)
    check_says(panel, words)


def test_a_policy_for_another_tree_is_answered_in_words():
    other = replace(START, hierarchy=DEEP)
    check_says(inspector(other), "fitted for a tree of 2 kingdom > 3 coarse > 6 fine")
    check_says(PolicyExplorer(RECORDS, other), "fitted for a tree of 2 kingdom > 3 coarse > 6 fine")


def test_difficulty_that_is_not_known_of_every_image_has_no_quarters():
    records = with_nan("difficulty")
    assert PolicyExplorer(records).problem == ""
    panel = inspector(records=records)
    assert control(panel, "difficulty").disabled
    with pytest.raises(ValueError, match=r"difficulty must be one of \['any'\]"):
        panel.difficulty = "hardest quarter"


@pytest.mark.parametrize(
    ("panel", "names"),
    [
        (inspector(), "class_name, difficulty, fine_tolerance, image_index, kind, policy, thresh"),
        (PolicyExplorer(RECORDS), "batch_size, fine_tolerance, kind, policy, thresholds"),
        (TrainingMonitor(), "none"),
    ],
    ids=["inspector", "explorer", "monitor"],
)
def test_an_attribute_that_a_panel_lacks_is_refused(panel, names):
    words = f"no attribute 'fine_tolerence' that can be set; those that can are: {names}"
    with pytest.raises(AttributeError, match=words):
        panel.fine_tolerence = 0.1
    with pytest.raises(AttributeError, match="no attribute 'words' that can be set"):
        panel.words = "anything"
