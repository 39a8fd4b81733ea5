"""``python -m hbnlab``, the same as the command ``hbnlab``."""

import sys

from hbnlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
