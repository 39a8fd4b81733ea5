"""One function per figure: data first, ``ax`` or ``axes`` last; the Axes are returned.

``describe`` says in one line what a figure shows, with its numbers; ``to_html`` gives a picture
that carries this description as alternative text, ``to_files`` the content of an SVG and a PNG
file. No figure function saves, shows or changes settings.
"""

from hbnlab.plots.alt_text import (
    FigureFiles,
    HtmlFigure,
    describe,
    figure_of,
    set_description,
    to_files,
    to_html,
)
from hbnlab.plots.benchmarks import bench_bars
from hbnlab.plots.depth_curves import does_depth_pay
from hbnlab.plots.diagram import network_diagram
from hbnlab.plots.examples import example
from hbnlab.plots.flops import accuracy_against_flops, exits_and_policies
from hbnlab.plots.heads import confusion_matrix, reliability_diagrams
from hbnlab.plots.learning_curves import post_training_curve, training_curves
from hbnlab.plots.palette import Style, level_style, series_style
from hbnlab.plots.pareto_fronts import pareto_fronts
from hbnlab.plots.sheets import class_sheet, leaving_sheet
from hbnlab.plots.specificity import accuracy_against_specificity
from hbnlab.plots.staircase import staircase
from hbnlab.plots.tolerance import accuracy_against_tolerance, operating_regions
from hbnlab.plots.tree_drawing import hierarchy_tree
from hbnlab.plots.uncertainty import entropies, entropy_densities

__all__ = [
    "FigureFiles",
    "HtmlFigure",
    "Style",
    "accuracy_against_flops",
    "accuracy_against_specificity",
    "accuracy_against_tolerance",
    "bench_bars",
    "class_sheet",
    "confusion_matrix",
    "describe",
    "does_depth_pay",
    "entropies",
    "entropy_densities",
    "example",
    "exits_and_policies",
    "figure_of",
    "hierarchy_tree",
    "leaving_sheet",
    "level_style",
    "network_diagram",
    "operating_regions",
    "pareto_fronts",
    "post_training_curve",
    "reliability_diagrams",
    "series_style",
    "set_description",
    "staircase",
    "to_files",
    "to_html",
    "training_curves",
]
