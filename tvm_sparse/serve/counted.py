"""What becomes of a request that was let in."""

from __future__ import annotations

import asyncio
from types import TracebackType

from tvm_sparse.serve.ask import Ask
from tvm_sparse.serve.pace import Pace
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.statistics import Statistics


class Counted:
    """Counts a request as pending, and then as answered or refused.

    Parameters
    ----------
    statistics, pace : Statistics, Pace
        What count it.
    ask : Ask
        The request.
    before : int
        How many were before it.
    """

    __slots__ = ("_ask", "_before", "_pace", "_statistics")

    def __init__(self, statistics: Statistics, pace: Pace, ask: Ask, before: int) -> None:
        self._statistics, self._pace, self._ask, self._before = statistics, pace, ask, before

    def __enter__(self) -> None:
        self._statistics.pending += 1

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._statistics.pending -= 1
        if error is None:
            self._pace.answered(self._ask.ticket, self._before)
            self._statistics.answered(self._ask.ticket, self._ask.items)
        elif isinstance(error, Refusal):
            self._statistics.refused(self._ask.ticket, error.reason)
        elif isinstance(error, asyncio.CancelledError):
            self._statistics.refused(self._ask.ticket, "CANCELED")
