"""ExitInspector, driven from Python: one image, and why it leaves where it leaves."""

import base64
import itertools
import math
import re
from dataclasses import replace

import ipywidgets as w
import pytest
import torch
from ipywidgets.widgets import widget as ipywidgets_registry
from PIL import Image
from random_records import PETS, random_records
from widget_helpers import (
    IMAGES,
    RECORDS,
    RULES,
    START,
    FirstCoarse,
    check_says,
    control,
    controls_of,
    inspector,
    status_of,
    text_of,
)

from hbnlab import metrics, policies
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    FineTolerance,
    ForcedExit,
    Patience,
    SemanticGate,
)
from hbnlab.widgets import ExitInspector
from hbnlab.widgets.image_trace import explanations

# ---------------------------------------------------------------------- explanations


@pytest.mark.parametrize("policy", [*RULES, FirstCoarse()], ids=repr)
def test_the_explanation_ends_where_the_policy_decides(policy):
    decisions = policy.decide(RECORDS)
    for index in range(len(RECORDS)):
        found = explanations(policy, RECORDS, index)
        *before, last = found
        assert last == decisions.exit_index[index]
        name = RECORDS.hierarchy.level_names[decisions.level_index[index]]
        assert found[last][-1].endswith(f"answer {name}")
        assert all("go on" in found[exit_index][-1] for exit_index in before)


@pytest.mark.parametrize("policy", RULES, ids=repr)
def test_every_comparison_is_true_as_it_is_written(policy):
    pattern = re.compile(r"([-\d.]+)(?: - ([-\d.]+))? ([<>]) (\S+): (yes|no)")
    for index in range(len(RECORDS)):
        for line in itertools.chain.from_iterable(explanations(policy, RECORDS, index).values()):
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


def test_the_explanation_reads_as_people_write_it():
    fine, coarse = _logits_of_entropy(1.2, 6), _logits_of_entropy(0.5, 3)
    records = replace(
        random_records(1, num_exits=2, gate=False),
        logits=(coarse.expand(1, 2, 3), fine.expand(1, 2, 6)),
    )
    gap = "fine entropy minus coarse entropy"
    said = explanations(FineTolerance([2.0], 0.8), records, 0)
    assert said[0] == [
        "fine entropy under the threshold? 1.20 < 2.00: yes",
        f"{gap} under the tolerance? 1.20 - 0.50 < 0.80: yes, answer fine",
    ]
    said = explanations(FineTolerance([2.0], 0.6), records, 0)
    assert said[0][1:] == [
        f"{gap} under the tolerance? 1.20 - 0.50 < 0.60: no",
        "coarse entropy under the threshold? 0.50 < 2.00: yes, answer coarse",
    ]
    said = explanations(FineTolerance([1.0], 0.8, "published-code"), records, 0)
    assert said[0][-1] == f"{gap} over the tolerance? 1.20 - 0.50 > 0.80: no, go on to exit 2"
    assert said[1][0].startswith(f"last exit: {gap}")


@pytest.mark.parametrize(("more", "verdict"), [(1e-4, "yes"), (-1e-4, "no")])
def test_numbers_get_the_digits_that_their_comparison_takes(more, verdict):
    entropy = float(RECORDS.entropy[3, 0, -1])
    (line,) = explanations(EntropyThreshold([entropy + more, 9.0]), RECORDS, 3)[0]
    numbers = re.search(rf"(\d\.\d{{4,}}) < (\d\.\d{{4,}}): {verdict}", line)
    assert numbers[1] != numbers[2]


def test_equal_numbers_look_equal():
    entropy = float(RECORDS.entropy[3, 0, -1])
    (line,) = explanations(EntropyThreshold([entropy, 9.0]), RECORDS, 3)[0]
    numbers = re.search(r"(\S+) < (\S+): no", line)
    assert numbers[1] == numbers[2]


@pytest.mark.parametrize("policy", RULES, ids=repr)
def test_the_python_line_makes_the_policy_again(policy):
    assert eval(policy.python_line(), vars(policies).copy()) == policy


def test_the_python_line_leaves_out_what_a_policy_was_fitted_for():
    fitted = policies.fit_thresholds(EntropyThreshold([1, 1]), RECORDS, [0.5, 0.2, 0.3])
    assert "hierarchy" not in fitted.python_line()


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
    assert "not consulted" in text_of(panel.to_html())
    panel.policy = ForcedExit(1)
    assert panel.decision.exit_index == 1
    with pytest.raises(ValueError, match=r"a policy with thresholds is needed, got ForcedExit"):
        panel.thresholds = [1.0, 1.0]
    with pytest.raises(ValueError, match=r"a policy with a fine tolerance is needed, got Forced"):
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


def test_policies_have_the_controls_for_their_numbers():
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
    for part in (w.FloatSlider, w.BoundedFloatText):
        assert control(panel, "threshold, exit 1", part).value == 0.0
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


def test_the_page_shows_probabilities_entropies_and_the_comparisons():
    panel = inspector()
    page = text_of(panel.to_html())
    for line in itertools.chain.from_iterable(explanations(START, RECORDS, 0).values()):
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


@pytest.mark.parametrize(("num_exits", "most"), [(2, 5), (3, 5), (4, 3), (7, 2)])
def test_the_more_exits_the_fewer_classes_each_head_lists(num_exits, most):
    records = random_records(20, num_exits=num_exits)
    panel = inspector(FineTolerance([0.5] * (num_exits - 1), 0.2), records)
    tables = re.findall(r"<table.*?</table>", panel.to_html())
    rows = [table.count('scope="row"') for table in tables]
    assert rows == [min(most, count) for count in PETS.num_classes] * num_exits


def test_numbers_of_a_comparison_and_what_comes_of_it_do_not_break_but_may_part():
    spans = re.findall(r'<span style="white-space: nowrap">(.*?)</span>', inspector().to_html())
    assert any(re.fullmatch(r"[-\d.]+( - [-\d.]+)? &lt; [-\d.]+: yes,", span) for span in spans)
    assert any(span.startswith("answer ") for span in spans)


def test_the_drawing_of_the_path_says_what_happens_at_each_exit():
    panel = inspector(START)
    (drawing,) = re.findall(r"image/svg\+xml;base64,([^\"]+)", panel.to_html())
    words = text_of(base64.b64decode(drawing).decode())
    assert "image 0" in words
    assert words.count("leaves") == 1
    assert words.count(panel.decision.verdict) == 1


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
