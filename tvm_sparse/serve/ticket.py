"""What is known of a request while it waits and is answered."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from tvm_sparse.serve.refusal import Refusal


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that was let in.

    Attributes
    ----------
    arrived_ns : int
        When it came, by `time.perf_counter_ns`.
    at_once : bool
        Whether it is answered in the event loop, which may not wait.
    started : bool
        Whether some of it was computed: from then on it is neither late nor dropped.
    dropped : Refusal or None
        Why it need not be answered.
    wait_ns, run_ns : int
        How long it waited for threads and streams, and how long the runs took it was part of.
    batch : int
        Sequences that its last run had, those of others too.
    """

    arrived_ns: int = field(default_factory=time.perf_counter_ns)
    at_once: bool = False
    started: bool = False
    dropped: Refusal | None = None
    wait_ns: int = 0
    run_ns: int = 0
    batch: int = 0

    def timing(self) -> bytes:
        """Return the times in milliseconds, as the header Server-Timing of HTTP has them."""
        whole = time.perf_counter_ns() - self.arrived_ns
        times = (self.wait_ns / 1e6, self.run_ns / 1e6, whole / 1e6)
        return b"queue;dur=%.3f, run;dur=%.3f, total;dur=%.3f" % times

    def begin_again(self) -> None:
        """Forget a try to answer in the event loop; when the request came stays."""
        self.at_once = self.started = False
        self.wait_ns = self.run_ns = self.batch = 0

    def check(self) -> None:
        """Stop working for nobody.

        Raises
        ------
        Refusal
            It was dropped.
        """
        if self.dropped is not None:
            raise self.dropped


class _Current(threading.local):
    ticket: Ticket | None = None


_current = _Current()


def set_ticket(ticket: Ticket | None) -> None:
    """Say which request the calling thread works for."""
    _current.ticket = ticket


def get_ticket() -> Ticket:
    """Return the request that the calling thread works for."""
    return _current.ticket or Ticket()
