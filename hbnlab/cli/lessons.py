"""The notebooks of the lessons: where they are, and copies of them to work in."""

from pathlib import Path

import hbnlab
from hbnlab.storage import atomic_path

PACKAGE = Path(hbnlab.__file__).parent
PATTERN = "[0-9][0-9]_*.ipynb"


def series_folder() -> Path:
    """The folder of the lessons: within an installed package, or beside it in its repository.

    Raises:
        FileNotFoundError: when there are lessons in neither place.
    """
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if any(folder.glob(PATTERN)):
            return folder
    raise FileNotFoundError(
        f"the lessons are expected in {PACKAGE / 'notebooks'}, found none; install hbnlab again"
    )


def is_repository(folder: Path) -> bool:
    """Whether these lessons are those of a repository, where they are edited in place."""
    return folder.parent == PACKAGE.parent


def hand_out(folder: Path) -> tuple[list[str], list[str]]:
    """Copy the lessons into a folder, creating it if needed; existing files are never replaced.

    Notebooks that someone has worked in are kept, even after the lessons have changed.

    Returns:
        The names of the notebooks that were copied, and of those that were kept although they
        differ from the lessons.

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
