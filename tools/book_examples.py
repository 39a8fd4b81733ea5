"""The examples of the book: fenced Python blocks and their output.

A block ``text`` after a block ``python`` is the output of that block. The blocks of a page run in
order and share their names.
"""

import contextlib
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\s*^```text\n(?P<printed>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Example:
    """One block of code of a page.

    Attributes:
        code: Python, with newlines before it so that a traceback gives the line in the page.
        printed: the output that the page shows; empty if it shows none.
        span: start and end of this output in the page; None if there is none.
    """

    code: str
    printed: str
    span: tuple[int, int] | None


def pages() -> list[Path]:
    """All pages of the book that have examples."""
    return [path for path in sorted(DOCS.rglob("*.md")) if examples(path.read_text("utf-8"))]


def examples(page: str) -> list[Example]:
    """The examples of a page, in order."""
    found = []
    for block in _BLOCK.finditer(page):
        lines_before = page.count("\n", 0, block.start("code"))
        span = None if block["printed"] is None else block.span("printed")
        found.append(Example("\n" * lines_before + block["code"], block["printed"] or "", span))
    return found


def run(path: Path) -> list[tuple[Example, str]]:
    """Run the examples of a page, and return each with its real output."""
    # A dataclass looks up its module, so the examples need one that is registered.
    module = type(sys)(f"book_{path.stem}")
    sys.modules[module.__name__] = module
    results = []
    try:
        for example in examples(path.read_text(encoding="utf-8")):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(example.code, str(path), "exec"), vars(module))
            results.append((example, printed.getvalue()))
    finally:
        del sys.modules[module.__name__]
    return results


def write(path: Path) -> None:
    """Write the output of the examples into their page."""
    page = path.read_text(encoding="utf-8")
    for example, printed in reversed(run(path)):
        if example.span is not None:
            page = page[: example.span[0]] + printed + page[example.span[1] :]
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    for page_path in pages():
        write(page_path)
