"""From a network and images to records: one pass, after which no network is needed."""

import functools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from hbnlab.costs import part_macs
from hbnlab.data.split import Split
from hbnlab.fingerprint import fingerprint
from hbnlab.head_mask import cells_of
from hbnlab.models.network import EarlyExitNetwork, check_finite, evaluation_mode
from hbnlab.progress import progress_bar
from hbnlab.records import ExitRecords

LabelledImages = tuple[Tensor, Tensor]


def collect_records(
    network: EarlyExitNetwork,
    source: Split | LabelledImages,
    *,
    batch_size: int | None = None,
    augment: torch.Generator | None = None,
    progress: bool = False,
) -> ExitRecords:
    """Run every exit on every image once and keep what they say.

    The network is put into evaluation mode for the pass and left as it was. Images go to its
    device one batch at a time; the records are in ordinary memory.

    Args:
        network: any early-exit network.
        source: a split, or a pair of normalised images (sample, channel, height, width) and labels,
            which are either the finest (sample) or one column per level (sample, level).
        batch_size: images per batch; None = ``default_batch_size``. It changes only the last bits.
        augment: crop and flip the images at random from this generator, in their order: only to
            follow the study's protocol, which left that on while testing.
        progress: show a bar.

    Raises:
        ValueError: for images or labels that do not fit the network, or that are not finite.

    Example:
        >>> from hbnlab import data, models
        >>> splits = data.load("glyphs", train_size=20, val_size=20, test_size=20)
        >>> network = models.create("gran-hbn", splits.hierarchy, width=0.1)
        >>> records = collect_records(network, splits.test)
        >>> records.num_exits, len(records), records.split
        (3, 20, 'glyphs test')
    """
    if isinstance(source, tuple):
        images, labels = source
        _check_pair(images, labels)
        title, attributes, of_data = "", {}, fingerprint(images)
        if labels.ndim == 1:
            labels = network.hierarchy.label_table(labels)
    else:
        network.check_data(source.name, source.image_shape, source.hierarchy)
        images, labels = source, source.labels
        title, of_data = f"{source.name} {source.part}", source.fingerprint
        attributes = {name: column.cpu() for name, column in source.attributes.items()}
    bar_title = f"{network.name} records" if progress else None
    batches = image_batches(network, images, batch_size, augment=augment, bar_title=bar_title)
    logits, gate = _run(network, batches, len(labels))
    macs = part_macs(network)
    return ExitRecords(
        logits=logits,
        head_mask=network.head_mask,
        labels=labels.cpu(),
        stage_macs=macs.stages,
        branch_macs=macs.branches,
        hierarchy=network.hierarchy,
        gate_logits=gate,
        attributes=attributes,
        split=title,
        fingerprint=f"{network_fingerprint(network)}-{of_data}",
    )


@functools.cache  # a device makes the text of its type anew each time
def default_batch_size(device: torch.device) -> int:
    """Images per batch on a device: 64 on a processor, where more do not fit its cache, else 512.

    Example:
        >>> default_batch_size(torch.device("cpu"))
        64
    """
    return 64 if device.type == "cpu" else 512


def image_batches(
    network: EarlyExitNetwork,
    images: Tensor | Split,
    batch_size: int | None = None,
    *,
    augment: torch.Generator | None = None,
    bar_title: str | None = None,
    device: torch.device | None = None,
) -> Iterator[Tensor]:
    """Validate images against a network, and cut them into batches on its device, channels last.

    Args:
        network: whose device and image shape count.
        images: normalised floats (sample, channel, height, width), or a split, which is read one
            batch at a time.
        batch_size: images per batch; None = ``default_batch_size``.
        augment: as in ``collect_records``; for a split only.
        bar_title: where given, a progress bar under this title counts the images.
        device: the network's, where the caller has looked it up.

    Raises:
        ValueError: at once, for a batch size below 1, and for images of another shape or type than
            the network takes, or with NaN or infinity.

    Example:
        >>> from hbnlab import models, trees
        >>> network = models.create("gran-hbn", trees.GLYPHS, width=0.1)
        >>> [len(batch) for batch in image_batches(network, torch.zeros(100, 3, 32, 32))]
        [64, 36]
    """
    device = device or network.device
    size = default_batch_size(device) if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {size}")
    if isinstance(images, Tensor):
        network.check_images(images)
        check_finite(images)
        count = images.shape[0]
        batches: Iterable[Tensor] = images.split(size) if count > size else [images][:count]
    else:
        network.check_data(images.name, images.image_shape)
        read = images.batches(size, augment=bool(augment), generator=augment, shuffle=False)
        batches = (batch for batch, _ in read)
    moved = (
        batch.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        for batch in batches
    )
    return moved if bar_title is None else _counted_by_bar(moved, len(images), bar_title)


def _counted_by_bar(batches: Iterable[Tensor], total: int, title: str) -> Iterator[Tensor]:
    with progress_bar(total, title, "image") as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def network_fingerprint(network: EarlyExitNetwork) -> str:
    """Fingerprint of the weights and of the kind of network that they are for.

    Example:
        >>> from hbnlab import models, trees
        >>> one, other = (models.create("alexnet", trees.GLYPHS, 0.1, seed=n) for n in (0, 1))
        >>> network_fingerprint(one) == network_fingerprint(other)
        False
    """
    weights = (piece for named in network.state_dict().items() for piece in named)
    spec = network.to_spec() | {"hierarchy": network.hierarchy.with_level_names().to_spec()}
    return fingerprint(repr(spec), *weights)


def records_fingerprint(network: EarlyExitNetwork, split: Split) -> str:
    """The fingerprint that the records of a network on a split will have.

    Example:
        >>> from hbnlab import data, models
        >>> splits = data.load("glyphs", train_size=20, val_size=20, test_size=20)
        >>> network = models.create("gran-hbn", splits.hierarchy, width=0.1)
        >>> expected = records_fingerprint(network, splits.test)
        >>> collect_records(network, splits.test).fingerprint == expected
        True
    """
    return f"{network_fingerprint(network)}-{split.fingerprint}"


@torch.inference_mode()
def _run(
    network: EarlyExitNetwork, batches: Iterable[Tensor], count: int
) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Logits of each level, (sample, exit, class), NaN where there is no head; and the gate."""
    sizes = network.hierarchy.num_classes
    table = tuple(torch.full((count, network.num_exits, size), torch.nan) for size in sizes)
    gate = torch.empty(count, 2) if network.has_gate else None
    done = 0
    with evaluation_mode(network):
        for images in batches:
            rows = slice(done, done + len(images))
            done += len(images)
            outputs = network(images)
            for exit_index, level_index in cells_of(network.head_mask):
                logits = outputs.logits[exit_index][level_index]
                table[level_index][rows, exit_index] = logits.float().cpu()
            if gate is not None:
                gate[rows] = outputs.gate.float().cpu()
    return table, gate


def _check_pair(images: Tensor, labels: Tensor) -> None:
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(
            "records need images and as many labels, at least one, got "
            f"{len(images)} images and {len(labels)} labels"
        )
