"""How wide the output may be."""

from __future__ import annotations

import contextlib
import os
from typing import TextIO

#: Columns of a pipe or a file, which have none.
_PLAIN_WIDTH = 160
#: Of a terminal that does not tell.
_USUAL_WIDTH = 80


def width_of(stream: TextIO) -> int:
    """Return the columns of an output: $COLUMNS, else the terminal's, else those of a wide one.

    Values that no terminal has, such as 0, count as not given.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if not stream.isatty():
        return _PLAIN_WIDTH
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    return _USUAL_WIDTH
