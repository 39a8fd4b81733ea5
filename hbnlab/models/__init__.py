"""Networks by name and trunk: ``create`` makes one, ``load_original`` reads the study's files."""

from collections.abc import Sequence
from pathlib import Path

import torch

from hbnlab.hierarchy import Hierarchy
from hbnlab.models.named_networks import (
    NAMES,
    STUDY_NAMES,
    STUDY_TRUNK,
    TRUNKS,
    build,
    name_on,
    names_on,
)
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.models.original import load_original
from hbnlab.models.weights import bundled_names, bundled_trunks, load_weights, save_weights
from hbnlab.types import Number

__all__ = [
    "NAMES",
    "STUDY_NAMES",
    "STUDY_TRUNK",
    "TRUNKS",
    "EarlyExitNetwork",
    "ExitOutputs",
    "bundled_names",
    "bundled_trunks",
    "create",
    "load_original",
    "load_weights",
    "name_on",
    "names_on",
    "save_weights",
]


def create(
    name: str,
    hierarchy: Hierarchy | None = None,
    width: Number | None = None,
    heads: Sequence[Sequence[bool]] | None = None,
    dropout: Number = 0.5,
    seed: int = 0,
    weights: str | Path | None = None,
    trunk: str | None = None,
) -> EarlyExitNetwork:
    """Build a network, freshly initialised or with trained weights.

    Args:
        name: which cells have heads, and whether there is a gate: ``"plain"``, ``"branchy"``,
            ``"sem-hbn"``, ``"gran-hbn"`` or ``"ag-hbn"``. On the study's trunk the first two are
            its ``"alexnet"`` and ``"b-alexnet"``, and so are called.
        hierarchy: the classes; required without ``weights``, which bring their own.
        width: multiplies the number of channels and hidden units; 1.0 where neither it nor weights
            are given.
        heads: head mask, ``heads[exit][level]``, in place of the one that the name stands for.
        dropout: probability in the branches while training.
        seed: of the initialisation; torch's global generator is left as it was.
        weights: one of ``bundled_names()``, or the path of a weights file or checkpoint.
        trunk: ``"alexnet"``, which is the study's, or ``"residual"``, which is ours; None = that of
            the file of weights, and the study's where there is no file.

    Raises:
        ValueError: for an unknown name or trunk, no hierarchy, or weights of another network,
            naming the fields that differ.

    Example:
        >>> from hbnlab.trees import GLYPHS
        >>> network = create("gran-hbn", GLYPHS, width=0.1)
        >>> network.num_exits, create("alexnet", weights="glyphs").width
        (3, 0.25)
        >>> create("gran-hbn", GLYPHS, trunk="residual").num_exits
        4
    """
    stored = None if weights is None else load_weights(weights, name, trunk or STUDY_TRUNK)
    if trunk is None:
        trunk = str(stored.spec["trunk"]) if stored else STUDY_TRUNK
    name = name_on(trunk, name)
    if stored is not None:
        stored.check(name=name, trunk=trunk, hierarchy=hierarchy, width=width, heads=heads)
        hierarchy = stored.hierarchy if hierarchy is None else hierarchy
        width, heads = stored.spec["width"], stored.spec["heads"]
    width = 1.0 if width is None else width
    if hierarchy is None:
        raise ValueError(f"{name} needs a hierarchy or weights that bring one, got neither")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build(name, hierarchy, trunk, width=width, heads=heads, dropout=dropout)
    if stored is not None:
        network.load_state_dict(stored.state)
    return network
