"""Early-exit networks that decide, image by image, how deep to think and how specific to be.

Importing this package does no work; take what you need from its modules, such as
``hbnlab.models.create`` or ``hbnlab.data.load``.
"""

from importlib.metadata import version

__version__ = version("hbnlab")
