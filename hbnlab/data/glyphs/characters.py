"""The character of each class of the glyphs, in the order of the tree ``GLYPHS``."""

from hbnlab.trees import GLYPHS

# One row per coarse class. Hebrew and Arabic are escaped, because editors show them right to left.
_ROWS = (
    "αγδσω",
    "ЖЦШЩЮ",
    "\u05d1\u05d4\u05d7\u05dd\u05ea",
    "\u0628\u067e\u062a\u062b\u0646",
    "35689",
    "àáâäå",
    "½⅓⅔¼¾",
    "!¡?¿‽",
    "$¢£¥€",
    "([{⟨⌈",
    "=≠≡≈≅",
    "⊕⊖⊗⊘⊙",
    "←↑→↓↔",
    "├┤┬┴┼",
    "▲▶▼◀◆",
    "⚀⚁⚂⚃⚄",
    "♚♛♜♝♞",
    "♩♪♫♬♭",
    "☿♀♁♂♅",
    "✦★✶✴✹",
)
CHARACTERS = dict(zip(GLYPHS.class_names[1], "".join(_ROWS), strict=True))
"""From the name of each fine class, such as ``"alpha"``, to its character."""
