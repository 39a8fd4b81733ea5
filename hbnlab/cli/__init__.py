"""The command ``hbnlab``: arguments in, files and tables out."""

import sys
from collections.abc import Sequence

from hbnlab.cli.arguments import understood

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns 0 = done, 1 = it could not be done, 130 = interrupted; ``lab`` what JupyterLab returns.
    Words that are not understood, or ask for help, end the process: with 2, or 0.
    """
    chosen = understood(sys.argv[1:] if arguments is None else arguments)
    try:
        return chosen.run(chosen)
    except (ValueError, FileNotFoundError, FloatingPointError, OSError) as error:
        print(f"hbnlab {chosen.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"\nhbnlab {chosen.command}: stopped; files already written are whole", file=sys.stderr
        )
        return 130
