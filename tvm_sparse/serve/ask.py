"""What is to be done for a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tvm_sparse.serve.ticket import Ticket


@dataclass(slots=True, eq=False)
class Ask:
    """What is to be done for a request.

    Attributes
    ----------
    job : callable
        Returns the answer; asks the model, and may wait for its turn.
    items : int
        Texts or sequences of the request.
    timeout_ms : int or None
        How long it may wait for its turn, where that is less than its model allows.
    ticket : Ticket
        What becomes of it.
    """

    job: Callable[[], Any]
    items: int = 1
    timeout_ms: int | None = None
    ticket: Ticket = field(default_factory=Ticket)
