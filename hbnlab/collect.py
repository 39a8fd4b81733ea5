"""From a network and images to records: one pass, after which no network is needed."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from hbnlab.costs import branch_macs, stage_macs
from hbnlab.data.split import Split
from hbnlab.models.network import EarlyExitNetwork, check_finite
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

    The network is put into evaluation mode for the pass and left as it was; images go to its
    device a batch at a time, the records lie in ordinary memory.

    Args:
        network: any early-exit network.
        source: a split, or a pair of normalised images (sample, channel, height, width) and labels,
            which may be the finest (sample) or one column a level (sample, level).
        batch_size: images at a time; None is 64 on a processor, where more do not fit its cache,
            and 512 elsewhere. The logits do not depend on it beyond the last bits.
        augment: crop and flip the images at random from this generator, in their order: only to
            follow the study's protocol, which left that on while testing.
        progress: show a bar.

    Raises:
        ValueError: for images or labels that do not fit the network, or that are not finite.
    """
    if batch_size is None:
        batch_size = 64 if network.device.type == "cpu" else 512
    split: Split | None = None
    if isinstance(source, tuple):
        labels, fingerprint, batches = _from_pair(network, source, batch_size)
    else:
        split = source
        network.check_data(split.name, split.image_shape, split.hierarchy)
        labels, fingerprint = split.labels, split.fingerprint
        batches = (
            images
            for images, _ in split.batches(
                batch_size, augment=augment is not None, generator=augment, shuffle=False
            )
        )
    logits, gate = _run(network, batches, len(labels), progress)
    return ExitRecords(
        logits=logits,
        head_mask=network.head_mask,
        labels=labels.cpu(),
        stage_macs=tuple(stage_macs(network)),
        branch_macs=tuple(branch_macs(network)),
        hierarchy=network.hierarchy,
        gate_logits=gate,
        attributes={} if split is None else {k: v.cpu() for k, v in split.attributes.items()},
        split="" if split is None else f"{split.name} {split.part}",
        fingerprint=f"{network_fingerprint(network)}-{fingerprint}",
    )


def network_fingerprint(network: EarlyExitNetwork) -> str:
    """Twelve hexadecimal digits of the weights and of what kind of network they are for."""
    digest = hashlib.sha256(repr(network.to_spec()).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:12]


@torch.inference_mode()
def _run(
    network: EarlyExitNetwork, batches: Iterable[Tensor], count: int, progress: bool
) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Logits of each level, (sample, exit, class), NaN where there is no head; and the gate."""
    sizes = network.hierarchy.num_classes
    table = tuple(torch.full((count, network.num_exits, size), torch.nan) for size in sizes)
    gate = torch.empty(count, 2) if network.has_gate else None
    was_training, done = network.training, 0
    bar = progress_bar(count, f"{network.name} records", "image", shown=progress)
    network.eval()
    try:
        for images in batches:
            rows = slice(done, done + len(images))
            done += len(images)
            bar.update(len(images))
            moved = images.to(network.device).contiguous(memory_format=torch.channels_last)
            outputs = network(moved)
            for exit_index, exit_logits in enumerate(outputs.logits):
                for level_index, logits in enumerate(exit_logits):
                    if logits is not None:
                        table[level_index][rows, exit_index] = logits.float().cpu()
            if gate is not None and outputs.gate is not None:
                gate[rows] = outputs.gate.float().cpu()
    finally:
        bar.close()
        network.train(was_training)
    return table, gate


def _from_pair(
    network: EarlyExitNetwork, pair: tuple[Tensor, Tensor], batch_size: int
) -> tuple[Tensor, str, Iterable[Tensor]]:
    images, labels = pair
    network.check_images(images)
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(
            "records need images and as many labels, at least one, got "
            f"{len(images)} images and {len(labels)} labels"
        )
    check_finite(images)
    if labels.ndim == 1:
        labels = network.hierarchy.label_table(labels)
    digest = hashlib.sha256(images.cpu().contiguous().numpy().data).hexdigest()[:12]
    return labels, digest, images.split(batch_size)
