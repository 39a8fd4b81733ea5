"""hbnlab.widgets, driven from Python: panels are plain objects that say what they show."""

import base64
import gc
import html
import io
import itertools
import math
import re
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import ipywidgets as w
import pytest
import torch
from ipywidgets.widgets import widget as ipywidgets_registry
from PIL import Image
from plot_inputs import images_of, make_history
from random_records import DEEP, PETS, random_records

from hbnlab import metrics, policies
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    ForcedExit,
    MarginThreshold,
    Patience,
    Policy,
    SemanticGate,
)
from hbnlab.records import ExitRecords
from hbnlab.training import Step, TrainConfig, fit, post_train
from hbnlab.widgets import ExitInspector, PolicyExplorer, StaticPanel, TrainingMonitor, monitor
from hbnlab.widgets.panel import Panel
from hbnlab.widgets.pictures import enlarged
from hbnlab.widgets.planes import Planes
from hbnlab.widgets.rules import python_line, verdicts

RECORDS = random_records(40)
IMAGES = images_of(RECORDS)
START = FineTolerance([0.8, 0.6], 0.3)
RULES: list[Policy] = [
    START,
    FineTolerance([0.8, math.inf], -0.1),
    FineTolerance([0.0, 0.6], math.inf, "published-code"),
    FineTolerance([0.8, 0.6], 0.3, "published-code"),
    FineTolerance([0.8, 0.6], 0.3, per="batch", batch_size=7),
    EntropyThreshold([0.5, 0.4]),
    EntropyThreshold([0.5, 0.4], level=0),
    ConfidenceThreshold([0.9, 0.8]),
    MarginThreshold([0.8, 0.7]),
    SemanticGate([0.5, 0.0]),
    SemanticGate([0.5, 0.4], per="batch", batch_size=64),
    Patience(2),
    ForcedExit(1, 0),
]


class FirstCoarse(Policy):
    """A rule of one's own, that the widgets know nothing about."""

    def answers(self, exit_index: int, view: policies.ExitView) -> dict[int, torch.Tensor]:
        return {0: view.all_images()}

    def cells(self, head_mask: Any) -> list[tuple[int, int]]:
        return [(0, 0)]


def inspector(policy: Policy = START, records: ExitRecords = RECORDS) -> ExitInspector:
    return ExitInspector(records, images_of(records), policy)


def controls_of(panel: Panel) -> Iterator[w.Widget]:
    """Everything on a panel that can be moved or pressed."""
    waiting = [panel.widget]
    while waiting:
        widget = waiting.pop()
        if isinstance(widget, w.Box):
            waiting += widget.children
        elif not isinstance(widget, w.HTML):
            yield widget


def control(panel: Panel, name: str, kind: type[w.Widget] = w.Widget) -> Any:
    (found,) = (
        widget
        for widget in controls_of(panel)
        if isinstance(widget, kind) and widget.description == name
    )
    return found


def status_of(panel: Panel) -> str:
    """What the lines that a screen reader reads out say."""
    lines = [child.value for child in panel.widget.children if isinstance(child, w.HTML)]
    return " ".join(text_of(line) for line in lines if line.startswith('<div role="status"'))


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page)).split())


# ---------------------------------------------------------------------- the rule in words


@pytest.mark.parametrize("policy", [*RULES, FirstCoarse()], ids=repr)
def test_the_rule_written_out_ends_where_the_policy_decides(policy):
    decisions = policy.decide(RECORDS)
    for index in range(len(RECORDS)):
        *before, last = verdicts(policy, RECORDS, index)
        assert all(verdict.level_index == -1 for verdict in before)
        assert last.exit_index == decisions.exit_index[index]
        assert last.level_index == decisions.level_index[index]
        name = RECORDS.hierarchy.level_names[last.level_index]
        assert last.lines[-1].endswith(f"answer {name}")
        assert all("go on" in verdict.lines[-1] for verdict in before)


@pytest.mark.parametrize("policy", RULES, ids=repr)
def test_every_comparison_is_true_as_it_is_written(policy):
    pattern = re.compile(r"([-\d.]+)(?: - ([-\d.]+))? ([<>]) (\S+): (yes|no)")
    for index in range(len(RECORDS)):
        for line in (line for one in verdicts(policy, RECORDS, index) for line in one.lines):
            for first, second, sign, limit, verdict in pattern.findall(line):
                value = round(float(first) - float(second or 0), 9)
                border = float(limit.replace("∞", "inf"))
                holds = value < border if sign == "<" else value > border
                assert holds == (verdict == "yes"), line


def _logits_of_entropy(nats: float, classes: int) -> torch.Tensor:
    """Logits of which the first is larger than the others, which are alike."""
    low, high = 0.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        logits = torch.tensor([middle, *([0.0] * (classes - 1))], dtype=torch.float64)
        entropy = float(torch.special.entr(logits.softmax(0)).sum())
        low, high = (middle, high) if entropy > nats else (low, middle)
    return logits.float()


def test_the_rule_reads_as_people_write_it():
    fine, coarse = _logits_of_entropy(1.2, 6), _logits_of_entropy(0.5, 3)
    records = replace(
        random_records(1, num_exits=2, gate=False),
        logits=(coarse.expand(1, 2, 3), fine.expand(1, 2, 6)),
    )
    said = verdicts(FineTolerance([2.0], 0.8), records, 0)
    assert said[0].lines == (
        "fine entropy under the threshold? 1.20 < 2.00: yes",
        "fine less coarse entropy under the tolerance? 1.20 - 0.50 < 0.80: yes, answer fine",
    )
    said = verdicts(FineTolerance([2.0], 0.6), records, 0)
    assert said[0].lines[1:] == (
        "fine less coarse entropy under the tolerance? 1.20 - 0.50 < 0.60: no",
        "coarse entropy under the threshold? 0.50 < 2.00: yes, answer coarse",
    )
    said = verdicts(FineTolerance([1.0], 0.8, "published-code"), records, 0)
    assert said[0].lines[-1] == (
        "fine less coarse entropy over the tolerance? 1.20 - 0.50 > 0.80: no, go on to exit 2"
    )
    assert said[1].lines[0].startswith("last exit: fine less coarse")


@pytest.mark.parametrize(("more", "verdict"), [(1e-4, "yes"), (-1e-4, "no")])
def test_numbers_get_the_digits_that_their_comparison_takes(more, verdict):
    entropy = float(RECORDS.entropy[3, 0, -1])
    (line,) = verdicts(EntropyThreshold([entropy + more, 9.0]), RECORDS, 3)[0].lines
    numbers = re.search(rf"(\d\.\d{{4,}}) < (\d\.\d{{4,}}): {verdict}", line)
    assert numbers[1] != numbers[2]


def test_equal_numbers_look_equal():
    entropy = float(RECORDS.entropy[3, 0, -1])
    (line,) = verdicts(EntropyThreshold([entropy, 9.0]), RECORDS, 3)[0].lines
    numbers = re.search(r"(\S+) < (\S+): no", line)
    assert numbers[1] == numbers[2]


@pytest.mark.parametrize("policy", RULES, ids=repr)
def test_the_python_line_makes_the_policy_again(policy):
    assert eval(python_line(policy), vars(policies).copy()) == policy


def test_the_python_line_leaves_out_what_a_policy_was_fitted_for():
    fitted = policies.fit_thresholds(EntropyThreshold([1, 1]), RECORDS, [0.5, 0.2, 0.3])
    assert "hierarchy" not in python_line(fitted)


# ---------------------------------------------------------------------- the exit inspector


@pytest.mark.parametrize("policy", RULES, ids=repr)
def test_the_inspector_shows_what_the_policy_decides(policy):
    panel, decisions = inspector(policy), policy.decide(RECORDS)
    values = metrics.answer_values(decisions, RECORDS)
    for index in (0, 7, 39):
        panel.image_index = index
        decision = panel.decision
        assert decision.exit_index == panel.decisions.exit_index[index]
        assert decision.exit_index == decisions.exit_index[index]
        assert decision.level_index == decisions.level_index[index]
        assert decision.prediction == decisions.prediction[index]
        assert decision.macs == decisions.macs[index]
        assert decision.is_right == values["accuracy"][index]
        assert panel.verdict.endswith(f"image {index} {decision}")


def test_moving_the_tolerance_changes_decision_and_verdict():
    panel = inspector(FineTolerance([math.inf, math.inf], math.inf))
    assert panel.decision.level == "fine"
    before = panel.verdict
    panel.fine_tolerance = -math.inf
    assert panel.fine_tolerance == -math.inf
    assert panel.decision.level == "coarse"
    assert panel.verdict != before
    assert "< -∞: no" in panel.verdict


def test_thresholds_and_policy_can_be_set():
    panel = inspector()
    panel.thresholds = [0.0, 0.0]
    assert panel.policy == FineTolerance([0, 0], 0.3)
    assert panel.decision.exit_index == 2
    assert "not looked at" in text_of(panel.to_html())
    panel.policy = ForcedExit(1)
    assert panel.decision.exit_index == 1
    with pytest.raises(ValueError, match=r"a rule with thresholds is needed, got ForcedExit"):
        panel.thresholds = [1.0, 1.0]
    with pytest.raises(ValueError, match=r"a rule with a fine tolerance is needed, got Forced"):
        panel.fine_tolerance = 0.3


def test_a_policy_that_does_not_fit_is_refused_and_nothing_changes():
    panel = inspector()
    before = panel.verdict
    with pytest.raises(ValueError, match="needs one threshold for each exit but the last"):
        panel.policy = EntropyThreshold([0.5])
    with pytest.raises(ValueError, match="fine_tolerance must be a number, got nan"):
        panel.fine_tolerance = math.nan
    assert panel.policy == START
    assert panel.verdict == before


def test_an_image_that_is_not_there_is_refused():
    panel = inspector()
    for index in (-1, 40):
        with pytest.raises(ValueError, match=rf"image_index must be in 0\.\.39, got {index}"):
            panel.image_index = index


def test_kinds_of_images_are_what_they_say():
    panel, decisions = inspector(), START.decide(RECORDS)
    rows = range(len(RECORDS))
    right = metrics.answer_values(decisions, RECORDS)["accuracy"]
    early = [n for n in rows if decisions.exit_index[n] < 2]
    wrong = [n for n in rows if not right[n]]
    surer = []
    for n in rows:
        coarse, fine = RECORDS.entropy[n, decisions.exit_index[n]].tolist()
        if decisions.level_index[n] == 1 and fine < coarse:
            surer.append(n)
    expected = {
        "any": list(rows),
        "leaves early": early,
        "wrong": wrong,
        "fine answer at coarse confidence": surer,
    }
    for kind, images in expected.items():
        assert images
        panel.kind = kind
        assert list(panel.matches) == images
        assert panel.image_index in images
    with pytest.raises(ValueError, match="kind must be one of"):
        panel.kind = "pretty"


def test_classes_of_any_level_can_be_looked_through():
    panel = inspector()
    for level, number in ((0, 1), (1, 4)):
        name = PETS.class_names[level][number]
        panel.class_name = f"{PETS.level_names[level]}: {name}"
        assert panel.class_name == f"{PETS.level_names[level]}: {name}"
        assert list(panel.matches) == (RECORDS.labels[:, level] == number).nonzero()[:, 0].tolist()
    panel.difficulty = "hardest quarter"
    assert panel.difficulty == "hardest quarter"
    hardest = RECORDS.attributes["difficulty"].argsort()[30:].tolist()
    assert set(panel.matches) == set(hardest) & set(
        (RECORDS.labels[:, 1] == 4).nonzero()[:, 0].tolist()
    )


def test_quarters_of_difficulty_share_the_images_out():
    panel = inspector(records=random_records(41))
    found: list[int] = []
    for quarter in ("easiest quarter", "second quarter", "third quarter", "hardest quarter"):
        panel.difficulty = quarter
        assert len(panel.matches) in (10, 11)
        found += panel.matches
    assert sorted(found) == list(range(41))


def test_without_recorded_difficulty_there_is_nothing_to_choose():
    panel = inspector(records=replace(RECORDS, attributes={}))
    assert control(panel, "difficulty").disabled
    with pytest.raises(ValueError, match=r"difficulty must be one of \['any'\]"):
        panel.difficulty = "hardest quarter"


def test_next_and_previous_go_round_among_the_images_that_match():
    panel = inspector()
    panel.kind = "wrong"
    seen = []
    for _ in panel.matches:
        seen.append(panel.image_index)
        control(panel, "next").click()
    assert tuple(seen) == panel.matches
    assert panel.image_index == panel.matches[0]
    panel.previous()
    assert panel.image_index == panel.matches[-1]


def test_where_no_image_matches_the_one_shown_stays():
    panel = inspector(FineTolerance([0.0, 0.0], 0.3))
    panel.image_index = 5
    panel.kind = "leaves early"
    assert panel.matches == ()
    panel.next()
    assert panel.image_index == 5
    panel.policy = FineTolerance([math.inf, math.inf], 0.3)
    assert len(panel.matches) == len(RECORDS)


# ---------------------------------------------------------------------- controls


def test_a_slider_moves_the_policy_and_its_box():
    panel = inspector()
    control(panel, "fine tolerance", w.FloatSlider).value = 0.41
    assert panel.fine_tolerance == 0.41
    assert control(panel, "fine tolerance", w.BoundedFloatText).value == 0.41
    control(panel, "threshold, exit 2", w.BoundedFloatText).value = 0.1234
    assert panel.thresholds == (0.8, 0.1234)
    assert control(panel, "threshold, exit 2", w.FloatSlider).value == 0.1234
    control(panel, "threshold, exit 2", w.BoundedFloatText).value = 0.12
    assert control(panel, "threshold, exit 2", w.FloatSlider).value == 0.1234


def test_a_slider_that_settles_on_its_steps_changes_nothing():
    panel = inspector(FineTolerance([0.8123, 0.6], 0.3))
    slider = control(panel, "threshold, exit 1", w.FloatSlider)
    slider.value = 0.81
    assert panel.thresholds == (0.8123, 0.6)
    slider.value = 0.8200000000000001
    assert panel.thresholds == (0.82, 0.6)
    # Whoever holds the slider has it where it was sent from.
    assert slider.value == 0.8200000000000001


def test_controls_show_what_python_sets_and_numbers_beyond_them_hold():
    panel = inspector()
    panel.thresholds = [math.inf, 0.25]
    slider = control(panel, "threshold, exit 1", w.FloatSlider)
    assert slider.value == slider.max > RECORDS.entropy.max()
    assert panel.thresholds == (math.inf, 0.25)
    panel.image_index = 9
    assert control(panel, "image").value == 9
    control(panel, "kind of image").value = "wrong"
    assert panel.kind == "wrong"
    control(panel, "image").value = 3
    assert panel.image_index == 3


def test_rules_have_the_controls_for_their_numbers():
    for policy, sliders in ((START, 3), (SemanticGate([1, 1]), 2), (Patience(2), 0)):
        panel = inspector()
        panel.policy = policy
        found = [widget for widget in controls_of(panel) if isinstance(widget, w.FloatSlider)]
        assert len(found) == sliders


def test_confidence_has_sliders_of_its_own_range():
    panel = inspector(ConfidenceThreshold([0.9, 0.8]))
    assert control(panel, "threshold, exit 1", w.FloatSlider).max == 1.0


# Exit 1 has no fine head, and with a threshold of 0 is not asked for one.
WITHOUT_HEAD = random_records(40, heads=[[True, False], [True, True], [True, True]])
SILENT_FIRST = FineTolerance([0, 0.5], 0.2)


@pytest.mark.parametrize("kind", [w.FloatSlider, w.BoundedFloatText], ids=["slider", "box"])
def test_a_change_on_the_page_that_does_not_fit_is_undone_and_explained(kind):
    panel = inspector(SILENT_FIRST, WITHOUT_HEAD)
    # What the page sends arrives as a state.
    control(panel, "threshold, exit 1", kind).set_state({"value": 0.4})
    assert panel.policy == SILENT_FIRST
    for shown in (w.FloatSlider, w.BoundedFloatText):
        assert control(panel, "threshold, exit 1", shown).value == 0.0
    assert "asks for exit 1, level 'fine', where there is no head" in panel.message
    assert panel.message in status_of(panel)
    control(panel, "threshold, exit 2", kind).set_state({"value": 0.4})
    assert panel.thresholds == (0.0, 0.4)
    assert panel.message == ""
    assert "does not fit" not in status_of(panel)


def test_a_change_from_python_that_does_not_fit_raises_and_nothing_moves():
    panel = inspector(SILENT_FIRST, WITHOUT_HEAD)
    with pytest.raises(ValueError, match="where there is no head"):
        panel.thresholds = [0.4, 0.5]
    assert panel.policy == SILENT_FIRST
    assert control(panel, "threshold, exit 1", w.FloatSlider).value == 0.0
    assert panel.message == ""


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


# ---------------------------------------------------------------------- pages


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


def test_the_page_shows_probabilities_entropies_and_the_rule():
    panel = inspector()
    page = text_of(panel.to_html())
    for line in (line for one in verdicts(START, RECORDS, 0) for line in one.lines):
        assert line in page
    for exit_index, level in RECORDS.cells:
        cell, name = RECORDS.cell(exit_index, level), PETS.level_names[level]
        assert f"{name}, entropy {float(cell.entropy[0]):.2f} nats" in page
        assert f"{100 * float(cell.confidence[0]):.1f} %" in page
    assert "(true)" in page


def test_what_becomes_of_an_image_has_a_line_of_its_own_on_the_page():
    panel = inspector()
    lines = [child for child in panel.widget.children if isinstance(child, w.HTML)]
    line = next(child for child in lines if "leaves at exit" in child.value)
    for index in (0, 7):
        panel.image_index = index
        assert text_of(line.value) == f"Image {index} {panel.decision}."
        assert status_of(panel) == text_of(line.value)
    assert panel.to_html().count('role="status"') == 1


def test_the_card_of_each_exit_has_a_name_that_can_be_read_out():
    names = re.findall(r'<section aria-label="([^"]+)"', inspector().to_html())
    assert names == ["Exit 1", "Exit 2", "Exit 3"]


@pytest.mark.parametrize("names", [("kingdom", "coarse", "fine"), ("order", "superfamily", "kind")])
def test_names_of_three_levels_do_not_overlap_in_the_drawing(names):
    records = random_records(20, hierarchy=replace(DEEP, level_names=names))
    page = inspector(FineTolerance([0.8, 0.6], 0.3, coarse_level=1), records).to_html()
    (drawing,) = re.findall(r"image/svg\+xml;base64,([^\"]+)", page)
    svg = base64.b64decode(drawing).decode()
    heads = re.findall(r'<text x="([\d.]+)" y="214"[^>]*>([^<]+)<', svg)
    assert len(heads) == 9
    edges = [(float(x) - 3.75 * len(name), float(x) + 3.75 * len(name)) for x, name in heads]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(edges))


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
        panel.rule = "confidence"
    page = panel.to_html()
    panel.close()
    assert set(ipywidgets_registry._instances) <= before
    assert panel._repr_mimebundle_()["text/html"] == panel.to_html() == page
    gone = weakref.ref(panel)
    del panel
    gc.collect()
    assert gone() is None


def test_other_controls_for_other_numbers_take_the_place_of_the_old_ones():
    panel = inspector()
    before = len(ipywidgets_registry._instances)
    for policy in (SemanticGate([1, 1]), Patience(2), START):
        panel.policy = policy
    assert len(ipywidgets_registry._instances) == before


def test_the_page_says_by_what_a_batch_is_decided():
    panel = inspector(replace(START, per="batch", batch_size=7))
    assert "(means over batches of 7)" in panel.verdict
    assert "means over batches of 7" in text_of(panel.to_html())


def test_names_of_classes_are_written_as_they_are():
    tree = Hierarchy.from_dict({"<b>&": ['"a"', "<img>"], "c_d": ["e"]})
    records = random_records(20, hierarchy=tree)
    panel = inspector(records=records)
    assert "<img>" not in panel.to_html()
    assert "<b>&" not in panel.to_html()
    assert "c d" in text_of(panel.to_html())


@pytest.mark.parametrize(
    "records",
    [
        random_records(20, hierarchy=DEEP),
        random_records(20, heads=[[True, False], [True, False], [False, True]]),
        random_records(20, num_exits=1, gate=False),
        random_records(20, num_exits=6),
        random_records(20).marginalised(),
    ],
    ids=["three levels", "a head an exit", "one exit", "six exits", "summed"],
)
def test_other_networks_can_be_looked_at(records):
    policy = EntropyThreshold([0.5] * (records.num_exits - 1))
    panel = inspector(policy, records)
    panel.kind = "fine answer at coarse confidence"
    assert text_of(panel.to_html()).count("leaves at exit") == 1
    explorer = PolicyExplorer(records)
    for rule in explorer.rules:
        explorer.rule = rule
        assert explorer.evaluation == metrics.sweep([explorer.policy], records)[0]
        assert len(explorer.cloud.policies) <= 180


# ---------------------------------------------------------------------- the policy explorer


def test_the_explorer_measures_the_policy_that_it_shows():
    explorer = PolicyExplorer(RECORDS)
    for policy in RULES[:6] + RULES[7:11]:
        explorer.policy = policy
        decided = metrics.evaluate(policy.decide(RECORDS), RECORDS)
        assert explorer.evaluation == decided
        page = text_of(explorer.to_html())
        assert f"{100 * decided.accuracy:.1f} %" in page
        assert f"{decided.information:.2f} bits" in page
        assert explorer.python_line == python_line(policy)
        assert control(explorer, "Python line").value == explorer.python_line


def test_the_numbers_of_the_explorer_can_be_set():
    explorer = PolicyExplorer(RECORDS, START)
    explorer.thresholds = [0.5, 0.25]
    explorer.fine_tolerance = 0.4
    explorer.batch_size = 8
    assert explorer.policy == FineTolerance([0.5, 0.25], 0.4, per="batch", batch_size=8)
    assert control(explorer, "decide by").value == "batch"
    control(explorer, "batch size").value = 5
    assert explorer.batch_size == 5
    control(explorer, "decide by").value = "image"
    assert explorer.batch_size is None
    control(explorer, "decide by").value = "batch"
    assert explorer.batch_size == 5
    explorer.batch_size = None
    control(explorer, "threshold, exit 1", w.FloatSlider).value = 0.7
    assert explorer.thresholds == (0.7, 0.25)


def test_another_rule_keeps_the_numbers_that_mean_the_same():
    explorer = PolicyExplorer(RECORDS, START)
    explorer.rule = "fine tolerance, published code"
    assert explorer.policy == replace(START, rule="published-code")
    explorer.rule = "semantic gate"
    assert explorer.policy == SemanticGate([0.8, 0.6])
    with pytest.raises(ValueError, match="a rule with a fine tolerance is needed"):
        _ = explorer.fine_tolerance
    explorer.rule = "confidence"
    assert all(0 < threshold < 1 for threshold in explorer.thresholds)
    control(explorer, "rule").value = "entropy"
    assert explorer.rule == "entropy"
    with pytest.raises(ValueError, match="rule must be one of"):
        explorer.rule = "dice"


def test_only_rules_that_the_heads_allow_are_offered():
    without_gate = random_records(20, gate=False)
    assert "semantic gate" in PolicyExplorer(RECORDS).rules
    assert "semantic gate" not in PolicyExplorer(without_gate).rules
    sem = random_records(20, heads=[[True, False], [True, False], [False, True]])
    assert PolicyExplorer(sem).rules == ("entropy", "confidence", "margin")


def test_a_rule_is_offered_where_any_coarse_level_has_the_heads():
    records = random_records(20, hierarchy=DEEP, heads=[[False, True, True]] * 3)
    explorer = PolicyExplorer(records)
    assert explorer.rule == "fine tolerance"
    assert isinstance(explorer.policy, FineTolerance)
    assert explorer.policy.coarse_level == 1
    assert {policy.coarse_level for policy in explorer.cloud.policies} == {1}
    explorer.rule = "semantic gate"
    assert explorer.policy.coarse_level == 1


def test_the_coarse_level_is_kept_while_another_rule_has_none():
    start = FineTolerance([0.8, 0.6], 0.3, coarse_level=1)
    explorer = PolicyExplorer(random_records(20, hierarchy=DEEP), start)
    explorer.rule = "entropy"
    explorer.rule = "fine tolerance"
    assert explorer.policy.coarse_level == 1


def test_a_policy_that_fits_only_while_a_threshold_is_0_is_answered_in_words():
    heads = [[True, False, True], [True, True, True], [True, True, True]]
    records = random_records(20, hierarchy=DEEP, heads=heads)
    policy = FineTolerance([0, 0.5], 0.2, coarse_level=1)
    assert len(policy.decide(records)) == 20
    check_says(PolicyExplorer(records, policy), "every threshold is moved here, and then")
    explorer = PolicyExplorer(records)
    before = explorer.policy
    with pytest.raises(ValueError, match="every threshold is moved here"):
        explorer.policy = policy
    assert explorer.policy == before


def test_the_explorer_stays_as_it_is_where_another_policy_cannot_be_worked_out(monkeypatch):
    explorer = PolicyExplorer(RECORDS, START)
    page, result = explorer.to_html(), explorer.evaluation

    def cloud(*_: object) -> None:
        raise ValueError("there is no cloud")

    monkeypatch.setattr(explorer._rulebook, "cloud", cloud)
    with pytest.raises(ValueError, match="there is no cloud"):
        explorer.batch_size = 8
    assert explorer.policy == START
    assert (explorer.evaluation, explorer.to_html()) == (result, page)
    control(explorer, "decide by").set_state({"index": 1})
    assert explorer.policy == START
    assert control(explorer, "decide by").value == "image"
    assert "there is no cloud" in status_of(explorer)


@pytest.mark.parametrize(
    ("rule", "values"), [("entropy", 13), ("confidence", 13), ("margin", 13), ("fine tolerance", 5)]
)
def test_thresholds_for_batches_are_as_close_as_the_means_of_batches(rule, values):
    explorer = PolicyExplorer(random_records(2000), START)
    explorer.batch_size, explorer.rule = 100, rule
    policies = explorer.cloud.policies
    for exit_index in (0, 1):
        assert len({policy.thresholds[exit_index] for policy in policies}) == values


def test_no_policy_is_in_the_cloud_twice():
    # All confidences are 1, and so are their quantiles.
    explorer = PolicyExplorer(random_records(40, signal=1000.0))
    explorer.rule = "confidence"
    policies = explorer.cloud.policies
    assert len(set(policies)) == len(policies) == 4
    explorer.best_for_budget(1e6)
    assert explorer.message.startswith("Of 4 policies")


@pytest.mark.parametrize("batch_size", [None, 8])
def test_the_cloud_goes_from_one_extreme_to_the_other(batch_size):
    explorer = PolicyExplorer(RECORDS, START)
    explorer.batch_size = batch_size
    cloud = explorer.cloud
    assert list(cloud.results) == metrics.sweep(cloud.policies, RECORDS)
    assert {policy.batch_size for policy in cloud.policies} == {batch_size}
    specificities = {result.specificity for result in cloud.results}
    assert {0.0, 1.0} <= specificities
    first = [result.exit_shares[0] for result in cloud.results]
    assert {0.0, 1.0} <= set(first)


def test_the_best_for_an_accuracy_is_the_cheapest_that_reaches_it():
    explorer = PolicyExplorer(RECORDS)
    results = explorer.cloud.results
    accuracy = sorted(result.accuracy for result in results)[len(results) // 2]
    found = explorer.best_for_accuracy(accuracy, specificity=0.4)
    able = [r for r in results if r.accuracy >= accuracy and r.specificity >= 0.4]
    assert found == explorer.policy
    assert explorer.evaluation.mean_macs == min(result.mean_macs for result in able)
    assert explorer.evaluation in able
    assert "report it on other records" in explorer.message
    explorer.fine_tolerance = 0.1
    assert explorer.message == ""


def test_the_best_for_a_budget_is_the_most_accurate_within_it():
    explorer = PolicyExplorer(RECORDS)
    results = explorer.cloud.results
    flops = sorted(result.mean_flops for result in results)[len(results) // 3]
    explorer.best_for_budget(flops)
    able = [result for result in results if result.mean_flops <= flops]
    assert explorer.evaluation.accuracy == max(result.accuracy for result in able)
    assert explorer.evaluation.mean_flops <= flops


WISHES: dict[str, tuple[Callable[[PolicyExplorer], object], str]] = {
    "percent": (lambda e: e.best_for_accuracy(94), r"accuracy must be in \[0, 1\], got 94"),
    "NaN": (lambda e: e.best_for_accuracy(math.nan), "accuracy must be .* got nan"),
    "specificity": (
        lambda e: e.best_for_budget(1e6, specificity=-0.1),
        r"specificity must be in \[0, 1\], got -0.1",
    ),
    "FLOPs": (lambda e: e.best_for_budget(-1), "flops must be 0 or more, got -1"),
    "NaN FLOPs": (lambda e: e.best_for_budget(math.nan), "flops must be 0 or more, got nan"),
}


@pytest.mark.parametrize("name", WISHES)
def test_a_wish_out_of_range_is_refused(name):
    ask, words = WISHES[name]
    explorer = PolicyExplorer(RECORDS, START)
    with pytest.raises(ValueError, match=words):
        ask(explorer)
    assert explorer.policy == START


def test_a_policy_is_found_at_the_very_percentage_that_it_has():
    explorer = PolicyExplorer(random_records(30), START)
    best = max(result.accuracy for result in explorer.cloud.results)
    for typed in (best, best + 1e-12, math.nextafter(best, 1.0)):
        assert explorer.best_for_accuracy(typed) is not None


def test_what_can_be_had_is_said_in_view_of_both_wishes():
    explorer = PolicyExplorer(RECORDS, START)
    results = explorer.cloud.results
    fine = [result for result in results if result.specificity >= 0.9]
    most, least = max(r.accuracy for r in fine), min(r.mean_flops for r in fine)
    assert most < max(result.accuracy for result in results)
    assert explorer.best_for_accuracy(1.0, specificity=0.9) is None
    assert f"of those that answer so many finely, is {100 * most:.1f} %" in explorer.message
    assert "lowest cost" not in explorer.message
    assert explorer.best_for_budget(1.0, specificity=0.9) is None
    assert f"the lowest cost {least / 1e6:.3g} million" in explorer.message


def test_where_no_policy_is_specific_enough_the_highest_specificity_is_said():
    explorer = PolicyExplorer(RECORDS, SemanticGate([0.5, 0.4]))
    most = max(result.specificity for result in explorer.cloud.results)
    assert most < 1
    assert explorer.best_for_accuracy(0.1, specificity=1.0) is None
    assert explorer.message.endswith(f"The highest specificity is {100 * most:.1f} %.")


def test_a_wish_that_nothing_fulfils_is_answered_in_words():
    explorer = PolicyExplorer(RECORDS, START)
    assert explorer.best_for_budget(1.0) is None
    assert explorer.policy == START
    assert explorer.message.startswith("None of ")
    most = max(result.accuracy for result in explorer.cloud.results)
    assert f"{100 * most:.1f} %" in explorer.message


def test_the_buttons_look_for_what_stands_beside_them():
    explorer = PolicyExplorer(RECORDS, START)
    control(explorer, "accuracy of at least (%)").value = 60
    control(explorer, "and finely at least (%)").value = 30
    control(explorer, "best for this accuracy").click()
    assert explorer.evaluation.accuracy >= 0.6
    assert explorer.evaluation.specificity >= 0.3
    control(explorer, "best for this budget").click()
    assert "million FLOPs" in explorer.message


def test_what_is_typed_into_the_line_to_copy_does_not_stay():
    explorer = PolicyExplorer(RECORDS, START)
    line = control(explorer, "Python line")
    line.value = "something else"
    assert line.value == "FineTolerance([0.8, 0.6], 0.3)"
    assert explorer.policy == START


def test_a_point_outside_the_axes_makes_them_grow():
    result = metrics.sweep([START], RECORDS)[0]
    planes = Planes(RECORDS)
    planes.lay([result])
    inside = planes.at(result, []).png
    assert planes.at(replace(result, accuracy=0.0), []).png != inside
    assert planes.at(result, []).png != inside
    assert planes.at(result, []).png == planes.at(result, []).png


# ---------------------------------------------------------------------- bad input


def with_nan(place: str) -> ExitRecords:
    """Records that were spoiled after they were made, for else they refuse it."""
    records = random_records(20)
    tensors = {
        "logits": records.logits[1][:, 2],
        "gate": records.gate_logits,
        "difficulty": records.attributes["difficulty"],
    }
    tensors[place][3] = math.nan
    return records


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


def check_says(panel: ExitInspector | PolicyExplorer, words: str) -> None:
    """The panel shows words where it would have drawn, and its attributes raise them."""
    assert re.search(words, panel.problem)
    assert isinstance(panel.widget, w.HTML)
    assert re.search(words, text_of(panel.widget.value))
    assert re.search(words, text_of(panel._repr_mimebundle_()["text/html"]))
    assert re.search(words, repr(panel))
    with pytest.raises(ValueError, match=words):
        _ = panel.policy
    with pytest.raises(ValueError, match=words):
        panel.fine_tolerance = 0.4


def test_a_policy_for_another_tree_is_answered_in_words():
    other = replace(START, hierarchy=DEEP)
    check_says(inspector(other), "fitted for a tree of 2 kingdom > 3 coarse > 6 fine")
    check_says(PolicyExplorer(RECORDS, other), "fitted for a tree of 2 kingdom > 3 coarse > 6 fine")


def test_a_policy_that_the_explorer_does_not_know_is_answered_in_words():
    check_says(PolicyExplorer(RECORDS, Patience(2)), "of one of the rules")


def test_a_policy_of_another_level_than_the_explorer_takes_is_answered_in_words():
    policy = EntropyThreshold([0.5, 0.4], level=1)
    check_says(PolicyExplorer(RECORDS, policy), "level=None, the finest head of each exit")


def test_an_explorer_with_a_problem_says_so_when_it_is_asked_for_the_best():
    explorer = PolicyExplorer(random_records(1))
    assert explorer.message == ""
    for search in (explorer.best_for_accuracy, explorer.best_for_budget):
        with pytest.raises(ValueError, match="At least 2 images"):
            search(0.5)


def test_difficulty_that_is_not_known_of_every_image_has_no_quarters():
    records = with_nan("difficulty")
    assert PolicyExplorer(records).problem == ""
    panel = inspector(records=records)
    assert control(panel, "difficulty").disabled
    with pytest.raises(ValueError, match=r"difficulty must be one of \['any'\]"):
        panel.difficulty = "hardest quarter"


def test_images_that_are_no_tensors_are_answered_in_words():
    pictures = [Image.new("RGB", (8, 8))] * len(RECORDS)
    check_says(ExitInspector(RECORDS, pictures, START), "must be tensors of bytes .* got Image")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES[:12], "got 12 images for records of 40"),
        (
            IMAGES.float() / 255,
            r"bytes of shape \(3, height, width\).* got torch.float32 \(3, 8, 8\)",
        ),
        (IMAGES[:, :1], r"got torch.uint8 \(1, 8, 8\)"),
    ],
    ids=["too few", "floats", "grey"],
)
def test_images_that_are_not_those_of_the_records_are_answered_in_words(images, words):
    check_says(ExitInspector(RECORDS, images, START), words)


# ---------------------------------------------------------------------- the training monitor


def test_a_monitor_follows_a_run(tiny_network, tiny_splits):
    watch = TrainingMonitor(tiny_splits.hierarchy, every=0.0)
    assert "no step yet" in repr(watch)
    assert watch.loss is None
    config = TrainConfig(epochs=2, batch_size=16)
    history = fit(tiny_network(), tiny_splits, config, on_step=watch, progress=False)
    assert watch.history is history
    assert watch.loss is not None
    assert "train, epoch 2 of 2, step 3 of 3" in watch.words
    page = text_of(watch.to_html())
    for score in history.epochs[-1].cells["val"]:
        assert f"{100 * score.top1:.1f} %" in page
    assert re.search(r'<img alt="Training curves: [^"]{20,}"', watch.to_html())


def test_the_stop_button_ends_a_run_that_keeps_what_was_learned(tiny_network, tiny_splits):
    watch, network = TrainingMonitor(every=0.0), tiny_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    steps = []

    def on_step(step: Step) -> bool:
        steps.append(step.number)
        if len(steps) == 2:
            control(watch, "stop and keep what was learned").click()
        return watch(step)

    config = TrainConfig(epochs=5, batch_size=16)
    history = fit(network, tiny_splits, config, on_step=on_step, progress=False)
    assert steps == [1, 2]
    assert len(history.epochs) == 1
    assert "stopped" in watch.words
    learned = network.state_dict()
    assert any(not torch.equal(before[name], learned[name]) for name in before)


def test_a_monitor_serves_one_run_after_the_other(tiny_network, tiny_splits):
    watch, network = TrainingMonitor(tiny_splits.hierarchy), tiny_network("ag-hbn")
    config = TrainConfig(epochs=1, post_epochs=1, batch_size=16)
    watch.stop()
    history = fit(network, tiny_splits, config, on_step=watch, progress=False)
    assert len(history.epochs) == 1
    assert not watch(step_of(1, history=history))
    post_train(network, tiny_splits, config, on_step=watch, history=history, progress=False)
    assert watch.words.startswith("post-train, epoch 1 of 1, step 3 of 3")
    assert watch.history is history


def step_of(number: int, epoch: int = 1, **changes: Any) -> Step:
    values: dict[str, Any] = {"phase": "train", "epochs": 2, "steps": 10}
    values |= {"read_loss": lambda: 1.0, "history": make_history(RECORDS)} | changes
    return Step(epoch=epoch, number=number, **values)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """A clock that stands still; its only item is the time."""
    now = [100.0]
    monkeypatch.setattr(monitor.time, "perf_counter", lambda: now[0])
    return now


def test_the_page_is_drawn_at_most_as_often_as_asked(clock):
    watch, history = TrainingMonitor(every=1.0), make_history(RECORDS)
    pages: list[str] = []
    watch.widget.children[1].observe(lambda change: pages.append(change["new"]), names="value")
    for number in range(1, 11):
        watch(step_of(number, history=history))
        clock[0] += 0.3
    drawn = [re.search(r"step (\d+) of", page).group(1) for page in pages]
    assert drawn == ["1", "5", "9"]
    for number in range(1, 11):
        watch(step_of(number, 2, history=history))
    assert "epoch 2 of 2, step 10 of 10" in text_of(pages[-1])


def test_the_time_left_is_that_of_the_pace_so_far(clock):
    watch, history = TrainingMonitor(), make_history(RECORDS)
    watch(step_of(1, history=history))
    assert watch.seconds_left is None
    clock[0] += 10.0
    watch(step_of(2, history=history))
    assert watch.seconds_left == pytest.approx(180.0)
    assert "3 min 0 s left" in watch.words


def test_a_run_that_has_ended_is_done_and_cannot_be_stopped():
    watch, history = TrainingMonitor(), make_history(RECORDS)
    for number in range(1, 11):
        assert not watch(step_of(number, 2, history=history))
    assert watch.words.endswith("; done")
    watch.stop()
    assert watch.words.endswith("; done")
    assert text_of(watch.to_html()).count("done") == 1


def test_a_stop_without_a_run_does_nothing():
    watch, history = TrainingMonitor(), make_history(RECORDS)
    watch.stop()
    assert not watch(step_of(1, history=history))
    watch.stop()
    assert watch(step_of(2, history=history))
    assert "stopped" in watch.words


def test_a_run_whose_cell_is_over_cannot_be_stopped():
    watch, history = TrainingMonitor(), make_history(RECORDS)
    watch(step_of(1, history=history))
    watch._after_cell(None)
    watch.stop()
    assert "stopped" not in watch.words


@pytest.mark.parametrize("cells", [{}, {"val": ()}, {"train": ()}], ids=repr)
def test_epochs_without_validation_are_drawn_without_accuracies(cells):
    history = make_history(RECORDS)
    history.epochs[:] = [replace(epoch, cells=cells) for epoch in history.epochs]
    watch = TrainingMonitor(PETS)
    watch(step_of(1, history=history))
    assert "validation accuracy" not in text_of(watch.to_html())


def test_the_stop_button_says_what_to_do_where_it_is_not_answered():
    button = control(TrainingMonitor(), "stop and keep what was learned")
    assert "interrupt the kernel" in button.tooltip


def test_levels_have_their_names_or_those_of_any_tree():
    named, unnamed = TrainingMonitor(PETS), TrainingMonitor()
    deep = random_records(20, hierarchy=DEEP)
    for watch in (named, unnamed):
        watch(step_of(1))
        assert "validation accuracy coarse fine" in text_of(watch.to_html())
    unnamed(step_of(1, history=make_history(deep)))
    assert "level 3" in text_of(unnamed.to_html())


def test_a_tree_with_too_few_levels_is_answered_in_words_and_training_goes_on():
    watch = TrainingMonitor(PETS)
    deep = random_records(20, hierarchy=DEEP)
    assert watch(step_of(1, history=make_history(deep))) is False
    assert "more levels than the tree" in text_of(watch.to_html())


def test_the_last_epoch_is_drawn_when_the_cell_is_done(monkeypatch, tiny_network, tiny_splits):
    registered: list[Callable[[object], None]] = []

    class Events:
        def register(self, name: str, function: Callable[[object], None]) -> None:
            assert name == "post_run_cell"
            registered.append(function)

        def unregister(self, name: str, function: Callable[[object], None]) -> None:
            registered.remove(function)

    class Shell:
        events = Events()

    monkeypatch.setattr(monitor, "get_ipython", Shell)
    watch = TrainingMonitor(tiny_splits.hierarchy)
    config = TrainConfig(epochs=1, batch_size=16)
    history = fit(tiny_network(), tiny_splits, config, on_step=watch, progress=False)
    page = watch.widget.children[-1]
    button = control(watch, "stop and keep what was learned")
    assert not button.disabled
    assert "validation accuracy" not in page.value
    (after_cell,) = registered
    after_cell(None)
    assert registered == []
    assert button.disabled
    assert f"{100 * history.epochs[0].cells['val'][0].top1:.1f} %" in text_of(page.value)


@pytest.mark.parametrize("every", [-1.0, math.nan])
def test_time_between_drawings_is_not_negative(every):
    with pytest.raises(ValueError, match="every must be 0 or more seconds"):
        TrainingMonitor(every=every)
