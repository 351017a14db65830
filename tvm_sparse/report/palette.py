"""Colours that colour-blind readers tell apart, and that stand out on white and on black.

From Okabe and Ito, "Color Universal Design" (2008), those with a contrast of 3:1 on both grounds.
Colour never stands alone: lines have symbols and dashes of their own too.
"""

from __future__ import annotations

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6BB1", "#A6761D")
NEUTRAL = "#888888"
PARTS = {"products": "#0072B2", "attention": "#D55E00", "norms": "#009E73", "rest": NEUTRAL}


def series_colour(index: int) -> str:
    """Return the colour of the series with this number; they repeat after six."""
    return SERIES[index % len(SERIES)]
