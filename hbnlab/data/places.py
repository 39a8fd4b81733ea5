"""Where the files of data sets are looked for, and how they are fetched."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

VARIABLE = "HBNLAB_DATA"


def search_folders(root: str | Path | None, system: Path | None = None) -> tuple[Path, ...]:
    """Folders to look in, in order: $HBNLAB_DATA, the system's folder, the user's cache.

    A root that is given is the only one: other files than those asked for would be a surprise.

    Args:
        root: folder given by the user.
        system: folder in which a package of the operating system puts the files.
    """
    if root is not None:
        return (Path(root).expanduser(),)
    middle = () if system is None else (system,)
    return (*_named_folder(), *middle, _cache_folder())


def download_root(root: str | Path | None) -> Path:
    """Where a download goes: the root given, else $HBNLAB_DATA, else the user's cache."""
    if root is not None:
        return Path(root).expanduser()
    return next(iter(_named_folder()), _cache_folder())


def download_folder(target: Path, fetch: Callable[[Path], object]) -> None:
    """Fetch files into a temporary folder; once all are there, they take their place.

    Args:
        target: the folder to make, such as ``root/FashionMNIST``.
        fetch: makes a folder of the name of ``target`` inside the folder that it is given.

    Raises:
        OSError: when the files cannot be fetched or written; nothing is left behind then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as partial:
        try:
            fetch(Path(partial))
            (Path(partial) / target.name).replace(target)
        except (OSError, RuntimeError) as error:
            raise OSError(f"cannot download to {target}: {error}") from error


def _named_folder() -> tuple[Path, ...]:
    named = os.environ.get(VARIABLE)
    return (Path(named).expanduser(),) if named else ()


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hbnlab"
