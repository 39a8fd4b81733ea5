"""The command ``hbnlab``: arguments in, files and tables out."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 for success, 1 for an error, 130 after Ctrl-C; ``lab`` passes on that of
        JupyterLab. Unknown arguments exit with 2, ``--help`` with 0.
    """
    command = "hbnlab"
    try:
        # Importing torch takes seconds; Ctrl-C during them should not print a traceback either.
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
