"""The examples of the book: fenced Python blocks, and what they print.

A block ``text`` that follows a block ``python`` is what that one prints. All blocks of a page are
run in turn with the same names.
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
        code: Python, with newlines before it so that a traceback has the line of the page.
        printed: what the page says that it prints; empty where it says nothing.
        span: where that stands in the page, from and to; None where it does not.
    """

    code: str
    printed: str
    span: tuple[int, int] | None


def pages() -> list[Path]:
    """All pages of the book that hold examples."""
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
    """Run the examples of a page: each with what it really printed."""
    # Dataclasses look their own module up, so the examples need one that is known.
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
    """Put what the examples print into their page."""
    page = path.read_text(encoding="utf-8")
    for example, printed in reversed(run(path)):
        if example.span is not None:
            page = page[: example.span[0]] + printed + page[example.span[1] :]
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    for page_path in pages():
        write(page_path)
