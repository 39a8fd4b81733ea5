"""The command ``hbnlab``: arguments in, files and tables out."""

import sys
from collections.abc import Sequence

from hbnlab.cli.arguments import parser, study_spelling

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 1 = it could not be done, 2 = it was not understood."""
    words = study_spelling(sys.argv[1:] if arguments is None else arguments)
    chosen = parser().parse_args(words)
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
