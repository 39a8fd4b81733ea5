"""What the tests of the panels share: records, policies, ways to read and to move a panel."""

import html
import math
import re
from collections.abc import Iterator
from typing import Any

import ipywidgets as w
import pytest
import torch
from plot_inputs import images_of
from random_records import random_records

from hbnlab import policies
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
from hbnlab.widgets import ExitInspector, PolicyExplorer
from hbnlab.widgets.panel import Panel

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
    """A policy that the panels have never heard of."""

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


def with_nan(part: str) -> ExitRecords:
    """Records that were spoiled after they were made, for else they refuse it."""
    records = random_records(20)
    tensors = {
        "logits": records.logits[1][:, 2],
        "gate": records.gate_logits,
        "difficulty": records.attributes["difficulty"],
    }
    tensors[part][3] = math.nan
    return records


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
