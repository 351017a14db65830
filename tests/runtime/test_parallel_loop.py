"""A loop that threads only begin and end takes time, and more than one of a single thread."""

from __future__ import annotations

import pytest

from tvm_sparse.host import available_cores
from tvm_sparse.runtime.parallel_loop import measure_parallel_loop

pytestmark = pytest.mark.unit


def test_threads_take_some_time_to_begin_and_end() -> None:
    threads = min(2, available_cores())
    assert 0 < measure_parallel_loop(threads) < 1e6
