"""Networks by name: the name says which cells have heads, the trunk is a choice of its own.

| name | heads | on the study's trunk also called |
| --- | --- | --- |
| plain | the finest level, at the last exit, which is the only one | alexnet |
| branchy | the finest level at every exit | b-alexnet |
| sem-hbn | one level per exit, coarsest first, the finest at the last | |
| gran-hbn | every level at every exit | |
| ag-hbn | as gran-hbn, and a gate at exit 1 | |
"""

from collections.abc import Callable, Sequence

from hbnlab.head_mask import HeadMask
from hbnlab.hierarchy import Hierarchy
from hbnlab.models import alexnet, residual
from hbnlab.models.network import EarlyExitNetwork, Trunk
from hbnlab.types import Number

TRUNKS: dict[str, Callable[[Number, Number], Trunk]] = {
    "alexnet": alexnet.trunk,
    "residual": residual.trunk,
}
STUDY_TRUNK = "alexnet"
STUDY_NAMES = ("alexnet", "b-alexnet", "sem-hbn", "gran-hbn", "ag-hbn")
"""The five networks of the study, all on its trunk."""
NAMES = (*STUDY_NAMES, "plain", "branchy")
_NAMES_IN_STUDY = {"plain": "alexnet", "branchy": "b-alexnet"}


def names_on(trunk: str) -> tuple[str, ...]:
    """The five networks of a trunk, under the names that they have in files and reports.

    Example:
        >>> names_on("residual")
        ('plain', 'branchy', 'sem-hbn', 'gran-hbn', 'ag-hbn')
    """
    trunk_free = {study: name for name, study in _NAMES_IN_STUDY.items()}
    return tuple(
        name if trunk == STUDY_TRUNK else trunk_free.get(name, name) for name in STUDY_NAMES
    )


def name_on(trunk: str, name: str) -> str:
    """The name that a network has on a trunk: on the study's, that of the study.

    Raises:
        ValueError: for an unknown name or trunk, or a name of the study's trunk on another.

    Example:
        >>> name_on("alexnet", "branchy"), name_on("residual", "branchy")
        ('b-alexnet', 'branchy')
    """
    if name not in NAMES:
        raise ValueError(f"model must be one of {list(NAMES)}, got {name!r}")
    if trunk not in TRUNKS:
        raise ValueError(f"trunk must be one of {list(TRUNKS)}, got {trunk!r}")
    if trunk == STUDY_TRUNK:
        return _NAMES_IN_STUDY.get(name, name)
    for trunk_free, study in _NAMES_IN_STUDY.items():
        if name == study:
            raise ValueError(
                f"{name!r} is a name on the trunk {STUDY_TRUNK!r}; on {trunk!r} write "
                f"{trunk_free!r}"
            )
    return name


def build(
    name: str,
    hierarchy: Hierarchy,
    trunk: str = STUDY_TRUNK,
    *,
    width: Number = 1.0,
    heads: Sequence[Sequence[bool]] | None = None,
    dropout: Number = 0.5,
) -> EarlyExitNetwork:
    """Put heads on a trunk.

    Args:
        name: one of ``NAMES``.
        hierarchy: the classes; the study has two levels, any number works.
        trunk: one of ``TRUNKS``.
        width: multiplies the number of channels and hidden units.
        heads: a head mask, ``heads[exit][level]``, in place of the one that the name stands for.
        dropout: probability in the branches.

    Raises:
        ValueError: for an unknown name or trunk, or a name that the trunk does not have.

    Example:
        >>> from hbnlab.trees import GLYPHS
        >>> build("sem-hbn", GLYPHS, width=0.1).head_mask
        ((True, False), (True, False), (False, True))
        >>> build("gran-hbn", GLYPHS, "residual", width=0.1).num_exits
        4
    """
    name = name_on(trunk, name)
    parts = TRUNKS[trunk](width, dropout)
    if name in ("plain", "alexnet"):
        parts = parts.with_last_exit_only()
    usual = usual_head_mask(name, len(parts.stages), hierarchy.num_levels)
    return EarlyExitNetwork(
        *parts[:3],
        hierarchy,
        heads=usual if heads is None else heads,
        gated=name == "ag-hbn",
        image_shape=parts.image_shape,
        name=name,
        trunk=trunk,
        width=width,
    )


def usual_head_mask(name: str, num_exits: int, num_levels: int) -> HeadMask:
    """The head mask that a name stands for, on any number of exits and levels.

    Example:
        >>> usual_head_mask("sem-hbn", num_exits=2, num_levels=2)
        ((True, False), (False, True))
        >>> usual_head_mask("branchy", num_exits=2, num_levels=2)
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
