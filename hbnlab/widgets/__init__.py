"""Panels to look into a network, controlled on the page or from Python.

``ExitInspector`` explains the decision about one image, ``PolicyExplorer`` evaluates a policy while
its numbers move, ``TrainingMonitor`` follows a network while it trains. Make one the last line of a
cell, or pass it to ``display``. Where no widget runs, the page contains what ``static()`` returns.
A panel whose input is wrong says so in words instead of drawing.

No number is computed here: all come from ``hbnlab.metrics`` and ``hbnlab.policies``.
"""

from hbnlab.widgets.explorer import PolicyExplorer
from hbnlab.widgets.image_trace import ImageDecision
from hbnlab.widgets.inspector import ExitInspector
from hbnlab.widgets.monitor import TrainingMonitor
from hbnlab.widgets.panel import Panel, StaticPanel

__all__ = [
    "ExitInspector",
    "ImageDecision",
    "Panel",
    "PolicyExplorer",
    "StaticPanel",
    "TrainingMonitor",
]
