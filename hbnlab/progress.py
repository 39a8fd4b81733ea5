"""One kind of progress bar for all long work, with one switch: TQDM_DISABLE=1 hides every bar."""

from typing import Any

from tqdm.auto import tqdm


def progress_bar(
    total: int, description: str, unit: str, *, visible: bool = True, initial: int = 0
) -> tqdm:
    """Make a progress bar that suits the terminal or the notebook it appears in.

    Args:
        total: units of work in all.
        description: what is being done.
        unit: what is counted, such as ``"step"``.
        visible: False hides the bar, whatever the environment says.
        initial: units that were done before.
    """
    # A visible bar passes no ``disable``, so that the environment variable can still hide it.
    hidden: dict[str, Any] = {} if visible else {"disable": True}
    return tqdm(total=total, desc=description, unit=unit, initial=initial, **hidden)
