"""Files of weights: half-precision ones bundled with the package, and your own.

Every file of hbnlab that holds a network stores its tensors under ``network.`` and says in its
header which network that is, so a run's checkpoint can stand wherever weights are asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hbnlab.hierarchy import Hierarchy
from hbnlab.models.named_networks import STUDY_NAMES, STUDY_TRUNK, TRUNKS, name_on
from hbnlab.models.network import EarlyExitNetwork
from hbnlab.storage import load_tensors, save_tensors

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

    Example:
        >>> stored = load_weights("glyphs", "sem-hbn")
        >>> stored.spec["name"], stored.hierarchy.level_names
        ('sem-hbn', ('coarse', 'fine'))
    """

    path: Path
    spec: Mapping[str, Any]
    state: Mapping[str, Tensor]
    header: Mapping[str, Any]

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The classes that the heads were trained on."""
        return Hierarchy.from_spec(self.spec["hierarchy"])

    def check(self, **wanted: Any) -> None:
        """Refuse to stand in for another network, naming every field that differs.

        Args:
            wanted: fields of ``EarlyExitNetwork.to_spec``; a tree may be a ``Hierarchy``. A field
                that is None is not compared.
        """
        found = {**self.spec, "hierarchy": self.hierarchy}
        asked = {field: _plain(value) for field, value in wanted.items() if value is not None}
        differing = [
            _difference(field, value, found[field])
            for field, value in asked.items()
            if value != found[field]
        ]
        if differing:
            raise ValueError(f"{self.path} holds another network: {'; '.join(differing)}")

    def without_gate(self) -> "StoredWeights":
        """Gran-HBN from the file of an AG-HBN, which is that network and a gate beside it."""
        state = {key: tensor for key, tensor in self.state.items() if not key.startswith("gate.")}
        return replace(self, spec={**self.spec, "name": "gran-hbn", "gated": False}, state=state)


def _plain(value: Any) -> Any:
    """A field as a file gives it back: sequences as lists, a tree as a ``Hierarchy``."""
    if isinstance(value, Mapping):
        return Hierarchy.from_spec(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def bundled_names() -> tuple[str, ...]:
    """Data sets that weights are bundled for.

    Example:
        >>> bundled_names()
        ('fashion_mnist', 'glyphs')
    """
    return tuple(sorted({path.parts[-3] for path in BUNDLED.glob("*/*/*.safetensors")}))


def bundled_path(dataset: str, name: str, trunk: str = STUDY_TRUNK) -> Path:
    """Where the weights of a network trained on a data set are bundled.

    Raises:
        ValueError: for an unknown name or trunk, or a name that the trunk does not have.

    Example:
        >>> bundled_path("glyphs", "plain").parts[-3:]
        ('glyphs', 'alexnet', 'alexnet.safetensors')
    """
    return BUNDLED / dataset / trunk / f"{name_on(trunk, name)}.safetensors"


def bundled_trunks(dataset: str, name: str = "gran-hbn") -> tuple[str, ...]:
    """The trunks on which weights of a network, trained on a data set, are bundled.

    Example:
        >>> "alexnet" in bundled_trunks("glyphs")
        True
    """
    return tuple(trunk for trunk in TRUNKS if bundled_file(dataset, name, trunk).is_file())


def bundled_file(dataset: str, name: str, trunk: str = STUDY_TRUNK) -> Path:
    """The file that a bundled network is read from: of a Gran-HBN, it may be that of the AG-HBN.

    Raises:
        ValueError: as ``bundled_path`` does.

    Example:
        >>> bundled_file("glyphs", "gran-hbn").stem
        'gran-hbn'
    """
    path = bundled_path(dataset, name, trunk)
    gated = path.with_stem("ag-hbn")
    return gated if name == "gran-hbn" and gated.is_file() and not path.is_file() else path


def load_weights(
    source: str | Path, name: str = "gran-hbn", trunk: str = STUDY_TRUNK
) -> StoredWeights:
    """Read bundled weights by data set name, or any file of hbnlab that holds a network.

    Where only an AG-HBN is bundled, its file also holds the Gran-HBN: the gate takes no part in the
    joint training, so the two are the same but for the gate.

    Args:
        source: a name out of ``bundled_names()``, or a path.
        name: which network, where ``source`` is a bundled name.
        trunk: on which trunk, likewise.

    Raises:
        ValueError: for a name that is neither bundled nor a file, or a damaged file.

    Example:
        >>> load_weights("glyphs", "ag-hbn").spec["gated"]
        True
    """
    path = bundled_file(str(source), name, trunk)
    if path.is_file() and path.stem != name_on(trunk, name):
        return load_weights(path).without_gate()
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        if str(source) in bundled_names():
            raise ValueError(
                f"no weights of {name} on the trunk {trunk!r} are bundled for {source}"
            )
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
    return StoredWeights(path, with_trunk(header["network"]), state, header)


def with_trunk(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The description of a network in a file; before there were trunks, no file named one.

    Example:
        >>> with_trunk({"name": "gran-hbn"})["trunk"]
        'alexnet'
    """
    return {"trunk": STUDY_TRUNK if spec["name"] in STUDY_NAMES else "custom", **spec}


def network_tensors(network: EarlyExitNetwork) -> dict[str, Tensor]:
    """The weights of a network under the names that they have in a file.

    Example:
        >>> from hbnlab import models, trees
        >>> sorted(network_tensors(models.create("alexnet", trees.GLYPHS, width=0.1)))[0]
        'network.branches.0.1.1.bias'
    """
    return {f"{PREFIX}{key}": tensor for key, tensor in network.state_dict().items()}


def save_weights(
    network: EarlyExitNetwork,
    path: str | Path,
    *,
    half: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of a network, the whole file or none.

    Args:
        network: any network; its description goes into the header.
        path: usually ending in ``.safetensors``.
        half: store in half precision, at half the size.
        notes: what else the header should say, such as the command and the accuracy.

    Example:
        >>> import tempfile
        >>> from hbnlab import models, trees
        >>> network = models.create("alexnet", trees.GLYPHS, width=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(network, f"{folder}/mine.safetensors")
        ...     models.create("alexnet", weights=f"{folder}/mine.safetensors").width
        0.1
    """
    tensors = network_tensors(network)
    if half:
        tensors = {key: tensor.to(torch.float16) for key, tensor in tensors.items()}
    header = {"format": "hbnlab-weights-1", "network": network.to_spec(), **(notes or {})}
    save_tensors(path, tensors, header)


def _difference(field: str, wanted: Any, found: Any) -> str:
    if field != "hierarchy":
        return f"{field} is {found!r}, not {wanted!r}"
    if wanted.num_classes != found.num_classes:
        return f"hierarchy has classes {found.num_classes}, not {wanted.num_classes}"
    differing = [(a, b) for a, b in zip(found.rows, wanted.rows, strict=True) if a != b]
    if not differing:
        return "hierarchy has the same coarse classes in another order"
    there, here = map("/".join, differing[0])
    return (
        f"hierarchy has the same numbers of classes {found.num_classes} under other names or "
        f"parents, such as {there!r}, not {here!r}"
    )
