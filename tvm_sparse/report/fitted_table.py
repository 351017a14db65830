"""Tables that fit the terminal: what matters least is left out, names are never broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Cell = str | Text

#: Between two columns: three spaces, or one where that is too wide.
_PADDINGS = ((0, 1), (0, 1, 0, 0))
_ANY_WIDTH = 10_000
#: Text that may be broken between words is not made narrower than this.
_LEAST_WRAPPED = 14


@dataclass
class _Column:
    header: str
    right: bool
    wraps: bool
    spare: int
    bold: bool
    cells: list[Cell] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Terminal cells of its longest line."""
        lines = [line for cell in (self.header, *self.cells) for line in str(cell).split("\n")]
        return max(map(cell_len, lines))

    @property
    def least_width(self) -> int:
        return min(self.width, _LEAST_WRAPPED) if self.wraps else self.width

    def broken(self, width: int) -> _Column:
        """Return the column with its names broken at their slashes, and within if need be."""
        width = max(width, _LEAST_WRAPPED)
        names = [
            "\n".join(part for line in str(cell).split("\n") for part in _parts(line, width))
            for cell in self.cells
        ]
        return replace(self, cells=list(names))


class FittedTable:
    """A table in the style of all tables here, as wide as the terminal at most.

    Where it is wider, the gaps shrink, then columns are left out, and a line below says which.

    Parameters
    ----------
    title : str
        Printed above it, as it stands.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._columns: list[_Column] = []
        self._sections: list[int] = []

    def add_column(
        self,
        header: str = "",
        *,
        right: bool = False,
        wraps: bool = False,
        spare: int = 0,
        bold: bool = False,
    ) -> None:
        """Add a column.

        Parameters
        ----------
        header : str
            Its name.
        right : bool
            Numbers stand to the right.
        wraps : bool
            Its text may be broken between words; anything else stays in one piece.
        spare : int
            How soon it is left out where all does not fit: the highest first, 0 never.
        bold : bool
            Shown bold.
        """
        self._columns.append(_Column(header, right, wraps, spare, bold))

    def add_row(self, *cells: Cell) -> None:
        """Add a row, a cell for each column; cells are no markup."""
        for column, cell in zip(self._columns, cells, strict=True):
            column.cells.append(cell)

    def add_section(self) -> None:
        """Draw a line below the last row."""
        self._sections.append(len(self._columns[0].cells) - 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, and what it leaves out."""
        width, excess = options.max_width, 0
        shown = self._columns
        for columns, padding in self._choices():
            shown, table = columns, self._table(columns, padding, width)
            narrow = self._table(columns, padding, width, narrow=True)
            needed = Measurement.get(console, options.update(width=_ANY_WIDTH), narrow).minimum
            excess = needed - width
            if excess <= 0:
                break
        else:
            # Nothing is left to leave out: the longest names have to break.
            longest = max(shown, key=lambda column: column.least_width)
            broken = longest.broken(longest.width - excess)
            columns = [broken if column is longest else column for column in shown]
            table = self._table(columns, _PADDINGS[-1], width)
        yield table
        hidden = [c.header.replace("\n", " ") for c in self._columns if c not in shown]
        if hidden:
            yield Text(
                f"not shown for want of width: {', '.join(dict.fromkeys(hidden))}", style="dim"
            )

    def _choices(self) -> Iterator[tuple[list[_Column], Sequence[int]]]:
        yield self._columns, _PADDINGS[0]
        yield self._columns, _PADDINGS[1]
        for rank in sorted({c.spare for c in self._columns if c.spare}, reverse=True):
            yield [c for c in self._columns if c.spare < rank], _PADDINGS[1]

    def _table(
        self,
        columns: Sequence[_Column],
        padding: Sequence[int],
        width: int,
        narrow: bool = False,
    ) -> Table:
        # At least as wide as its title, which rich would wrap otherwise; names are no markup.
        table = Table(
            title=Text(self._title),
            title_justify="left",
            min_width=min(cell_len(self._title), width),
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=tuple(padding),  # type: ignore[arg-type]
        )
        for column in columns:
            table.add_column(
                Text(column.header),
                justify="right" if column.right else "left",
                style="bold" if column.bold else None,
                min_width=min(column.least_width, width),
                # A word may be longer: a path, which then breaks.
                max_width=column.least_width if narrow else None,
                no_wrap=not column.wraps,
                overflow="fold",
            )
        for index in range(len(columns[0].cells)):
            cells = (column.cells[index] for column in columns)
            table.add_row(
                *(cell if isinstance(cell, Text) else Text(cell) for cell in cells),
                end_section=index in self._sections,
            )
        return table


def _parts(name: str, width: int) -> Iterator[str]:
    """Yield a name in lines, which end at slashes where they can."""
    while cell_len(name) > width:
        at = name.rfind("/", 1, width) + 1 or width
        yield name[:at]
        name = f"  {name[at:]}"
    yield name
