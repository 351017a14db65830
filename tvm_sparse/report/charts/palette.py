"""Colours that colour-blind readers tell apart, and that stand out on white and on black.

From Okabe and Ito, "Color Universal Design" (2008), those with a contrast of 3:1 on both grounds.
Colour never stands alone: series have symbols and dashes of their own too.
"""

from __future__ import annotations

from collections.abc import Sequence

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6BB1", "#A6761D", "#3E8E9E", "#9C5C5C")
NEUTRAL = "#888888"
#: Of the text around: dark on light paper and light on a dark page, black in files.
INK = "currentColor"
PARTS = {"products": "#0072B2", "attention": "#D55E00", "norms": "#009E73", "rest": NEUTRAL}
SHAPES = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)
#: Dashes are lengths of line and gap.
SOLID, DASHED, LONG_DASHED, DOTTED = [1, 0], [5, 3], [10, 4], [2, 3]
DASHES = (SOLID, [6, 3], [10, 4], [8, 3, 2, 3], [14, 4], [10, 3, 2, 3, 2, 3], [3, 3], [16, 3, 4, 3])


def repeat(values: Sequence[object], count: int) -> list[object]:
    """Return `count` values, from the beginning again where there are fewer."""
    return [values[index % len(values)] for index in range(count)]
