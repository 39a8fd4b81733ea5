"""The five networks of the study: one trunk, with heads in five arrangements.

| name | exits | heads |
| --- | --- | --- |
| alexnet | 1 | the finest level |
| b-alexnet | 3 | the finest level at every exit |
| sem-hbn | 3 | one level per exit, coarsest first, the finest at the last |
| gran-hbn | 3 | every level at every exit |
| ag-hbn | 3 | as gran-hbn, and a gate at exit 1 |
"""

from collections.abc import Sequence

from hbnlab.head_mask import HeadMask
from hbnlab.hierarchy import Hierarchy
from hbnlab.models import alexnet
from hbnlab.models.network import EarlyExitNetwork
from hbnlab.types import Number

NAMES = ("alexnet", "b-alexnet", "sem-hbn", "gran-hbn", "ag-hbn")


def build(
    name: str,
    hierarchy: Hierarchy,
    *,
    width: Number = 1.0,
    heads: Sequence[Sequence[bool]] | None = None,
    dropout: Number = 0.5,
) -> EarlyExitNetwork:
    """Put one of the five together.

    Args:
        name: one of ``NAMES``.
        hierarchy: the classes; the study has two levels, any number works.
        width: factor on channels and hidden units; 1.0 is the study's.
        heads: a head mask, ``heads[exit][level]``, in place of the study's.
        dropout: probability in the branches.

    Example:
        >>> from hbnlab.trees import GLYPHS
        >>> build("sem-hbn", GLYPHS, width=0.1).head_mask
        ((True, False), (True, False), (False, True))
    """
    trunk = alexnet.trunk(width, dropout)
    if name == "alexnet":
        trunk = trunk.with_last_exit_only()
    study = study_head_mask(name, len(trunk.stages), hierarchy.num_levels)
    return EarlyExitNetwork(
        *trunk[:3],
        hierarchy,
        heads=study if heads is None else heads,
        gated=name == "ag-hbn",
        image_shape=trunk.image_shape,
        name=name,
        width=width,
    )


def study_head_mask(name: str, num_exits: int, num_levels: int) -> HeadMask:
    """The head mask of the network of that name, on any number of exits and levels.

    Example:
        >>> study_head_mask("sem-hbn", num_exits=2, num_levels=2)
        ((True, False), (False, True))
        >>> study_head_mask("b-alexnet", num_exits=2, num_levels=2)
        ((False, True), (False, True))

    Source:
        The study, for three exits and two levels; the rest of Sem-HBN is ours: with more exits
        than levels the first ones are coarsest, with fewer the coarsest levels have no head.
    """
    if name in ("gran-hbn", "ag-hbn"):
        return ((True,) * num_levels,) * num_exits
    finest = num_levels - 1
    only = [finest] * num_exits
    if name == "sem-hbn":
        only = [max(0, finest - (num_exits - 1 - exit_index)) for exit_index in range(num_exits)]
    return tuple(tuple(level == one for level in range(num_levels)) for one in only)
