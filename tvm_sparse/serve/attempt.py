"""Carry out the job of a request, whatever becomes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tvm_sparse.errors import ConfigError, InputError, TvmSparseError
from tvm_sparse.serve.at_once import Busy
from tvm_sparse.serve.refusal import Refusal, wrong
from tvm_sparse.serve.ticket import Ticket, set_ticket

Answer = TypeVar("Answer")


def attempt(ticket: Ticket, job: Callable[[], Answer]) -> tuple[Answer | None, Refusal | None]:
    """Return what a job returns, or why it is refused.

    Raises
    ------
    Busy
        It was to be done at once, and cannot be.
    """
    if ticket.dropped is not None:
        return None, ticket.dropped
    ticket.wait_ns = time.perf_counter_ns() - ticket.arrived_ns  # for this thread
    set_ticket(ticket)
    try:
        return job(), None
    except Refusal as error:
        return None, error.with_traceback(None)  # its frames hold the model
    except (InputError, ConfigError) as error:
        return None, wrong(str(error))
    except TvmSparseError as error:
        return None, Refusal(500, str(error), "BACKEND")
    except Busy:
        raise
    except Exception as error:  # the server goes on
        return None, Refusal(500, f"{type(error).__name__}: {error}", "BACKEND")
    finally:
        set_ticket(None)
