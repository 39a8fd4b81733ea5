"""Settings of the book, which Sphinx reads from the folder that ``tools/make_book.py`` fills.

A page fetches nothing from elsewhere: formulas are MathML, which browsers draw themselves, and each
widget is replaced with the picture and the text that it left in the notebook.
"""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import hbnlab

project = "hbnlab"
author = "hbnlab contributors"
version = release = hbnlab.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["conf.py", "**.ipynb_checkpoints"]

# ---------------------------------------------------------------------- pages

html_theme = "sphinx_book_theme"
html_title = f"hbnlab {version}"
html_theme_options = {"home_page_in_toc": True, "navbar_persistent": [], "show_toc_level": 2}
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = True
html_show_copyright = False
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# ---------------------------------------------------------------------- notebooks

# The pages show the outputs that are stored in the notebooks; `make test` compares them.
nb_execution_mode = "off"
nb_output_stderr = "remove"
# A widget needs scripts from a content delivery network, so the pages show its static output.
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]

# ---------------------------------------------------------------------- reference

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Shapes", "Source"]

_TABLE = re.compile(r"^\|(?P<cells>.*)\|$")


def setup(app: Any) -> None:
    """Teach Sphinx MathML, the format of our docstrings, and defaults that are made by a call."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
    # Napoleon has priority 500; these must run before it.
    app.connect("autodoc-process-docstring", _tables_to_rst, priority=400)
    app.connect("autodoc-process-docstring", _examples_to_rst, priority=400)
    app.connect("autodoc-process-docstring", _sentences_to_rst, priority=400)
    app.connect("autodoc-process-signature", _default_factories)


def _inline(writer: Any, node: nodes.Element) -> None:
    writer.body.append(_formula(node.astext()))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.Element) -> None:
    writer.body.append(f'<div class="formula">{_formula(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def _formula(tex: str, as_block: bool = False) -> str:
    # The converter uses a low line as overline, which browsers do not stretch.
    return tex2mathml(tex, as_block=as_block).replace(">_</mo>", ">\u203e</mo>")


def _default_factories(
    app: Any, what: str, name: str, obj: object, options: Any, signature: str | None, returns: Any
) -> tuple[str, Any] | None:
    """Replace ``<factory>``, which Python writes for a default that is made by a call."""
    if signature is None or "<factory>" not in signature:
        return None
    return signature.replace("<factory>", "..."), returns


def _tables_to_rst(
    app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Convert the Markdown tables of docstrings to ``list-table``."""
    written: list[str] = []
    inside = False
    for line in lines:
        row = _TABLE.match(line.strip())
        if row is None:
            inside = False
            written.append(line)
            continue
        cells = [cell.strip() for cell in row["cells"].split("|")]
        if not inside:
            written += [".. list-table::", "   :header-rows: 1", ""]
            inside = True
        if set("".join(cells)) != {"-"}:
            bullets = ["   * - ", *["     - "] * (len(cells) - 1)]
            written += [bullet + cell for bullet, cell in zip(bullets, cells, strict=True)]
    lines[:] = written


def _examples_to_rst(
    app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Double the colon before indented code, as reStructuredText needs it."""
    for number, (line, gap, code) in enumerate(zip(lines, lines[1:], lines[2:], strict=False)):
        is_example = (
            line.rstrip().endswith(":") and not gap.strip() and _indent(code) > _indent(line)
        )
        if is_example and not line.rstrip().endswith("::"):
            lines[number] = f"{line.rstrip()}:"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0


def _sentences_to_rst(
    app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Keep Sphinx from reading the text before a colon in a first line as a type."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # Sphinx reads this empty comment as the first line
