"""A console on which texts from elsewhere give no commands to the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from tvm_sparse.cli.printable import printable


class PrintableConsole(Console):
    """Escapes control characters in all it prints; its own commands, such as colours, stay."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text in the form that is laid out."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield what makes up a renderable."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
