"""Networks by name: ``create`` builds or loads one, ``load_original`` reads the study's files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from hbnlab.hierarchy import Hierarchy
from hbnlab.models import study_networks
from hbnlab.models.network import EarlyExitNetwork, ExitOutputs
from hbnlab.models.original import load_original
from hbnlab.models.weights import bundled_names, load_weights, save_weights
from hbnlab.types import Number

__all__ = [
    "NAMES",
    "EarlyExitNetwork",
    "ExitOutputs",
    "bundled_names",
    "create",
    "load_original",
    "load_weights",
    "save_weights",
]

BUILDERS: dict[str, Callable[..., EarlyExitNetwork]] = {
    **dict.fromkeys(study_networks.NAMES, study_networks.build),
}
NAMES = tuple(BUILDERS)


def create(
    name: str,
    hierarchy: Hierarchy | None = None,
    width: Number | None = None,
    heads: Sequence[Sequence[bool]] | None = None,
    dropout: Number = 0.5,
    seed: int = 0,
    weights: str | Path | None = None,
) -> EarlyExitNetwork:
    """Build one of the study's five networks, freshly initialised or with trained weights.

    Args:
        name: ``"alexnet"``, ``"b-alexnet"``, ``"sem-hbn"``, ``"gran-hbn"`` or ``"ag-hbn"``.
        hierarchy: the classes; required without ``weights``, which bring their own.
        width: factor on channels and hidden units; 1.0 where neither it nor weights are given.
        heads: head mask, ``heads[exit][level]``, in place of the study's.
        dropout: probability in the branches while training.
        seed: of the initialisation; torch's global generator is left as it was.
        weights: a bundled name (``bundled_names()`` lists them) or the path of a weights file or
            checkpoint of hbnlab.

    Raises:
        ValueError: for an unknown name, a missing hierarchy, or weights made for another network,
            width, hierarchy or head mask, naming the fields that differ.

    Example:
        >>> from hbnlab.trees import GLYPHS
        >>> network = create("gran-hbn", GLYPHS, width=0.1)
        >>> network.num_exits, create("alexnet", weights="glyphs").width
        (3, 0.25)
    """
    if name not in NAMES:
        raise ValueError(f"model must be one of {list(NAMES)}, got {name!r}")
    stored = None
    if weights is not None:
        stored = load_weights(weights, name)
        stored.check(name=name, hierarchy=hierarchy, width=width, heads=heads)
        hierarchy = stored.hierarchy if hierarchy is None else hierarchy
        width, heads = stored.spec["width"], stored.spec["heads"]
    if hierarchy is None:
        raise ValueError(f"{name} needs a hierarchy or weights that bring one, got neither")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = BUILDERS[name](
            name,
            hierarchy,
            width=1.0 if width is None else width,
            heads=heads,
            dropout=dropout,
        )
    if stored is not None:
        network.load_state_dict(stored.state)
    return network
