"""Find the files of published data sets on this machine, or download them."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "HBNLAB_DATA"


def find_folder(
    root: str | Path | None,
    download: bool,
    *,
    torchvision_name: str,
    files: Sequence[str],
    subfolders: Sequence[str],
    system_folder: Path | None = None,
    hint: str = "",
) -> Path:
    """The folder that holds all files of a data set; downloaded if no folder has it.

    The folders searched are $HBNLAB_DATA, the folder of the operating system and the user's cache,
    in this order. If a root is given, only that one is searched: files from elsewhere would be a
    surprise. A download goes to the first of them that is not the operating system's.

    Args:
        root: the only folder to search; None = those above.
        download: let torchvision download the data set if no folder has it.
        torchvision_name: name of a class in ``torchvision.datasets``.
        files: names of the files; each may be gzipped (.gz).
        subfolders: where the files may be inside a searched folder; the last one is where
            torchvision puts them.
        system_folder: where a package of the operating system puts the files.
        hint: another way to get the files, for the error message.

    Raises:
        FileNotFoundError: for missing files: which, and how to get them.
        OSError: if the download fails; it leaves nothing behind.
    """
    places = _search_places(root, system_folder)
    folders = [place / inside for place in places for inside in subfolders]
    how_to_get = (
        f"expected {list(files)}, each gzipped (.gz) or not; get them with {hint}download=True "
        f"(on the command line --download), or name their folder as root or in ${VARIABLE}"
    )
    for folder in folders:
        missing = [name for name in files if not file_path(folder, name).is_file()]
        if not missing:
            return folder
        if len(missing) < len(files):
            raise FileNotFoundError(f"{folder} lacks {missing}: {how_to_get}")
    if not download:
        raise FileNotFoundError(
            f"no {torchvision_name} in any of {[str(folder) for folder in folders]}: {how_to_get}"
        )
    own = next(place for place in places if place != system_folder)
    _download(torchvision_name, own / Path(subfolders[-1]).parts[0])
    return own / subfolders[-1]


def file_path(folder: Path, name: str) -> Path:
    """The file of that name; the gzipped one if both exist, because that one has a checksum."""
    gzipped = folder / f"{name}.gz"
    return gzipped if gzipped.is_file() else folder / name


def _search_places(root: str | Path | None, system_folder: Path | None) -> list[Path]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hbnlab"
    usual = (os.environ.get(VARIABLE), system_folder, cache)
    return [Path(place).expanduser() for place in (usual if root is None else (root,)) if place]


def _download(torchvision_name: str, target: Path) -> None:
    """Download into a temporary folder; the files move to ``target`` once all are there."""
    from torchvision import datasets

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as partial:
        try:
            getattr(datasets, torchvision_name)(partial, download=True)
            (Path(partial) / target.name).replace(target)
        except (OSError, RuntimeError) as error:
            raise OSError(f"cannot download to {target}: {error}") from error
