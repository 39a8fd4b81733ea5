"""One kind of progress bar for all long work, with one switch: TQDM_DISABLE=1 hides every bar."""

from typing import Any

from tqdm.auto import tqdm


def progress_bar(
    total: int, description: str, unit: str, *, shown: bool = True, initial: int = 0
) -> tqdm:
    """Make a bar for a terminal or a notebook, whichever this is.

    Args:
        total: units of work in all.
        description: what is being done.
        unit: what is counted, such as ``"step"``.
        shown: False hides it whatever the environment says.
        initial: units done before.
    """
    # Where it is shown, nothing is said of hiding it, so that the environment can.
    hidden: dict[str, Any] = {} if shown else {"disable": True}
    return tqdm(total=total, desc=description, unit=unit, initial=initial, **hidden)
