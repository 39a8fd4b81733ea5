"""The examples in docstrings run, and print what they say."""

import doctest
import importlib
import inspect
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

mpl.use("Agg")  # examples draw figures without a screen
ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "hbnlab").rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
SPINE = (
    "hbnlab.hierarchy",
    "hbnlab.head_mask",
    "hbnlab.entropy",
    "hbnlab.formatting",
    "hbnlab.data",
    "hbnlab.models",
    "hbnlab.losses",
    "hbnlab.costs",
    "hbnlab.training",
    "hbnlab.collect",
    "hbnlab.records",
    "hbnlab.policies",
    "hbnlab.metrics",
    "hbnlab.inference",
)
"""What a newcomer reads first; all that is public there has an example."""


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_print_what_they_say(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    plt.close("all")
    assert results.attempted
    assert not results.failed


def public_things(name: str) -> dict[str, object]:
    """The functions and classes that a module or package of the spine offers."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            key
            for key, value in vars(module).items()
            if not key.startswith("_") and getattr(value, "__module__", "") == name
        ]
    things = {key: getattr(module, key) for key in names}
    return {
        key: thing
        for key, thing in things.items()
        if inspect.isfunction(thing) or inspect.isclass(thing)
    }


@pytest.mark.parametrize("name", SPINE)
def test_all_that_is_public_in_the_spine_has_an_example(name):
    bare = [key for key, thing in public_things(name).items() if ">>>" not in (thing.__doc__ or "")]
    assert not bare
