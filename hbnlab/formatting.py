"""Numbers and names as people read them, for figures, tables, panels and the command line."""

from hbnlab.types import Number


def percent(share: Number, *, unit: bool = True) -> str:
    """A share in [0, 1] as a percentage with one decimal.

    Args:
        share: in [0, 1].
        unit: whether the sign follows; a table whose head names the unit leaves it out.

    Example:
        >>> percent(0.84), percent(0.84, unit=False)
        ('84.0 %', '84.0')
    """
    return f"{100 * share:.1f} %" if unit else f"{100 * share:.1f}"


def millions(count: Number, *, decimals: int | None = None) -> str:
    """A count in millions.

    Args:
        count: of FLOPs, parameters or anything else.
        decimals: how many, for columns that line up; None = three significant digits or more.

    Example:
        >>> millions(2_372_000), millions(135_806_976), millions(4_500_000, decimals=2)
        ('2.37', '135.8', '4.50')
    """
    number = count / 1e6
    if decimals is not None:
        return f"{number:.{decimals}f}"
    return f"{number:.3g}" if number < 100 else f"{number:.1f}"


def plural(number: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> plural(1, "image"), plural(2000, "image")
        ('1 image', '2,000 images')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def spoken(class_name: str) -> str:
    """A class name as people write it, without underscores.

    Example:
        >>> spoken("aquarium_fish")
        'aquarium fish'
    """
    return class_name.replace("_", " ")
