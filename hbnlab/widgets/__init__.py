"""Panels to look into a network with: plain objects, driven from the page or from Python.

``ExitInspector`` shows one image and the rule that sends it to its exit, ``PolicyExplorer`` what a
policy is worth while its numbers move, ``TrainingMonitor`` a network while it learns. Each is shown
as the last line of a cell or by ``display``; where no widget runs, the page falls back to what
``static()`` gives. Given what it cannot show, a panel says so in words in the place of its drawing.

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
