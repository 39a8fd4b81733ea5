"""Augmented training batches on one core: hbnlab per batch against PIL per image.

Both pipelines shuffle, reflect-pad by 4, crop, mirror and normalise 32x32 colour images in batches
of 64, with the constants of the study. They alternate in one process on one thread; the result is
the median over the rounds of the ratio within a round. Times are processor times.

    python benchmarks/input_pipeline.py
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from hbnlab.data.batches import IMAGENET_MEAN, IMAGENET_STD
from hbnlab.data.split import TensorSplit
from hbnlab.storage import write_json
from hbnlab.trees import CIFAR100

TARGET = 25.0


class PilDataset(Dataset):
    """Decoded images as PIL images, transformed one by one as in the data sets of torchvision."""

    def __init__(self, split: TensorSplit) -> None:
        self.images = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = split.labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def random_split(count: int) -> TensorSplit:
    """Noise with the shape of CIFAR-100: the content of the images does not matter here."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return TensorSplit(
        images=images,
        labels=CIFAR100.label_table(torch.arange(count) % 100),
        hierarchy=CIFAR100,
        name="noise",
        part="train",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        augmentations=("crop", "flip"),
    )


def images_per_second(batches: Iterable, count: int) -> float:
    """Images per second of processor time, over one pass."""
    start = time.process_time()
    seen = sum(len(images) for images, _ in batches)
    seconds = time.process_time() - start
    if seen != count:
        raise RuntimeError(f"a pass must yield {count} images, got {seen}")
    return count / seconds


def measure(count: int, pil_count: int, batch_size: int, rounds: int) -> dict[str, list[float]]:
    """Speeds of both pipelines per round; the first round is a warm-up and does not count."""
    split, generator = random_split(count), torch.Generator().manual_seed(0)
    loader = DataLoader(
        PilDataset(split.subset(range(pil_count))), batch_size=batch_size, shuffle=True
    )

    def ours() -> float:
        return images_per_second(split.batches(batch_size, True, generator), count)

    def pil() -> float:
        return images_per_second(loader, pil_count)

    pipelines: dict[str, Callable[[], float]] = {"hbnlab": ours, "pil": pil}
    speeds: dict[str, list[float]] = {name: [] for name in pipelines}
    for number in range(rounds + 1):
        for name, run in pipelines.items():
            speed = run()
            if number > 0:
                speeds[name].append(speed)
    return speeds


def report(speeds: dict[str, list[float]], settings: dict[str, int]) -> dict[str, object]:
    """The result as it is printed and written."""
    ratios = [ours / pil for ours, pil in zip(speeds["hbnlab"], speeds["pil"], strict=True)]
    return {
        "what": "augmented training batches on one thread, images per second of processor time",
        "hbnlab_images_per_second": round(statistics.median(speeds["hbnlab"])),
        "pil_images_per_second": round(statistics.median(speeds["pil"])),
        "ratio": round(statistics.median(ratios), 1),
        "ratio_lowest": round(min(ratios), 1),
        "ratio_highest": round(max(ratios), 1),
        "target": TARGET,
        **settings,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench_input_pipeline.json"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=45_000, help="images per pass of hbnlab")
    parser.add_argument("--pil-images", type=int, default=1_500, help="images per pass of PIL")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"rounds": arguments.rounds, "batch_size": arguments.batch_size}
    speeds = measure(arguments.images, arguments.pil_images, arguments.batch_size, arguments.rounds)
    result = report(speeds, settings)
    for key, value in result.items():
        print(f"{key.replace('_', ' '):>26}  {value}")
    write_json(arguments.out, result)
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
