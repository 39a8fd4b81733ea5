"""Early-exit networks that decide, image by image, how deep to think and how specific to be.

Importing this package does no work; take what you need from its modules, such as
``hbnlab.models.create`` or ``hbnlab.data.load``.
"""

from importlib.metadata import version

__version__ = version("hbnlab")


def environment() -> str:
    """What runs here, in one line: versions and devices, for a notebook or a bug report."""
    import platform

    import torch

    found = "no CUDA device"
    if torch.cuda.is_available():
        found = torch.cuda.get_device_name()
    return (
        f"hbnlab {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {version('torchvision')}, {torch.get_num_threads()} threads, {found}"
    )
