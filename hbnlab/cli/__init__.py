"""The command ``hbnlab``: arguments in, files and tables out."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns 0 = done, 1 = it could not be done, 130 = interrupted; for ``lab`` what JupyterLab
    returns. Arguments that are not known, or ask for help, end the process: with 2, or 0.
    """
    command = "hbnlab"
    try:
        # Loading torch takes seconds, in which Ctrl-C should not print a traceback either.
        from hbnlab.cli.arguments import parse

        chosen = parse(sys.argv[1:] if arguments is None else arguments)
        command = f"hbnlab {chosen.command}"
        return chosen.execute(chosen)
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        advice = str(stop) or "files that are already written are complete"
        print(f"\n{command}: stopped; {advice}", file=sys.stderr)
        return 130
