"""The notebooks of the series: where they are, and how a person gets copies to work in."""

from pathlib import Path

import hbnlab
from hbnlab.storage import atomic_path

PACKAGE = Path(hbnlab.__file__).parent
PATTERN = "[0-9][0-9]_*.ipynb"


def series_folder() -> Path:
    """Where the series is: within an installed package, beside a package used from its repository.

    Raises:
        FileNotFoundError: when it is in neither place.
    """
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if any(folder.glob(PATTERN)):
            return folder
    raise FileNotFoundError(
        f"the lessons are expected in {PACKAGE / 'notebooks'}, found none; install hbnlab again"
    )


def is_repository(folder: Path) -> bool:
    """Whether the series is that of a repository, where people work on the notebooks themselves."""
    return folder.parent == PACKAGE.parent


def hand_out(folder: Path) -> tuple[list[str], list[str]]:
    """Copy the series into a folder, creating it if needed; existing files stay.

    So notebooks that someone has worked in are kept, even after the series has changed.

    Returns:
        The names of the notebooks that were copied, and of those that were left alone because they
        differ from the series.

    Raises:
        FileExistsError: when the folder is an existing file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copied, changed = [], []
    for source in sorted(series_folder().glob(PATTERN)):
        target, content = folder / source.name, source.read_bytes()
        if not target.exists():
            with atomic_path(target) as partial:
                partial.write_bytes(content)
            copied.append(source.name)
        elif target.read_bytes() != content:
            changed.append(source.name)
    return copied, changed
