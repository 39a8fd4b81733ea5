"""Files of weights: half-precision ones bundled with the package, and your own.

Every file of hbnlab that holds a network stores its tensors under ``network.`` and says in its
header which network that is, so a run's checkpoint can stand wherever weights are asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.models.network import EarlyExitNetwork
from hbnlab.storage import load_tensors, save_tensors
from hbnlab.types import Number

BUNDLED = Path(__file__).parent / "bundled"
PREFIX = "network."


@dataclass(frozen=True)
class StoredWeights:
    """A network as a file holds it.

    Attributes:
        path: where it was read.
        spec: what ``EarlyExitNetwork.to_spec`` said.
        state: tensors in single precision, ready for ``load_state_dict``.
        header: all that the file says of itself, such as the command that made it.
    """

    path: Path
    spec: Mapping[str, Any]
    state: Mapping[str, Tensor]
    header: Mapping[str, Any]

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The classes that the heads were trained on."""
        return Hierarchy.from_spec(self.spec["hierarchy"])

    def check(
        self,
        *,
        name: str | None = None,
        hierarchy: Hierarchy | None = None,
        width: Number | None = None,
        heads: Sequence[Sequence[bool]] | None = None,
    ) -> None:
        """Refuse to stand in for another network, naming every field that differs.

        An argument that is None is not asked about.
        """
        wanted: dict[str, Any] = {
            "name": name,
            "width": None if width is None else float(width),
            "heads": None if heads is None else [[bool(cell) for cell in row] for row in heads],
            "hierarchy": hierarchy,
        }
        found = {**self.spec, "hierarchy": self.hierarchy}
        differing = [
            _difference(field, value, found[field])
            for field, value in wanted.items()
            if value is not None and value != found[field]
        ]
        if differing:
            raise ValueError(f"{self.path} holds another network: {'; '.join(differing)}")


def bundled_names() -> tuple[str, ...]:
    """Data sets that weights are bundled for, such as ``"glyphs"``."""
    return tuple(sorted({path.parent.name for path in BUNDLED.glob("*/*.safetensors")}))


def bundled_path(dataset: str, name: str) -> Path:
    """Where the weights of a network trained on a data set are bundled."""
    return BUNDLED / dataset / f"{name}.safetensors"


def load_weights(source: str | Path, name: str = "gran-hbn") -> StoredWeights:
    """Read bundled weights by data set name, or any file of hbnlab that holds a network.

    Args:
        source: a name out of ``bundled_names()``, or a path.
        name: which network, where ``source`` is a bundled name.

    Raises:
        ValueError: for a name that is neither bundled nor a file, or a damaged file.
    """
    path = bundled_path(str(source), name)
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        raise ValueError(
            f"weights must be one of {list(bundled_names())} or a file, got {str(source)!r}"
        )
    tensors, header = load_tensors(path)
    if "network" not in header:
        raise ValueError(f"{path} holds no network, but {header.get('format', 'something else')}")
    state = {
        key.removeprefix(PREFIX): tensor.float()
        for key, tensor in tensors.items()
        if key.startswith(PREFIX)
    }
    return StoredWeights(path, header["network"], state, header)


def network_tensors(network: EarlyExitNetwork) -> dict[str, Tensor]:
    """The weights of a network under the names that they have in a file."""
    return {f"{PREFIX}{key}": tensor for key, tensor in network.state_dict().items()}


def save_weights(
    network: EarlyExitNetwork,
    path: str | Path,
    *,
    half: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of a network alone, whole or not at all.

    Args:
        network: any network; its description goes into the header.
        path: usually ending in ``.safetensors``.
        half: store in half precision, at half the size.
        notes: what else the header should say, such as the command and the accuracy.
    """
    tensors = network_tensors(network)
    if half:
        tensors = {key: tensor.to(torch.float16) for key, tensor in tensors.items()}
    header = {"format": "hbnlab-weights-1", "network": network.to_spec(), **(notes or {})}
    save_tensors(path, tensors, header)


def _difference(field: str, wanted: Any, found: Any) -> str:
    if field == "hierarchy":
        if wanted.num_classes == found.num_classes:
            return (
                f"hierarchy has the same numbers of classes {found.num_classes} under other names"
            )
        return f"hierarchy has classes {found.num_classes}, not {wanted.num_classes}"
    return f"{field} is {found!r}, not {wanted!r}"
