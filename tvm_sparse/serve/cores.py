"""Keep a thread on a core for a while."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet


@contextlib.contextmanager
def kept_to(core: int | None, others: AbstractSet[int]) -> Iterator[None]:
    """Keep the calling thread on a core, if one is given, and on others afterwards.

    Where all cores are taken, the system may take long to see that two runs share one.
    """
    if core is None:
        yield
        return
    _keep_to({core})
    try:
        yield
    finally:
        _keep_to(others)


def _keep_to(cores: AbstractSet[int]) -> None:
    with contextlib.suppress(OSError):  # they were taken from this process
        os.sched_setaffinity(0, cores)
