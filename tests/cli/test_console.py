from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

from tvm_sparse.cli.console import PrintableConsole
from tvm_sparse.cli.printable import printable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a\tb\nc é ×", "a\tb\nc é ×"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("a\rb\x7f\x9b\0", r"a\rb\x7f\x9b\x00"),
        ("exe\u202egnp.\u2028", r"exe\u202egnp.\u2028"),
        ("\udcff", r"\udcff"),
    ],
)
def test_control_characters_are_written_out(text: str, printed: str) -> None:
    assert printable(text) == printed
    assert printable(printed) == printed


def test_a_console_keeps_its_own_commands_alone() -> None:
    stream = io.StringIO()
    console = PrintableConsole(file=stream, force_terminal=True, color_system="standard", width=60)
    table = Table("[bold]name[/]")
    table.add_row("evil\x1b]0;owned\x07\x1b[2J")
    console.print(table)
    console.print("layer\x1b[2J", markup=False, highlight=False)
    console.print(Text("text\x1b[2J"))
    text = stream.getvalue()
    assert "\x1b[1m" in text
    assert not any(code in text for code in ("\x1b]", "\x1b[2J", "\x07"))
    assert r"evil\x1b]0;owned" in text
    assert r"layer\x1b[2J" in text
    assert r"text\x1b[2J" in text
