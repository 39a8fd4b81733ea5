"""What a split refuses besides wrong images and labels: names and constants that do not fit."""

import math
from collections.abc import Sequence


def check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse an unknown name, listing the known ones."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{what} must be among {list(known)}, got {unknown}")


def check_constants(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse a mean or standard deviation that is not 3 finite numbers, and deviations up to 0."""
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != 3 or not all(math.isfinite(value) for value in values):
            raise ValueError(f"{name} must be 3 finite numbers, got {values}")
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, got {std}")


def check_same(what: str, images: object, labels: object) -> None:
    """Refuse images and labels that differ in a property."""
    if images != labels:
        raise ValueError(f"images and labels must have the same {what}, got {images} and {labels}")
