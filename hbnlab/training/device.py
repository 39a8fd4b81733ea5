"""Where and in which precision a run computes, and how its randomness is kept to itself."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hbnlab.models.network import ExitOutputs
from hbnlab.training.config import TrainConfig


@dataclass(frozen=True)
class Hardware:
    """A device, and a precision that it really has.

    Attributes:
        device: where network and data go.
        dtype: float32, or bfloat16 for mixed precision.
    """

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def choose(cls, config: TrainConfig) -> "Hardware":
        """Resolve "auto", and refuse what is not there.

        Raises:
            ValueError: for a device that this machine lacks, or bfloat16 on a GPU without it.
        """
        device, precision = choose_device(config.device), config.precision
        on_gpu = device.type == "cuda"
        if on_gpu:
            is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            mkldnn: Any = torch.ops.mkldnn
            is_fast = torch.backends.mkldnn.is_available() and mkldnn._is_mkldnn_bf16_supported()
        if precision == "auto":
            precision = "bfloat16" if on_gpu and is_fast else "float32"
        if precision == "bfloat16" and not is_fast:
            if on_gpu:
                raise ValueError("precision 'bfloat16' was asked for, but this GPU lacks it")
            warnings.warn(
                "this processor has no bfloat16 arithmetic: mixed precision will run, but many "
                "times slower than float32",
                stacklevel=2,
            )
        return cls(device, getattr(torch, precision))

    def compute(
        self,
        network: Callable[[Tensor], ExitOutputs],
        images: Float[Tensor, "batch channel height width"],
    ) -> ExitOutputs:
        """Compute every exit, convolutions and linear layers in ``dtype``, logits as float32."""
        images = images.contiguous(memory_format=torch.channels_last)
        if self.dtype == torch.float32:
            return network(images)
        with torch.autocast(self.device.type, self.dtype):
            return network(images).float()

    @contextlib.contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Seed torch and make cuDNN deterministic within the context only.

        Dropout knows no other source of randomness than the global one. Afterwards the generators
        of every device and cuDNN are as they were before. Whether TensorFloat-32 is used stays as
        it was set, also within the context.
        """
        on_gpu = self.device.type == "cuda"
        cudnn: Any = torch.backends.cudnn  # pyright does not see the attributes of this module
        before = cudnn.benchmark, cudnn.deterministic
        with torch.random.fork_rng(devices=[self.device] if on_gpu else []):
            # torch.manual_seed would seed all GPUs, and fork_rng gives only this one back.
            torch.default_generator.manual_seed(seed)
            if on_gpu:
                with torch.cuda.device(self.device):
                    torch.cuda.manual_seed(seed)
            # cudnn.flags() would set all other flags as well, to its own defaults.
            cudnn.benchmark, cudnn.deterministic = False, True
            try:
                yield
            finally:
                cudnn.benchmark, cudnn.deterministic = before


@contextlib.contextmanager
def threads_set(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads of the processor within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(name: str = "auto") -> torch.device:
    """Resolve ``"auto"`` to a GPU where there is one, else the processor.

    Raises:
        ValueError: for a device that hbnlab does not run on, or one that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} was asked for, but torch finds {torch.cuda.device_count()} CUDA "
            "devices here"
        )
    return device
