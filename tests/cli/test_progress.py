from __future__ import annotations

import io
import re

import pytest

from tvm_sparse.cli import progress
from tvm_sparse.cli.progress import ProgressDisplay

pytestmark = pytest.mark.unit


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set forward."""

    class Clock:
        now = 100.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def last_screen(text: str) -> str:
    """Return the text without the codes that move the cursor and colour."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")


def test_plain_lines() -> None:
    stream = io.StringIO()
    with ProgressDisplay(stream=stream) as display:
        display.step("starting")
        display.step("compiling the [bold] build")
        display.step("compiling the [bold] build: legalize")
        display.step("done: nearly")
    lines = ["starting", "compiling the [bold] build", "done: nearly"]
    assert stream.getvalue().splitlines() == lines


def test_long_lines_are_not_broken() -> None:
    stream = io.StringIO()
    line = "waiting for " + "x" * 300
    with ProgressDisplay(stream=stream) as display:
        display.step(line)
    assert stream.getvalue() == f"{line}\n"


def test_quiet() -> None:
    for stream in (io.StringIO(), Terminal()):
        with ProgressDisplay(quiet=True, stream=stream) as display:
            display.step("starting")
            display.measure("measuring", 0.5)
        assert stream.getvalue() == ""


def test_measuring_says_now_and_then_how_long_it_will_take(clock) -> None:
    stream = io.StringIO()
    with ProgressDisplay(stream=stream) as display:
        for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0):
            display.measure("measuring dense", share)
            clock.now += 2
    assert stream.getvalue().splitlines() == [
        "measuring dense",
        "measuring dense: 30%, 14 s left",
    ]


def test_terminal_keeps_a_line_of_long_steps_only(terminal, clock) -> None:
    with ProgressDisplay(stream=terminal) as display:
        display.step("short step")
        clock.now += 0.2
        display.step("long step")
        display.step("long step: a phase")
        clock.now += 3
        display.measure("measuring", 0.0)
        clock.now += 5
        display.measure("measuring", 0.5)
    text = last_screen(terminal.getvalue())
    assert "   3.0 s  long step\n" in text
    assert "   5.0 s  measuring\n" in text
    assert "s  short step" not in text


def test_terminal_is_left_in_order_after_an_error(terminal) -> None:
    def fail() -> None:
        with ProgressDisplay(stream=terminal) as display:
            display.step("step")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    # The cursor is shown again.
    assert terminal.getvalue().rstrip().count("\x1b[?25h") == 1
